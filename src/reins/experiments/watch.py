"""Look at a trained agent: in a window, or as a film."""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.wrappers import HumanRendering
from jaxtyping import UInt8

from reins.envs import HostOptions, single_env
from reins.errors import CapabilityError, ConfigError
from reins.experiments import display
from reins.experiments.files import write_json
from reins.experiments.load import LoadedAgent, pick, read_run
from reins.experiments.record import SUMMARY_FILE, SUMMARY_SCHEMA, versions
from reins.experiments.report import ProgressBar, Terminal
from reins.experiments.summary import Summary
from reins.experiments.video import (
    FASTEST,
    captioned,
    check_film,
    write_film,
)

Act = Callable[[np.ndarray], Any]

USUAL_FPS = 30.0
"""Steps per second where an environment does not say how fast it is."""


class Showing(NamedTuple):
    """What is shown of an agent.

    Attributes:
      episodes: how many, one after another.
      steps: after which an episode is cut; None leaves it to the environment.
      fps: steps shown per second; None for the environment's own rate.
      deterministic: the most probable action rather than a drawn one.
      key: random seed of episodes and actions.
    """

    episodes: int = 1
    steps: int | None = None
    fps: float | None = None
    deterministic: bool = False
    key: int = 0


class Moment(NamedTuple):
    """Where a playing agent is after a step; step 0 is the reset.

    `cost` is None until the environment tells one; `ending` is `terminated`,
    `truncated` or `cut`, and None while the episode goes on.
    """

    episode: int
    step: int
    total: float
    cost: float | None
    ending: str | None

    def __str__(self) -> str:
        cost = "" if self.cost is None else f"   cost {self.cost:g}"
        return (
            f"episode {self.episode}   step {self.step}   return {self.total:.1f}{cost}"
        )


def watch(
    folder: Path,
    showing: Showing,
    video: Path | None,
    *,
    seed: int | None,
    out: Path | None,
    terminal: Terminal,
) -> Summary:
    """Play a trained agent in the environment of its run, in a window or as a film.

    Args:
      video: the film's file; None opens a window.
      seed: which seed's agent; the first one's when None.
      out: folder for the summary; None writes none.

    Raises: ConfigError or CapabilityError where that cannot be shown here, DataError
      when the folder holds no run.
    """
    check_showing(showing, video)
    faults = display.draw_without_display()
    stored = read_run(folder)
    agent = LoadedAgent(
        pick(stored, seed, folder).policy, stored.task.env, key=showing.key
    )
    env = open_env(
        stored.config.env,
        stored.config.host.options(),
        window=video is None,
        faults=faults,
    )
    try:
        ends, film = _show(env, agent, showing, video, terminal)
    finally:
        env.close()
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "watch",
        "agent": stored.config.agent,
        "env": stored.config.env,
        "seed": next(iter(stored.agents)) if seed is None else seed,
        "key": showing.key,
        "deterministic": showing.deterministic,
        "episodes": len(ends),
        "returns": [end.total for end in ends],
        "costs": [end.cost for end in ends],
        "lengths": [end.step for end in ends],
        "endings": [end.ending for end in ends],
        "video": film,
        "versions": versions(),
    }
    if out is not None:
        write_json(out / SUMMARY_FILE, summary)
    for end in ends:
        terminal.say(f"{end}   {end.ending}")
    if film is not None:
        terminal.say(
            f"Filmed to {film['file']}: {film['frames']} pictures of {film['width']} x "
            f"{film['height']}, {film['fps']:g} per second."
        )
    return summary


def check_showing(showing: Showing, video: Path | None) -> None:
    """Refuse what cannot be shown, before anything is loaded.

    Raises: ConfigError.
    """
    for name, value in (("episodes", showing.episodes), ("steps", showing.steps)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} must be positive; found {value}.")
    if showing.fps is not None and not showing.fps > 0:
        raise ConfigError(f"fps must be positive; found {showing.fps:g}.")
    if video is not None:
        check_film(video)
    elif not display.has_display():
        raise ConfigError(
            "a window was asked for, and there is no display: neither DISPLAY nor "
            "WAYLAND_DISPLAY is set. Write a film instead, as with `--video film.gif`."
        )
    elif showing.fps is not None:
        raise ConfigError(
            f"--fps {showing.fps:g} was given for a window, which goes at the "
            "environment's own rate. Leave it out, or add `--video FILE`."
        )


