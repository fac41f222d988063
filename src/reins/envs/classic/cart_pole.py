"""A pole to balance on a cart."""

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array

from reins.envs.classic.assemble import GRAVITY, Moved, Vector, classic_env
from reins.envs.classic_picture import cart_pole_picture
from reins.envs.env import Env

CART_LIMIT, POLE_LIMIT = 2.4, np.radians(12.0)
PUSH = 10.0
"""Newton, to the left (action 0) or to the right (action 1)."""
POLE_MASS, ALL_MASS, HALF_POLE = 0.1, 1.1, 0.5
CART_POLE_TIME = 0.02
"""Seconds in a step."""


def cart_pole() -> Env:
    """Push a cart to and fro so that the pole on it stays up: 1 for every step.

    State (x, ẋ, θ, θ̇): the cart's position, and the pole's angle to the right of
    upright. With u = (F + m l θ̇² sin θ) / M,

    θ̈ = (g sin θ − u cos θ) / (l (4/3 − m cos² θ / M)),   ẍ = u − m l θ̈ cos θ / M

    by Euler's explicit steps of 0.02 s. It ends, and still pays 1, outside ±2.4 m
    and ±12°.

    Source: Barto, Sutton and Anderson, 1983.
    """
    seen = np.array([2 * CART_LIMIT, np.inf, 2 * POLE_LIMIT, np.inf], np.float32)
    return classic_env(
        "reins/CartPole-v1",
        observation_space=spaces.Box(-seen, seen),
        action_space=spaces.Discrete(2),
        horizon=500,
        start=([-0.05] * 4, [0.05] * 4),
        move=_balance,
        picture=lambda state: cart_pole_picture(state[0], state[2]),
    )


def _balance(state: Vector, action: Array) -> Moved:
    _, speed, angle, spin = state
    force = jnp.where(action == 1, PUSH, -PUSH)
    sin, cos = jnp.sin(angle), jnp.cos(angle)
    pole = POLE_MASS * HALF_POLE
    pushed = (force + pole * spin**2 * sin) / ALL_MASS
    inertia = HALF_POLE * (4 / 3 - POLE_MASS * cos**2 / ALL_MASS)
    spin_up = (GRAVITY * sin - cos * pushed) / inertia
    speed_up = pushed - pole * spin_up * cos / ALL_MASS
    following = state + CART_POLE_TIME * jnp.stack([speed, speed_up, spin, spin_up])
    lost = (jnp.abs(following[0]) > CART_LIMIT) | (jnp.abs(following[2]) > POLE_LIMIT)
    return Moved(following, jnp.ones(()), lost)
