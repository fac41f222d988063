"""A car too weak for its hill, pushed or throttled."""

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool

from reins.envs.classic.assemble import Moved, Vector, classic_env
from reins.envs.classic_picture import mountain_car_picture
from reins.envs.env import Env

VALLEY, CAR_SPEED = (-1.2, 0.6), 0.07
SLOPE = 0.0025


def mountain_car() -> Env:
    """Rock a car out of a valley that it is too weak to climb: −1 for every step.

    State (x, v); the valley's height is sin 3x. With the action a = 0, 1, 2,

    v ← v + 0.001 (a − 1) − 0.0025 cos 3x,   x ← x + v

    v clipped to ±0.07 and x to [−1.2, 0.6], whose left end is a wall that stops the
    car. It ends, and still pays −1, at x ≥ 0.5 with v ≥ 0.

    Source: Moore, 1990.
    """
    goal = 0.5

    def move(state: Vector, action: Array) -> Moved:
        following, there = _roll(state, 0.001 * (action - 1), goal)
        return Moved(following, -jnp.ones(()), there)

    return classic_env(
        "reins/MountainCar-v0",
        observation_space=_seen(),
        action_space=spaces.Discrete(3),
        horizon=200,
        start=([-0.6, 0.0], [-0.4, 0.0]),
        move=move,
        picture=lambda state: mountain_car_picture(state[0], goal),
    )


def mountain_car_continuous() -> Env:
    """The same valley with a throttle: 100 at the top, less 0.1 a² in every step.

    The throttle a is clipped to ±1 where it pushes, by 0.0015 a, and not where it is
    paid for; the goal is at x ≥ 0.45. Otherwise as `mountain_car`.
    """
    goal = 0.45

    def move(state: Vector, action: Array) -> Moved:
        throttle = jnp.clip(action[0], -1.0, 1.0)
        following, there = _roll(state, 0.0015 * throttle, goal)
        return Moved(following, 100.0 * there - 0.1 * action[0] ** 2, there)

    return classic_env(
        "reins/MountainCarContinuous-v0",
        observation_space=_seen(),
        action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        horizon=999,
        start=([-0.6, 0.0], [-0.4, 0.0]),
        move=move,
        picture=lambda state: mountain_car_picture(state[0], goal),
    )


def _seen() -> spaces.Box:
    low, high = [VALLEY[0], -CAR_SPEED], [VALLEY[1], CAR_SPEED]
    return spaces.Box(np.array(low, np.float32), np.array(high, np.float32))


def _roll(state: Vector, push: Array, goal: float) -> tuple[Vector, Bool[Array, ""]]:
    """Where the push leads, and whether that is the goal."""
    position, speed = state
    speed = speed + push - SLOPE * jnp.cos(3 * position)
    speed = jnp.clip(speed, -CAR_SPEED, CAR_SPEED)
    position = jnp.clip(position + speed, *VALLEY)
    speed = jnp.where(position == VALLEY[0], jnp.maximum(speed, 0.0), speed)
    return jnp.stack([position, speed]), (position >= goal) & (speed >= 0)
