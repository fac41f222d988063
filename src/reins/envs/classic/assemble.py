"""What the classic environments share: a box to start in, and how a step is told."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, UInt8

from reins.envs.env import Env, Step
from reins.types import Key

Vector = Float[Array, " n"]
Picture = UInt8[np.ndarray, "H W 3"]

GRAVITY = 9.8
"""m/s², but 10 for the pendulum, whose parameters are round numbers."""


class Moved(NamedTuple):
    """Where an action led to, and what it paid."""

    state: Vector
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]


def classic_env(
    name: str,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    horizon: int,
    start: tuple[Sequence[float], Sequence[float]],
    move: Callable[[Vector, Array], Moved],
    picture: Callable[[list[float]], Picture],
    observe: Callable[[Vector], Vector] | None = None,
) -> Env:
    """An environment whose one random thing is where in a box it starts."""
    whole = observe is None  # the state itself is what is seen
    observe = observe or (lambda state: state)
    low, high = (np.asarray(end, np.float32) for end in start)

    def reset(key: Key) -> tuple[Vector, Array]:
        state = jax.random.uniform(key, low.shape, jnp.float32, low, high)
        return state, observe(state)

    def step(state: Vector, action: Array, key: Key) -> tuple[Vector, Step]:
        del key
        following, reward, terminated = move(state, action)
        return following, Step(
            observation=observe(following),
            reward=reward.astype(jnp.float32),
            cost=jnp.zeros((), jnp.float32),
            terminated=terminated,
            truncated=jnp.asarray(False),
        )

    return Env(
        name=name,
        observation_space=observation_space,
        action_space=action_space,
        horizon=horizon,
        reset=reset,
        step=step,
        picture=lambda state, before: picture(np.asarray(state).tolist()),
        costs=False,
        state_of=observe if whole else None,
    )


def runge_kutta(
    flow: Callable[[Vector], Vector], state: Vector, seconds: float
) -> Vector:
    """One step of the classical method of order four."""
    k1 = flow(state)
    k2 = flow(state + 0.5 * seconds * k1)
    k3 = flow(state + 0.5 * seconds * k2)
    k4 = flow(state + seconds * k3)
    return state + seconds / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def wrapped(angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The same angle in [−π, π)."""
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
