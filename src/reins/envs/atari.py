"""Atari games by ALE's own vector environment: N of them stepped by C++ in threads.

The reasons and the measurements: docs/decisions/0009-atari.md.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from jaxtyping import Shaped, UInt8

from reins.envs.autoreset import AutoresetVector
from reins.envs.vector import HostEnv, VectorStep
from reins.errors import ConfigError

ENTRY_POINT = "ale_py.vector_env:AtariVectorEnv"
"""What steps the copies of an id of ALE's, by its registration."""
CHANGED = {"reward_clipping": False}
"""Where the defaults here are not ALE's: a return is the game's score."""
SCREEN = {"grayscale": False, "img_height": 210, "img_width": 160, "stack_num": 1}
"""Makes the picture that is drawn of a game."""
FRAMES_PER_SECOND = 60
_NOT_TOLD = {
    "self",
    "num_envs",
    "batch_size",
    "num_threads",
    "thread_affinity_offset",
    "autoreset_mode",
    # An end that is followed by no reset: the next step would be taken for one.
    "life_loss_info",
}
_NO_LIMIT = {"max_num_frames_per_episode": 2**30}

Settings = Mapping[str, Any]


def import_ale(asked: str) -> Any:
    """The package ale-py, which registers its games when it is imported.

    Raises: ConfigError that says how to install it.
    """
    try:
        import ale_py
    except ImportError as error:
        raise ConfigError(
            f"{asked} was asked for, which the Arcade Learning Environment plays; it "
            f"cannot be imported ({error}). Install it with `pip install reins[atari]`."
        ) from error
    return ale_py


def atari_settings(spec: EnvSpec, arguments: Settings) -> dict[str, Any] | None:
    """All settings of a game, or None where ALE's vector environment has not those.

    Args:
      spec: the registration. arguments: those that were given beside it.
    """
    if spec.vector_entry_point != ENTRY_POINT:
        return None
    vector = import_ale(spec.id).AtariVectorEnv
    known = inspect.signature(vector.__init__).parameters
    defaults = {k: p.default for k, p in known.items() if k not in _NOT_TOLD}
    told = {**spec.kwargs, **CHANGED, **arguments}
    if not told.keys() <= defaults.keys() or not isinstance(told["frameskip"], int):
        return None
    return {**defaults, **told}


def limited(settings: Settings, horizon: int | None) -> dict[str, Any]:
    """The settings with a limit of so many steps; their own limit when None."""
    if horizon is None:
        return dict(settings)
    frames = horizon * settings["frameskip"]
    return {**settings, "max_num_frames_per_episode": frames}


