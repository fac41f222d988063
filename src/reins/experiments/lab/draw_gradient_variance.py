"""The picture of the study `gradient-variance`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

STYLES = {
    "none": ("black", "o"),
    "constant": (PALETTE[2], "s"),
    "optimal constant": (PALETTE[1], "^"),
    "best constant": (PALETTE[3], "x"),
    "time": (PALETTE[5], "v"),
    "state": (PALETTE[0], "D"),
    "state, refitted": (PALETTE[4], "P"),
    "state and time": ("#9c6b4f", "X"),
}
FOLLOWED = "G$_t$, mean ± deviation; in colour, baselines of the reward-to-go"
CREDITS = ("total-return", "reward-to-go")


def draw_gradient_variance(study: Study) -> Figure:
    """Variance by stage, a panel for each credit; below, what a baseline can follow.

    Variances are shares of that of the total return without a baseline. Marks are
    geometric means over policies with their intervals, dots single policies. Drawn for
    the most episodes of an estimate.

    Args: `study` is what `reins.lab.studies.gradient_variance` returns.
    """
    figure = Figure(figsize=(7.4, 6.2), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(1.5, 1.0))
    upper, lower = halves
    panels = upper.subplots(1, len(CREDITS), sharey=True)
    for axes, credit in zip(panels, CREDITS, strict=True):
        _variances(axes, study, credit)
        axes.set_title(credit, fontsize=9)
    panels[0].set_ylabel("variance / total return's without a baseline")
    lines, labels = panels[-1].get_legend_handles_labels()
    upper.legend(
        *(lines, labels), ncols=4, frameon=False, fontsize=8, loc="outside upper center"
    )
    stages = sorted({int(stage) for _, stage in study.fields["policies"]})
    shown = sorted({stages[0], stages[(len(stages) + 1) // 2 - 1], stages[-1]})
    below = lower.subplots(1, len(shown), squeeze=False)[0]
    for axes, stage in zip(below, shown, strict=True):
        _returns(axes, study, stage)
    lower.axes[0].set_ylabel("return from step t on")
    lines, labels = lower.axes[0].get_legend_handles_labels()
    lower.legend(
        *(lines[:1], labels[:1]), frameon=False, fontsize=8, loc="outside upper center"
    )
    return figure


def _variances(axes: Axes, study: Study, credit: str) -> None:
    most = max(row["episodes"] for row in study.rows)
    rows = [x for x in study.rows if (x["credit"], x["episodes"]) == (credit, most)]
    names = list(dict.fromkeys(row["baseline"] for row in rows))
    for i, name in enumerate(names):
        colour, marker = STYLES[name]
        mine = [row for row in rows if row["baseline"] == name]
        single = [row for row in mine if row["seed"] != "all"]
        every = [row for row in mine if row["seed"] == "all"]
        # Beside each other, or intervals would hide one another.
        aside = 0.07 * (i - (len(names) - 1) / 2)
        x, y = _places(single, aside), _column(single, "of_total_return")
        axes.plot(x, y, ".", color=colour, ms=3, alpha=0.4)
        x, y = _places(every, aside), _column(every, "of_total_return")
        ends = [_column(every, f"of_total_return_{end}") for end in ("low", "high")]
        bars = np.abs(np.stack(ends) - y)
        axes.errorbar(
            *(x, y, bars), color=colour, marker=marker, ms=5, lw=0.8, label=name
        )
    levels = list(
        {row["stage"]: row["return"] for row in rows if row["seed"] == "all"}.values()
    )
    axes.set_yscale("log")
    axes.set_xticks(range(len(levels)), [f"{level:.0f}" for level in levels])
    axes.set_xlabel("mean return of the policies")


def _places(rows: list[dict[str, Any]], aside: float) -> np.ndarray:
    levels = sorted({row["stage"] for row in rows})
    return np.array([levels.index(row["stage"]) for row in rows]) + aside


def _column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], float)


def _returns(axes: Axes, study: Study, stage: int) -> None:
    """Of the first policy at a stage: G_t, and what stands against it."""
    fields = study.fields
    which = int(np.flatnonzero(fields["policies"][:, 1] == stage)[0])
    last = int(np.flatnonzero(fields["running"][which] >= 0.05)[-1]) + 1
    curve = {name: x[which, :last] for name, x in fields.items() if name != "policies"}
    t, mean, spread = np.arange(last), curve["returns"], curve["deviations"]
    grey = PALETTE[3]
    axes.fill_between(t, mean - spread, mean + spread, color=grey, alpha=0.25, lw=0)
    axes.plot(
        t,
        mean,
        color="black",
        lw=1.2,
        label="G$_t$, mean ± deviation; in colour, baselines of the reward-to-go",
    )
    for name, style in (
        ("constant", curve["returns"][0] * np.ones(last)),
        ("time", mean * curve["running"]),
        ("state", curve["agents"]),
        ("state, refitted", curve["refitted"]),
    ):
        axes.plot(t, style, color=STYLES[name][0], lw=1.2, label=name)
    axes.set_xlabel("step t")
