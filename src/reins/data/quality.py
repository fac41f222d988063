"""What is wrong or suspicious about demonstrations, all of it at once."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from gymnasium import spaces

from reins.data.alignment import MAX_FEATURES, alignment
from reins.data.demonstrations import (
    faults_of_env,
    faults_of_episodes,
    faults_of_fit,
    values_outside,
)

Episodes = Sequence[np.ndarray]
Forbidden = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(observations, actions), one row per step -> which of the steps are forbidden."""

FEW_EPISODES = 10
UNEQUAL_LENGTHS = 5
OFTEN = 0.5
"""Share of the episodes from which on the same oddity is no accident."""


class Finding(NamedTuple):
    """Something that was found in demonstrations.

    Attributes:
      severity: `error`: they cannot be used. `warning`: they can, and look wrong.
      check: a short name of what was looked at.
      message: what was found, with numbers, and what it means.
    """

    severity: Literal["error", "warning"]
    check: str
    message: str


def findings(
    observations: Episodes,
    actions: Episodes,
    rewards: Episodes,
    *,
    env_id: str,
    env_ids: Sequence[str] = (),
    observation_space: spaces.Space | None = None,
    action_space: spaces.Space | None = None,
    forbidden: Mapping[str, Forbidden] | None = None,
) -> list[Finding]:
    """Everything that is wrong or suspicious, errors first.

    Episodes that are no demonstrations (other lengths, NaN) are looked at no further.

    Args:
      observations, actions, rewards: per episode, as `Demonstrations` has them.
      env_id: where they say that they were recorded.
      env_ids: the ids that count as the environment they are checked for; none where it
        is not known.
      observation_space, action_space: that environment's, where known.
      forbidden: rules by name; each says which steps it forbids.
    """
    whole = faults_of_episodes(observations, actions, rewards)
    found = [Finding("error", "episodes", fault) for fault in whole]
    if env_ids:
        found += [Finding("error", "env", f) for f in faults_of_env(env_id, env_ids)]
    if whole:
        return found
    misfits: list[str] = []
    if observation_space is not None and action_space is not None:
        misfits = faults_of_fit(observations, actions, observation_space, action_space)
        found += [Finding("error", "spaces", fault) for fault in misfits]
    warnings = [
        *_few(actions),
        *_repeated(observations, actions),
        *_unequal(actions),
        *_constant("action", "actions", actions),
        *_constant("observation", "observations", observations),
        *_resets(observations),
        *_shifted(observations, actions),
    ]
    if not misfits:
        if isinstance(observation_space, spaces.Box):
            outside = values_outside("observations", observations, observation_space)
            warnings += [("bounds", sentence) for sentence in outside]
        warnings += _violations(observations, actions, forbidden or {})
    return found + [Finding("warning", *warning) for warning in warnings]


Warnings = list[tuple[str, str]]


def _few(actions: Episodes) -> Warnings:
    n = len(actions)
    if n >= FEW_EPISODES:
        return []
    return [
        (
            "few-episodes",
            f"{n} of at least {FEW_EPISODES}: the likelihood of a constraint is a mean "
            f"over demonstrated episodes, and as uncertain as {n} draws are",
        )
    ]


def _repeated(observations: Episodes, actions: Episodes) -> Warnings:
    seen = {
        (np.asarray(o).tobytes(), np.asarray(a).tobytes())
        for o, a in zip(observations, actions, strict=True)
    }
    n = len(actions)
    if len(seen) == n:
        return []
    found = "all the same" if len(seen) == 1 else f"only {len(seen)} different ones"
    return [
        (
            "repeated",
            f"{n} episodes, {found}: a repetition shows nothing new. Right for a "
            "deterministic expert in a deterministic environment",
        )
    ]


def _unequal(actions: Episodes) -> Warnings:
    lengths = np.asarray([len(a) for a in actions])
    if lengths.max() <= UNEQUAL_LENGTHS * lengths.min():
        return []
    return [
        (
            "lengths",
            f"episodes last from {lengths.min()} to {lengths.max()} steps (median "
            f"{np.median(lengths):g}): an episode cut short by mistake is learned from "
            "as if the demonstrator had stopped there",
        )
    ]


