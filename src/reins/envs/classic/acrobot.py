"""Two links to swing up by the joint between them."""

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float

from reins.envs.classic.assemble import (
    GRAVITY,
    Moved,
    Vector,
    classic_env,
    runge_kutta,
    wrapped,
)
from reins.envs.classic_picture import acrobot_picture
from reins.envs.env import Env

ACROBOT_TIME = 0.2
ACROBOT_SPIN_LIMITS = (4 * np.pi, 9 * np.pi)


def acrobot() -> Env:
    """Two links and a motor between them: swing the tip one link above the pivot.

    State (θ₁, θ₂, ω₁, ω₂): the upper link from hanging down, the lower one from the
    upper one's direction; the angles are seen as cosine and sine. Links of 1 kg and
    1 m with their mass in the middle and moment of inertia 1, torque τ = −1, 0, 1:

    d₁ ω̇₁ + d₂ ω̇₂ = −φ₁,   d₂ ω̇₁ + (5/4) ω̇₂ = τ − ω₁² sin θ₂ / 2 − φ₂
    d₁ = 7/2 + cos θ₂,   d₂ = 5/4 + cos θ₂ / 2,   φ₂ = (g/2) sin(θ₁ + θ₂)
    φ₁ = φ₂ + (3g/2) sin θ₁ − (ω₂²/2 + ω₁ ω₂) sin θ₂

    by one Runge-Kutta step of 0.2 s; the spins are then clipped to ±4π and ±9π. Every
    step pays −1, but the last 0: it ends when −cos θ₁ − cos(θ₁ + θ₂) > 1.

    Source: Sutton and Barto, Reinforcement Learning, 11.3 of the first edition (the
    paper of 1996 lacks a term).
    """
    seen = np.array([1.0, 1.0, 1.0, 1.0, *ACROBOT_SPIN_LIMITS], np.float32)
    return classic_env(
        "reins/Acrobot-v1",
        observation_space=spaces.Box(-seen, seen),
        action_space=spaces.Discrete(3),
        horizon=500,
        start=([-0.1] * 4, [0.1] * 4),
        move=_swing_up,
        observe=_cosines_and_sines,
        picture=lambda state: acrobot_picture(state[0], state[1]),
    )


def _swing_up(state: Vector, action: Array) -> Moved:
    torque = action - 1.0
    moved = runge_kutta(lambda s: _acrobot_flow(s, torque), state, ACROBOT_TIME)
    limits = jnp.asarray(ACROBOT_SPIN_LIMITS, moved.dtype)
    spins = jnp.clip(moved[2:], -limits, limits)
    following = jnp.concatenate([wrapped(moved[:2]), spins])
    height = -jnp.cos(following[0]) - jnp.cos(following[0] + following[1])
    there = height > 1.0
    return Moved(following, jnp.where(there, 0.0, -1.0), there)


def _acrobot_flow(state: Vector, torque: Array) -> Vector:
    """The state's derivative: two linear equations in ω̇, by Cramer's rule."""
    upper, lower, spin1, spin2 = state
    sin, cos = jnp.sin(lower), jnp.cos(lower)
    d1, d2, d3 = 3.5 + cos, 1.25 + 0.5 * cos, 1.25
    phi2 = 0.5 * GRAVITY * jnp.sin(upper + lower)
    swirl = (0.5 * spin2**2 + spin1 * spin2) * sin
    phi1 = phi2 + 1.5 * GRAVITY * jnp.sin(upper) - swirl
    right = torque - 0.5 * spin1**2 * sin - phi2
    determinant = d1 * d3 - d2**2
    spin1_up = (-phi1 * d3 - d2 * right) / determinant
    spin2_up = (d1 * right + d2 * phi1) / determinant
    return jnp.stack([spin1, spin2, spin1_up, spin2_up])


def _cosines_and_sines(state: Vector) -> Float[Array, "6"]:
    angles = jnp.stack([jnp.cos(state[:2]), jnp.sin(state[:2])], axis=1)
    return jnp.concatenate([angles.ravel(), state[2:]])
