"""Error and bias of many estimators: a panel to a family and a problem."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

FAMILIES = {
    "score function": ("score_",),
    "off-policy": ("trajectory_ratio", "per_decision", "past_ratios", "per_step"),
    "surrogate, entropy": ("surrogate", "clipped_surrogate", "entropy_bonus"),
    "reverse KL": ("reverse_kl",),
    "forward KL": ("forward_kl",),
    "evolution": ("evolution",),
    "constraint": ("constraint_",),
}
OWN = "own"
SEEN = 1e-4  # below it is the rounding of float32
COLOURS = [*PALETTE, "#1b1b1b", "#a65628", "#17becf", "#bcbd22", "#e377c2"]


def draw_estimators(study: Study) -> Figure:
    """Relative error (lines) and bias (dots, where it is not 0) against sample size."""
    problems = list(dict.fromkeys(row["problem"] for row in study.rows))
    families = [f for f in [*FAMILIES, OWN] if any(_of(f, row) for row in study.rows)]
    figure = Figure(
        figsize=(2.5 * len(problems) + 2.2, 1.9 * len(families) + 0.7),
        layout="constrained",
    )
    grid = figure.subplots(
        len(families), len(problems), squeeze=False, sharex=True, sharey="row"
    )
    for axes_row, family in zip(grid, families, strict=True):
        rows = [row for row in study.rows if _of(family, row)]
        names = list(dict.fromkeys(row["estimator"] for row in rows))
        colours = dict(zip(names, _colours(len(names)), strict=True))
        for axes, problem in zip(axes_row, problems, strict=True):
            here = [row for row in rows if row["problem"] == problem]
            _panel(axes, here, colours, study.findings["exact_norms"])
        axes_row[0].set_ylabel(f"{family}\nrelative to ‖∇‖")
        handles = [Line2D([], [], color=c, lw=1.4) for c in colours.values()]
        labels = [_short(name, family) for name in names]
        axes_row[-1].legend(
            handles,
            labels,
            loc="center left",
            bbox_to_anchor=(1.02, 0.5),
            frameon=False,
            fontsize=7,
        )
    figure.legend(
        [
            Line2D([], [], color="black", lw=1.4),
            Line2D([], [], color="black", marker="o", ms=3, lw=0.8),
        ],
        ["error of one estimate (root mean square)", "its bias, 95 % interval"],
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    for axes, problem in zip(grid[0], problems, strict=True):
        axes.set_title(problem, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("samples")
    _sizes(grid[0, 0], study)
    return figure


def _sizes(axes: Axes, study: Study) -> None:
    """Last, and once: all panels share this axis, the empty ones too."""
    sizes = sorted({row["samples"] for row in study.rows})
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.xaxis.set_minor_locator(NullLocator())


def _panel(
    axes: Axes,
    rows: Sequence[dict[str, Any]],
    colours: dict[str, str],
    norms: dict[str, float],
) -> None:
    axes.set_yscale("log")
    axes.tick_params(labelsize=7)
    if not rows:
        axes.text(
            0.5,
            0.5,
            "cannot be\nmeasured here",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=7,
            color="#999",
        )
    for name, colour in colours.items():
        mine = [row for row in rows if row["estimator"] == name]
        if not mine:
            continue
        length = norms[f"{mine[0]['problem']}: {mine[0]['target']}"] or 1.0
        samples = np.array([row["samples"] for row in mine])
        error = np.sqrt([row["mse"] for row in mine]) / length
        axes.plot(samples, _visible(error), color=colour, lw=1.2)
        values = [_column(mine, f"bias_{x}") / length for x in ("norm", "low", "high")]
        seen = (values[1] > 0) & (values[0] > SEEN)
        norm, low, high = (v[seen] for v in values)
        axes.errorbar(
            samples[seen],
            norm,
            yerr=[norm - low, high - norm],
            color=colour,
            fmt="o",
            ms=2.8,
            lw=0.8,
        )


def _visible(values: np.ndarray) -> np.ndarray:
    """What is 0 but for rounding has no place on a logarithmic axis."""
    return np.where(values > SEEN, values, np.nan)


def _column(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], float)


def _of(family: str, row: dict[str, Any]) -> bool:
    name = row["estimator"]
    prefixes = FAMILIES.get(family)
    if prefixes is None:
        return not any(name.startswith(p) for ps in FAMILIES.values() for p in ps)
    return name.startswith(prefixes)


def _short(name: str, family: str) -> str:
    for prefix in FAMILIES.get(family, ()):
        if prefix.endswith("_") or prefix in ("reverse_kl", "forward_kl"):
            name = name.removeprefix(prefix).lstrip("_") or name
    return name.replace("_", " ")


def _colours(n: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]
