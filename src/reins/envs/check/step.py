"""What can be wrong with what an environment's reset and step return."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from reins.envs.check.finding import Finding, error, warning

RESET = "(observation, info)"
STEP = "(observation, reward, terminated, truncated, info)"
TELLTALES = ("final_observation", "final_obs", "terminal_observation")
"""Entries of an info that an environment writes when it has reset itself."""


class Stepped(NamedTuple):
    """A step's five parts as they came, where they could be told apart."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any

    @property
    def ending(self) -> str | None:
        """Why the episode is over; None while it goes on."""
        if _truth(self.terminated):
            return "terminated"
        return "truncated" if _truth(self.truncated) else None


def takes(env: gymnasium.Env, name: str) -> bool:
    """Whether reset has an argument of this name; True where nobody can tell."""
    try:
        known = inspect.signature(env.unwrapped.reset).parameters
    except (TypeError, ValueError):  # compiled from another language
        return True
    return name in known or any(p.kind is p.VAR_KEYWORD for p in known.values())


def signature_findings(env: gymnasium.Env) -> list[Finding]:
    """Whether reset can be told a seed and options."""
    if takes(env, "seed") and takes(env, "options"):
        return []
    return [
        error(
            "reset",
            "arguments `seed` and `options`",
            f"reset{inspect.signature(env.unwrapped.reset)}",
            "Write reset(self, *, seed=None, options=None), and begin it with "
            "super().reset(seed=seed).",
        )
    ]


def wrapper_findings(env: gymnasium.Env) -> list[Finding]:
    """Whether a wrapper resets the environment by itself."""
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if isinstance(layer, gymnasium.wrappers.Autoreset):
            return [
                warning(
                    "wrappers",
                    "an environment that waits for its reset",
                    "gymnasium.wrappers.Autoreset around it",
                    "Leave it out: reins resets environments itself.",
                )
            ]
        layer = layer.env
    return []


def reset_parts(result: Any) -> tuple[Any, list[Finding]]:
    """The observation of a reset's answer, and what is wrong with the answer."""
    if not isinstance(result, tuple) or len(result) != 2:
        remedy = "Return the observation and a dict; an empty one will do."
        return result, [error("reset", RESET, _shape_of(result), remedy)]
    observation, info = result
    if isinstance(info, dict):
        return observation, []
    found = f"info is a {type(info).__name__}"
    return observation, [error("reset", "info is a dict", found, "Return a dict.")]


def step_parts(result: Any) -> tuple[Stepped | None, list[Finding]]:
    """The parts of a step's answer, and what is wrong with their number.

    Four parts are the interface of before 2022, and are understood: `done` counts as
    terminated unless info["TimeLimit.truncated"] says otherwise.
    """
    if isinstance(result, tuple) and len(result) == 5:
        return Stepped(*result), []
    if isinstance(result, tuple) and len(result) == 4:
        observation, reward, done, info = result
        cut = isinstance(info, dict) and _truth(info.get("TimeLimit.truncated", False))
        remedy = (
            "Return terminated (the task is over) and truncated (a time limit) instead "
            "of done: what follows differs."
        )
        old = f"{_shape_of(result)}, as in the old Gym"
        over = _truth(done)
        parts = Stepped(observation, reward, over and not cut, over and cut, info)
        return parts, [error("step", STEP, old, remedy)]
    remedy = "Return these five."
    return None, [error("step", STEP, _shape_of(result), remedy)]


def part_findings(step: Stepped) -> Iterator[Finding]:
    """What is wrong with reward, flags and info; the observation is looked at apart."""
    yield from number_findings("reward", step.reward)
    for name in ("terminated", "truncated"):
        value = getattr(step, name)
        if not isinstance(value, bool | np.bool_):
            found = f"{value!r}, a {type(value).__name__}"
            yield error(name, "True or False", found, f"Return bool({name}).")
    if _truth(step.terminated) and _truth(step.truncated):
        yield warning(
            "terminated",
            "one reason for the end of an episode",
            "terminated and truncated at once",
            "reins takes it for terminated; leave the time limit to the registration.",
        )
    if not isinstance(step.info, dict):
        found = f"a {type(step.info).__name__}"
        yield error("info", "a dict", found, "Return a dict.")
        return
    if "cost" in step.info:
        yield from _cost_findings(step.info["cost"])
    if step.ending and (told := [name for name in TELLTALES if name in step.info]):
        yield warning(
            "step",
            "the last observation of the episode that ended",
            f"info has {told[0]!r}, as where an environment resets itself",
            "Do not reset in step: the observation of a reset is not what the last "
            "action led to.",
        )


def numbers(values: list[Any]) -> list[float]:
    """Those of the values that are finite numbers."""
    return [float(x) for x in values if next(number_findings("", x), None) is None]


def number_findings(subject: str, value: Any) -> Iterator[Finding]:
    """Why a value is not one finite number, if it is not."""
    remedy = f"Return float({subject})."
    if not isinstance(value, int | float | np.integer | np.floating):
        found = f"{value!r}, a {type(value).__name__}"
        if isinstance(value, np.ndarray):
            found = f"an array of shape {value.shape}"
        yield error(subject, "one number", found, remedy)
    elif not np.isfinite(value):
        remedy = (
            "One such number spoils every weight of a network; find where it is made."
        )
        yield error(subject, "a finite number", str(value), remedy)


def _cost_findings(cost: Any) -> Iterator[Finding]:
    wrong = list(number_findings('info["cost"]', cost))
    yield from wrong
    if not wrong and cost < 0:
        yield error(
            'info["cost"]',
            "a cost of at least 0",
            f"{cost:g}",
            "A budget bounds a sum of costs from above; put what is good into the "
            "reward.",
        )


def _truth(value: Any) -> bool:
    """Whether a flag is set; an array is, when any of it is."""
    return bool(np.any(value)) if not isinstance(value, str) else bool(value)


def _shape_of(result: Any) -> str:
    if isinstance(result, tuple):
        return f"{len(result)} parts: ({', '.join(type(x).__name__ for x in result)})"
    return f"a {type(result).__name__}"
