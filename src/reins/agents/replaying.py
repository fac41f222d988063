"""What agents that learn from a replay buffer share: their loop, and twin critics."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.agents.agent import descend
from reins.agents.values import q_of
from reins.critics import value_loss
from reins.data.replay import Transitions, add_to_replay
from reins.errors import ConfigError
from reins.types import Info, Key, Trajectory

Once = Callable[[Any, Key], tuple[Any, Info]]
"""One update from what is remembered: (state, key) -> (state, info)."""


def updates_from_replay(
    once: Once, *, updates_per_step: int, learning_starts: int, buffer_size: int
) -> Callable[[Any, Trajectory, Key], tuple[Any, Info]]:
    """Remember a batch, then make an update `updates_per_step` times for each step.

    Until `learning_starts` steps are remembered nothing is learned, and the info is 0.

    Args: once: of a state that has its buffer in `.replay`.
    Returns: an agent's `update`; its info is the mean over the updates, and
      `replay_size`.
    """

    def update(state: Any, batch: Trajectory, key: Key) -> tuple[Any, Info]:
        n = batch.rewards.size * updates_per_step
        replay = add_to_replay(state.replay, batch)
        # What is remembered is read by the updates, and not carried along by them.
        learner = state._replace(replay=None)

        def learn(learner: Any, keys: Array) -> tuple[Any, Info]:
            def step(state: Any, key: Key) -> tuple[Any, Info]:
                state, info = once(state._replace(replay=replay), key)
                return state._replace(replay=None), info

            learner, infos = jax.lax.scan(step, learner, keys)
            return learner, jax.tree.map(jnp.mean, infos)

        def wait(learner: Any, keys: Array) -> tuple[Any, Info]:
            shapes = jax.eval_shape(learn, learner, keys)[1]
            return learner, jax.tree.map(lambda x: jnp.zeros((), x.dtype), shapes)

        enough = replay.size >= min(learning_starts, buffer_size)
        learner, info = jax.lax.cond(
            enough, learn, wait, learner, jax.random.split(key, n)
        )
        info |= {"replay_size": replay.size.astype(jnp.float32)}
        return learner._replace(replay=replay), info

    return update


PRICED_AT_ONCE = 65_536
"""Remembered steps that are priced at once, so that it takes no room to speak of."""


def repriced(state: Any, cost: Callable[[Array, Array], Array]) -> Any:
    """An agent's state with all that it remembers priced by another cost.

    Where the cost itself is learned, what was remembered under an older one would teach
    what nobody asks for any more.

    Args:
      state: as it is, where it remembers no costs.
      cost: (observations, actions) -> cost of each pair.
    """
    replay = getattr(state, "replay", None)
    if replay is None or replay.rows.costs is None:
        return state
    pairs = (replay.rows.observations, replay.rows.actions)
    costs = jax.lax.map(lambda pair: cost(*pair), pairs, batch_size=PRICED_AT_ONCE)
    rows = replay.rows._replace(costs=costs.astype(replay.rows.costs.dtype))
    return state._replace(replay=replay._replace(rows=rows))


def fit_twins(
    optimizer: optax.GradientTransformation,
    critics: tuple[Any, ...],
    moments: optax.OptState,
    steps: Transitions,
    targets: Float[Array, " N"],
    *,
    discrete: bool,
) -> tuple[Any, optax.OptState, Info]:
    """One step of all critics towards the same targets; their new moments."""

    def loss(critics: Any) -> tuple[Array, Array]:
        found = [
            q_of(c, steps.observations, steps.actions[None], discrete)[0]
            for c in critics
        ]
        valid = jnp.ones_like(targets, bool)
        fits = [value_loss(q, targets, valid) for q in found]
        return sum(fits[1:], fits[0]), jnp.mean(found[0])

    gradient, (fit, mean) = gradient_of(loss, critics)
    critics, moments = descend(optimizer, critics, gradient, moments)
    return critics, moments, {"critic_loss": fit, "q": mean}


def follow(old: Any, new: Any, polyak: float) -> Any:
    """Averages a little nearer to what they follow: old + polyak (new − old)."""
    return jax.tree.map(lambda old, new: old + polyak * (new - old), old, new)


def gradient_of(loss: Callable[[Any], tuple[Array, Any]], at: Any) -> tuple[Any, Any]:
    """Gradient, and the loss with what it says beside."""
    found, gradient = jax.value_and_grad(loss, has_aux=True)(at)
    return gradient, found


def check_counts(agent: str, counts: Mapping[str, int]) -> None:
    """Raises: ConfigError for a count below 1, and for more states than a minibatch."""
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"`{agent}` needs {name} of at least 1; found {value}.")
    states, batch = counts.get("state_samples", 1), counts["batch_size"]
    if states > batch:
        raise ConfigError(
            f"`{agent}` was asked to update its policy at {states} states of "
            f"minibatches of {batch}; there are no more. Use a larger batch_size."
        )
