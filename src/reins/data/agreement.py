"""Whether demonstrations are what their environment would have shown and paid."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from reins.envs.check.finding import Finding, warning

Episodes = Sequence[np.ndarray]
Replay = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(observations, actions), one row a step -> next observations, rewards."""

STEPS = 256
"""So many steps are taken again, evenly from all."""
TOLERANCE = 0.1
"""In usual changes of an entry in a step, or usual deviations of a reward."""
SHARE = 0.05
"""From this share of steps on that come out otherwise it is no rounding."""
SHORT = 0.95
"""Of the environment's own limit; a step or two less is no other limit."""
USUAL = 0.5
"""The share of episodes whose common length looks like a time limit."""


def disagreements(
    observations: Episodes,
    actions: Episodes,
    rewards: Episodes,
    *,
    horizon: int | None = None,
    replay: Replay | None = None,
) -> Iterator[Finding]:
    """Another time limit, other dynamics, other rewards than the environment's.

    Args:
      observations, actions, rewards: per episode, as `Demonstrations` has them.
      horizon: steps after which the environment truncates an episode, where known.
      replay: takes steps again from what was observed, where that can be done.
    """
    if horizon is not None:
        yield from _horizon(np.asarray([len(a) for a in actions]), horizon)
    if replay is not None:
        yield from _replayed(observations, actions, rewards, replay)


def _horizon(lengths: np.ndarray, horizon: int) -> Iterator[Finding]:
    longer = int(np.sum(lengths > horizon))
    if longer:
        yield warning(
            "horizon",
            f"episodes of at most {horizon} steps, where the environment cuts them off",
            f"{longer} of {len(lengths)} longer ones, of up to {lengths.max()} steps",
            "Demonstrate in this environment, or give it that time limit with "
            f"--horizon {lengths.max()}, where it takes one.",
        )
        return
    values, counts = np.unique(lengths, return_counts=True)
    usual, often = int(values[counts.argmax()]), int(counts.max())
    if usual < SHORT * horizon and often > 1 and often >= USUAL * len(lengths):
        yield warning(
            "horizon",
            f"episodes that end by themselves, or after {horizon} steps",
            f"{often} of {len(lengths)} that end after {usual} steps",
            f"They look cut off. The agent's episodes are compared in their first "
            f"{lengths.max()} steps only, and it may do in the others what it likes; "
            f"--horizon {usual} makes them as long, where the environment takes it.",
        )


def _replayed(
    observations: Episodes, actions: Episodes, rewards: Episodes, replay: Replay
) -> Iterator[Finding]:
    before = np.concatenate([o[:-1] for o in observations])
    rows = np.unique(np.linspace(0, len(before) - 1, STEPS).astype(int))
    after = np.concatenate([o[1:] for o in observations])[rows].astype(np.float64)
    before = before[rows]
    paid = np.concatenate(list(rewards))[rows].astype(np.float64)
    shown, pays = replay(before, np.concatenate(list(actions))[rows])
    finite = np.isfinite(shown).all(axis=1) & np.isfinite(pays)
    before, after, paid = before[finite], after[finite], paid[finite]
    shown, pays = np.asarray(shown[finite], float), np.asarray(pays[finite], float)
    if not finite.any():
        return
    yield from _dynamics(before, after, shown)
    yield from _rewards(paid, pays)


def _dynamics(
    before: np.ndarray, after: np.ndarray, shown: np.ndarray
) -> Iterator[Finding]:
    change = np.sqrt(np.mean((after - before) ** 2, axis=0))
    away = np.abs(after - shown) / np.maximum(change, 1e-3)
    other = (away > TOLERANCE).any(axis=1)
    if np.mean(other) <= SHARE:
        return
    worst = int(np.median(away[other], axis=0).argmax())
    yield warning(
        "dynamics",
        "each observation where the environment's own step leads from the one before",
        f"{100 * np.mean(other):.3g} % of {len(other)} steps lead elsewhere; entry "
        f"{worst} of the observation to {after[other, worst].mean():.4g} where it "
        f"would be {shown[other, worst].mean():.4g}, in the mean",
        "They come from another environment, version or simulator, or are misaligned. "
        "What is learned from them is a rule for the agent here: see that what it is "
        "about (a place, a speed) means the same in both.",
    )


def _rewards(paid: np.ndarray, pays: np.ndarray) -> Iterator[Finding]:
    scale = max(float(np.std(np.concatenate([paid, pays]))), 1e-3)
    other = np.abs(paid - pays) > TOLERANCE * scale
    if np.mean(other) <= SHARE:
        return
    yield warning(
        "rewards",
        "what the environment pays for the same steps",
        f"{100 * np.mean(other):.3g} % of {len(other)} steps pay otherwise: "
        f"{paid.mean():.4g} in the mean where it pays {pays.mean():.4g}",
        "Their returns cannot be compared with the agent's (weights by return would "
        "be wrong). Record them again here, or name the arguments that they were "
        "recorded with.",
    )
