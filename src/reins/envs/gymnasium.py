"""Compiled environments for Gymnasium users, and costs around any environment."""

from typing import Any

import gymnasium
import jax
import numpy as np

from reins.envs.env import Env
from reins.envs.walls import CostFunction, cost_from


class CompiledEnv(gymnasium.Env):
    """A compiled environment as an ordinary `gymnasium.Env`.

    The true cost of each step is in `info["cost"]`. The horizon is Gymnasium's own time
    limit, set where the environment is registered.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, env: Env):
        self.env = env
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self._reset = jax.jit(env.reset)
        self._step = jax.jit(env.step)
        self._state: Any = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._state, observation = self._reset(self._next_key())
        return np.asarray(observation), {}

    def step(self, action):
        self._state, result = self._step(self._state, action, self._next_key())
        return (
            np.asarray(result.observation),
            float(result.reward),
            bool(result.terminated),
            bool(result.truncated),
            {"cost": float(result.cost)},
        )

    def _next_key(self):
        return jax.random.key(int(self.np_random.integers(2**31)))


class CostWrapper(gymnasium.Wrapper):
    """Puts cost(s_t, a_t) into `info["cost"]` of any Gymnasium environment.

    A cost that the environment itself reported moves to `info["true_cost"]`.
    """

    def __init__(self, env: gymnasium.Env, cost: CostFunction):
        super().__init__(env)
        self.cost = cost
        self._observation: Any = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action):
        cost = float(self.cost(self._observation, action))
        self._observation, reward, terminated, truncated, info = self.env.step(action)
        if "cost" in info:
            info = {**info, "true_cost": info["cost"]}
        return self._observation, reward, terminated, truncated, {**info, "cost": cost}


def with_cost(env: Env | gymnasium.Env, cost: CostFunction) -> Any:
    """The same environment, compiled or Gymnasium's, with its cost from a function.

    Args:
      cost: (observations, actions) -> cost >= 0; a learned constraint's `.cost`, say.
    """
    if isinstance(env, gymnasium.Env):
        return CostWrapper(env, cost)
    return cost_from(env, cost)
