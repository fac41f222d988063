"""Soft values: rewards, less what it costs to leave the prior policy.

Policies are tables of logits, as in `values`. The prior π0 is a table of normalised
log-probabilities, finite; a uniform one is −log A, not 0. The temperature α is in units
of reward per nat. Expectations are under the MDP's own dynamics.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, ScalarLike

from reins.divergences import categorical_kl
from reins.tabular.mdp import TabularMDP
from reins.tabular.values import Logits, per_step

LogPrior = Float[Array, "S A"]


@jax.jit
def soft_action_values(
    mdp: TabularMDP, logits: Logits, log_prior: LogPrior, *, temperature: ScalarLike
) -> Float[Array, "T S A"]:
    """Q_t(s, a) = E_s'[r(s, a, s') + γ V_{t+1}(s')], without its own log-ratio.

    V_t(s) = Σ_a π(a|s) (Q_t(s, a) − α log(π/π0)(a|s)),   V_T = 0,   V(terminal) = 0

    Source: S1 (4) corrected (correction 9): the entropy belongs to the next state.
    Identities: as α → 0 the classic `action_values`, and at π = π0 for every α.
    Args: `temperature` α ≥ 0, units of reward per nat.
    Returns: units of reward.
    """
    log_policies = per_step(mdp, jax.nn.log_softmax(logits))
    penalties = temperature * categorical_kl(log_policies, per_step(mdp, log_prior))

    def step(following, now):
        log_policy, penalty = now
        q = _onward(mdp, following)
        values = jnp.sum(jnp.exp(log_policy) * q, axis=-1) - penalty
        return jnp.where(mdp.terminal, 0.0, values), q

    start = jnp.zeros_like(mdp.initial)
    return jax.lax.scan(step, start, (log_policies, penalties), reverse=True)[1]


@jax.jit
def soft_state_values(
    mdp: TabularMDP, logits: Logits, log_prior: LogPrior, *, temperature: ScalarLike
) -> Float[Array, "T_plus_1 S"]:
    """V_t(s) = Σ_a π(a|s) (Q_t(s, a) − α log(π/π0)(a|s)), and V_T = 0.

    Source: S1 (5), its mean over actions.   Args: as `soft_action_values`.
    Returns: units of reward; 0 in terminal states.
    """
    q = soft_action_values(mdp, logits, log_prior, temperature=temperature)
    log_policies = per_step(mdp, jax.nn.log_softmax(logits))
    penalties = temperature * categorical_kl(log_policies, per_step(mdp, log_prior))
    values = jnp.sum(jnp.exp(log_policies) * q, axis=-1) - penalties
    values = jnp.where(mdp.terminal, 0.0, values)
    return jnp.concatenate([values, jnp.zeros_like(values[:1])])


@jax.jit
def soft_return(
    mdp: TabularMDP, logits: Logits, log_prior: LogPrior, *, temperature: ScalarLike
) -> Float[Array, ""]:
    """E[Σ_t γ^t (r_t − α log(π/π0)(a_t|s_t))] = Σ_s p(s_0 = s) V_0(s).

    Source: S1 3.0.1, the objective with the sign of its log-ratio corrected
    (correction 7).   Args: as `soft_action_values`.
    Identities: J at π = π0; greatest at `max_entropy_policy`.
    Returns: units of reward.
    """
    values = soft_state_values(mdp, logits, log_prior, temperature=temperature)
    return jnp.sum(mdp.initial * values[0])


@jax.jit
def max_entropy_policy(
    mdp: TabularMDP, log_prior: LogPrior, *, temperature: ScalarLike = 1.0
) -> Float[Array, "T S A"]:
    """log π*_t(a|s), the policy of greatest soft return under the MDP's dynamics.

    π* = π0 exp((Q_t − V_t)/α),   V_t(s) = α log Σ_a π0(a|s) exp(Q_t(s, a)/α)

    with Q_t(s, a) = E_s'[r(s, a, s') + γ V_{t+1}(s')]: a mean, where the messages of
    inference have a log-mean-exp (correction 11).

    Source: S1 2.2, the "softmax-optimal" policy.
    Identities: `boltzmann_policy` of its own soft action values; the gradient of
    `soft_return` is 0 there; π0 in terminal states.
    Args: `temperature` α > 0, units of reward per nat.
    Returns: nats.
    """

    def step(following, _):
        scores = log_prior + _onward(mdp, following) / temperature
        log_total = logsumexp(scores, axis=-1)
        values = jnp.where(mdp.terminal, 0.0, temperature * log_total)
        return values, scores - log_total[:, None]

    start = jnp.zeros_like(mdp.initial)
    return jax.lax.scan(step, start, length=mdp.horizon, reverse=True)[1]


@jax.jit
def boltzmann_policy(
    q_values: Float[Array, "*T S A"],
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
) -> Float[Array, "*T S A"]:
    """log of π0(a|s) exp(Q(s, a)/α) / Z(s): one step of improvement over the prior.

    Source: S1 4.0.3, what its policy loss fits with soft or classic Q.
    Identities: a constant added to every Q of a state changes nothing.
    Args: `q_values` in units of reward; `temperature` α > 0, units of reward per nat.
    Returns: nats.
    """
    return jax.nn.log_softmax(log_prior + q_values / temperature)


def _onward(mdp: TabularMDP, following: Float[Array, " S"]) -> Float[Array, "S A"]:
    """E_s'[r(s, a, s') + γ V(s')], and 0 in terminal states."""
    onward = mdp.rewards + mdp.discount * following
    q = jnp.sum(mdp.transitions * onward, axis=-1)
    return jnp.where(mdp.terminal[:, None], 0.0, q)
