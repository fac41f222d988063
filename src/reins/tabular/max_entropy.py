"""Maximum-entropy models of trajectories under hard rules: a pass back, a pass forth.

    p(τ) ∝ p(s_0) Π_t P(s_{t+1}|s_t, a_t) · exp(r(τ)/α) · Π_t ζ(s_t, a_t) · Π_t v(s_t)

with r(τ) = Σ_t r_t, not discounted, and ζ(s, a) ≥ 0, v(s) in {0, 1}: as `constraints`,
but ζ may be 0, states may be forbidden, and episodes may have to end in a terminal
state. All messages are logarithms, and what is impossible has a mass of exactly 0. With
stochastic dynamics the model changes the dynamics too (optimism, correction 11).
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from reins.tabular.mdp import TabularMDP
from reins.tabular.sampling import pick
from reins.types import Key


class TrajectoryModel(eqx.Module):
    """A distribution over trajectories by its factors; made by `trajectory_model`.

    Attributes:
      log_start: of the first state; −inf where an episode cannot start.
      log_steps: of (s, a, s'): log P + r/α + log ζ; −inf where there is no such step.
      log_end: of the state after the last step: 0, or −inf where none may end.
      terminal: states that end an episode on arrival.
      horizon: T, steps.
    """

    log_start: Float[Array, " S"]
    log_steps: Float[Array, "S A S"]
    log_end: Float[Array, " S"]
    terminal: Bool[Array, " S"]
    horizon: int = eqx.field(static=True)


def trajectory_model(
    mdp: TabularMDP,
    log_zeta: Float[Array, "S A"] | None = None,
    *,
    allowed: Bool[Array, " S"] | None = None,
    arrive: bool = False,
    temperature: ScalarLike = 1.0,
) -> TrajectoryModel:
    """S2's model of an MDP, with rules that forbid.

    Args:
      log_zeta: log ζ(s, a) in nats; −inf forbids; none is 0.
      allowed: v, where an episode may be, the last state included; none is everywhere.
      arrive: whether an episode must end in a terminal state within the horizon.
      temperature: α > 0, units of reward per nat.
    """
    log_allowed = jnp.zeros_like(mdp.initial)
    if allowed is not None:
        log_allowed = jnp.where(allowed, 0.0, -jnp.inf)
    log_steps = jnp.log(mdp.transitions) + mdp.rewards / temperature
    log_steps = log_steps + log_allowed + log_allowed[:, None, None]
    if log_zeta is not None:
        log_steps = log_steps + log_zeta[:, :, None]
    must = jnp.asarray(arrive) & ~mdp.terminal
    return TrajectoryModel(
        log_start=jnp.log(mdp.initial) + log_allowed,
        log_steps=log_steps,
        log_end=jnp.where(must, -jnp.inf, log_allowed),
        terminal=mdp.terminal,
        horizon=mdp.horizon,
    )


@jax.jit
def model_messages(model: TrajectoryModel) -> Float[Array, "T_plus_1 S"]:
    """The log of the weight of all that can follow a state, at every step.

    m_t(s) = log Σ_{a,s'} exp(log_steps(s, a, s') + m_{t+1}(s')),   m_T = log_end

    and m_t(terminal) = log_end(terminal).

    Source: Ziebart et al. 2008, Algorithm 1, one table a step; S2 (1).
    Returns: nats; −inf where nothing that is allowed can follow.
    """

    def step(following, _):
        onward = logsumexp(model.log_steps + following, axis=(1, 2))
        return jnp.where(model.terminal, model.log_end, onward), following

    first, later = jax.lax.scan(step, model.log_end, length=model.horizon, reverse=True)
    return jnp.concatenate([first[None], later])


@jax.jit
def model_log_partition(model: TrajectoryModel) -> Float[Array, ""]:
    """log Z, the log of the weight of all trajectories; −inf when none is allowed.

    Source: S2 (1), (5).   Identities: `log_partition` where nothing is forbidden.
    """
    return logsumexp(model.log_start + model_messages(model)[0])


class Passes(NamedTuple):
    """All of a `TrajectoryModel`: a chain with policies, moves and start of its own.

    Attributes:
      log_partition: log Z, nats.
      policies: π_t(a|s); 0 in states where nothing that is allowed can follow.
      states: p(s_t), an ended episode staying where it ended.
      visits: E[number of visits to (s, a) in an episode].
    """

    log_partition: Float[Array, ""]
    policies: Float[Array, "T S A"]
    states: Float[Array, "T_plus_1 S"]
    visits: Float[Array, "S A"]


@jax.jit
def model_passes(model: TrajectoryModel) -> Passes:
    """Policies of every step, and how often each state and pair is visited.

    π_t(a|s) = Σ_s' exp(log_steps(s, a, s') + m_{t+1}(s') − m_t(s))

    Source: Ziebart et al. 2008, Algorithm 1, with exact dynamics; S2 (6).
    Identities: `visits` is ∂ log Z / ∂ log ζ, as `expected_visits`, and sums to the
    mean length of an episode.
    """
    messages = model_messages(model)

    def step(mass, ahead):
        moves = moves_of(model, *ahead)
        policy = jnp.sum(moves, axis=2)
        moved = jnp.einsum("s,sax->x", mass, moves)
        taken = jnp.where(model.terminal, 0.0, mass)[:, None] * policy
        return moved + jnp.where(model.terminal, mass, 0.0), (policy, mass, taken)

    last, (policies, states, taken) = jax.lax.scan(
        step, start_masses(model, messages), (messages[:-1], messages[1:])
    )
    return Passes(
        log_partition=logsumexp(model.log_start + messages[0]),
        policies=policies,
        states=jnp.concatenate([states, last[None]]),
        visits=jnp.sum(taken, axis=0),
    )


def differentiable_log_partition(
    mdp: TabularMDP,
    log_zeta: Float[Array, "S A"],
    *,
    allowed: Bool[Array, " S"] | None = None,
    arrive: bool = False,
    temperature: ScalarLike = 1.0,
) -> Float[Array, ""]:
    """log Z as a function of finite log ζ, whose gradient are the expected visits.

    Autodiff through the messages would meet −inf − (−inf); once only, not twice.

    Source: S2 (6), second term.   Args: as `trajectory_model`.
    """
    fixed = jax.lax.stop_gradient(log_zeta)
    rules = {"allowed": allowed, "arrive": arrive, "temperature": temperature}
    found = jax.lax.stop_gradient(model_passes(trajectory_model(mdp, fixed, **rules)))
    return found.log_partition + jnp.sum(found.visits * (log_zeta - fixed))


def start_masses(
    model: TrajectoryModel, messages: Float[Array, "T_plus_1 S"]
) -> Float[Array, " S"]:
    """p(s_0) under the model; 0 everywhere when no trajectory is allowed."""
    scores = model.log_start + messages[0]
    total = logsumexp(scores)
    return jnp.where(jnp.isfinite(scores), jnp.exp(scores - total), 0.0)


def moves_of(
    model: TrajectoryModel,
    now: Float[Array, " S"],
    following: Float[Array, " S"],
) -> Float[Array, "S A S"]:
    """p(a_t, s_{t+1}|s_t) from the messages of two steps; 0 where there is none."""
    scores = model.log_steps + following - now[:, None, None]
    goes_on = jnp.isfinite(now) & ~model.terminal
    return jnp.where(goes_on[:, None, None], jnp.exp(scores), 0.0)


class Walks(NamedTuple):
    """N sampled trajectories; after the end the state stays and the action is 0."""

    states: Int[Array, "N T_plus_1"]
    actions: Int[Array, "N T"]
    mask: Bool[Array, "N T"]


@partial(jax.jit, static_argnames="n")
def sample_walks(model: TrajectoryModel, key: Key, n: int) -> Walks:
    """N independent trajectories of the model; it must allow at least one."""
    messages = model_messages(model)
    first, later = jax.random.split(key)
    start = jnp.cumsum(start_masses(model, messages))
    start = pick(start, jax.random.uniform(first, (n,)))

    def step(states, ahead):
        *around, numbers = ahead
        moves = moves_of(model, *around)
        taken = pick(jnp.cumsum(jnp.sum(moves, axis=2), axis=1)[states], numbers[0])
        arrived = pick(jnp.cumsum(moves, axis=2)[states, taken], numbers[1])
        ended = model.terminal[states]
        taken = jnp.where(ended, 0, taken)
        return jnp.where(ended, states, arrived), (states, taken)

    numbers = jax.random.uniform(later, (model.horizon, 2, n))
    last, (states, taken) = jax.lax.scan(
        step, start, (messages[:-1], messages[1:], numbers)
    )
    states = jnp.concatenate([states, last[None]]).T
    return Walks(states, taken.T, ~model.terminal[states[:, :-1]])
