"""The lines of the study's table: every policy, and every stage over its policies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reins.lab.statistics import Interval
from reins.lab.studies.gradient_variance.estimates import CREDITS
from reins.lab.studies.gradient_variance.measured import Measured
from reins.lab.studies.gradient_variance.variance import Draws

Found = Mapping[tuple[int, int], list[Measured]]
"""By (seed, stage): what was measured for each number of episodes."""


def rows_of(
    stages: Sequence[float],
    episodes: Sequence[int],
    baselines: Mapping[str, Sequence[str]],
    found: Found,
) -> list[dict[str, Any]]:
    """One line for each policy, number of episodes, credit and baseline.

    Then one, with the seed `all`, for each stage: geometric means over its policies,
    and the mean of their signals; intervals by drawing policies anew as well.
    """
    rows = []
    for stage, level in enumerate(stages):
        mine = {seed: each for (seed, s), each in found.items() if s == stage}
        if not mine:
            continue
        for i, n in enumerate(episodes):
            measured = {seed: each[i] for seed, each in mine.items()}
            earned = {seed: one.earned for seed, one in measured.items()}
            named = [(c, name) for c in baselines for name in baselines[c]]
            for credit, name in named:
                each = [_numbers(one, credit, name) for one in measured.values()]
                start = {"stage": level, "episodes": n}
                end = {"credit": credit, "baseline": name}
                for seed, numbers in zip(measured, each, strict=True):
                    line = {"seed": seed, **start, "return": earned[seed], **end}
                    rows.append(line | _intervals(numbers))
                mean = float(np.mean(list(earned.values())))
                line = {"seed": "all", **start, "return": mean, **end}
                rows.append(line | _intervals(_over_policies(each)))
    return rows


def _numbers(one: Measured, credit: str, name: str) -> dict[str, Draws | None]:
    variance = one.variances[credit, name]
    signal = one.signals.get((credit, name))
    square = one.squares.get((credit, name))
    return {
        "variance": variance,
        "ratio": variance / one.variances[credit, "none"],
        "of_total_return": variance / one.variances[CREDITS[0], "none"],
        "signal": signal,
        "signal_to_noise": None if signal is None else signal / variance,
        "square_ratio": (
            None
            if square is None
            else np.full_like(variance, square / one.squares[credit, "none"])
        ),
    }


def _over_policies(each: list[dict[str, Draws | None]]) -> dict[str, Draws | None]:
    """Means over policies, drawn anew in every resampling but the first."""
    generator = np.random.default_rng(1)
    columns = np.arange(len(each[0]["variance"]))  # pyright: ignore[reportArgumentType]
    which = generator.integers(len(each), size=(len(each), len(columns)))
    which[:, 0] = np.arange(len(each))
    found: dict[str, Draws | None] = {}
    for name in each[0]:
        if each[0][name] is None:
            found[name] = None
            continue
        drawn = np.stack([one[name] for one in each])[which, columns]  # pyright: ignore
        signal = name.startswith("signal")  # below 0 by chance where there is none
        mean = np.mean(drawn if signal else np.log(drawn), axis=0)
        found[name] = mean if signal else np.exp(mean)
    return found


def _intervals(numbers: Mapping[str, Draws | None]) -> dict[str, float | None]:
    line: dict[str, float | None] = {}
    for name, draws in numbers.items():
        whole = (None, None, None)
        if draws is not None:
            low, high = np.percentile(draws[1:], (2.5, 97.5))
            whole = Interval(float(draws[0]), float(low), float(high))
        ends = ("", "_low", "_high")
        line |= {name + e: x for e, x in zip(ends, whole, strict=True)}
    return line
