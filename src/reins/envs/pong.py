"""Pong from pixels: the field as 80 x 80 numbers, and what moved since the last step.

The lecture's example, with the input that made it known: the playing field is cut out,
every second pixel of it is kept in both directions, the background is 0 and all else 1,
and an observation is this picture less the one before it.
"""

from collections.abc import Sequence
from functools import partial

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Int, Int8, UInt8

from reins.envs.atari import AtariGame, AtariVector, Settings, limited
from reins.envs.vector import HostEnv, VectorEnv, VectorStep

PONG = "reins/PongFromPixels-v0"
HORIZON = 27_000
"""Steps after which a game is truncated: half an hour at 60 frames a second."""
BACKGROUND = 87
"""The grey of the field."""
ROWS, COLUMNS = slice(35, 195, 2), slice(None, None, 2)
BUTTONS = np.array([2, 3])
"""ALE's numbers of right and left, which move the paddle up and down."""
OBSERVATIONS = spaces.Box(-1, 1, (80 * 80,), np.int8)
ACTIONS = spaces.Discrete(2)
SETTINGS: Settings = {
    "game": "pong",
    "frameskip": 4,
    "maxpool": False,
    "repeat_action_probability": 0.0,
    "noop_max": 30,
    "use_fire_reset": False,
    "reward_clipping": False,
    "stack_num": 1,
    "img_height": 210,
    "img_width": 160,
    "max_num_frames_per_episode": 4 * HORIZON,
}


def pong_env(horizon: int | None = None) -> HostEnv:
    """Pong from pixels as something that can be trained in.

    An observation is 6400 numbers out of -1, 0, 1; action 0 moves the paddle up and 1
    down. A step is 4 frames. A point pays 1 or -1; an episode is a game to 21, begun
    with up to 30 frames of waiting. Actions are never repeated by chance.

    Source: S3, Pong from pixels.

    Args:
      horizon: steps after which a game is truncated; `HORIZON` when None.
    """
    settings = limited(SETTINGS, horizon)
    return HostEnv(
        name=PONG,
        observation_space=OBSERVATIONS,
        action_space=ACTIONS,
        horizon=HORIZON if horizon is None else horizon,
        make=partial(PongVector, settings),
    )


def pong_game(render_mode: str | None = None) -> gymnasium.Env:
    """Pong from pixels as one `gymnasium.Env`, drawn as it is on the screen."""
    vector = PongVector(SETTINGS, 1, 1)
    return AtariGame(vector, SETTINGS, buttons=BUTTONS, render_mode=render_mode)


class PongVector(VectorEnv):
    """N games of Pong, shown as what moved.

    Args:
      settings: of the games; `copies`, `threads`: as of `AtariVector`.
    """

    def __init__(self, settings: Settings, copies: int, threads: int):
        self.observation_space, self.action_space = OBSERVATIONS, ACTIONS
        self._games = AtariVector(settings, copies, threads)
        self._before = np.zeros((copies, 80 * 80), np.int8)

    def reset(self, seeds: Sequence[int]) -> Int8[np.ndarray, "N 6400"]:
        self._before = field(self._games.reset(seeds))
        return np.zeros_like(self._before)

    def step(self, actions: Int[np.ndarray, " N"]) -> VectorStep:
        step = self._games.step(BUTTONS[actions])
        now = field(step.observations)
        following = moved = now - self._before
        ended = (step.terminated | step.truncated)[:, None]
        if ended.any():
            following = np.where(ended, np.int8(0), moved)
            now = np.where(ended, field(step.following), now)
        self._before = now
        return step._replace(observations=moved, following=following)

    def close(self) -> None:
        self._games.close()


def field(frames: UInt8[np.ndarray, "N 210 160 1"]) -> Int8[np.ndarray, "N 6400"]:
    """The playing field at half its size: 0 for the background, 1 for all else."""
    cut = frames[:, ROWS, COLUMNS, 0] != BACKGROUND
    return cut.reshape(len(frames), -1).view(np.int8)
