"""What the cells of rl-as-inference say together: which loss ends higher."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reins.experiments.plot import save_figure
from reins.experiments.reproduce.cell import Asked, Comparison, Results
from reins.experiments.reproduce.draw_divergences import (
    NAMES,
    draw_endings,
    draw_humanoid,
    draw_robots,
)
from reins.experiments.reproduce.rl_as_inference import (
    LOSSES,
    REPLAYS,
    TASKS,
    cell_name,
)
from reins.experiments.statistics import bootstrap_interval, probability_of_improvement
from reins.lab.statistics import Interval

NOT_RUN = "not run yet"


class Endings(NamedTuple):
    """How the finished cells ended.

    Attributes:
      means: interquartile mean of the final returns, by task, replay and loss.
      better: P(forward > reverse), by task and replay, where both are finished.
      over_tasks: the same over all of those tasks, where there are several, by
        replay, with their number.
    """

    means: Mapping[tuple[str, str, str], Interval]
    better: Mapping[tuple[str, str], Interval]
    over_tasks: Mapping[str, tuple[int, Interval]]


def endings(results: Results) -> Endings:
    """Intervals of the last evaluation: of each cell, pair of losses, and replay."""
    final = {
        (task, replay, loss): results[task][name].values["return"][-1]
        for task in TASKS
        for replay in REPLAYS
        for loss in LOSSES
        if (name := cell_name(replay, loss)) in results.get(task, {})
    }
    reverse, forward = LOSSES
    pairs: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {
        (task, replay): (final[task, replay, forward], final[task, replay, reverse])
        for task in TASKS
        for replay in REPLAYS
        if {(task, replay, loss) for loss in LOSSES} <= final.keys()
    }
    over = {
        replay: [pair for place, pair in pairs.items() if place[1] == replay]
        for replay in REPLAYS
    }
    return Endings(
        means={place: bootstrap_interval(values) for place, values in final.items()},
        better={p: probability_of_improvement([pair]) for p, pair in pairs.items()},
        over_tasks={
            replay: (len(found), probability_of_improvement(found))
            for replay, found in over.items()
            if len(found) > 1
        },
    )


def compare(results: Results, folder: Path, asked: Asked) -> Comparison:
    """Draw S1's figures and the endings; tell the latter as a table and as numbers."""
    ends = endings(results)
    save_figure(draw_humanoid(results, asked), folder / "figure-2.png")
    save_figure(draw_robots(results, asked), folder / "figure-3.png")
    picture = draw_endings(ends.means, ends.better, ends.over_tasks, asked)
    save_figure(picture, folder / "endings.png")
    told = {
        **{f"{task}/{replay}": found for (task, replay), found in ends.better.items()},
        **{
            f"{n} tasks/{replay}": found
            for replay, (n, found) in ends.over_tasks.items()
        },
    }
    numbers = {name: found._asdict() for name, found in told.items()}
    page = f"{asked.caption}:\n\n{page_of(ends)}"
    return Comparison(page, {"forward_above_reverse": numbers})


def page_of(ends: Endings) -> str:
    """The table in Markdown, of every pair of cells, and of all tasks together."""
    heads = [f"{NAMES[loss]}, IQM [95 %]" for loss in LOSSES]
    lines = [f"| final return | {' | '.join(heads)} | P(forward > reverse) [95 %] |"]
    lines.append("|---|---|---|---|")
    for task in TASKS:
        for replay in REPLAYS:
            means = [ends.means.get((task, replay, loss)) for loss in LOSSES]
            told = [_told(found, "0f") for found in means]
            told.append(_told(ends.better.get((task, replay)), "2f"))
            lines.append(f"| {task}, {replay} | {' | '.join(told)} |")
    for replay, (n, found) in ends.over_tasks.items():
        where = f"{n} of {len(TASKS)} tasks, {replay}"
        lines.append(f"| {where} | | | {_told(found, '2f')} |")
    return "\n".join(lines) + "\n"


def _told(found: Interval | None, form: str) -> str:
    if found is None:
        return NOT_RUN
    value, low, high = (f"{x:.{form}}" for x in found)
    return f"{value} [{low}, {high}]"
