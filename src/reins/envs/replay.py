"""Steps taken again from what was observed, where an observation says everything."""

import jax
import numpy as np
from jaxtyping import Array

from reins.envs.env import Env
from reins.envs.vector import HostEnv, Replay
from reins.types import Key


def replay_of(env: Env | HostEnv) -> Replay | None:
    """What takes single steps of an environment again; None where nothing can.

    Chance that a step may have is drawn anew.
    """
    if isinstance(env, HostEnv):
        return env.replay
    state_of = env.state_of
    if state_of is None:
        return None

    @jax.jit
    @jax.vmap
    def once(observation: Array, action: Array, key: Key) -> tuple[Array, Array]:
        _, result = env.step(state_of(observation), action, key)
        return result.observation, result.reward

    def again(
        observations: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        keys = jax.random.split(jax.random.key(0), len(actions))
        found = once(observations, actions, keys)
        return np.asarray(found[0]), np.asarray(found[1])

    return again
