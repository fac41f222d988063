"""Episodes of random actions, and everything that goes wrong in them."""

from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from reins.envs.check.finding import RAISED, Finding, attempt, placed, warning
from reins.envs.check.step import (
    Stepped,
    numbers,
    part_findings,
    reset_parts,
    step_parts,
    takes,
)
from reins.envs.check.values import leaves, measures, short, value_findings


class Episode(NamedTuple):
    """One episode, as far as it went.

    Attributes:
      rewards: those that were finite numbers.
      costs: the same of info["cost"].
      priced: steps whose info has a cost, of whatever kind.
      length: steps taken, without one that raised.
      ending: `terminated`, `truncated`, `exception`, or `cut` by the check.
      largest: the largest number in any observation, without its sign; images and
        choices left out.
      seconds: of each step but the first, which may prepare what others use.
    """

    rewards: list[float]
    costs: list[float]
    priced: int
    length: int
    ending: str
    largest: float
    seconds: list[float]


class _Seen(NamedTuple):
    """A step as it was looked at; `step` is None where nothing can follow."""

    step: Stepped | None
    findings: list[Finding]
    largest: float
    seconds: float


def play(
    env: gymnasium.Env, space: spaces.Space, number: int, *, seed: int, steps: int
) -> tuple[Episode, list[Finding]]:
    """One episode of at most `steps` random actions of a space.

    Only the first episode is seeded, so that the others differ; it begins with the
    extreme actions.
    """
    observation, findings = reset(
        env, seed if number == 0 else None, f"reset of episode {number}"
    )
    actions = _actions(space, extremes=number == 0)
    walked: list[_Seen] = []
    if observation is not RAISED:
        walked += _walk(env, observation, actions, number, steps)
    taken = [seen.step for seen in walked if seen.step is not None]
    infos = [step.info for step in taken if isinstance(step.info, dict)]
    prices = [info["cost"] for info in infos if "cost" in info]
    ending = taken[-1].ending or "cut" if taken else "cut"
    if observation is RAISED or len(taken) < len(walked):
        ending = "exception"
    episode = Episode(
        rewards=numbers([step.reward for step in taken]),
        costs=numbers(prices),
        priced=len(prices),
        length=len(taken),
        ending=ending,
        largest=max((seen.largest for seen in walked), default=0.0),
        seconds=[seen.seconds for seen in walked[1:]],
    )
    return episode, findings + [f for seen in walked for f in seen.findings]


def _walk(
    env: gymnasium.Env,
    observation: Any,
    actions: Iterator[Any],
    number: int,
    steps: int,
) -> Iterator[_Seen]:
    """One action after another until the episode ends, or cannot go on."""
    for time in range(steps):
        where = f"episode {number}, step {time}"
        before = [(leaf, leaf.copy()) for leaf in leaves(observation)]
        action, raised = attempt("action space", where, next, actions)
        began, result = perf_counter(), RAISED
        if not raised:
            doing = f"{where}, action {short(action)}"
            result, raised = attempt("step", doing, env.step, action)
        seconds = perf_counter() - began
        step, wrong = (None, []) if raised else step_parts(result)
        if step is not None:
            observation = step.observation
            wrong += _value_findings(env, observation)
            wrong += [*part_findings(step), *_overwritten(before)]
        findings = raised + placed(wrong, where)
        yield _Seen(step, findings, _largest(env, observation), seconds)
        if step is None or step.ending:
            return


def reset(
    env: gymnasium.Env, seed: int | None, where: str
) -> tuple[Any, list[Finding]]:
    """The observation that a reset shows, or `RAISED`, and what is wrong with it."""
    # Around a reset that cannot be told a seed, wrappers that pass one on would fail.
    if takes(env, "seed"):
        options = {"options": {}} if takes(env, "options") else {}
        result, raised = attempt("reset", where, env.reset, seed=seed, **options)
    else:
        result, raised = attempt("reset", where, env.unwrapped.reset)
    if raised:
        return RAISED, raised
    observation, wrong = reset_parts(result)
    wrong += _value_findings(env, observation)
    return observation, placed(wrong, where)


def repeat_findings(
    env: gymnasium.Env, space: spaces.Space, *, seed: int, steps: int
) -> list[Finding]:
    """Whether the same seed and the same actions give the same episode again."""
    if not takes(env, "seed"):
        return []
    first, again = (list(_trace(env, space, seed, steps)) for _ in range(2))
    remedy = (
        "Draw every random number from self.np_random, begin reset with "
        "super().reset(seed=seed), and set back in it all that step changes."
    )
    for time, (one, other) in enumerate(zip(first, again, strict=False)):
        if not _same(one, other):
            what = "reset" if time == 0 else f"step {time - 1}"
            found = f"{what} differs: {short(one)}, then {short(other)}"
            break
    else:
        if len(first) == len(again):
            return []
        found = f"{len(first) - 1} steps, then {len(again) - 1}"
    expected = f"the same episode from the same seed ({seed}) and actions"
    return [warning("reproducibility", expected, found, remedy)]


def _trace(
    env: gymnasium.Env, space: spaces.Space, seed: int, steps: int
) -> Iterator[list[np.ndarray]]:
    """What a reset and each step show, copied, until the episode ends."""
    space.seed(seed)
    observation, _ = reset(env, seed, "")
    if observation is RAISED:
        return
    yield [leaf.copy() for leaf in leaves(observation)]
    for _ in range(steps):
        result, raised = attempt("step", "", lambda: env.step(space.sample()))
        step = None if raised else step_parts(result)[0]
        if step is None:
            return
        yield [leaf.copy() for leaf in leaves([*step[:2], step.ending])]
        if step.ending:
            return


def _same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(
        _equal(a, b) for a, b in zip(one, other, strict=True)
    )


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    nans = all(np.issubdtype(array.dtype, np.inexact) for array in (one, other))
    return np.array_equal(one, other, equal_nan=nans)


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


def _value_findings(env: gymnasium.Env, observation: Any) -> Iterator[Finding]:
    space = getattr(env, "observation_space", None)
    if isinstance(space, spaces.Space):
        yield from value_findings(space, observation)


def _overwritten(before: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Finding]:
    """Whether the step changed the arrays of the observation before it."""
    if not all(_equal(now, then) for now, then in before):
        yield warning(
            "observation",
            "a new array at each step",
            "the array of the step before, with new numbers in it",
            "Return a copy: who keeps observations would find them all alike.",
        )


def _largest(env: gymnasium.Env, observation: Any) -> float:
    measured = measures(getattr(env, "observation_space", None), observation)
    sizes = [np.max(np.abs(x[np.isfinite(x)]), initial=0.0) for x in measured]
    return float(max(sizes, default=0.0))
