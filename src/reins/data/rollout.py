"""Rollouts of compiled environments: many at once, reset on the way."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from reins.envs.env import Env, EnvState
from reins.types import Key, Pairs, Trajectory

Act = Callable[[Array, Key], Array]
"""(observations, key) -> actions, for all parallel environments at once."""


class RolloutState(NamedTuple):
    """Where every parallel environment stands; survives a crash."""

    env_state: EnvState
    observations: Shaped[Array, "N ..."]
    times: Int[Array, " N"]


def start_rollout(env: Env, key: Key, environments: int) -> RolloutState:
    """Reset `environments` copies of an environment."""
    env_state, observations = jax.vmap(env.reset)(jax.random.split(key, environments))
    return RolloutState(env_state, observations, jnp.zeros(environments, jnp.int32))


def rollout(
    env: Env, act: Act, state: RolloutState, key: Key, *, steps: int
) -> tuple[RolloutState, Trajectory]:
    """Act for `steps` steps in every environment, resetting those whose episode ends.

    `next_observations` are recorded before the reset; the observation after it is
    only ever the first of the next episode. Reaching the horizon truncates.

    Returns: the state to go on from, and N rows of T steps.
    """
    reset = jax.vmap(env.reset)
    step = jax.vmap(env.step)
    n = state.times.shape[0]

    def one(state: RolloutState, key: Key):
        act_key, step_key, reset_key = jax.random.split(key, 3)
        actions = act(state.observations, act_key)
        moved, result = step(state.env_state, actions, jax.random.split(step_key, n))
        out_of_time = state.times + 1 >= env.horizon
        truncated = (result.truncated | out_of_time) & ~result.terminated
        ends = result.terminated | truncated
        fresh, first = reset(jax.random.split(reset_key, n))
        following = RolloutState(
            jax.tree.map(lambda new, old: _where(ends, new, old), fresh, moved),
            _where(ends, first, result.observation),
            jnp.where(ends, 0, state.times + 1),
        )
        seen = Trajectory(
            observations=state.observations,
            actions=actions,
            rewards=result.reward,
            costs=result.cost,
            terminated=result.terminated,
            truncated=truncated,
            next_observations=result.observation,
            mask=jnp.ones(n, bool),
            times=state.times,
        )
        return following, seen

    state, trajectory = jax.lax.scan(one, state, jax.random.split(key, steps))
    return state, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), trajectory)


def _where(condition: Bool[Array, " N"], new: Array, old: Array) -> Array:
    return jnp.where(condition.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)


class Totals(NamedTuple):
    """What whole episodes came to, one number each."""

    returns: Float[Array, " N"]
    costs: Float[Array, " N"]
    lengths: Int[Array, " N"]

    @property
    def violation_rate(self) -> Float[Array, ""]:
        """Mean cost per step, over all steps of all episodes."""
        return jnp.sum(self.costs) / jnp.sum(self.lengths)


class Episodes(NamedTuple):
    """One whole episode per row, and its totals."""

    trajectory: Trajectory
    returns: Float[Array, " N"]
    costs: Float[Array, " N"]
    lengths: Int[Array, " N"]

    @property
    def totals(self) -> Totals:
        """All but the steps."""
        return Totals(self.returns, self.costs, self.lengths)


def run_episodes(env: Env, act: Act, key: Key, episodes: int) -> Episodes:
    """One episode in each of `episodes` parallel environments, from reset to end."""
    start_key, run_key = jax.random.split(key)
    start = start_rollout(env, start_key, episodes)
    _, trajectory = rollout(env, act, start, run_key, steps=env.horizon)
    before = jnp.cumsum(trajectory.ends, axis=1) - trajectory.ends
    mask = before == 0
    return Episodes(
        trajectory._replace(mask=mask),
        returns=jnp.sum(jnp.where(mask, trajectory.rewards, 0.0), axis=1),
        costs=jnp.sum(jnp.where(mask, trajectory.costs, 0.0), axis=1),
        lengths=jnp.sum(mask, axis=1),
    )


def split_episodes(
    trajectory: Trajectory, *, horizon: int
) -> tuple[Int[Array, "M H"], Bool[Array, "M H"]]:
    """Where the steps of each episode of a rollout are: M episodes cut to H steps.

    Only episodes that the rollout saw from their first step until their end, or until
    `horizon` steps of them, are kept; a stretch cut off by the rollout's edge is not an
    episode. Room is made for as many as fit when each lasts `horizon` steps; when
    episodes are shorter, the later ones are left out.

    Args:
      trajectory: N rows of T steps; T must be at least `horizon`.
      horizon: H, steps.
    Returns: indices into the N·T flattened steps, and which of them are real. An
      episode that is not there has an empty mask.
    """
    n, t = trajectory.rewards.shape
    room = t // horizon
    ends = trajectory.ends & trajectory.mask
    number = jnp.cumsum(trajectory.times == 0, axis=1) - 1  # −1: began before the row
    columns = jnp.arange(t)
    # First step of each episode and the number of its steps in this row.
    which = jnp.arange(room)
    mine = number[:, None, :] == which[None, :, None]
    first = jnp.argmax(mine, axis=2)
    length = jnp.sum(mine & trajectory.mask[:, None, :], axis=2)
    ended = jnp.any(mine & ends[:, None, :], axis=2)
    whole = (ended | (length >= horizon)) & (length > 0)
    steps = jnp.arange(horizon)
    mask = whole[..., None] & (steps < jnp.minimum(length, horizon)[..., None])
    time = jnp.clip(first[..., None] + steps, 0, columns[-1])
    index = jnp.arange(n)[:, None, None] * t + time
    return index.reshape(n * room, horizon), mask.reshape(n * room, horizon)


def whole_episodes(trajectory: Trajectory, *, horizon: int) -> Pairs:
    """The pairs of a rollout's whole episodes, one to a row, cut to the horizon.

    Args and room: as `split_episodes`.
    """
    index, mask = split_episodes(trajectory, horizon=horizon)

    def pick(values: Array) -> Array:
        return values.reshape(-1, *values.shape[2:])[index]

    returns = jnp.sum(pick(trajectory.rewards), axis=1, where=mask)
    return Pairs(pick(trajectory.observations), pick(trajectory.actions), mask, returns)
