"""The picture of the study `spaces`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from reins.experiments.plot import PALETTE
from reins.lab.studies.spaces import ESTIMATORS, EVOLUTION, RANKED, curve
from reins.lab.study import Study

STYLES = {
    ESTIMATORS[0]: (PALETTE[2], "o", "-"),
    ESTIMATORS[1]: (PALETTE[0], "D", "-"),
    EVOLUTION[0]: (PALETTE[1], "s", "-"),
    EVOLUTION[1]: (PALETTE[5], "^", "-"),
    RANKED: (PALETTE[3], "v", "--"),
}


def draw_spaces(study: Study) -> Figure:
    """Error and cosine against smoothing, variance against D, error against T.

    Args: `study` is what `reins.lab.studies.spaces.spaces_study` returns.
    """
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    (error, cosine), (dimension, horizon) = figure.subplots(2, 2)
    episodes = study.findings["episodes"]
    for axes, part, column in (
        (error, "smoothing", "error"),
        (cosine, "smoothing", "cosine"),
        (dimension, "dimension", "variance_per_episode"),
        (horizon, "horizon", "error"),
    ):
        _lines(axes, study, part, column)
    bias = curve(study.rows, "smoothing", EVOLUTION[0], "bias")
    x = curve(study.rows, "smoothing", EVOLUTION[0], "smoothing")
    error.plot(x, np.maximum(bias, 1e-12), ":", color=PALETTE[1], lw=1.6)
    error.annotate(
        "bias of evolution",
        (x[1], bias[1]),
        xytext=(6, -8),
        textcoords="offset points",
        fontsize=8,
        color=PALETTE[1],
    )
    error.set_ylim(bottom=0.3 * max(min(bias), 1e-4))
    horizon.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    horizon.yaxis.set_major_formatter("{x:g}")
    cosine.set_yscale("linear")
    cosine.set_ylim(min(0.0, cosine.get_ylim()[0]), 1.03)
    for axes in (error, horizon):
        axes.set_ylabel(f"error / |∇J|, {episodes} episodes")
    cosine.set_ylabel("cosine with ∇J")
    dimension.set_ylabel("variance per episode, reward²")
    for axes in (error, cosine):
        axes.set_xlabel("smoothing σ, logits")
    dimension.set_xlabel("number of parameters D")
    horizon.set_xlabel("horizon T, steps")
    lines, labels = cosine.get_legend_handles_labels()
    figure.legend(
        *(lines, labels), ncols=3, frameon=False, fontsize=8, loc="outside upper center"
    )
    return figure


def _lines(axes: Axes, study: Study, part: str, column: str) -> None:
    for name, (colour, marker, dashes) in STYLES.items():
        if name == RANKED and column != "cosine":
            continue
        x = curve(study.rows, part, name, part)
        y = curve(study.rows, part, name, column)
        axes.plot(x, y, dashes, marker=marker, color=colour, ms=4, lw=1.4, label=name)
        mine = [
            row for row in study.rows if (row["part"], row["estimator"]) == (part, name)
        ]
        if len(mine) > len(x):  # several MDPs: each a faint point
            axes.plot(*_columns(mine, part, column), ".", color=colour, alpha=0.4, ms=4)
        else:
            low, high = _columns(mine, f"{column}_low", f"{column}_high")
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    axes.set_yscale("log")
    axes.set_xscale("log", base=10 if part == "smoothing" else 2)
    x = curve(study.rows, part, RANKED, part)
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.minorticks_off()


def _columns(rows: list[dict[str, Any]], *names: str) -> list[list[float]]:
    return [[row[name] for row in rows] for name in names]