def open_env(
    env_id: str, options: HostOptions, *, window: bool, faults: dict[str, str]
) -> gymnasium.Env:
    """The environment as the policy sees it, drawn once to see that it can be.

    Args:
      faults: why MuJoCo cannot draw here, if so; see `draw_without_display`.

    Raises: CapabilityError when it cannot be drawn.
    """
    told = {"arguments": options.arguments, "horizon": options.horizon}
    plain = single_env(env_id, **told)
    modes = plain.metadata.get("render_modes") or []
    plain.close()
    mode = "human" if window and "human" in modes else "rgb_array"
    if mode not in modes:
        raise CapabilityError(
            f"{env_id} was to be drawn as {mode}; it can be drawn as "
            f"{' or '.join(modes) or 'nothing at all'}. Give the environment a render "
            "function and name its mode in metadata['render_modes']."
        )
    if faults and display.is_mujoco(plain):
        raise display.no_backend(env_id, faults)
    env = single_env(env_id, render_mode=mode, **told)
    try:
        env = HumanRendering(env) if window and mode == "rgb_array" else env
        env.reset(seed=0)
        env.render()
    except Exception as fault:
        env.close()
        raise display.drawing_error(env_id, fault) from fault
    return env


def play(
    env: gymnasium.Env, act: Act, *, episodes: int, limit: int, key: int
) -> Iterator[Moment]:
    """Every step of so many episodes, and the reset before them.

    Args:
      act: observation -> action.
      limit: steps after which an episode is cut.
      key: seed of the first reset; the others follow from it.
    """
    for episode in range(1, episodes + 1):
        observation, _ = env.reset(seed=key if episode == 1 else None)
        moment = Moment(episode, 0, 0.0, None, None)
        yield moment
        while moment.ending is None:
            stepped = env.step(act(observation))
            observation, reward, terminated, truncated, info = stepped
            cost = moment.cost
            if "cost" in info:
                cost = float(info["cost"]) + (cost or 0.0)
            moment = Moment(
                episode,
                moment.step + 1,
                moment.total + float(reward),
                cost,
                _ending(terminated, truncated, moment.step + 1 == limit),
            )
            yield moment


def _ending(terminated: bool, truncated: bool, cut: bool) -> str | None:
    if terminated:
        return "terminated"
    if truncated:
        return "truncated"
    return "cut" if cut else None


def _show(
    env: gymnasium.Env,
    agent: LoadedAgent,
    showing: Showing,
    video: Path | None,
    terminal: Terminal,
) -> tuple[list[Moment], dict[str, Any] | None]:
    """Where each episode ended, and what was written."""
    limit = min(showing.steps or agent.env.horizon, agent.env.horizon)
    ends: list[Moment] = []

    def act(observation: np.ndarray) -> Any:
        return agent.predict(observation, deterministic=showing.deterministic)[0]

    with terminal.progress(showing.episodes * limit, patience=5.0) as bar:
        played = play(env, act, episodes=showing.episodes, limit=limit, key=showing.key)
        moments = _tracked(played, ends, bar, limit)
        if video is None:
            with suppress(KeyboardInterrupt):  # the way to close a window
                for _ in moments:
                    pass
            return ends, None
        fps = showing.fps or env.metadata.get("render_fps") or USUAL_FPS
        every = math.ceil(fps / FASTEST)
        film = write_film(video, _pictures(env, moments, every), fps=fps / every)
    return ends, {"file": str(video), **film._asdict(), "fps": fps / every}


def _tracked(
    moments: Iterator[Moment], ends: list[Moment], bar: ProgressBar, limit: int
) -> Iterator[Moment]:
    """The same moments; their ends are kept, and the bar follows them."""
    for moment in moments:
        yield moment
        bar.advance(int(moment.step > 0), str(moment))
        if moment.ending is not None:
            bar.shorten(limit - moment.step)
            ends.append(moment)


def _pictures(
    env: gymnasium.Env, moments: Iterator[Moment], every: int
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """One picture of so many moments, and of every end."""
    for moment in moments:
        if moment.step % every == 0 or moment.ending is not None:
            yield captioned(np.asarray(env.render()), str(moment))
