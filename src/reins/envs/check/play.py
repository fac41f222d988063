"""Episodes of random actions, and everything that goes wrong in them."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from reins.envs.check.finding import Finding, attempt, placed, warning
from reins.envs.check.step import (
    Stepped,
    numbers,
    part_findings,
    reset_parts,
    step_parts,
    takes,
)
from reins.envs.check.values import leaves, value_findings


class Episode(NamedTuple):
    """One episode, as far as it went.

    Attributes:
      rewards: those that were finite numbers.
      costs: the same of info["cost"]; empty where none was told.
      length: steps taken.
      ending: `terminated`, `truncated`, `exception`, or `cut` by the check.
      largest: the largest number in any observation, without its sign.
      seconds: spent in the environment's step.
    """

    rewards: list[float]
    costs: list[float]
    length: int
    ending: str
    largest: float
    seconds: float


def play(
    env: gymnasium.Env, number: int, *, seed: int, steps: int
) -> tuple[Episode, list[Finding]]:
    """One episode of at most `steps` random actions, the extreme ones first.

    Only the first episode is seeded, so that the others differ.
    """
    actions = _actions(env.action_space, extremes=number == 0)
    where = f"reset of episode {number}"
    observation, findings = reset(env, seed if number == 0 else None, where)
    rewards, costs = [], []
    length, largest, seconds, ending = 0, 0.0, 0.0, "cut"
    if observation is None:
        return Episode(rewards, costs, 0, "exception", 0.0, 0.0), findings
    while length < steps:
        largest = max(largest, _largest(observation))
        held = [(leaf, leaf.copy()) for leaf in leaves(observation)]
        action, where = next(actions), f"episode {number}, step {length}"
        began = perf_counter()
        result, raised = attempt(f"step({_short(action)})", where, env.step, action)
        seconds += perf_counter() - began
        step, wrong = (None, raised) if raised else step_parts(result)
        length += 1
        if step is None:
            findings += placed(wrong, where)
            ending = "exception"
            break
        wrong += [*_step_findings(env, step), *_overwritten(held)]
        findings += placed(wrong, where)
        rewards += numbers([step.reward])
        costs += numbers([step.info.get("cost")] if isinstance(step.info, dict) else [])
        observation = step.observation
        if step.ending:
            ending = step.ending
            break
    largest = max(largest, _largest(observation))
    return Episode(rewards, costs, length, ending, largest, seconds), findings


def reset(
    env: gymnasium.Env, seed: int | None, where: str
) -> tuple[Any, list[Finding]]:
    """The observation that a reset shows (None if it raised), and what is wrong."""
    # Around a reset that cannot be told a seed, wrappers that pass one on would fail.
    if takes(env, "seed"):
        options = {"options": {}} if takes(env, "options") else {}
        result, findings = attempt("reset", where, env.reset, seed=seed, **options)
    else:
        result, findings = attempt("reset", where, env.unwrapped.reset)
    if findings:
        return None, findings
    observation, wrong = reset_parts(result)
    wrong += _value_findings(env, observation)
    return observation, placed(wrong, where)


def repeat_findings(env: gymnasium.Env, *, seed: int, steps: int) -> list[Finding]:
    """Whether the same seed and the same actions give the same episode again."""
    if not takes(env, "seed"):
        return []
    first, again = (list(_trace(env, seed, steps)) for _ in range(2))
    remedy = (
        "Draw every random number from self.np_random, begin reset with "
        "super().reset(seed=seed), and set back in it all that step changes."
    )
    for time, (one, other) in enumerate(zip(first, again, strict=False)):
        if not _same(one, other):
            what = "reset" if time == 0 else f"step {time - 1}"
            found = f"{what} differs: {_short(one)}, then {_short(other)}"
            break
    else:
        if len(first) == len(again):
            return []
        found = f"{len(first) - 1} steps, then {len(again) - 1}"
    expected = f"the same episode from the same seed ({seed}) and actions"
    return [warning("reproducibility", expected, found, remedy)]


def _trace(env: gymnasium.Env, seed: int, steps: int) -> Iterator[list[Any]]:
    """What a reset and each step show, copied, until the episode ends."""
    env.action_space.seed(seed)
    observation, _ = reset(env, seed, "")
    yield [leaf.copy() for leaf in leaves(observation)]
    for _ in range(steps if observation is not None else 0):
        result, raised = attempt("step", "", env.step, env.action_space.sample())
        step = None if raised else step_parts(result)[0]
        if step is None:
            return
        shown = [leaf.copy() for leaf in leaves(step.observation)]
        yield [*shown, step.reward, step.ending]
        if step.ending:
            return


def _same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(
        np.array_equal(np.asarray(a).astype(str), np.asarray(b).astype(str))
        for a, b in pairs
    )


def _actions(space: spaces.Space, *, extremes: bool) -> Iterator[Any]:
    """Random actions for ever, after the two at the ends of the space."""
    if extremes and isinstance(space, spaces.Discrete):
        yield from (space.start, space.start + space.n - 1)
    if extremes and isinstance(space, spaces.Box):
        for bound in (space.low, space.high):
            if np.all(np.isfinite(bound)):
                yield np.asarray(bound, space.dtype)
    while True:
        yield space.sample()


def _step_findings(env: gymnasium.Env, step: Stepped) -> Iterator[Finding]:
    yield from _value_findings(env, step.observation)
    yield from part_findings(step)


def _value_findings(env: gymnasium.Env, observation: Any) -> Iterator[Finding]:
    space = getattr(env, "observation_space", None)
    if isinstance(space, spaces.Space):
        yield from value_findings(space, observation)


def _overwritten(held: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Finding]:
    """Whether the step changed the arrays of the observation before it."""
    if not all(np.array_equal(now, then, equal_nan=True) for now, then in held):
        yield warning(
            "observation",
            "a new array at each step",
            "the array of the step before, with new numbers in it",
            "Return a copy: who keeps observations would find them all alike.",
        )


def _largest(observation: Any) -> float:
    sizes = [
        float(np.max(np.abs(leaf[np.isfinite(leaf)]), initial=0.0))
        for leaf in leaves(observation)
        if np.issubdtype(leaf.dtype, np.number)
    ]
    return max(sizes, default=0.0)


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        shown = ", ".join(_short(item) for item in value[:6])
        return f"[{shown}{', ...' if len(value) > 6 else ''}]"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
