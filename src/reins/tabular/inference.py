"""RL as inference on a finite MDP: what is true of trajectories, given optimality.

    p(τ, O) = p(s_0) Π_t P(s_{t+1}|s_t, a_t) π0(a_t|s_t) exp(r_t/α − log z0)

with r_t = r(s_t, a_t, s_{t+1}), S1 (6), (7). Rewards are not discounted: the discount
of the MDP plays no part here. From a terminal state on there are no factors, and so
log p(O) = 0. The prior π0 is a table of normalised log-probabilities, finite. For p(O)
to be a probability, log z0 ≥ max r/α; it cancels from the posterior when all episodes
have the same length, and only then. Everything is differentiable.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, ScalarLike

from reins.tabular.mdp import AllTrajectories, TabularMDP
from reins.tabular.soft_values import LogPrior


class Messages(NamedTuple):
    """What lies ahead, in nats.

    Attributes:
      log_action: log p(O_{t:T}|s_t, a_t).
      log_state: log p(O_{t:T}|s_t), and 0 at the horizon.
    """

    log_action: Float[Array, "T S A"]
    log_state: Float[Array, "T_plus_1 S"]


@jax.jit
def backward_messages(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Messages:
    """log p(O_{t:T}|s_t, a_t) and log p(O_{t:T}|s_t) of every step.

    p(O_{t:T}|s, a) = Σ_s' P(s'|s, a) exp(r(s, a, s')/α − log z0) p(O_{t+1:T}|s')
    p(O_{t:T}|s) = Σ_a π0(a|s) p(O_{t:T}|s, a),   1 at the horizon and in terminal s

    Source: S1 (6), (7).
    Args: `temperature` α > 0, units of reward per nat; `log_z0` in nats per step.
    """
    log_optimality = mdp.rewards / temperature - log_z0

    def step(following, _):
        onward = logsumexp(log_optimality + following, axis=-1, b=mdp.transitions)
        log_action = jnp.where(mdp.terminal[:, None], 0.0, onward)
        log_state = logsumexp(log_prior + log_action, axis=-1)
        return jnp.where(mdp.terminal, 0.0, log_state), (log_action, following)

    last = jnp.zeros_like(mdp.initial)
    first, (log_action, onward) = jax.lax.scan(
        step, last, length=mdp.horizon, reverse=True
    )
    return Messages(log_action, jnp.concatenate([first[None], onward]))


@jax.jit
def log_evidence(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, ""]:
    """log p(O) = log Σ_s p(s_0 = s) p(O_{0:T}|s), in nats.

    Source: S1 (7), summed over trajectories.   Args: as `backward_messages`.
    """
    options = {"temperature": temperature, "log_z0": log_z0}
    _, log_state = backward_messages(mdp, log_prior, **options)
    return logsumexp(log_state[0], b=mdp.initial)


@jax.jit
def message_values(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "T S A"]:
    """The message Q: α log p(O_{t:T}|s, a), in units of reward.

    Source: S1 4.0.3, Q̂ with its logarithm (correction 7).
    Identities: for γ = 1, log z0 = 0 and deterministic dynamics it is the soft Q of
    `max_entropy_policy`, and less α log(π*/π0)(a|s) it is α log p(O_{t:T}|s), the same
    for every action; with stochastic dynamics it is nowhere below that soft Q.
    Args: as `backward_messages`.
    """
    options = {"temperature": temperature, "log_z0": log_z0}
    return temperature * backward_messages(mdp, log_prior, **options).log_action


class Posterior(NamedTuple):
    """All of p(τ|O): a chain again, with other actions, moves and start; in nats.

    Attributes:
      log_policy: log p(a_t|s_t, O).
      log_luck: log p(s_{t+1}|s_t, a_t, O) − log P(s'|s, a), and 0 where P is.
      log_start: log p(s_0|O) − log p(s_0), and 0 where p(s_0) is.
      states: p(s_t|O), a probability.
    """

    log_policy: Float[Array, "T S A"]
    log_luck: Float[Array, "T S A S"]
    log_start: Float[Array, " S"]
    states: Float[Array, "T S"]


@jax.jit
def posterior(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Posterior:
    """Everything there is to know of p(τ|O), from one pass back and one forth.

    Source: S1 (7).   Args: as `backward_messages`.
    """
    options = {"temperature": temperature, "log_z0": log_z0}
    log_action, log_state = backward_messages(mdp, log_prior, **options)
    log_policy = log_prior + log_action - log_state[:-1, :, None]
    ahead = mdp.rewards / temperature - log_z0 + log_state[1:, None, None, :]
    unchanged = mdp.terminal[:, None, None] | (mdp.transitions == 0)
    log_luck = jnp.where(unchanged, 0.0, ahead - log_action[..., None])
    log_start = log_state[0] - logsumexp(log_state[0], b=mdp.initial)
    log_start = jnp.where(mdp.initial == 0, 0.0, log_start)

    def step(now, flow):
        return jnp.where(mdp.terminal, 0.0, now @ flow), now

    moves = mdp.transitions * jnp.exp(log_luck)
    flows = jnp.einsum("tsa,tsax->tsx", jnp.exp(log_policy), moves)
    _, states = jax.lax.scan(step, mdp.initial * jnp.exp(log_start), flows)
    return Posterior(log_policy, log_luck, log_start, states)


@jax.jit
def posterior_policy(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "T S A"]:
    """log p(a_t|s_t, O) = log π0(a|s) + log p(O_{t:T}|s, a) − log p(O_{t:T}|s).

    With stochastic dynamics it is not the max-entropy policy: it counts on luck, which
    the posterior has in its transitions and the MDP has not (correction 11).

    Source: S1 2.3.   Identities: the least `forward_kl` of all policies.
    Args: as `backward_messages`.   Returns: nats; π0 in terminal states.
    """
    return posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0).log_policy


@jax.jit
def posterior_transitions(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "T S A S"]:
    """p(s_{t+1}|s_t, a_t, O) = P(s'|s, a) exp(r/α − log z0) p(O|s') / p(O|s, a).

    Source: S1 (7).   Identities: P itself when P is deterministic (correction 11).
    Args: as `backward_messages`.   Returns: probabilities; P from terminal states.
    """
    luck = posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0).log_luck
    return mdp.transitions * jnp.exp(luck)


@jax.jit
def posterior_states(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "T S"]:
    """p(s_t|O): the probability, given O, that step t is taken, and in state s.

    By the posterior's own chain: p(s_0|O), then its policy and its transitions.

    Source: S1 4.0.3, the weights of its states.
    Identities: proportional to `filtered_states` times p(O_{t:T}|s); sums over s to
    the probability that the episode is still running.
    Args: as `backward_messages`.   Returns: 0 in terminal states, as `occupancies`.
    """
    return posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0).states


@jax.jit
def filtered_states(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "T S"]:
    """p(s_t|O_{0:t−1}): as `posterior_states`, but knowing only the past.

    p(s'|O_{0:t}) ∝ Σ_{s,a} p(s|O_{0:t−1}) π0(a|s) P(s'|s, a) exp(r/α − log z0)

    where an ended episode keeps its mass, unweighted.

    Source: S1 (7).   Identities: at t = 0 it is p(s_0).
    Args: as `backward_messages`.   Returns: 0 in terminal states, as `occupancies`.
    """
    ended = mdp.terminal[:, None, None]
    stay = jnp.eye(len(mdp.initial))[:, None, :]
    moves = jnp.where(ended, stay, mdp.transitions) * jnp.exp(log_prior)[:, :, None]
    log_optimality = jnp.where(ended, 0.0, mdp.rewards / temperature - log_z0)

    def step(now, _):
        weights = now[:, None, None] * moves
        scores = jnp.where(weights > 0, log_optimality, -jnp.inf)
        masses = weights * jnp.exp(scores - logsumexp(scores, b=weights))
        return jnp.sum(masses, axis=(0, 1)), jnp.where(mdp.terminal, 0.0, now)

    return jax.lax.scan(step, mdp.initial, length=mdp.horizon)[1]


@jax.jit
def posterior_log_probs(
    trajectories: AllTrajectories,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, " N"]:
    """log p(τ|O) of every trajectory, normalised by enumeration, in nats.

    Source: S1 (7).   Args: `trajectories` must be all of them.
    """
    log_priors = log_prior[trajectories.states[:, :-1], trajectories.actions]
    steps = log_priors + trajectories.rewards / temperature - log_z0
    steps = jnp.where(trajectories.mask, steps, 0.0)
    return jax.nn.log_softmax(trajectories.log_dynamics + jnp.sum(steps, axis=1))
