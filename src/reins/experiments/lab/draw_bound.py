"""The picture of the study `bound`."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

PENALTIES = {
    "penalty_reward": ("C = 2 T max |r|", "-."),
    "penalty_constant": ("one C, without γᵗ", "--"),
    "penalty": ("with γᵗ", "-"),
}


def draw_bound(study: Study) -> Figure:
    """Improvement, surrogate and bound on both paths; penalties against the horizon.

    Args: `study` is what `reins.lab.studies.bound.bound_study` returns.
    """
    figure = Figure(figsize=(7.4, 2.9), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, part in ((left, "random MDP"), (middle, "trap")):
        _path(axes, _part(study, part))
        horizon = _part(study, part)["horizon"][0]
        axes.set_title(f"{part}, T = {horizon}", fontsize=9)
        axes.set_xlabel("ε, total variation of the policies")
    left.set_ylabel("change of J, units of reward")
    middle.legend(frameon=False, fontsize=7.5)
    _penalties(right, _part(study, "trap by horizon"))
    return figure


def _part(study: Study, part: str) -> dict[str, np.ndarray]:
    rows = [row for row in study.rows if row["part"] == part]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _path(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    x = columns["distance"]
    axes.axhline(0.0, color="black", lw=0.6)
    axes.plot(x, columns["surrogate"], color=PALETTE[2], lw=1.6, label="surrogate")
    axes.plot(x, columns["improvement"], color=PALETTE[0], lw=1.8, label="improvement")
    axes.plot(x, columns["bound"], color=PALETTE[1], lw=1.6, label="bound")
    printed = columns["surrogate"] - columns["penalty_constant"]
    axes.plot(x, printed, color=PALETTE[1], lw=1.0, ls="--", label="bound, one C")
    # What falls far below would only flatten the rest.
    top = max(columns["surrogate"].max(), columns["improvement"].max())
    low = min(columns["improvement"].min(), columns["bound"].min(), printed.min())
    axes.set_ylim(1.1 * min(max(low, -0.6 * top), 0.0), 1.1 * top)
    axes.set_xlim(0.0, x.max())


def _penalties(axes: Axes, columns: dict[str, np.ndarray]) -> None:
    for name, (label, dashes) in PENALTIES.items():
        axes.loglog(
            *(columns["horizon"], columns[name]),
            color=PALETTE[1],
            lw=1.6 if name == "penalty" else 1.0,
            ls=dashes,
            label=label,
        )
    axes.set_title("trap, longer horizons", fontsize=9)
    axes.set_xlabel("horizon T, steps")
    axes.set_ylabel("penalty, units of reward")
    axes.legend(frameon=False, fontsize=7.5)
