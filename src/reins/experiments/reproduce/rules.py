"""What the cells of inverse-constrained-rl say together: who earns what, obeying."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reins.experiments.plot import save_figure
from reins.experiments.record import Curves
from reins.experiments.reproduce.cell import Asked, Comparison, Results
from reins.experiments.reproduce.draw_rules import draw_ablation, draw_methods
from reins.experiments.reproduce.inverse_constrained_rl import (
    ANT,
    BROKEN,
    CHEETAH,
    MARK_RATE,
    METHODS,
    POINT,
    POSITION,
    ROBOTS,
    learner_name,
)
from reins.experiments.statistics import bootstrap_interval

LEARNED = {method: learner_name(method) for method in METHODS}
BY_PLACE = {method: learner_name(method, by_position=True) for method in METHODS}
LEARNING = {
    CHEETAH: (CHEETAH, LEARNED),
    ANT: (ANT, LEARNED),
    f"{ANT}, by {POSITION}": (ANT, BY_PLACE),
}
TRANSFER = {robot: (robot, LEARNED) for robot in (POINT, BROKEN)}
"""Rows of a picture: by title the table, and its cells by method."""


class Ending(NamedTuple):
    """How a finished cell ended: true return, and violations a step, of each seed."""

    returns: np.ndarray
    rates: np.ndarray

    def reaching(self, mark: float) -> int:
        """The seeds that earn so much and violate no more than `MARK_RATE`."""
        return int(np.sum((self.returns >= mark) & (self.rates <= MARK_RATE)))


def endings(results: Results) -> dict[str, dict[str, Ending]]:
    """The last evaluations, by table and cell."""
    return {
        table: {name: _ending(curves) for name, curves in cells.items()}
        for table, cells in results.items()
    }


def _ending(curves: Curves) -> Ending:
    return Ending(curves.values["return"][-1], curves.values["violation_rate"][-1])


def compare(results: Results, folder: Path, asked: Asked) -> Comparison:
    """Draw S2's figures from what is finished; tell returns beside violations."""
    asked = asked._replace(scaled="steps")
    learned = "constraints that are learned where they hold"
    carried = f"constraints of the ant, by {POSITION}, carried to others"
    save_figure(
        draw_methods(LEARNING, results, asked, learned), folder / "learning.png"
    )
    save_figure(
        draw_methods(TRANSFER, results, asked, carried), folder / "transfer.png"
    )
    save_figure(draw_ablation(results, asked), folder / "ablation.png")
    ends = endings(results)
    whole = asked.scale == 1
    numbers = {"at_mark": _marks(ends)} if whole else {}
    page = f"{asked.caption}:\n\n{page_of(ends, whole=whole)}"
    return Comparison(page, numbers)


def _marks(ends: Mapping[str, Mapping[str, Ending]]) -> dict[str, Any]:
    """By "table/cell": how many seeds reach the mark of their task, and of how many."""
    return {
        f"{table}/{name}": {
            "return": ROBOTS[table].mark,
            "violation_rate": MARK_RATE,
            "seeds": end.reaching(ROBOTS[table].mark),
            "of": len(end.returns),
        }
        for table, cells in ends.items()
        if table in ROBOTS
        for name, end in cells.items()
    }


def page_of(ends: Mapping[str, Mapping[str, Ending]], *, whole: bool) -> str:
    """Returns and violations in Markdown; at the whole size, who reaches the mark."""
    sections = []
    for table, cells in ends.items():
        robot = ROBOTS.get(table) if whole else None
        reached = "" if robot is None else f" >= {robot.mark:,.0f} at <= {MARK_RATE} |"
        heads = f"| {table} | violations a step of each seed | IQM [95 %] |{reached}"
        lines = [heads, "|---|---|---|" + "---|" * bool(reached)]
        for name, end in cells.items():
            rates = ", ".join(f"{rate:.3f}" for rate in end.rates)
            told = bootstrap_interval(end.rates)
            line = (
                f"| {name} | {rates} | {told[0]:.3f} [{told[1]:.3f}, {told[2]:.3f}] |"
            )
            if robot is not None:
                line += f" {end.reaching(robot.mark)} of {len(end.returns)} |"
            lines.append(line)
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)
