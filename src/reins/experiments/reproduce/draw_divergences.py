"""The pictures of rl-as-inference: S1's Figures 2 and 3, and how the cells ended."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.experiments.record import Curves
from reins.experiments.reproduce.cell import Asked, Results
from reins.experiments.reproduce.panels import QUIET, around, explain, not_run
from reins.experiments.reproduce.rl_as_inference import (
    LOSSES,
    REPLAYS,
    TASKS,
    cell_name,
)
from reins.experiments.statistics import exponential_average
from reins.lab.statistics import Interval

NAMES = {"reverse-kl": "reverse KL", "forward-kl": "forward KL"}
COLOURS: dict[str, str] = dict(zip(LOSSES, PALETTE, strict=False))
SMOOTHING = 0.9
"""S1's weight of what was before."""
_SMOOTHED = (
    f"mean over seeds, smoothed (EMA {SMOOTHING}; thin: as measured)\n"
    "band: {} over seeds"
)


def draw_humanoid(results: Results, asked: Asked) -> Figure:
    """S1's Figure 2: both losses on Humanoid, bands of one standard deviation."""
    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axes = figure.subplots()
    _panel(axes, results, "Humanoid-v5", "1M", asked, deviations=1.0)
    axes.set_title("Humanoid-v5, replay 1M", fontsize=9)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return per episode")
    explain(figure, _SMOOTHED.format("one standard deviation"), asked)
    return figure


def draw_robots(results: Results, asked: Asked) -> Figure:
    """S1's Figure 3: a row for each replay, bands of a quarter of a deviation."""
    figure = Figure(figsize=(13.0, 5.4), layout="constrained")
    grid = figure.subplots(len(REPLAYS), len(TASKS), squeeze=False)
    for row, replay in zip(grid, REPLAYS, strict=True):
        for axes, task in zip(row, TASKS, strict=True):
            _panel(axes, results, task, replay, asked, deviations=0.25)
        row[0].set_ylabel(f"replay {replay}\nreturn per episode")
    for axes, task in zip(grid[0], TASKS, strict=True):
        axes.set_title(task, fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("environment steps")
    explain(figure, _SMOOTHED.format("a quarter of a standard deviation"), asked)
    return figure


def _panel(
    axes: Axes,
    results: Results,
    task: str,
    replay: str,
    asked: Asked,
    *,
    deviations: float,
) -> None:
    """One task and replay: the losses that are finished, and how to get the others."""
    there = results.get(task, {})
    finished = [loss for loss in LOSSES if cell_name(replay, loss) in there]
    for loss in finished:
        _band(axes, there[cell_name(replay, loss)], loss, deviations)
    if finished:
        axes.ticklabel_format(axis="x", scilimits=(-3, 5))
        missing = [NAMES[loss] for loss in LOSSES if loss not in finished]
        if missing:
            told = f"{missing[0]}: not run yet"
            axes.text(0.97, 0.03, told, ha="right", transform=axes.transAxes, **QUIET)
        return
    not_run(axes, f"{asked.command} --only {task}/{replay}")


def _band(axes: Axes, curves: Curves, loss: str, deviations: float) -> None:
    """Mean over seeds of their smoothed curves, and thin the mean as it was measured.

    The deviation is that of the smoothed curves, with n − 1 below.
    """
    returns = curves.values["return"]
    n = returns.shape[1]
    smooth = exponential_average(returns, SMOOTHING)
    mean, spread = smooth.mean(axis=1), np.zeros(len(smooth))
    if n > 1:
        spread = deviations * smooth.std(axis=1, ddof=1)
    colour, steps = COLOURS[loss], curves.steps
    axes.plot(steps, returns.mean(axis=1), color=colour, lw=0.5, alpha=0.4)
    axes.plot(steps, mean, color=colour, lw=1.8, label=f"{NAMES[loss]} (n = {n})")
    axes.fill_between(
        steps, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0
    )


def draw_endings(
    means: Mapping[tuple[str, str, str], Interval],
    better: Mapping[tuple[str, str], Interval],
    over_tasks: Mapping[str, tuple[int, Interval]],
    asked: Asked,
) -> Figure:
    """Final returns with intervals, a panel to a task; which loss ends higher.

    Args: `means`, `better`, `over_tasks` are those of `divergences.Endings`.
    """
    figure = Figure(figsize=(13.0, 3.6), layout="constrained")
    *robots, last = figure.subplots(
        1, len(TASKS) + 1, width_ratios=[*[1.0] * len(TASKS), 1.7]
    )
    for axes, task in zip(robots, TASKS, strict=True):
        _final_returns(axes, task, means, asked)
    robots[0].set_ylabel("final return, IQM")
    _probabilities(last, better, over_tasks)
    told = (
        "interquartile means of the last evaluation, and P(forward > reverse), with "
        "95 % bootstrap intervals over seeds"
    )
    explain(figure, told, asked)
    return figure


def _final_returns(
    axes: Axes,
    task: str,
    means: Mapping[tuple[str, str, str], Interval],
    asked: Asked,
) -> None:
    axes.set_title(task, fontsize=9)
    places = [(replay, loss) for replay in REPLAYS for loss in LOSSES]
    if not any((task, *place) in means for place in places):
        not_run(axes, f"{asked.command} --only {task}")
        return
    for x, (replay, loss) in enumerate(places):
        if (found := means.get((task, replay, loss))) is not None:
            bars = axes.errorbar(
                x, found.value, around(found), fmt="o", color=COLOURS[loss]
            )
            bars.set_label(NAMES[loss])
        else:
            axes.text(
                *(x, 0.02, "not run yet"),
                transform=axes.get_xaxis_transform(),
                rotation=90,
                ha="center",
                **QUIET,
            )
    middles = [len(LOSSES) * (i + 0.5) - 0.5 for i in range(len(REPLAYS))]
    axes.set_xticks(middles, list(REPLAYS))
    axes.set_xlabel("replay")
    axes.set_xlim(-0.6, len(places) - 0.4)


def _probabilities(
    axes: Axes,
    better: Mapping[tuple[str, str], Interval],
    over_tasks: Mapping[str, tuple[int, Interval]],
) -> None:
    rows = [(f"{task}, {replay}", found) for (task, replay), found in better.items()]
    rows += [
        (f"{n} of {len(TASKS)} tasks, {replay}", found)
        for replay, (n, found) in over_tasks.items()
    ]
    for y, (_, found) in enumerate(rows):
        colour = "#222" if y < len(better) else PALETTE[4]
        axes.errorbar(found.value, y, xerr=around(found), fmt="o", color=colour)
    axes.axvline(0.5, color="black", lw=0.8, ls="--")
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7)
    axes.set_title("P(forward > reverse)", fontsize=9)
    if not rows:
        axes.text(0.5, 0.5, "no pair yet", ha="center", transform=axes.transAxes)
