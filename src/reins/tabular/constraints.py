"""What is true of a constraint: S2's model of trajectories, exactly.

    p(τ) ∝ p(s_0) Π_t P(s_{t+1}|s_t, a_t) · exp(r(τ)/α) · Π_t ζ(s_t, a_t)

with r(τ) = Σ_t r_t, not discounted. Constraints are tables of log ζ(s, a) ≤ 0,
finite, and everything is differentiable in them. With stochastic dynamics the model
changes the dynamics too (optimism, correction 11).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, ScalarLike

from reins.tabular.mdp import AllTrajectories, TabularMDP

LogZeta = Float[Array, "S A"]


@jax.jit
def log_partition(
    mdp: TabularMDP, log_zeta: LogZeta, *, temperature: ScalarLike = 1.0
) -> Float[Array, ""]:
    """log Z = log Σ_τ p(s_0) Π P · exp(r(τ)/α) Π ζ, by backward messages in logs.

    m_t(s) = log Σ_a ζ(s, a) Σ_s' P(s'|s, a) exp(r(s, a, s')/α + m_{t+1}(s')),   m_T = 0

    and m(terminal) = 0.

    Source: S2 (1), (5).   Identities: its gradient is `expected_visits`.
    Args: `temperature` α > 0, units of reward per nat.
    Returns: nats.
    """

    def step(following, _):
        onward = mdp.rewards / temperature + following
        per_action = log_zeta + logsumexp(onward, axis=-1, b=mdp.transitions)
        message = jnp.where(mdp.terminal, 0.0, logsumexp(per_action, axis=-1))
        return message, None

    start = jnp.zeros_like(mdp.initial)
    first, _ = jax.lax.scan(step, start, length=mdp.horizon, reverse=True)
    return logsumexp(first, b=mdp.initial)


@jax.jit
def expected_visits(
    mdp: TabularMDP, log_zeta: LogZeta, *, temperature: ScalarLike = 1.0
) -> Float[Array, "S A"]:
    """E[number of visits to (s, a) in an episode] under the model: ∂ log Z / ∂ log ζ.

    Source: S2 (6), second term.
    Identities: sums to the mean length of an episode, in steps.
    """
    return jax.grad(log_partition, argnums=1)(mdp, log_zeta, temperature=temperature)


@jax.jit
def log_likelihood(
    mdp: TabularMDP,
    log_zeta: LogZeta,
    demonstrations: AllTrajectories,
    *,
    temperature: ScalarLike = 1.0,
) -> Float[Array, ""]:
    """Mean over demonstrations of log p(τ), in nats per trajectory.

    Source: S2 (4), (5), with the dynamics' own probability.
    """
    scores = _log_scores(demonstrations, log_zeta, temperature)
    return jnp.mean(scores) - log_partition(mdp, log_zeta, temperature=temperature)


@jax.jit
def log_likelihood_gradient(
    mdp: TabularMDP,
    log_zeta: LogZeta,
    demonstrations: AllTrajectories,
    *,
    temperature: ScalarLike = 1.0,
) -> Float[Array, "S A"]:
    """Mean visits of the demonstrations less `expected_visits`: the gradient in log ζ.

    Source: S2 (6).   Args: as `log_likelihood`.
    Identities: equals its derivative; 0 at the maximum-likelihood constraint.
    """
    states, actions = log_zeta.shape
    counts = visit_counts(demonstrations, states=states, actions=actions)
    expected = expected_visits(mdp, log_zeta, temperature=temperature)
    return jnp.mean(counts, axis=0) - expected


@partial(jax.jit, static_argnames=("states", "actions"))
def visit_counts(
    trajectories: AllTrajectories, *, states: int, actions: int
) -> Float[Array, "N S A"]:
    """How often each trajectory visits each (s, a), over valid steps."""
    in_state = jax.nn.one_hot(trajectories.states[:, :-1], states)
    taken = jax.nn.one_hot(trajectories.actions, actions)
    valid = trajectories.mask.astype(taken.dtype)
    return jnp.einsum("nts,nta,nt->nsa", in_state, taken, valid)


@jax.jit
def model_log_probs(
    trajectories: AllTrajectories, log_zeta: LogZeta, *, temperature: ScalarLike = 1.0
) -> Float[Array, " N"]:
    """log p(τ) of every trajectory, normalised by enumeration, in nats.

    Source: S2 (1).   Args: `trajectories` must be all of them.
    """
    return jax.nn.log_softmax(_log_scores(trajectories, log_zeta, temperature))


@jax.jit
def kl_old_new(
    mdp: TabularMDP, old: LogZeta, new: LogZeta, *, temperature: ScalarLike = 1.0
) -> Float[Array, ""]:
    """KL(p_old ‖ p_new) over trajectories, without enumerating them.

    Σ_{s,a} E_old[visits] (log ζ_old − log ζ_new) + log Z_new − log Z_old

    Source: S2 (12), what it bounds.   Identities: ≥ 0, and 0 at old = new.
    Args: tables of log ζ. Returns: nats.
    """
    visits = expected_visits(mdp, old, temperature=temperature)
    log_z_new = log_partition(mdp, new, temperature=temperature)
    log_z_old = log_partition(mdp, old, temperature=temperature)
    return jnp.sum(visits * (old - new)) + log_z_new - log_z_old


@jax.jit
def kl_new_old(
    mdp: TabularMDP, old: LogZeta, new: LogZeta, *, temperature: ScalarLike = 1.0
) -> Float[Array, ""]:
    """KL(p_new ‖ p_old) over trajectories: `kl_old_new` with the two exchanged."""
    return kl_old_new(mdp, new, old, temperature=temperature)


def _log_scores(
    trajectories: AllTrajectories, log_zeta: LogZeta, temperature: ScalarLike
) -> Float[Array, " N"]:
    """The logarithm of p(τ) up to log Z."""
    steps = log_zeta[trajectories.states[:, :-1], trajectories.actions]
    steps = jnp.where(
        trajectories.mask, steps + trajectories.rewards / temperature, 0.0
    )
    return trajectories.log_dynamics + jnp.sum(steps, axis=1)
