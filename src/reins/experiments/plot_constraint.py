"""Pictures of a learned constraint: a map of its cost, with what is known around it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from reins.envs import Rule
from reins.experiments.cost_map import Axis, CostMap, Curve
from reins.experiments.plot import ALLOWED, FORBIDDEN, PALETTE, lap_axes, save_figure

COST = LinearSegmentedColormap.from_list("cost", [ALLOWED, FORBIDDEN])
VISITS = LinearSegmentedColormap.from_list("visits", ["#f6f7f8", PALETTE[0]])
COLOURS = {"demonstrations": PALETTE[0], "agent": "#26262b"}
HATCH, EDGE = "#8d8778", PALETTE[2]
LABEL = "cost 1 − ζ"
SMOOTH = 0.04
"""Of the picture's side; episodes with larger steps are drawn as dots."""
DOTS = 800
Episodes = Mapping[str, Sequence[np.ndarray]]
"""By who played them, the inputs of each episode's steps: (T, n)."""


def draw_cost_map(
    path: Path, found: CostMap, episodes: Episodes, *, title: str
) -> None:
    """The cost over one or two inputs, with episodes, boundary and valid ranges."""
    if len(found.axes) == 1:
        figure = _curve_figure(found.axes[0], episodes)
    elif len(found.costs) == 1:
        figure = _joint_figure(found, episodes)
    else:
        figure = _panels_figure(found, episodes)
    figure.suptitle(f"{title}\n", fontsize=10, x=0.01, ha="left")
    note = found.others
    figure.text(0.01, 0.963, note, fontsize=8, color="#6c757d", ha="left", va="top")
    save_figure(figure, path)


