"""V(s) fitted to many episodes of one policy: what a critic without lag would say."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.credit import returns_to_go
from reins.critics import ValueCritic, value_critic, value_loss
from reins.types import Key, Trajectory

STEPS, MINIBATCH, LEARNING_RATE = 1000, 512, 3e-3


class FittedValues(NamedTuple):
    """A critic in units of deviations: of what it sees, and of what it says."""

    critic: ValueCritic
    seen: tuple[Float[Array, " F"], Float[Array, " F"]]
    said: tuple[Float[Array, ""], Float[Array, ""]]

    def __call__(self, features: Float[Array, "*n F"]) -> Float[Array, "*n"]:
        (centre, scale), (mean, deviation) = self.seen, self.said
        return mean + deviation * self.critic((features - centre) / scale)


def features_of(episodes: Trajectory, *, clock: bool) -> Float[Array, "N T F"]:
    """Observations, with the step of the episode beside them if asked for."""
    times = episodes.times[..., None].astype(jnp.float32)
    parts = [episodes.observations, times] if clock else [episodes.observations]
    return jnp.concatenate(parts, axis=-1)


def fit_values(
    episodes: Trajectory,
    key: Key,
    *,
    clock: bool,
    hidden: tuple[int, ...],
    discount: float,
) -> FittedValues:
    """Regression of G_t on what is seen at step t, by Adam on minibatches.

    Source: S3, fitting V.

    Args: whole episodes, one to a row; `clock` tells whether the step is seen too.
    """
    returns = returns_to_go(episodes.rewards, episodes.mask, discount=discount)
    features = features_of(episodes, clock=clock)
    mask = episodes.mask.reshape(-1)
    xs, ys = features.reshape(len(mask), -1), returns.reshape(-1)
    seen = _moments(xs, mask[:, None])
    said = _moments(ys, mask)
    # Valid steps come first, so that a number below their count picks one.
    order, count = jnp.argsort(~mask, stable=True), jnp.sum(mask)
    start_key, run_key = jax.random.split(key)
    critic = value_critic(xs.shape[1], hidden=hidden)(start_key)
    rate = optax.cosine_decay_schedule(LEARNING_RATE, STEPS)
    optimizer = optax.adam(rate)

    def one(carry, key: Key):
        critic, state = carry
        rows = order[jax.random.randint(key, (MINIBATCH,), 0, count)]
        inputs = (xs[rows] - seen[0]) / seen[1]
        targets = (ys[rows] - said[0]) / said[1]

        def loss(critic: ValueCritic) -> Float[Array, ""]:
            return value_loss(critic(inputs), targets, jnp.ones(MINIBATCH, bool))

        updates, state = optimizer.update(jax.grad(loss)(critic), state)  # pyright: ignore
        return (optax.apply_updates(critic, updates), state), None

    start: Any = critic, optimizer.init(critic)  # pyright: ignore[reportArgumentType]
    end: Any = jax.lax.scan(one, start, jax.random.split(run_key, STEPS))[0]
    return FittedValues(end[0], seen, said)


def _moments(x: Array, mask: Array) -> tuple[Array, Array]:
    """Mean and deviation over valid steps; a deviation of 0 becomes 1."""
    mean = jnp.mean(x, axis=0, where=mask)
    deviation = jnp.std(x, axis=0, where=mask)
    return mean, jnp.where(deviation > 1e-6, deviation, 1.0)
