"""A sound little environment, and the same with faults put in on purpose.

Importing this registers some of them, so that `tests.envs.check.faulty:Name-v0` works.
"""

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH = 5


class Sound(gymnasium.Env):
    """Five steps at a place drawn at the reset; 1 is paid and 1/2 costs at each."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.time = 0
        self.place = 0.0
        # Spaces have a random state of their own, which the check seeds.
        self.action_space = type(self).action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        self.place = self.np_random.random()
        return self.first()

    def step(self, action):
        self.time += 1
        self.action = action
        return self.answer()

    def first(self):
        return self.observation(), {}

    def answer(self):
        terminated, truncated = self.ending()
        return self.observation(), self.reward(), terminated, truncated, self.info()

    def observation(self):
        return np.asarray([self.place, self.time / 8], np.float32)

    def reward(self):
        return 1.0

    def ending(self):
        return self.time == LENGTH, False

    def info(self):
        return {"cost": 0.5}

    def render(self):
        return np.zeros((4, 6, 3), np.uint8)


def faulty(**parts):
    """A class like `Sound` with other methods or attributes."""
    return type("Faulty", (Sound,), parts)


def raises(self):
    raise ValueError("the motor is off")


FiveFaults = faulty(
    observation=lambda self: np.asarray([self.place, 3.0], np.float32),
    reward=lambda self: np.nan,
    ending=lambda self: (int(self.time == LENGTH), False),
    info=lambda self: {"cost": -1.0},
    first=lambda self: self.observation(),
)


class Sized(Sound):
    """Cannot be made without an argument."""

    def __init__(self, size, render_mode=None):
        super().__init__(render_mode)


KINDS = {"Sound": Sound, "FiveFaults": FiveFaults, "Sized": Sized}
for name, kind in KINDS.items():
    if f"{name}-v0" not in gymnasium.registry:
        gymnasium.register(f"{name}-v0", kind, max_episode_steps=50)
