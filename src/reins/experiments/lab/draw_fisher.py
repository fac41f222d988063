"""The picture of the study `fisher`."""

import numpy as np
from matplotlib.figure import Figure

from reins.experiments.plot import PALETTE
from reins.lab.study import Study

DASHES = (0, (4, 2))


def draw_fisher(study: Study) -> Figure:
    """KL and its second-order form; and their relative distance, beside a slope of 1.

    Args: `study` is what `reins.lab.studies.fisher.fisher_study` returns.
    """
    figure = Figure(figsize=(6.8, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in zip(_problems(study), PALETTE, strict=False):
        steps, kls, second, errors = _columns(study, name)
        left.loglog(steps, kls, color=colour, lw=1.6, label=name)
        left.loglog(steps, second, color=colour, lw=1.0, ls=DASHES)
        slope = f"{name}: slope {study.findings[f'slope_{name.lower()}']:.2f}"
        right.loglog(steps, errors, color=colour, lw=1.6, label=slope)
    left.plot([], [], color="#444", lw=1.0, ls=DASHES, label="δᵀFδ / 2")
    lengths = np.array([row["step"] for row in study.rows])
    ends = np.array([lengths.min(), lengths.max()])
    lowest = min(row["relative_error"] for row in study.rows)
    below = 0.3 * lowest * ends / ends[0]
    right.loglog(ends, below, color="black", lw=0.8, ls=":", label="slope 1")
    left.set_ylabel("KL(old ‖ new), nats")
    right.set_ylabel("relative error of δᵀFδ / 2")
    for axes in (left, right):
        axes.set_xlabel("length of the step |δ|")
        axes.legend(frameon=False, fontsize=7.5)
    return figure


def _problems(study: Study) -> list[str]:
    return list(dict.fromkeys(row["problem"] for row in study.rows))


def _columns(study: Study, problem: str) -> list[np.ndarray]:
    rows = [row for row in study.rows if row["problem"] == problem]
    names = ("step", "kl", "second_order", "relative_error")
    return [np.array([row[name] for row in rows]) for name in names]
