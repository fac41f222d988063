"""The picture of the study `grid-constraints`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reins.experiments.plot import ALLOWED, FORBIDDEN, PALETTE
from reins.lab.grids import MOVES, GridLayout, next_cells, published_grid
from reins.lab.studies.grid_rows import ALL, SEEN, select, share_exact
from reins.lab.study import Study

COLOURS = {"blue": PALETTE[0], "green": PALETTE[4]}
SHADES = LinearSegmentedColormap.from_list("cost", [ALLOWED, FORBIDDEN])
STRIP = 1.6
"""How far below the grid, in cells, the strip of moves is."""


def draw_grid_constraints(study: Study) -> Figure:
    """Costs on the 9 x 9 grid, planted and found; exact finds; the network's scores.

    Args: `study` is what `grid_constraints_study` returns.
    """
    figure = Figure(figsize=(9.2, 5.6), layout="constrained")
    halves = figure.add_gridspec(2, 1, height_ratios=(1.15, 1.0))
    above, below = (figure.add_subfigure(half) for half in halves)
    layout = published_grid()
    names = ["planted", "MLCI", *(f"network, {seen}" for seen in SEEN)]
    for axes, name in zip(above.subplots(1, len(names)), names, strict=True):
        _map(axes, layout, study.fields[name], study.fields["reached"])
        axes.set_title(name, fontsize=9)
    left, middle, right = below.subplots(1, 3)
    _exact(left, study, published=True)
    _exact(middle, study, published=False)
    _areas(right, study)
    return figure


def _map(
    axes: Axes, layout: GridLayout, costs: np.ndarray, reached: np.ndarray
) -> None:
    """Median costs: of entering each cell, and, below, of making each move.

    Over steps from `reached` cells; what cannot be entered from these is left white.
    """
    arrived = next_cells(layout.height, layout.width)
    cells = np.full(layout.cells, np.nan)
    for cell in range(layout.cells):
        into = reached[:, None] & (arrived == cell)
        if into.any():
            cells[cell] = np.median(costs[into])
    grid = cells.reshape(layout.height, layout.width)
    axes.imshow(grid, origin="lower", cmap=SHADES, vmin=0, vmax=1)
    for name, of in layout.colours.items():
        for cell in of:
            row, column = divmod(cell, layout.width)
            corner = (column - 0.42, row - 0.42)
            edge = {"fill": False, "edgecolor": COLOURS[name], "lw": 1.6}
            axes.add_patch(Rectangle(corner, 0.84, 0.84, **edge))
    for cell, letter in ((layout.start, "S"), (layout.goal, "G")):
        row, column = divmod(cell, layout.width)
        axes.text(column, row, letter, ha="center", va="center", fontsize=8)
    for i, (up, across) in enumerate(MOVES.values()):
        x = i * (layout.width - 1) / (len(MOVES) - 1)
        cost = np.median(costs[reached, i])
        box = Rectangle((x - 0.5, -STRIP - 0.5), 1.0, 1.0, color=SHADES(cost))
        axes.add_patch(box)
        length = 0.35 / np.hypot(up, across)
        tail = (x - across * length, -STRIP - up * length)
        head = (x + across * length, -STRIP + up * length)
        style = {"arrowstyle": "->", "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=head, xytext=tail, arrowprops=style)
    axes.set_xlim(-0.6, layout.width - 0.4)
    axes.set_ylim(-STRIP - 0.6, layout.height - 0.4)
    axes.axis("off")


def _exact(axes: Axes, study: Study, *, published: bool) -> None:
    """The share of exact finds by the number of trajectories, for each threshold."""
    some = [r for r in study.rows if r["method"] == "MLCI"]
    numbers = sorted({r["demonstrations"] for r in some if r["demonstrations"] != ALL})
    stops = {r["threshold"] for r in some if r["demonstrations"] != ALL}
    every = share_exact(select(some, published=published, demonstrations=ALL))
    end = numbers[-1] * 10
    for colour, stop in zip(PALETTE, sorted(stops, reverse=True), strict=False):
        shares = [
            share_exact(
                select(some, published=published, demonstrations=n, threshold=stop)
            )
            for n in numbers
        ]
        axes.plot(numbers, shares, "o-", color=colour, ms=4, label=f"stop at {stop:g}")
    axes.plot([end], [every], "D", color="black", ms=5, clip_on=False)
    axes.set_xscale("log")
    axes.set_xticks([*numbers, end], [*(f"{n:,}" for n in numbers), ALL])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("demonstrations")
    axes.set_ylabel("share exact, " + ("9 x 9" if published else "random grids"))
    if published:
        axes.legend(frameon=False, fontsize=7.5, loc="upper left")


def _areas(axes: Axes, study: Study) -> None:
    """The network's area under the curve on every random grid; bars are medians."""
    kinds: dict[tuple[str, Any], None] = {}
    for row in study.rows:
        if row["method"] != "MLCI":
            kinds[row["method"], row["demonstrations"]] = None
    for place, (method, number) in enumerate(kinds):
        of = {"method": method, "demonstrations": number}
        rows = select(study.rows, published=False, **of)
        values = np.array([row["auc"] for row in rows])
        colour = PALETTE[0] if number == ALL else PALETTE[1]
        spread = np.linspace(-0.3, 0.3, len(values))
        axes.plot(place + spread, values, ".", color=colour, ms=3, alpha=0.6, mew=0)
        axes.plot(
            [place - 0.35, place + 0.35], [np.nanmedian(values)] * 2, color=colour
        )
        single = select(study.rows, published=True, **of)[0]["auc"]
        axes.plot([place], [single], "D", color="black", ms=4)
    labels = [f"{method.split(', ')[1]}\n{number}" for method, number in kinds]
    axes.set_xticks(range(len(kinds)), labels, fontsize=7)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("area under ROC of 1 − ζ")
