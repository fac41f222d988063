"""Compiled environments for Gymnasium's users, and a cost around any environment."""

from typing import Any

import gymnasium
import jax
import numpy as np

from reins.envs.actions import hybrid_space, hybrid_vector
from reins.envs.env import Env
from reins.envs.vector import HostEnv
from reins.envs.walls import CostFunction, cost_from, paid_also
from reins.errors import CapabilityError


class CompiledEnv(gymnasium.Env):
    """A compiled environment as an ordinary `gymnasium.Env`.

    The true cost of each step is in `info["cost"]`. The horizon is Gymnasium's own time
    limit, set where the environment is registered. `render` gives the environment's
    picture as an array of bytes, where it has one.

    Raises: CapabilityError for a render mode that the environment has not.
    """

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012

    def __init__(self, env: Env, render_mode: str | None = None):
        modes = [] if env.picture is None else ["rgb_array"]
        if render_mode not in (None, *modes):
            raise CapabilityError(
                f"{env.name} was asked to be drawn as {render_mode!r}; it can be drawn "
                f"as {modes[0]!r} only."
                if modes
                else f"{env.name} was asked to be drawn as {render_mode!r}; it has no "
                "picture. Leave render_mode out."
            )
        self.metadata = {**self.metadata, "render_modes": modes}
        self.render_mode = render_mode
        self.env = env
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self._reset = jax.jit(env.reset)
        self._step = jax.jit(env.step)
        self._hybrid = hybrid_space(env.action_space) is not None
        self._state: Any = None
        self._before: Any = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self._state, observation = self._reset(self._next_key())
        self._before = self._state
        return np.asarray(observation), {}

    def step(self, action):
        self._before = self._state
        action = hybrid_vector(action) if self._hybrid else action
        self._state, result = self._step(self._state, action, self._next_key())
        return (
            np.asarray(result.observation),
            float(result.reward),
            bool(result.terminated),
            bool(result.truncated),
            {"cost": float(result.cost)},
        )

    def render(self) -> np.ndarray | None:
        if self.render_mode is None or self.env.picture is None:
            return None
        return self.env.picture(self._state, self._before)

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


def with_cost(env: Env | HostEnv | gymnasium.Env, cost: CostFunction) -> Any:
    """The same environment, of any kind, with its cost from a function.

    Args:
      cost: (observations, actions) -> cost >= 0; a learned constraint's `.cost`, say.
    """
    if isinstance(env, gymnasium.Env):
        return CostWrapper(env, cost)
    if isinstance(env, HostEnv):
        return env._replace(cost=cost)
    return cost_from(env, cost)


def with_bonus(env: Env | HostEnv, bonus: CostFunction) -> Any:
    """The same environment for an agent that is paid something beside its reward.

    Args:
      bonus: (observations, actions) -> what is added, in units of reward.
    """
    if isinstance(env, HostEnv):
        return env._replace(bonus=bonus)
    return paid_also(env, bonus)
