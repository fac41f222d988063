"""A Gymnasium environment that follows a script, so that every number is known.

Episode e of copy i lasts `LENGTHS[(i + e) % 3]` steps. At step t of it the observation
is (i, e, t), the reward 100 i + 10 e + t, the cost t / 8. Even episodes end by
termination, odd ones by truncation.
"""

from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

LENGTHS = (2, 3, 1)


class Scripted(gymnasium.Env):
    """The script; the seed of the first reset is the copy's number i."""

    observation_space = spaces.Box(0, 1000, (3,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, *, told: str = "all"):
        self.told = told
        self.copy, self.episode, self.time = 0, -1, 0
        self.actions: list[float] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.copy = self.copy if seed is None else seed
        self.episode, self.time = self.episode + 1, 0
        return self._seen(), {"cost": 77.0}

    def step(self, action):
        self.actions.append(float(action[0]))
        assert -1 <= action[0] <= 1, "an action outside its bounds came through"
        self.time += 1
        ends = self.time == LENGTHS[(self.copy + self.episode) % 3]
        info = {"cost": self.time / 8}
        terminated = ends and self.episode % 2 == 0
        truncated = ends and self.episode % 2 == 1
        if self.told == "terminated only":
            info["TimeLimit.truncated"] = truncated
            terminated, truncated = ends, False
        if self.told == "both":
            terminated, truncated = terminated, ends
        return self._seen(), self._reward(), terminated, truncated, info

    def _seen(self):
        return np.asarray([self.copy, self.episode, self.time], np.float64)

    def _reward(self):
        return 100.0 * self.copy + 10.0 * self.episode + self.time


def scripted_vector(
    mode: AutoresetMode, copies: int, **arguments: str
) -> SyncVectorEnv:
    """Copies of it in one of Gymnasium's autoreset modes."""
    makers = [lambda: Scripted(**arguments)] * copies
    return SyncVectorEnv(makers, autoreset_mode=mode)


def expected_steps(copy: int, steps: int) -> list[dict]:
    """What really happens to a copy in so many steps, resets taking no step."""
    rows: list[dict] = []
    episode = time = 0
    while len(rows) < steps:
        last = time + 1 == LENGTHS[(copy + episode) % 3]
        rows.append(
            {
                "observations": [copy, episode, time],
                "next_observations": [copy, episode, time + 1],
                "rewards": 100.0 * copy + 10.0 * episode + time + 1,
                "costs": (time + 1) / 8,
                "terminated": last and episode % 2 == 0,
                "truncated": last and episode % 2 == 1,
                "times": time,
            }
        )
        episode, time = (episode + 1, 0) if last else (episode, time + 1)
    return rows


class FakePool:
    """The part of an EnvPool that reins uses, stepped by the script.

    Like EnvPool it is seeded when it is made, resets in the next step, and is no
    `gymnasium.vector.VectorEnv`.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, seeds: Sequence[int]):
        self.inner = scripted_vector(AutoresetMode.NEXT_STEP, len(seeds))
        self.seeds = list(seeds)
        self.num_envs = len(seeds)
        self.single_action_space = self.inner.single_action_space
        self.closed = False

    def reset(self):
        observations, _ = self.inner.reset(seed=self.seeds)
        return observations, {"elapsed_step": np.zeros(self.num_envs)}

    def step(self, actions):
        return self.inner.step(actions)

    def close(self):
        self.closed = True
