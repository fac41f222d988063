"""The pictures of inverse-constrained-rl: S2's learning, transfer and ablation."""

from collections.abc import Mapping
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE, PANELS
from reins.experiments.record import Curves
from reins.experiments.reproduce.cell import Asked, Results
from reins.experiments.reproduce.inverse_constrained_rl import (
    ABLATION,
    BACKWARD_STEPS,
    CHEETAH,
    METHODS,
    NO_RULE,
    STOPS,
    TRUE_RULE,
    WEIGHTS,
    ablation_name,
)
from reins.experiments.reproduce.panels import QUIET, around, explain, not_run
from reins.experiments.statistics import (
    bootstrap_interval,
    exponential_average,
    interquartile_mean,
)

COLOURS: dict[str, str] = dict(zip(METHODS, PALETTE, strict=False))
VARIANTS = dict(zip(product(WEIGHTS, STOPS), PALETTE, strict=False))
LINES = {TRUE_RULE: "--", NO_RULE: ":"}
SMOOTHING = 0.5
"""S2's weight of what was before."""
MEASURES = {
    "return": "true return",
    "violation_rate": PANELS["violation_rate"],
}
Rows = Mapping[str, tuple[str, Mapping[str, str]]]
"""By title: the table, and its cells by method."""


def draw_methods(rows: Rows, results: Results, asked: Asked, told: str) -> Figure:
    """Return in the constrained twin and violations in the nominal one, on the way.

    Args:
      rows: a row of panels each.
      told: what is drawn, for the caption.
    """
    figure = Figure(figsize=(9.0, 0.9 + 2.5 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(MEASURES), squeeze=False)
    for panels, (title, (table, cells)) in zip(grid, rows.items(), strict=True):
        for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
            axes.set_title(title, fontsize=9)
            axes.set_ylabel(label)
            _panel(axes, results.get(table, {}), cells, measure, asked, table)
    for axes in grid[-1]:
        axes.set_xlabel("environment steps of each seed")
    band = (
        f"{told}\nmean over seeds, smoothed (EMA {SMOOTHING}; thin: each seed, as "
        "measured); band: ± one standard error over seeds\ndashed, dotted: who knows "
        "the true rule, or no rule, at the end (IQM)"
    )
    explain(figure, band, asked)
    return figure


def _panel(
    axes: Axes,
    there: Mapping[str, Curves],
    cells: Mapping[str, str],
    measure: str,
    asked: Asked,
    table: str,
) -> None:
    """One measure of one table: what is finished, and how to get the rest."""
    finished = {m: there[name] for m, name in cells.items() if name in there}
    if not finished:
        not_run(axes, f"{asked.command} --only {table}")
        return
    for method, curves in finished.items():
        _band(axes, curves, measure, method)
    for name, style in LINES.items():
        if name in there:
            level = interquartile_mean(there[name].values[measure][-1])
            axes.axhline(level, color="black", lw=1, ls=style, label=name)
    axes.ticklabel_format(axis="x", scilimits=(-3, 5))
    missing = [method for method in cells if method not in finished]
    if missing:
        text, place = f"not run yet: {', '.join(missing)}", (0.97, 0.03)
        if measure != "return":  # which rises, while violations fall
            place = (0.97, 0.93)
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        at = {"ha": "right", "transform": axes.transAxes, "bbox": behind}
        axes.text(*place, text, **at, **QUIET)


def _band(axes: Axes, curves: Curves, measure: str, method: str) -> None:
    """The mean over seeds, smoothed, with the standard error as it was measured."""
    values, steps, colour = curves.values[measure], curves.steps, COLOURS[method]
    n = values.shape[1]
    mean = exponential_average(values.mean(axis=1), SMOOTHING)
    error = np.zeros(len(mean))
    if n > 1:
        error = values.std(axis=1, ddof=1) / np.sqrt(n)
    axes.plot(steps, values, color=colour, lw=0.4, alpha=0.4)
    axes.plot(steps, mean, color=colour, lw=1.8, label=f"{method} (n = {n})")
    axes.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.2, lw=0)


def draw_ablation(results: Results, asked: Asked) -> Figure:
    """How the cells of the ablation ended, by B: every seed, and IQM with interval."""
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    there = results.get(ABLATION, {})
    reference = results.get(CHEETAH, {}).get("icrl")
    panels = figure.subplots(1, len(MEASURES))
    for axes, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        axes.set_ylabel(f"{label} at the end")
        if not there:
            not_run(axes, f"{asked.command} --only {ABLATION}")
            continue
        for shift, ((weights, stop), colour) in enumerate(VARIANTS.items()):
            names = [ablation_name(b, weights, stop) for b in BACKWARD_STEPS]
            ends = [there[n].values[measure][-1] if n in there else None for n in names]
            _variant(axes, ends, 0.17 * (shift - 1.5), colour, f"{weights}, {stop}")
        if reference is not None:
            level = interquartile_mean(reference.values[measure][-1])
            told = "weights by return, B = 10"
            axes.axhline(level, color="black", lw=1, ls="--", label=told)
        axes.set_xticks(range(len(BACKWARD_STEPS)), [str(b) for b in BACKWARD_STEPS])
        axes.set_xlim(-0.5, len(BACKWARD_STEPS) - 0.5)
        axes.set_xlabel("B, gradient steps of ζ in a phase")
    told = (
        f"{CHEETAH}: importance weights of trajectories, and the early stop\n"
        "points: IQM with 95 % bootstrap intervals over seeds; small: each seed"
    )
    explain(figure, told, asked)
    return figure


def _variant(
    axes: Axes,
    ends: list[np.ndarray | None],
    shift: float,
    colour: str,
    label: str,
) -> None:
    """One variant at every B; an empty place says so."""
    for place, values in enumerate(ends):
        x = place + shift
        if values is None:
            where = axes.get_xaxis_transform()
            told = {"rotation": 90, "ha": "center", "transform": where, **QUIET}
            axes.text(x, 0.02, "not run yet", **told)
            continue
        found = bootstrap_interval(values)
        axes.plot([x] * len(values), values, ".", color=colour, ms=3, alpha=0.5)
        bars = axes.errorbar(x, found.value, around(found), fmt="o", color=colour, ms=5)
        bars.set_label(label)
