"""The picture of `inference`: optimism in a lottery, and in random MDPs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.studies.inference import DYNAMICS, POLICIES, REWARDS
from reins.lab.study import Study

LINES = {
    ("r(s,a,s')", "posterior"): ("posterior, r(s,a,s')", PALETTE[1], "-"),
    ("r(s,a)", "posterior"): ("posterior, r(s,a)", PALETTE[2], "-"),
    ("r(s,a,s')", "max-entropy"): ("max-entropy", PALETTE[0], "-"),
    ("r(s,a,s')", "one-step"): ("one-step", PALETTE[3], "--"),
}
LEAST = 1e-4  # units of reward; where the axes of what is lost begin
TINY = 1e-12  # in place of a zero, or of minus a rounding error, on such an axis


def draw_inference(study: Study) -> Figure:
    """Tickets bought and soft return against luck; what is lost in random MDPs."""
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    grid = figure.subplots(2, 2)
    _lottery(grid[0, 0], study, "lottery_first", "probability of a ticket on day 1")
    _lottery(grid[0, 1], study, "lottery_soft_return", "soft return (units of reward)")
    grid[0, 1].legend(frameon=False, fontsize=7.5, loc="upper left")
    _cases(grid[1, 0], study)
    _temperatures(grid[1, 1], study)
    return figure


def _lottery(axes: Axes, study: Study, field: str, label: str) -> None:
    values = study.fields[field]
    for (rewards, policy), (name, colour, style) in LINES.items():
        line = values[REWARDS.index(rewards), :, POLICIES.index(policy)]
        axes.plot(study.fields["luck"], line, style, color=colour, label=name, lw=1.6)
    axes.set_xlabel("luck (probability that a ticket wins)")
    axes.set_ylabel(label)


def _cases(axes: Axes, study: Study) -> None:
    """Every random MDP a point, the median a bar, at the study's temperature."""
    fields = study.fields
    at = np.flatnonzero(fields["temperatures"] == fields["temperature"])[0]
    places, labels = [], []
    for i, dynamics in enumerate(DYNAMICS):
        for j, rewards in enumerate(REWARDS):
            place = 2.0 * (2 * i + j)
            places.append(place)
            labels.append(f"{dynamics}\n{rewards}")
            for policy, side in (("posterior", -0.4), ("one-step", 0.4)):
                lost = fields["lost"][i, j, at, :, POLICIES.index(policy)]
                colour = LINES[rewards, "posterior"][1]
                colour = colour if policy == "posterior" else PALETTE[3]
                _strip(axes, place + side, lost, colour)
    axes.set_yscale("log")
    exponents = [-4, -3, -2, -1, 0]
    axes.set_yticks([10.0**x for x in exponents])
    axes.set_yticklabels([f"${'≤' * (x == -4)}10^{{{x}}}$" for x in exponents])
    axes.set_xticks(places, labels, fontsize=6.5)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("soft return lost (units of reward)")


def _strip(axes: Axes, place: float, values: np.ndarray, colour: str) -> None:
    values = np.maximum(values, LEAST)
    spread = np.linspace(-0.28, 0.28, len(values))
    axes.plot(place + spread, values, ".", color=colour, ms=2.5, alpha=0.5, mew=0)
    median = np.median(values)
    axes.plot([place - 0.35, place + 0.35], [median] * 2, color=colour, lw=2.2)


def _temperatures(axes: Axes, study: Study) -> None:
    """Medians and the middle 80 % over random MDPs with stochastic dynamics."""
    fields = study.fields
    for (rewards, policy), (_, colour, style) in LINES.items():
        if policy == "max-entropy":
            continue
        lost = fields["lost"][1, REWARDS.index(rewards), :, :, POLICIES.index(policy)]
        low, middle, high = np.quantile(lost, [0.1, 0.5, 0.9], axis=1).clip(TINY)
        x = fields["temperatures"]
        axes.plot(x, middle, style, color=colour, lw=1.6)
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=LEAST)
    axes.set_xticks(fields["temperatures"])
    axes.set_xticklabels([f"{x:g}" for x in fields["temperatures"]])
    axes.minorticks_off()
    axes.set_xlabel("temperature (units of reward per nat)")
    axes.set_ylabel("soft return lost (units of reward)")
