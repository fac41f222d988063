"""The picture of the study `kl-fit`."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

SCALES = (1.0, 2.0)
"""Standard deviations at which a fit is drawn."""


def draw_kl_fit(study: Study) -> Figure:
    """The mixture, its fit by KL(p ‖ q), and every minimum of KL(q ‖ p).

    Args: `study` is what `reins.lab.studies.kl_fit.kl_fit_study` returns.
    """
    figure = Figure(figsize=(4.6, 3.1), layout="constrained")
    axes = figure.subplots()
    x, y, density = (study.fields[name] for name in ("x", "y", "density"))
    levels = density.max() * np.array([0.01, 0.05, 0.15, 0.3, 0.5, 0.75, 1.0])
    axes.contourf(x, y, density, levels, cmap="Greys", alpha=0.6)
    forward = study.rows[0]
    label = f"least KL(p ‖ q), {forward['kl_forward']:.2f} nats"
    _ellipses(axes, forward, PALETTE[0], "-", label)
    minima = {row["minimum"]: row for row in study.rows if row["fit"] == "reverse"}
    for number in sorted(minima):
        row, dashes = minima[number], "-" if number == 1 else "--"
        place = "least KL(q ‖ p)" if number == 1 else "another minimum"
        label = f"{place}, {row['kl_reverse']:.2f} nats"
        _ellipses(axes, row, PALETTE[1], dashes, label)
    starts = study.fields["starts"]
    axes.plot(*starts.T, ".", color="#444", ms=4, label="starts of that search")
    axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal")
    axes.set_xlabel("first coordinate")
    axes.set_ylabel("second coordinate")
    axes.legend(frameon=False, fontsize=7.5, loc="upper left")
    return figure


def _ellipses(
    axes: Axes, row: dict[str, Any], colour: str, dashes: str, label: str
) -> None:
    """One and two standard deviations of a fit."""
    covariance = np.array(
        [
            [row["variance_0"], row["covariance"]],
            [row["covariance"], row["variance_1"]],
        ]
    )
    angle = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = np.linalg.cholesky(covariance) @ np.stack([np.cos(angle), np.sin(angle)])
    for scale in SCALES:
        axes.plot(
            row["mean_0"] + scale * circle[0],
            row["mean_1"] + scale * circle[1],
            color=colour,
            lw=1.6 if scale == 1.0 else 0.9,
            ls=dashes,
            label=label if scale == 1.0 else None,
        )
