"""The picture of the study `constraint`."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

WEIGHTS = {
    "trajectory": "trajectory",
    "step-time": "step, by time",
    "step-pooled": "step, pooled",
    "none": "none",
}
COLOURS = dict(zip(WEIGHTS, PALETTE, strict=False))
FLOOR = 1e-3  # of the left panel; exact answers lie at its edge


def draw_constraint(study: Study) -> Figure:
    """Errors by weighting; what each multiplier leaves; KL estimates and ceilings.

    Args: `study` is what `reins.lab.studies.constraint.constraint_study` returns.
    """
    figure = Figure(figsize=(9.6, 3.1), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _errors(left, study)
    _forward(middle, study)
    _kls(right, study)
    return figure


def _part(study: Study, part: str, name: str, samples: int | None = None) -> dict:
    rows = [
        row
        for row in study.rows
        if (row["part"], row["name"], row["samples"]) == (part, name, samples)
    ]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def _samples(study: Study, part: str) -> list[int]:
    return sorted({row["samples"] for row in study.rows if row["part"] == part})


def _errors(axes: Axes, study: Study) -> None:
    """Root mean square error by M, and at the right what all trajectories leave."""
    numbers = _samples(study, "gradient by samples")
    end = numbers[-1] * 12
    for name, label in WEIGHTS.items():
        of = [_part(study, "gradient by samples", name, m) for m in numbers]
        medians = [float(x["median"][0]) for x in of]
        style = {"color": COLOURS[name], "marker": "o", "ms": 3.5}
        axes.plot(numbers, medians, lw=1.6, label=label, **style)
        exact = _part(study, "gradient", name)
        low, middle, high = (
            max(float(exact[key][0]), FLOOR) for key in ("low", "median", "high")
        )
        shift = 1.25 ** (list(WEIGHTS).index(name) - 1.5)
        axes.plot([end * shift] * 2, [low, high], color=COLOURS[name], lw=1.2)
        marker = "v" if middle == FLOOR else "o"
        style |= {"marker": marker, "ms": 5, "clip_on": False}
        axes.plot([end * shift], [middle], **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(FLOOR, 1.6)
    axes.set_xticks([*numbers, end], [*(f"{m:,}" for m in numbers), "all"])
    axes.minorticks_off()
    axes.set_xlabel("nominal trajectories M")
    axes.set_ylabel("relative error of the gradient")
    axes.legend(frameon=False, fontsize=7.5, loc="lower left", title="weights ω̂")


def _forward(axes: Axes, study: Study) -> None:
    names = sorted({row["name"] for row in study.rows if row["part"] == "forward"})
    for colour, name in zip(PALETTE, names, strict=False):
        of = _part(study, "forward", name)
        label = name.replace("sharpness", "logits of ζ ×")
        at = np.maximum(of["at"], 0.02)  # 0 has no place on a logarithmic axis
        axes.plot(at, of["median"], color=colour, lw=1.6, label=label)
        if name == names[len(names) // 2]:  # one range is enough to read
            axes.fill_between(at, of["low"], of["high"], color=colour, alpha=0.12, lw=0)
    axes.axhline(0.0, color="black", lw=1.2, ls="--", label="reward r + log ζ")
    axes.set_xscale("log")
    axes.set_xlim(0.03, 300.0)
    axes.set_ylim(-0.03, 1.0)
    axes.set_xlabel("multiplier λ of 1 − ζ, nats")
    axes.set_ylabel("total variation to exp(r) Π ζ")
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")


def _kls(axes: Axes, study: Study) -> None:
    numbers = _samples(study, "kl")
    top = max(row["at"] for row in study.rows if row["part"] == "kl" and _is_new(row))
    axes.plot([0, top], [0, top], color="black", lw=0.8)
    for colour, m in zip(PALETTE, numbers, strict=False):
        of = _part(study, "kl", "new_old", m)
        order = np.argsort(of["at"])
        at, low, middle, high = (
            of[key][order] for key in ("at", "low", "median", "high")
        )
        axes.plot(at, middle, color=colour, lw=1.6, label=f"M = {m:,}")
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        if math.log(m) < 1.05 * top:
            axes.axhline(math.log(m), color=colour, lw=1.0, ls="--")
            axes.text(0.05, math.log(m), f"log {m:,}", color=colour, va="top", size=7)
    bound = float(study.fields["bound"])
    axes.axhline(bound, color="black", lw=1.0, ls=":")
    axes.text(0.05, bound, f"bound {bound:g}", va="bottom", size=7)
    axes.set_xlim(0, top)
    axes.set_ylim(0, 1.05 * top)
    axes.set_xlabel("true KL(new ‖ old), nats")
    axes.set_ylabel("estimated from M, nats")
    axes.legend(frameon=False, fontsize=7.5, loc="lower right")


def _is_new(row: dict) -> bool:
    return row["name"] == "new_old"
