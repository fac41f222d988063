"""The picture of the study `horizon`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.studies.horizon import WEIGHTS
from reins.lab.study import Study

Lines = Mapping[str, tuple[str, str, str]]
ON_POLICY: Lines = {
    "score_total_return": ("total return", PALETTE[1], "-"),
    "score_reward_to_go": ("reward-to-go", PALETTE[2], "-"),
    "score_advantage": ("exact advantage", PALETTE[0], "-"),
    "reverse_kl_trajectory": ("reverse KL,\ntrajectory", PALETTE[1], "--"),
    "reverse_kl_causal": ("reverse KL,\ncausal", PALETTE[2], "--"),
    "reverse_kl_score": ("reverse KL,\nmarginal", PALETTE[0], "--"),
}
OFF_POLICY: Lines = {
    "trajectory_ratio": ("trajectory ratio", PALETTE[1], "-"),
    "per_decision": ("per-decision", PALETTE[2], "-"),
    "past_ratios": ("past ratios", PALETTE[5], "-"),
    "per_step_ratio": ("per-step ratio", PALETTE[0], "-"),
}
SHIFTS = {
    "score_advantage": -4,
    "reverse_kl_score": 9,
    "reverse_kl_trajectory": 3,
    "reverse_kl_causal": -4,
}
"""Points by which labels of curves that end close together are moved."""
OF_WEIGHTS: Lines = {
    WEIGHTS[0]: ("trajectory ratio", PALETTE[1], "-"),
    WEIGHTS[1]: ("posterior,\ntrajectories", PALETTE[5], "-"),
    WEIGHTS[2]: ("posterior, states", PALETTE[0], "-"),
}


def draw_horizon(study: Study) -> Figure:
    """Variance on and off the policy, bias, and effective sample size, against T.

    Args: `study` is what `reins.lab.studies.horizon.horizon_study` returns.
    """
    figure = Figure(figsize=(7.4, 5.8), layout="constrained")
    (on, off), (bias, sizes) = figure.subplots(2, 2)
    for axes, lines, title in ((on, ON_POLICY, "on-policy"), (off, OFF_POLICY, "off")):
        _variances(axes, study, lines)
        axes.set_title(title if title != "off" else "off-policy", fontsize=9)
    on.set_ylabel("variance / |∇|²")
    _bias(bias, study)
    _sizes(sizes, study)
    for axes in (on, off, bias, sizes):
        _horizons(axes, study)
    return figure


def _horizons(axes: Axes, study: Study) -> None:
    horizons = sorted({row["horizon"] for row in study.rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(horizons, [str(x) for x in horizons])
    axes.minorticks_off()
    axes.set_xlabel("horizon T, steps")


def _columns(study: Study, name: str) -> dict[str, np.ndarray]:
    rows = [row for row in study.rows if row["name"] == name]
    return {key: _numbers([row[key] for row in rows]) for key in rows[0]}


def _numbers(values: list[Any]) -> np.ndarray:
    """What a row does not have is not drawn."""
    return np.array([np.nan if x is None else x for x in values])


def _measured(
    axes: Axes, columns: dict, name: str, label: str, style: tuple, shift: int = 0
) -> None:
    x, colour, dashes = columns["horizon"], *style
    axes.plot(x, columns[name], dashes, color=colour, lw=1.6)
    axes.annotate(
        label,
        (x[-1], columns[name][-1]),
        xytext=(5, shift),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=7.5,
    )
    # Where an interval reaches down to 0, its band leaves the axis at the bottom.
    low = np.maximum(columns[f"{name}_low"], 0.1 * np.min(columns[name]))
    axes.fill_between(x, low, columns[f"{name}_high"], color=colour, alpha=0.2, lw=0)


def _variances(axes: Axes, study: Study, lines: Lines) -> None:
    axes.set_yscale("log")
    for name, (label, *style) in lines.items():
        columns = _columns(study, name)
        _measured(axes, columns, "variance", label, tuple(style), SHIFTS.get(name, 0))
        axes.plot(columns["horizon"], columns["exact_variance"], "k.", ms=4, zorder=3)
    drawn = [_columns(study, name)["variance"] for name in lines]
    axes.set_ylim(bottom=0.5 * np.min(drawn))
    axes.plot([], [], "k.", ms=4, label="exact")
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _bias(axes: Axes, study: Study) -> None:
    for name in ("past_ratios", "per_step_ratio"):
        label, colour, _ = OFF_POLICY[name]
        columns = _columns(study, name)
        axes.plot(columns["horizon"], columns["exact_bias"], color=colour, lw=1.6)
        axes.annotate(
            label,
            (columns["horizon"][-1], columns["exact_bias"][-1]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=colour,
            fontsize=8,
        )
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("exact bias / |∇|")


def _sizes(axes: Axes, study: Study) -> None:
    for name, (label, *style) in OF_WEIGHTS.items():
        columns = _columns(study, name)
        _measured(axes, columns, "share", label, tuple(style))
        axes.plot(
            columns["horizon"], columns["exact_share"], ":", color=style[0], lw=1.1
        )
        if name == WEIGHTS[2]:
            axes.plot(
                columns["horizon"], columns["last_share"], "--", color=style[0], lw=1.0
            )
    least = 0.5 * min(row["share"] for row in study.rows if row["part"] == "ess")
    axes.set_yscale("log")
    axes.set_ylim(least, 2.5)
    axes.plot([], [], "--", color=PALETTE[0], lw=1.0, label="states, last step")
    axes.plot([], [], ":", color="black", lw=1.1, label="limit for N → ∞")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.set_ylabel("effective sample size / N")
