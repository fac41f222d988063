"""The check of an environment: nothing is raised, and nothing printed.

An exception of the environment is a finding like any other; what can still be looked at
after it is looked at.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from reins.envs.check.finding import Finding, attempt, error, merged, placed, warning
from reins.envs.check.play import Episode, play, repeat_findings, reset
from reins.envs.check.spaces import (
    acted_as,
    action_space_findings,
    observation_space_findings,
    observed_as,
)
from reins.envs.check.step import signature_findings, wrapper_findings
from reins.envs.host import DEFAULT_HORIZON

LARGE = 100.0
"""Size from which an observation or a reward is worth scaling."""
REPEATED = 100
"""Steps of the episode that is played twice."""

Make = Callable[[str | None], gymnasium.Env]
"""Render mode -> the environment; None draws nothing."""


class Report(NamedTuple):
    """What was found, and what was seen.

    Attributes:
      findings: errors first; a fault that was found often stands there once.
      facts: spaces and what reins makes of them, episodes, scales, speed.
    """

    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    def count(self, level: str) -> int:
        """How many different findings have this level."""
        return sum(finding.level == level for finding in self.findings)


def check_env(
    make: Make,
    *,
    limit: int | None,
    episodes: int = 3,
    steps: int = 1000,
    seed: int = 0,
) -> Report:
    """Play a few episodes of random actions, and report everything that is wrong.

    Args:
      make: makes the environment, without a time limit and without Gymnasium's own
        checks around it.
      limit: steps after which its registration truncates an episode, if it does.
      episodes: how many are played, of at most `steps` steps each.
      seed: of the first reset and of the actions.
    """
    env, findings = attempt("making it", "", make, None)
    if findings:
        return Report(tuple(findings), {})
    findings += [*observation_space_findings(env), *action_space_findings(env)]
    facts = {**_space_facts(env, findings), "max_episode_steps": limit}
    findings += [*signature_findings(env), *wrapper_findings(env)]
    room = steps if limit is None else min(steps, limit)
    played: list[Episode] = []
    if isinstance(getattr(env, "action_space", None), spaces.Space):
        # A copy, since some environments make their spaces anew at a reset.
        space = copy.deepcopy(env.action_space)
        space.seed(seed)
        for number in range(episodes):
            episode, wrong = play(env, space, number, seed=seed, steps=room)
            played.append(episode)
            findings += wrong
        findings += repeat_findings(env, space, seed=seed, steps=min(room, REPEATED))
        findings += _scale_findings(played)
    else:
        findings += reset(env, seed, "first reset")[1]
    findings += _limit_findings(limit, played, room)
    findings += _drawing_findings(make, env)
    findings += attempt("close", "", env.close)[1]
    if limit is not None and room == limit:
        played = [_at_limit(episode) for episode in played]
    return Report(merged(findings), {**facts, **_played_facts(env, played)})


def _at_limit(episode: Episode) -> Episode:
    return episode._replace(ending=episode.ending.replace("cut", "time limit"))


def _space_facts(env: gymnasium.Env, findings: list[Finding]) -> dict[str, str]:
    usable = {f.subject for f in findings if f.level == "error"}
    facts = {}
    for name, told in (("observation", observed_as), ("action", acted_as)):
        space = getattr(env, f"{name}_space", None)
        facts[f"{name}_space"] = str(space)
        facts[name] = "nothing" if f"{name} space" in usable else told(env)
    return facts


def _played_facts(env: gymnasium.Env, played: list[Episode]) -> dict[str, Any]:
    rewards = [reward for episode in played for reward in episode.rewards]
    seconds = [second for episode in played for second in episode.seconds]
    modes = _render_modes(env)
    return {
        "lengths": [episode.length for episode in played],
        "endings": [episode.ending for episode in played],
        "returns": [sum(episode.rewards) for episode in played],
        "costs": [sum(e.costs) if e.costs else None for e in played],
        "largest_observation": max((e.largest for e in played), default=None),
        "rewards": [min(rewards), max(rewards)] if rewards else None,
        "render_modes": modes if isinstance(modes, list) else [],
        "steps_per_second": len(seconds) / sum(seconds) if seconds else None,
    }


def _limit_findings(
    limit: int | None, played: list[Episode], room: int
) -> Iterator[Finding]:
    if limit is not None or not played:
        return
    ended = sum(episode.ending in ("terminated", "truncated") for episode in played)
    yield warning(
        "time limit",
        "max_episode_steps in its registration",
        f"none; {ended} of {len(played)} episodes ended by themselves within {room} "
        "steps",
        f"reins truncates after {DEFAULT_HORIZON} steps unless told otherwise: give "
        "max_episode_steps to gymnasium.register.",
    )


def _scale_findings(played: list[Episode]) -> Iterator[Finding]:
    largest = max(episode.largest for episode in played)
    if largest > LARGE:
        yield warning(
            "scale of observations",
            f"numbers up to about {LARGE:g}",
            f"numbers up to {largest:,.4g}",
            "Networks learn best from numbers of about −1 to 1: keep "
            "--normalise-observations on, or scale them in the environment.",
        )
    rewards = np.asarray([reward for episode in played for reward in episode.rewards])
    if len(rewards) and np.max(np.abs(rewards)) > LARGE:
        yield warning(
            "scale of rewards",
            f"rewards up to about ±{LARGE:g}",
            f"rewards from {rewards.min():,.4g} to {rewards.max():,.4g}",
            "Critics learn best where returns are small: keep --normalise-rewards on, "
            "or divide them by a constant.",
        )
    if len(rewards) and not np.any(rewards):
        yield warning(
            "reward",
            "a reward other than 0 now and then",
            f"0 at each of {len(rewards)} steps under random actions",
            "A learner that never sees a reward learns nothing from it: check that "
            "there is one, or pay for steps on the way.",
        )
    priced = sum(episode.priced for episode in played)
    taken = sum(episode.length for episode in played)
    if 0 < priced < taken:
        yield warning(
            'info["cost"]',
            "a cost at every step, or at none",
            f"one at {priced} of {taken} steps",
            "Tell 0 where there is none; reins takes it for 0.",
        )


def _render_modes(env: gymnasium.Env) -> Any:
    metadata = getattr(env, "metadata", None)
    return metadata.get("render_modes") if isinstance(metadata, dict) else None


def _drawing_findings(make: Make, env: gymnasium.Env) -> list[Finding]:
    """Whether a picture is one, where the environment says that it draws."""
    modes = _render_modes(env)
    if not isinstance(modes, list | tuple):
        remedy = 'Write metadata = {"render_modes": []}, or the modes that there are.'
        expected = "a list of render_modes in metadata"
        return [warning("rendering", expected, repr(modes), remedy)]
    if "rgb_array" not in modes:
        return []
    frame, raised = attempt("rendering", "as rgb_array", _drawn, make)
    if raised:  # no error: training draws nothing
        return [finding._replace(level="warning") for finding in raised]
    if _is_picture(frame):
        return []
    array = isinstance(frame, np.ndarray)
    kind = (
        f"dtype {frame.dtype}, shape {frame.shape}" if array else type(frame).__name__
    )
    expected = "bytes (np.uint8) of shape height x width x 3"
    remedy = "Return such an array from render where render_mode is rgb_array."
    return placed([error("rendering", expected, kind, remedy)], "as rgb_array")


def _drawn(make: Make) -> Any:
    env = make("rgb_array")
    try:
        reset(env, 0, "")
        return env.render()
    finally:
        attempt("close", "", env.close)  # its fault is told of the one that played


def _is_picture(frame: Any) -> bool:
    return (
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.ndim == 3
        and frame.shape[2] == 3
    )
