"""The picture of the study `baselines`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.studies.baselines import HORIZONS, STATES
from reins.lab.study import Study

STYLES = {
    "none": (PALETTE[3], "o"),
    "constant": (PALETTE[2], "s"),
    "optimal constant": (PALETTE[1], "^"),
    "time": (PALETTE[5], "v"),
    "state": (PALETTE[0], "D"),
    "advantage": (PALETTE[4], "P"),
}


def draw_baselines(study: Study) -> Figure:
    """Variance against the number of trajectories, and updates that go the right way.

    Args: `study` is what `reins.lab.studies.baselines.baselines_study` returns.
    """
    figure = Figure(figsize=(7.4, 5.4), layout="constrained")
    grid = figure.subplots(len(HORIZONS), 1 + len(STATES), sharex=True)
    for line, horizon in zip(grid, HORIZONS, strict=True):
        steps = f"{horizon} step{'s' if horizon > 1 else ''}"
        _variance(line[0], study, horizon)
        line[0].set_ylabel(f"{steps}: variance, reward²")
        for axes, state in zip(line[1:], STATES, strict=True):
            _right(axes, study, horizon, f"right_{state}")
    for axes, state in zip(grid[0, 1:], STATES, strict=True):
        axes.set_title(f"{state} state", fontsize=9)
    for axes in grid[:, 1]:
        axes.set_ylabel("share of updates, right way")
    for axes in grid[-1]:
        axes.set_xlabel("trajectories")
    lines, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        *(lines, labels), ncols=4, frameon=False, fontsize=8, loc="outside upper center"
    )
    return figure


def _columns(study: Study, horizon: int, baseline: str) -> dict[str, np.ndarray]:
    rows = [
        row
        for row in study.rows
        if (row["horizon"], row["baseline"]) == (horizon, baseline)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _axis(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(columns["samples"], [str(n) for n in columns["samples"]])
    axes.minorticks_off()


def _variance(axes: Axes, study: Study, horizon: int) -> None:
    """Fixed baselines are lines, leave-one-out ones the points beside them."""
    for name, (colour, marker) in STYLES.items():
        columns = _columns(study, horizon, name)
        x = columns["samples"]
        axes.plot(x, columns["exact_variance"], color=colour, lw=1.2)
        axes.plot(x, columns["variance"], marker, color=colour, ms=4, label=name)
        axes.set_yscale("log")
        _axis(axes, columns)
    axes.plot([], [], color="black", lw=1.2, label="baseline known, exact")


def _right(axes: Axes, study: Study, horizon: int, column: str) -> None:
    for name, (colour, marker) in STYLES.items():
        columns = _columns(study, horizon, name)
        x, y = columns["samples"], columns[column]
        axes.plot(x, y, marker=marker, color=colour, ms=4, lw=1.4)
        low, high = columns[f"{column}_low"], columns[f"{column}_high"]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        _axis(axes, columns)
    axes.axhline(0.5, color="black", lw=0.6)
    axes.set_ylim(0.3, 1.03)
