"""A rod to swing up and hold."""

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array

from reins.envs.classic.assemble import Moved, Vector, classic_env, wrapped
from reins.envs.classic_picture import pendulum_picture
from reins.envs.env import Env

TORQUE_LIMIT, SPIN_LIMIT = 2.0, 8.0
PENDULUM_GRAVITY, PENDULUM_TIME = 10.0, 0.05


def pendulum() -> Env:
    """Swing a rod up with too weak a motor, and hold it there; it never ends.

    State (θ, θ̇), θ to the left of upright and not wrapped; seen as (cos θ, sin θ, θ̇).
    With the torque u clipped to ±2 Nm, for a rod of 1 kg and 1 m,

    θ̈ = (3/2) g sin θ + 3 u,   r = −(θ² + θ̇²/10 + u²/1000), θ in [−π, π)

    by semi-implicit Euler steps of 0.05 s, θ̇ clipped to ±8; r is of the state before.
    """
    seen = np.array([1.0, 1.0, SPIN_LIMIT], np.float32)
    return classic_env(
        "reins/Pendulum-v1",
        observation_space=spaces.Box(-seen, seen),
        action_space=spaces.Box(-TORQUE_LIMIT, TORQUE_LIMIT, (1,), np.float32),
        horizon=200,
        start=([-np.pi, -1.0], [np.pi, 1.0]),
        move=_swing,
        observe=lambda s: jnp.stack([jnp.cos(s[0]), jnp.sin(s[0]), s[1]]),
        picture=lambda state: pendulum_picture(state[0]),
    )


def _swing(state: Vector, action: Array) -> Moved:
    angle, spin = state
    torque = jnp.clip(action[0], -TORQUE_LIMIT, TORQUE_LIMIT)
    loss = wrapped(angle) ** 2 + 0.1 * spin**2 + 0.001 * torque**2
    spin_up = 1.5 * PENDULUM_GRAVITY * jnp.sin(angle) + 3.0 * torque
    spin = jnp.clip(spin + spin_up * PENDULUM_TIME, -SPIN_LIMIT, SPIN_LIMIT)
    following = jnp.stack([angle + spin * PENDULUM_TIME, spin])
    return Moved(following, -loss, jnp.asarray(False))
