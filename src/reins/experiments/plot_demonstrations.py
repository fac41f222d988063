"""A picture of demonstrations: their returns, and what was seen and done."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reins.data import Demonstrations
from reins.experiments.files import write_whole
from reins.experiments.plot import PALETTE

PANELS = 6
"""Most dimensions drawn of observations, and of actions."""


def draw_demonstrations(path: Path, demonstrations: Demonstrations) -> None:
    """Returns, rewards on the way, and histograms of observations and of actions.

    The first dimensions that change are drawn; the others are in the table.
    """
    seen = [np.reshape(o, (len(o), -1)) for o in demonstrations.observations]
    done = [np.reshape(a, (len(a), -1)) for a in demonstrations.actions]
    shown = [_changing(seen), _changing(done)]
    discrete = np.ndim(demonstrations.actions[0]) == 1
    counts = [len(dimensions) for dimensions in shown]
    beside = sum(counts) <= PANELS
    figure = Figure(figsize=(10, 5.2 if beside else 7.2), layout="constrained")
    top, *below = _parts(figure, counts if beside else None)
    left, right = top.subplots(1, 2)
    _returns(left, demonstrations.returns)
    _gathered(right, demonstrations)
    _histograms(below[0], "observation", seen, shown[0], PALETTE[0])
    _histograms(below[1], "action", done, shown[1], PALETTE[2], whole=discrete)
    top.suptitle(f"{demonstrations.env_id}: {len(done)} demonstrations")
    write_whole(path, lambda stream: figure.savefig(stream, format="png"))


def _parts(figure: Figure, beside: Sequence[int] | None) -> list[Any]:
    """The top, and below it two parts: rows, or columns of these widths."""
    if beside is None:
        rows: Any = figure.subfigures(3, 1, height_ratios=[1.3, 1, 1])
        return list(rows)
    halves: Any = figure.subfigures(2, 1, height_ratios=[1.3, 1])
    return [halves[0], *halves[1].subfigures(1, 2, width_ratios=beside)]


def _changing(arrays: Sequence[np.ndarray]) -> list[int]:
    rows = np.concatenate(list(arrays))
    changing = np.flatnonzero(np.any(rows != rows[0], axis=0)).tolist()
    return (changing or list(range(rows.shape[1])))[:PANELS]


def _returns(axes: Axes, returns: np.ndarray) -> None:
    places = np.arange(len(returns))
    axes.vlines(places, min(0.0, returns.min()), returns, color=PALETTE[0], alpha=0.35)
    axes.plot(places, returns, "o", color=PALETTE[0], ms=4)
    median = float(np.median(returns))
    label = f"median {median:.4g}"
    axes.axhline(median, color="black", ls="--", lw=1, label=label)
    axes.set_xlabel("episode")
    axes.set_ylabel("return")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.18)
    if returns.min() > 0.0:
        axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False, fontsize=8, loc="upper right")


def _gathered(axes: Axes, demonstrations: Demonstrations) -> None:
    for rewards in demonstrations.rewards:
        gathered = np.concatenate([[0.0], np.cumsum(rewards)])
        axes.plot(gathered, color=PALETTE[0], lw=0.9, alpha=0.35)
        axes.plot(len(rewards), gathered[-1], "o", color=PALETTE[1], ms=3)
    axes.set_xlabel("step")
    axes.set_ylabel("reward so far")


def _histograms(
    part: Any,
    name: str,
    arrays: Sequence[np.ndarray],
    dimensions: Sequence[int],
    colour: str,
    *,
    whole: bool = False,
) -> None:
    rows = np.concatenate(list(arrays))
    panels = part.subplots(1, len(dimensions), squeeze=False)[0]
    for axes, dimension in zip(panels, dimensions, strict=True):
        values = rows[:, dimension]
        if whole:
            kinds, counts = np.unique(values, return_counts=True)
            axes.bar(kinds, counts / len(values), width=0.6, color=colour)
            axes.set_xticks(kinds[:: 1 + len(kinds) // 10])
            axes.set_xlim(kinds.min() - 0.9, kinds.max() + 0.9)
        else:
            counts, edges = np.histogram(values, bins=40)
            axes.stairs(counts / len(values), edges, fill=True, color=colour)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        title = name if rows.shape[1] == 1 else f"{name} {dimension}"
        axes.set_title(title, fontsize=9)
    panels[0].set_ylabel("share of steps", fontsize=8)
    hidden = rows.shape[1] - len(dimensions)
    if hidden:
        panels[-1].set_xlabel(f"and {hidden} more", fontsize=8, color="#6c757d")
