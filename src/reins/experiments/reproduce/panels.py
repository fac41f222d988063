"""What pictures of tables share: empty panels, captions, intervals."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.reproduce.cell import Asked
from reins.lab.statistics import Interval

QUIET: dict[str, Any] = {"fontsize": 6.5, "color": "#555"}


def not_run(axes: Axes, command: str) -> None:
    """An empty panel, with the command that fills it."""
    lines = command.replace(" --", "\n --").replace("reproduce ", "reproduce\n ")
    axes.text(
        *(0.5, 0.5, f"not run yet\n\n{lines}"),
        transform=axes.transAxes,
        ha="center",
        va="center",
        **QUIET,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)


def explain(figure: Figure, told: str, asked: Asked) -> None:
    """What is drawn, by which command, and the legend once for all panels."""
    figure.suptitle(f"{told}\n{asked.caption}", fontsize=8)
    by_label: dict[str, Any] = {}
    for axes in figure.axes:
        lines, labels = axes.get_legend_handles_labels()
        by_label |= dict(zip(labels, lines, strict=True))
    if by_label:
        figure.legend(
            *(list(by_label.values()), list(by_label)),
            ncols=len(by_label),
            frameon=False,
            fontsize=8,
            loc="outside lower center",
        )


def around(found: Interval) -> list[list[float]]:
    """An interval as Matplotlib draws errors."""
    return [[found.value - found.low], [found.high - found.value]]
