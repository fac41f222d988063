"""Pictures: learning curves as S2 draws them, and learned rules."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, Rectangle

from reins.envs.lap_picture import lap_corners
from reins.experiments.files import write_whole
from reins.experiments.record import Curves

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "figure.dpi": 150,
    }
)
PALETTE = ["#1f6f8b", "#d1495b", "#e2a03f", "#6c757d", "#5b8e55", "#7b5ea7"]
ALLOWED, FORBIDDEN = "#f3efe6", "#b3202a"
PANELS = {"return": "return per episode", "violation_rate": "violations per step"}


def draw_curves(
    path: Path, curves: Mapping[str, Curves], *, expert: Mapping[str, Any] | None = None
) -> None:
    """Return, and violations where known: every seed, mean ± standard error.

    Args:
      curves: one run to a colour, by the name in the legend.
      expert: its `return` (one per episode) and `violation_rate`, as dashed lines.
    """
    known = {name for curve in curves.values() for name in curve.values}
    panels = {name: label for name, label in PANELS.items() if name in known}
    figure = Figure(figsize=(4.5 * len(panels), 3.4), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, label) in zip(grid, panels.items(), strict=True):
        for colour, (run, curve) in zip(
            _colours(len(curves)), curves.items(), strict=True
        ):
            if name in curve.values:
                _band(axes, curve.steps, curve.values[name], colour, run)
        if expert is not None and expert[name] is not None:
            level = float(np.mean(expert[name]))
            axes.axhline(level, color="black", ls="--", lw=1, label="expert")
        axes.set_xlabel("environment steps per seed")
        axes.set_ylabel(label)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.axes[0].legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def _colours(n: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(n)]


def _band(
    axes: Axes, steps: np.ndarray, values: np.ndarray, colour: str, label: str
) -> None:
    n = values.shape[1]
    mean = values.mean(axis=1)
    error = values.std(axis=1, ddof=1) / np.sqrt(n) if n > 1 else np.zeros_like(mean)
    axes.plot(steps, values, color=colour, lw=0.6, alpha=0.3)
    axes.plot(steps, mean, color=colour, lw=1.8, label=f"{label} (n = {n})")
    axes.fill_between(steps, mean - error, mean + error, color=colour, alpha=0.2, lw=0)


def draw_lap(
    path: Path,
    costs: Mapping[str, np.ndarray],
    *,
    coins: Sequence[int],
    actions: Sequence[str],
) -> None:
    """The cost of each action in each cell of the lap, one column to a rule.

    Args:
      costs: by the rule's name, shape (cells, actions), in [0, 1]; 1 is forbidden.
      coins: cells with a coin.
      actions: names of the actions: the first runs clockwise, the second against it.
    """
    rows, columns = len(actions), len(costs)
    figure = Figure(figsize=(2.7 * columns + 0.8, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    colours = LinearSegmentedColormap.from_list("cost", [ALLOWED, FORBIDDEN])
    for column, (rule, table) in enumerate(costs.items()):
        for row, action in enumerate(actions):
            axes, values = grid[row, column], table[:, row]
            lap_axes(axes, colours(values), coins, turn=1 - 2 * row)
            axes.set_xlabel(
                f"cost {values.min():.2f} to {values.max():.2f}", fontsize=8
            )
            if row == 0:
                axes.set_title(rule, fontsize=9)
            if column == 0:
                axes.set_ylabel(action, fontsize=9)
    scale = ScalarMappable(Normalize(0, 1), colours)
    bar = figure.colorbar(scale, ax=list(grid.flat), shrink=0.7, aspect=30)
    bar.set_label("cost 1 − ζ   (0 allowed, 1 forbidden)")
    save_figure(figure, path)


def lap_axes(
    axes: Axes, colours: np.ndarray, coins: Sequence[int], *, turn: int
) -> None:
    """The lap, each cell in its colour, with coins and which way it is driven (±1)."""
    positions = lap_corners(len(colours))
    for cell, ((x, y), colour) in enumerate(zip(positions, colours, strict=True)):
        axes.add_patch(
            Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="#999", lw=0.4)
        )
        if cell in coins:
            axes.plot(x + 0.5, y + 0.5, "o", color="#e2a03f", mec="#8a5a00", ms=6)
        if cell % 5 == 2:
            x2, y2 = positions[(cell + turn) % len(positions)]
            axes.add_patch(
                FancyArrow(
                    x + 0.5 - 0.35 * (x2 - x),
                    y + 0.5 - 0.35 * (y2 - y),
                    0.7 * (x2 - x),
                    0.7 * (y2 - y),
                    width=0.06,
                    head_width=0.35,
                    head_length=0.3,
                    length_includes_head=True,
                    color="#333",
                )
            )
    x, y = positions[0]
    axes.text(x + 0.5, y + 0.5, "S", ha="center", va="center", fontsize=7)
    size = len(positions) // 4 + 1
    axes.set_xlim(-0.2, size + 0.2)
    axes.set_ylim(-0.2, size + 0.2)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    write_whole(path, lambda stream: figure.savefig(stream, format="png"))