def draw_lap_costs(
    path: Path,
    rule: Rule,
    costs: np.ndarray,
    visits: Mapping[str, np.ndarray],
    *,
    coins: Sequence[int],
    actions: Sequence[str],
    title: str,
) -> None:
    """The true rule and the cost of each action in each cell, and who goes where.

    Args:
      costs: of the rule's pairs.
      visits: by who played, the share of steps on each of them.
    """
    tables = {"true rule": rule.forbidden.astype(float), LABEL: costs}
    shares = {f"steps: {name}": share for name, share in visits.items()}
    columns = len(tables) + len(shares)
    rows = len(actions)
    figure = Figure(
        figsize=(2.6 * columns + 0.9, 2.8 * rows + 0.3), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for column, (name, pairs) in enumerate([*tables.items(), *shares.items()]):
        colours = COST if column < len(tables) else VISITS
        most = 1.0 if column < len(tables) else max(pairs.max(), 1e-9)
        for row, values in enumerate(pairs.reshape(rows, -1)):
            axes = grid[row, column]
            lap_axes(axes, colours(values / most), coins, turn=1 - 2 * row)
            told = f"{values.min():.2f} to {values.max():.2f}"
            if column >= len(tables):
                told = f"{100 * values.sum():.3g} % of all steps"
            axes.set_xlabel(told, fontsize=8)
            if row == 0:
                axes.set_title(name, fontsize=9)
            if column == 0:
                axes.set_ylabel(actions[row], fontsize=9)
    _colour_bar(figure, list(grid.flat))
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    save_figure(figure, path)


def _joint_figure(found: CostMap, episodes: Episodes) -> Figure:
    """The map, with the curve along each input at its side."""
    figure = Figure(figsize=(8.6, 6.6), layout="constrained")
    grid: Any = figure.subplots(
        2,
        2,
        width_ratios=[4, 1.15],
        height_ratios=[1.15, 4],
        sharex="col",
        sharey="row",
    )
    main, top, right = grid[1, 0], grid[0, 0], grid[1, 1]
    across, up = found.axes
    (costs,) = found.costs.values()
    _map(main, across, up, costs, episodes)
    main.set_ylabel(up.name)
    _along(top, across)
    _along(right, up, upright=True)
    top.set_ylabel("cost")
    right.set_xlabel("cost")
    grid[0, 1].axis("off")
    marks = _legend(found.axes, episodes)
    grid[0, 1].legend(handles=marks, frameon=False, fontsize=8, loc="center")
    _colour_bar(figure, [main, right])
    return figure


def _panels_figure(found: CostMap, episodes: Episodes) -> Figure:
    """A map for each discrete action; each with the steps in which it was chosen."""
    n = len(found.costs)
    columns = min(n, 3)
    rows = -(-n // columns)
    size = (3.4 * columns + 0.9, 3.1 * rows + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    across, up = found.axes
    panels = list(grid.flat)
    for place, (axes, (action, costs)) in enumerate(
        zip(panels, found.costs.items(), strict=False)
    ):
        _map(axes, across, up, costs, _choosing(episodes, place - n))
        axes.set_title(action, fontsize=9)
        if place % columns == 0:
            axes.set_ylabel(up.name)
    for axes in panels[n:]:
        axes.axis("off")
    marks = _legend(found.axes, episodes)
    figure.legend(
        handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    _colour_bar(figure, panels)
    return figure


def _choosing(episodes: Episodes, code: int) -> Episodes:
    """The steps whose one-hot code of the action has its 1 at this place."""
    return {
        name: [rows[rows[:, code] > 0.5] for rows in found]
        for name, found in episodes.items()
    }


def _curve_figure(axis: Axis, episodes: Episodes) -> Figure:
    """The cost along one input, and below it where the steps of the episodes are."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    top, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    _along(top, axis)
    top.set_ylabel(LABEL)
    edges = np.linspace(axis.values[0], axis.values[-1], 61)
    for name, found in episodes.items():
        values = np.concatenate(list(found))[:, axis.place]
        counts, _ = np.histogram(values, bins=edges)
        below.stairs(
            counts / len(values), edges, color=COLOURS[name], fill=True, alpha=0.45
        )
    below.set_ylabel("share of\nsteps", fontsize=8)
    below.yaxis.set_major_locator(MaxNLocator(2))
    below.set_xlabel(axis.name)
    marks = _legend([axis], episodes)
    if len(axis.curves) > 1:
        marks = [
            Line2D([], [], color=colour, label=action)
            for action, colour in zip(axis.curves, PALETTE, strict=False)
        ] + marks
    figure.legend(
        handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def _map(
    axes: Axes,
    across: Axis,
    up: Axis,
    costs: np.ndarray,
    episodes: Episodes,
) -> None:
    extent = (across.values[0], across.values[-1], up.values[0], up.values[-1])
    axes.imshow(
        costs,
        origin="lower",
        extent=extent,
        aspect="auto",
        cmap=COST,
        vmin=0.0,
        vmax=1.0,
        interpolation="bilinear",
    )
    if costs.min() < 0.5 < costs.max():
        axes.contour(
            across.values, up.values, costs, [0.5], colors=EDGE, linewidths=1.8
        )
    for name, found in episodes.items():
        _steps(axes, found, across, up, COLOURS[name])
    _outside(axes, across, up)
    for axis, line in ((across, axes.axvline), (up, axes.axhline)):
        if axis.boundary is not None:
            line(axis.boundary.at, color="black", ls="--", lw=1.4)
        for at in _clips(axis):
            line(at, color=HATCH, ls=":", lw=1.0)
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.grid(visible=False)
    axes.set_xlabel(across.name)


def _steps(
    axes: Axes, found: Sequence[np.ndarray], across: Axis, up: Axis, colour: str
) -> None:
    """Episodes as lines where they go on smoothly, else as some of their steps."""
    places = [across.place, up.place]
    sizes = np.ptp([across.values, up.values], axis=1)
    jumps = [np.abs(np.diff(rows[:, places], axis=0)) / sizes for rows in found]
    smooth = np.mean(np.concatenate(jumps)) < SMOOTH
    if smooth and across.curves.keys() == {""}:
        for rows in found:
            axes.plot(*rows[:, places].T, color=colour, lw=0.6, alpha=0.6)
        return
    rows = np.concatenate(list(found))
    rows = rows[:: max(1, len(rows) // DOTS)]
    axes.plot(*rows[:, places].T, ".", color=colour, ms=2.5, alpha=0.5)


def _outside(axes: Axes, across: Axis, up: Axis) -> None:
    """Hatch what lies outside the ranges that were seen, and frame what is inside."""
    if across.seen is None or up.seen is None:
        return
    (left, right), (low, high) = across.seen, up.seen
    x, y = across.values[[0, -1]], up.values[[0, -1]]
    hatch: dict[str, Any] = {
        "facecolor": "none",
        "edgecolor": HATCH,
        "hatch": "///",
        "lw": 0.0,
        "alpha": 0.55,
    }
    for x0, x1, y0, y1 in (
        (x[0], left, y[0], y[1]),
        (right, x[1], y[0], y[1]),
        (max(left, x[0]), min(right, x[1]), y[0], low),
        (max(left, x[0]), min(right, x[1]), high, y[1]),
    ):
        if x1 > x0 and y1 > y0:
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **hatch))
    frame = Rectangle((left, low), right - left, high - low)
    frame.set(facecolor="none", edgecolor="#5d584d", lw=1.0)
    axes.add_patch(frame)


def _along(axes: Axes, axis: Axis, *, upright: bool = False) -> None:
    """The cost along one input, outside of what was seen in grey."""

    def band(curve: Curve, colour: str) -> None:
        fill = axes.fill_betweenx if upright else axes.fill_between
        fill(axis.values, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
        points = (curve.mean, axis.values) if upright else (axis.values, curve.mean)
        axes.plot(*points, color=colour, lw=1.8)

    several = len(axis.curves) > 1
    for curve, colour in zip(axis.curves.values(), PALETTE, strict=False):
        band(curve, colour if several else FORBIDDEN)
    span, line = (
        (axes.axhspan, axes.axhline) if upright else (axes.axvspan, axes.axvline)
    )
    if axis.seen is not None:
        ends = axis.values[0], axis.values[-1]
        for low, high in ((ends[0], axis.seen[0]), (axis.seen[1], ends[1])):
            if high > low:
                span(low, high, facecolor="none", edgecolor=HATCH, hatch="///", lw=0)
    if axis.boundary is not None:
        line(axis.boundary.at, color="black", ls="--", lw=1.4)
    for at in _clips(axis):
        line(at, color=HATCH, ls=":", lw=1.0)
    half = axes.axvline if upright else axes.axhline
    half(0.5, color="#999", lw=0.8)
    (axes.set_xlim if upright else axes.set_ylim)(-0.03, 1.03)
    (axes.set_ylim if upright else axes.set_xlim)(axis.values[0], axis.values[-1])
    (axes.set_xticks if upright else axes.set_yticks)([0.0, 0.5, 1.0])


def _clips(axis: Axis) -> list[float]:
    """Where, of what is drawn, the input is clipped."""
    low, high = axis.values[0], axis.values[-1]
    return [at for at in (-axis.clip, axis.clip) if low < at < high]


def _legend(axes: Sequence[Axis], episodes: Episodes) -> list[Any]:
    marks: list[Any] = [
        Line2D([], [], color=COLOURS[name], lw=1.5, label=name) for name in episodes
    ]
    if len(axes) == 2:
        marks.append(Line2D([], [], color=EDGE, lw=1.8, label="mean cost 1/2"))
    edges = [axis.boundary for axis in axes if axis.boundary is not None]
    if edges:
        label = f"true boundary ({edges[0].at:g})"
        marks.append(Line2D([], [], color="black", ls="--", lw=1.4, label=label))
    if any(axis.seen is not None for axis in axes):
        hatch = Patch(facecolor="none", edgecolor=HATCH, hatch="///", lw=0)
        hatch.set_label("not seen while learning")
        marks.append(hatch)
    clips = [axis.clip for axis in axes if _clips(axis)]
    if clips:
        label = f"all the same beyond ±{clips[0]:g}"
        marks.append(Line2D([], [], color=HATCH, ls=":", label=label))
    return marks


def _colour_bar(figure: Figure, panels: Sequence[Axes]) -> None:
    scale = ScalarMappable(Normalize(0, 1), COST)
    bar = figure.colorbar(scale, ax=list(panels), shrink=0.8, aspect=32)
    bar.set_label(f"{LABEL}   (0 allowed, 1 forbidden)")
