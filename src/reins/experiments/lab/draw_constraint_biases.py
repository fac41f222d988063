"""The picture of the study `constraint-biases`."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import FORBIDDEN, PALETTE
from reins.lab.studies.constraint_biases.corridor import Corridor
from reins.lab.studies.constraint_biases.lessons import LONG, MARGINS
from reins.lab.studies.constraint_biases.rows import Row, only, select
from reins.lab.studies.constraint_biases.weights import WEIGHTINGS
from reins.lab.study import Study

COLOURS = dict(zip(WEIGHTINGS, PALETTE, strict=False))
FLOOR = 1e-3  # of errors; exact answers lie at its edge


def draw_constraint_biases(study: Study) -> Figure:
    """Gradients behind and of novices; KLs; multipliers; cut episodes; margins.

    Args: `study` is what `constraint_biases_study` returns.
    """
    figure = Figure(figsize=(10.2, 5.8), layout="constrained")
    panels = figure.subplots(2, 3)
    draw = (_behind, _novices, _kls, _multipliers, _cut, _margins)
    for axes, panel in zip(panels.flat, draw, strict=True):
        panel(axes, study.rows)
    return figure


def _line(rows: list[Row], **wanted: object) -> tuple[np.ndarray, np.ndarray]:
    found = select(rows, **wanted)
    return np.array([r["at"] for r in found]), np.array([r["value"] for r in found])


def _behind(axes: Axes, rows: list[Row]) -> None:
    of = {"part": "weights", "quantity": "error", "samples": None}
    for name in WEIGHTINGS:
        at, values = _line(rows, **of, name=name)
        style = {"color": COLOURS[name], "ms": 4, "clip_on": False}
        axes.plot(at, np.maximum(values, FLOOR), "o-", **style, label=name)
    of |= {"name": "trajectory", "quantity": "effective share"}
    at, values = _line(rows, **of)
    axes.plot(at, values, color="black", ls="--", lw=1.2, label="effective share")
    axes.set_yscale("log")
    axes.set_ylim(FLOOR, None)
    axes.set_xlabel("steps of ζ that the agent is behind")
    axes.set_ylabel("relative error of the gradient")
    axes.legend(frameon=False, fontsize=7, ncols=2)


def _novices(axes: Axes, rows: list[Row]) -> None:
    for name in ("trajectory", "return"):
        at, values = _line(rows, part="competence", name=name, quantity="error")
        style = {"color": COLOURS[name], "ms": 4}
        axes.plot(at, values, "o-", **style, label=f"{name}: error of the gradient")
        of = {"part": "novice", "name": name, "quantity": "allowed cost"}
        at, values = _line(rows, **of)
        axes.plot(at, values, "s--", **style, label=f"{name}: cost of what is shown")
    axes.set_ylim(0, None)
    axes.set_xlabel("competence β of the agent")
    axes.legend(frameon=False, fontsize=7)


def _kls(axes: Axes, rows: list[Row]) -> None:
    of = {"part": "stop", "quantity": "kl_new_old"}
    at, truth = _line(rows, **of, name="true")
    axes.plot(at, truth, color="black", lw=1.6, label="true")
    numbers = dict.fromkeys(r["samples"] for r in select(rows, **of))
    for colour, m in zip(PALETTE, filter(None, numbers), strict=False):
        at, middle = _line(rows, **of, name="exact", samples=m)
        axes.plot(at, middle, color=colour, lw=1.4, label=f"M = {m:,}")
        most = {"part": "stop", "name": "exact", "samples": m}
        at, highest = _line(rows, **most, quantity="kl_new_old highest")
        axes.plot(at, highest, color=colour, lw=0.9, ls=":")
        if math.log(m) < 1.1 * truth.max():
            axes.axhline(math.log(m), color=colour, lw=0.8, ls="--")
            label = f"log {m:,}"
            axes.text(at[-1], math.log(m), label, color=colour, ha="right", size=7)
    axes.axhline(2.5, color="black", lw=0.8, ls=":")
    axes.text(0, 2.5, "published bound", size=7, va="bottom")
    axes.set_xlabel("steps of ζ that the agent is behind")
    axes.set_ylabel("KL(new ‖ old), nats; dotted: highest")
    axes.legend(frameon=False, fontsize=7, loc="lower right")


def _multipliers(axes: Axes, rows: list[Row]) -> None:
    styles = {"cost, δ = 0": "-", "relative-cost, δ = 0": "-", "cost, δ = 0.1": "--"}
    colours = (PALETTE[1], PALETTE[0], PALETTE[1])
    for colour, (name, style) in zip(colours, styles.items(), strict=True):
        of = {"part": "multiplier", "name": name, "quantity": "returned"}
        at, values = _line(rows, **of)
        axes.plot(np.maximum(at, 0.1), values, style, color=colour, label=name)
        last = select(rows, part="ascent", name=name, quantity="multipliers")[-1]
        rest = {"part": "ascent", "name": name, "at": last["at"]}
        here = only(rows, **rest, quantity="returned")
        axes.plot([last["value"]], [here], "o", color=colour, ms=6)
    shown = only(rows, part="lengths", by="cut", name="shown", quantity="returned")
    axes.axhline(shown, color="black", lw=0.8, ls=":")
    axes.text(0.1, shown, "demonstrators", size=7, va="top")
    axes.set_xscale("log")
    axes.set_xlabel("multiplier λ; dots: after the last update")
    axes.set_ylabel("return of the exact agent")
    axes.legend(frameon=False, fontsize=7)


def _cut(axes: Axes, rows: list[Row]) -> None:
    names = dict.fromkeys(r["name"] for r in select(rows, part="zeta, cut"))
    for colour, name in zip(PALETTE[1:3] + PALETTE[:1], names, strict=True):
        at, values = _line(rows, part="zeta, cut", name=name)
        axes.plot(at[:-1], values[:-1], "o-", color=colour, ms=4, label=name)
    _wall(axes, Corridor())
    axes.set_ylabel("ζ, demonstrations cut to half")
    axes.legend(frameon=False, fontsize=7)


def _margins(axes: Axes, rows: list[Row]) -> None:
    for colour, margin in zip(PALETTE, MARGINS, strict=False):
        at, values = _line(rows, part=f"zeta, margin {margin}", name="δ = 0.1")
        label = f"{margin} cells"
        axes.plot(at[:-1], values[:-1], "o-", color=colour, ms=4, label=label)
    at, values = _line(rows, part=f"zeta, margin {MARGINS[-1]}", name="δ = 2.1")
    axes.plot(at[:-1], values[:-1], color="black", ls="--", lw=1.2, label="δ = 2.1")
    _wall(axes, LONG)
    axes.set_ylabel("ζ, δ = 0.1")
    title = "demonstrators keep off"
    style = {"frameon": False, "fontsize": 7, "title_fontsize": 7}
    axes.legend(loc="center right", title=title, **style)


def _wall(axes: Axes, corridor: Corridor) -> None:
    axes.axvspan(-0.5, corridor.wall + 0.5, color=FORBIDDEN, alpha=0.1, lw=0)
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("cell; forbidden where shaded")
