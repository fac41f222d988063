"""A replay buffer: a frozen state and three functions. It compiles, and it resumes.

The rows are arrays of their final size from the start, so that a step is written in
place when the buffer is donated to a compiled function.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, Shaped

from reins.envs.actions import kept_actions
from reins.errors import ConfigError
from reins.types import Key, Trajectory


class Transitions(NamedTuple):
    """Steps without their order: what an off-policy update learns from.

    Attributes:
      observations, actions, rewards: s_t, a_t, r_t.
      terminated: the episode ended there for good; a time limit does not count.
      next_observations: s_{t+1}, as shown before any reset.
      costs: c_t, where somebody learns from it.
    """

    observations: Shaped[Array, "n ..."]
    actions: Shaped[Array, "n ..."]
    rewards: Float[Array, " n"]
    terminated: Bool[Array, " n"]
    next_observations: Shaped[Array, "n ..."]
    costs: Float[Array, " n"] | None = None


class ReplayBuffer(NamedTuple):
    """The latest steps, in a ring.

    Attributes:
      rows: as many as there is room for; only the first `size` mean anything.
      place: where the next step is written.
      size: how many steps there are.
    """

    rows: Transitions
    place: Int[Array, ""]
    size: Int[Array, ""]


def init_replay(
    capacity: int,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    costs: bool = False,
) -> ReplayBuffer:
    """An empty buffer with room for `capacity` steps, in 32 bits at most a number.

    Args: costs: whether those of steps are kept too.

    Raises: ConfigError for a capacity below 1.
    """
    if capacity < 1:
        raise ConfigError(
            f"a replay buffer for {capacity} steps was asked for; it must have room "
            "for 1 or more."
        )

    def empty(space: spaces.Space) -> Array:
        kind = jnp.int32 if isinstance(space, spaces.Discrete) else _narrow(space.dtype)
        return jnp.zeros((capacity, *(space.shape or ())), kind)

    rows = Transitions(
        observations=empty(observation_space),
        actions=empty(kept_actions(action_space)),
        rewards=jnp.zeros(capacity, jnp.float32),
        terminated=jnp.zeros(capacity, bool),
        next_observations=empty(observation_space),
        costs=jnp.zeros(capacity, jnp.float32) if costs else None,
    )
    return ReplayBuffer(rows, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add_to_replay(buffer: ReplayBuffer, batch: Trajectory) -> ReplayBuffer:
    """Write a batch over the oldest rows, step after step; masked steps are left out.

    The batch must not have more steps than the buffer has room.
    """
    capacity = buffer.rows.rewards.shape[0]
    # Time first, so that what is oldest in the ring is oldest in time.
    steps = _steps_of(batch)
    if buffer.rows.costs is None:
        steps = steps._replace(costs=None)
    steps = jax.tree.map(
        lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]), steps
    )
    mask = batch.mask.T.reshape(-1)
    # One row more, masked: of a single row XLA makes an update of a slice, and for that
    # copies the whole buffer.
    steps = jax.tree.map(lambda x: jnp.concatenate([x, x[:1]]), steps)
    mask = jnp.append(mask, False)
    number = jnp.cumsum(mask) - 1
    # What is masked is sent beyond the end, where writing does nothing.
    index = jnp.where(mask, (buffer.place + number) % capacity, capacity)
    rows = jax.tree.map(
        lambda kept, new: kept.at[index].set(new.astype(kept.dtype), mode="drop"),
        buffer.rows,
        steps,
    )
    added = jnp.sum(mask, dtype=jnp.int32)
    return ReplayBuffer(
        rows,
        (buffer.place + added) % capacity,
        jnp.minimum(buffer.size + added, capacity),
    )


def sample_replay(buffer: ReplayBuffer, key: Key, n: int) -> Transitions:
    """n steps, each of those kept equally likely each time; at least one must be."""
    index = jax.random.randint(key, (n,), 0, jnp.maximum(buffer.size, 1))
    return jax.tree.map(lambda x: x[index], buffer.rows)


def replay_bytes(
    capacity: int,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    costs: bool = False,
) -> int:
    """The memory that a buffer takes."""
    shapes: Any = jax.eval_shape(
        lambda: init_replay(capacity, observation_space, action_space, costs=costs)
    )
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def _steps_of(batch: Trajectory) -> Transitions:
    return Transitions(
        batch.observations,
        batch.actions,
        batch.rewards,
        batch.terminated,
        batch.next_observations,
        batch.costs,
    )


def _narrow(dtype: Any) -> Any:
    """The type that JAX keeps such numbers in: 32 bits where there were 64."""
    return jax.dtypes.canonicalize_dtype(dtype)