def horizon_of(settings: Settings) -> int:
    """Steps after which a game is truncated."""
    return -(-settings["max_num_frames_per_episode"] // settings["frameskip"])


def atari_env(name: str, settings: Settings) -> HostEnv:
    """A game as something that can be trained in, tried out once.

    Raises: ConfigError when it cannot be made with these settings.
    """
    try:
        tried = AtariVector(settings, 1, 1)
    except Exception as error:
        raise ConfigError(
            f"{name} was asked for with {dict(settings)}, and could not be made: "
            f"{type(error).__name__}: {error}"
        ) from error
    tried.close()
    return HostEnv(
        name=name,
        observation_space=tried.observation_space,
        action_space=tried.action_space,
        horizon=tried.horizon,
        make=partial(AtariVector, settings),
    )


class AtariVector(AutoresetVector):
    """N copies of one game; observations are pictures, a stack of them as channels.

    The limit of frames is kept here. At its own limit ALE 0.12.1 stops before it takes
    the last picture, and the value of a truncated game would be that of a step before.

    Args:
      settings: of ALE's `AtariVectorEnv`.
      copies, threads: how many games, stepped by so many threads.
    """

    def __init__(self, settings: Settings, copies: int, threads: int):
        make = import_ale(settings["game"]).AtariVectorEnv
        how = {"num_threads": threads, "autoreset_mode": AutoresetMode.SAME_STEP}
        inner = make(num_envs=copies, **{**settings, **_NO_LIMIT, **how})
        super().__init__(inner, AutoresetMode.SAME_STEP)
        self.action_space = inner.single_action_space
        shape = _channels_last(inner.single_observation_space.low[None]).shape[1:]
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.horizon = horizon_of(settings)
        self._times = np.zeros(copies, np.int64)

    def reset(self, seeds: Sequence[int]) -> UInt8[np.ndarray, "N H W C"]:
        self._times[:] = 0
        observations, _ = self.inner.reset(seed=np.asarray(seeds, np.int64) % 2**31)
        return _channels_last(observations)

    def step(self, actions: Shaped[np.ndarray, "N ..."]) -> VectorStep:
        step = super().step(actions)
        following = observations = _channels_last(step.following)
        if step.terminated.any():
            observations = _channels_last(step.observations)
        self._times += 1
        late = (self._times >= self.horizon) & ~step.terminated
        if late.any():
            begun, _ = self.inner.reset(options={"reset_mask": late})
            following = _channels_last(begun)
        self._times[late | step.terminated] = 0
        return step._replace(
            observations=observations, truncated=late, following=following
        )

    def close(self) -> None:
        """Let go of the games; their threads end with them."""
        super().close()
        del self.inner


class AtariGame(gymnasium.Env):
    """One game, as training sees it; drawn in colour as it is on the screen.

    The picture is that of a second game, played along with the same seeds and actions.

    Args:
      vector: one copy.
      screen: settings of the game that is drawn.
      buttons: the game's action for each of `vector`'s; the same ones when None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        vector: Any,
        screen: Settings,
        *,
        buttons: np.ndarray | None = None,
        render_mode: str | None = None,
    ):
        modes = self.metadata["render_modes"]
        if render_mode not in (None, *modes):
            raise ConfigError(
                f"{screen['game']} was asked to be drawn as {render_mode!r}; it can be "
                f"drawn as {modes[0]!r} only."
            )
        rate = FRAMES_PER_SECOND / screen["frameskip"]
        self.metadata = {**self.metadata, "render_fps": rate}
        self.render_mode = render_mode
        self.observation_space = vector.observation_space
        self.action_space = vector.action_space
        drawn = None if render_mode is None else AtariVector({**screen, **SCREEN}, 1, 1)
        self._drawn, self._buttons = drawn, buttons
        self._vector: Any = vector
        self._picture: np.ndarray | None = None

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        seeds = [int(self.np_random.integers(2**31)) if seed is None else seed]
        if self._drawn is not None:
            self._picture = self._drawn.reset(seeds)[0]
        return self._vector.reset(seeds)[0], {}

    def step(self, action: Any):
        actions = np.asarray(action)[None]
        step = self._vector.step(actions)
        if self._drawn is not None:
            pressed = actions if self._buttons is None else self._buttons[actions]
            self._picture = self._drawn.step(pressed).observations[0]
        ends = bool(step.terminated[0]), bool(step.truncated[0])
        return step.observations[0], float(step.rewards[0]), *ends, {}

    def render(self) -> UInt8[np.ndarray, "210 160 3"] | None:
        return self._picture

    def close(self) -> None:
        for game in (self._vector, self._drawn):
            if game is not None:
                game.close()
        self._vector = self._drawn = None


def _channels_last(
    frames: UInt8[np.ndarray, "N S H W *C"],
) -> UInt8[np.ndarray, "N H W D"]:
    """N stacks of S pictures, grey or in colour, as one picture each."""
    if frames.ndim == 4:
        return np.ascontiguousarray(np.moveaxis(frames, 1, -1))
    n, _, height, width, _ = frames.shape
    return np.moveaxis(frames, 1, 3).reshape(n, height, width, -1)