def _constant(one: str, many: str, arrays: Episodes) -> Warnings:
    rows = np.concatenate([np.reshape(x, (len(x), -1)) for x in arrays])
    never = np.flatnonzero(np.all(rows == rows[0], axis=0))
    if len(never) == 0:
        return []
    if len(never) == rows.shape[1]:
        found = f"no {one} ever changes: all {many} are {_shown(rows[0])}"
    else:
        found = f"{one} dimensions {ranges(never)} never change"
    return [(f"constant-{many}", f"{found}. Nothing can be learned along them")]


def _resets(observations: Episodes) -> Warnings:
    """Episodes whose last observation is the first one of the next.

    It is where the two are equal though episodes begin differently. Where they always
    begin in the same way, or the first observations are missing, the last step shows
    it: it is unlike every step inside (farther from the nearest of them than any of
    them is from its own nearest), and more than halves the distance to the nearest
    first observation.
    """
    if np.prod(np.shape(observations[0])[1:]) > MAX_FEATURES:
        return []
    rows = [np.reshape(o, (len(o), -1)).astype(np.float64) for o in observations]
    inside = np.concatenate([np.diff(o[:-1], axis=0) for o in rows])
    if len(inside) < 2:
        return []
    inside = inside[np.linspace(0, len(inside) - 1, min(len(inside), 1000)).astype(int)]
    step = _scale(np.sqrt(np.mean(inside**2, axis=0)))
    between = _squares(inside / step, inside / step)
    np.fill_diagonal(between, np.inf)
    last = np.stack([o[-1] - o[-2] for o in rows])
    jumps = _squares(last / step, inside / step).min(axis=1) > between.min(axis=1).max()
    firsts, before, ends = (np.stack([o[k] for o in rows]) / step for k in (0, -2, -1))
    nearer = 4 * _squares(ends, firsts).min(axis=1) < _squares(before, firsts).min(
        axis=1
    )
    onto = [np.array_equal(o[-1], n[0]) for o, n in itertools.pairwise(rows)]
    differ = bool(np.any(firsts != firsts[0]))
    count = int(np.sum((jumps & nearer) | (differ & np.asarray([*onto, False]))))
    if count < max(2, OFTEN * len(rows)):
        return []
    return [
        (
            "resets",
            f"{count} of {len(rows)} episodes seem to end on the first observation of "
            "the next one, after the reset. Record what was seen before it, or leave "
            "the last step out. (Right if one recording was cut into episodes)",
        )
    ]


def _scale(sizes: np.ndarray) -> np.ndarray:
    return np.where(sizes > 0.0, sizes, 1.0)


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distance of each row of x to each row of y."""
    products = x @ y.T
    squares = np.sum(x**2, axis=1)[:, None] - 2 * products + np.sum(y**2, axis=1)
    return np.maximum(squares, 0.0)


def _shifted(observations: Episodes, actions: Episodes) -> Warnings:
    found = alignment(observations, actions)
    if found is None or found.shift == 0:
        return []
    fits, stands, mend = {
        1: (
            "a_{t+1}",
            "the observation that it led to",
            "observations[:-1] with actions[1:]",
        ),
        -1: (
            "a_{t-1}",
            "the observation before the one that it answered",
            "observations[1:] with actions[:-1]",
        ),
    }[found.shift]
    left, now = found.unexplained[found.shift], found.unexplained[0]
    return [
        (
            "alignment",
            f"actions look shifted by one: each stands beside {stands}. From s_t and "
            f"s_{{t+1}} a fit leaves {100 * left:.0f} % of {fits} unexplained, and "
            f"{100 * now:.0f} % of a_t. Pair {mend}",
        )
    ]


def _violations(
    observations: Episodes, actions: Episodes, forbidden: Mapping[str, Forbidden]
) -> Warnings:
    seen = np.concatenate([o[:-1] for o in observations])
    done = np.concatenate(list(actions))
    warnings = []
    for name, rule in forbidden.items():
        count = int(np.sum(rule(seen, done)))
        if count:
            share = 100 * count / len(done)
            warnings.append(
                (
                    "violations",
                    f"{count} of {len(done)} steps ({share:.2g} %) are forbidden by "
                    f"{name}; whatever is demonstrated is taken for allowed",
                )
            )
    return warnings


def ranges(numbers: np.ndarray) -> str:
    """Whole numbers in rising order, runs of them shortened: 0, 3-5."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(
        f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs
    )


def _shown(values: np.ndarray) -> str:
    text = ", ".join(f"{value:.4g}" for value in values[:6])
    return text + (", ..." if len(values) > 6 else "")
