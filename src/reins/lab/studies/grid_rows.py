"""What the study of rules on grids says: rows of its file, tables and findings."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from reins.lab.grids import GridLayout, grid_log_partition
from reins.lab.studies.grid_network import GridData, Seen
from reins.lab.studies.grid_scores import (
    Truth,
    broken_steps,
    kl_of_rules,
    kl_of_zeta,
    scores_of,
)
from reins.lab.study import Sheet
from reins.tabular import Inferred

PUBLISHED = "9 x 9"
SEEN: tuple[Seen, ...] = ("coordinates", "cells")
ALL = "all"
"""Demonstrations without end: all that the rules allow, each as often as it is."""
SCORES = ("auc", "auc_through", "precision", "recall", "kl")


def _row(name: str, layout: GridLayout, **values: Any) -> dict[str, Any]:
    keys = ("exact", "missed", "wrong", *SCORES)
    return {
        "grid": name,
        "method": "MLCI",
        "demonstrations": ALL,
        "threshold": None,
        "repeat": 0,
        **dict.fromkeys(keys),
        "rules": len(layout.planted),
        "planted": "; ".join(layout.planted),
        "found": None,
        "least_gain": None,
        **values,
    }


def exact_row(
    name: str, layout: GridLayout, truth: Truth, found: Inferred
) -> dict[str, Any]:
    """What inference found on a grid, against what was planted."""
    names = [layout.names[i] for i in found.items]
    right = set(names) & set(layout.planted)
    scores = scores_of(map_of(layout, found), truth)
    return _row(
        name,
        layout,
        threshold=0.0,
        exact=set(names) == set(layout.planted),
        missed=len(layout.planted) - len(right),
        wrong=len(names) - len(right),
        found="; ".join(names),
        least_gain=min(found.gains, default=None),
        kl=kl_of_rules(truth, layout.chosen(names)),
        **scores._asdict(),
    )


def map_of(layout: GridLayout, found: Inferred) -> np.ndarray:
    """Cost 1 for steps that break a rule that was found, and 0 for others."""
    names = [layout.names[i] for i in found.items]
    return broken_steps(layout, layout.chosen(names)).astype(float)


def network_row(
    name: str, layout: GridLayout, truth: Truth, log_zeta: Array, data: GridData
) -> dict[str, Any]:
    """How a network's ζ on a grid compares with what was planted.

    `auc_through` is of 1 − ζ(s, a) max ζ(s', .): a step and the best that can follow.
    """
    log_z = grid_log_partition(
        data.following,
        data.log_rewards + log_zeta,
        *(data.start, data.goal),
        horizon=layout.horizon,
    )
    best = jnp.max(log_zeta, axis=1).at[layout.goal].set(0.0)
    onward = log_zeta + best[data.following]
    here, through = (
        scores_of(-np.expm1(np.asarray(x)), truth) for x in (log_zeta, onward)
    )
    kl = kl_of_zeta(truth, log_zeta, log_z)
    return _row(name, layout, kl=kl, auc_through=through.auc, **here._asdict())


def select(
    rows: list[dict[str, Any]], *, published: bool, **wanted: Any
) -> list[dict[str, Any]]:
    """The rows of the 9 x 9 grid, or of the others, with these values."""
    return [
        row
        for row in rows
        if (row["grid"] == PUBLISHED) == published
        and all(row[name] == value for name, value in wanted.items())
    ]


def share_exact(rows: list[dict[str, Any]]) -> float:
    """The share of rows in which exactly the planted rules were found."""
    return float(np.mean([row["exact"] for row in rows]))


def findings_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether inference is exact, and the network's scores: 9 x 9, and medians."""
    exact = {"method": "MLCI", "demonstrations": ALL}
    random = select(rows, published=False, **exact)
    found: dict[str, Any] = {
        "exact_on_9_x_9": bool(select(rows, published=True, **exact)[0]["exact"]),
        "exact_on_random_grids": sum(row["exact"] for row in random),
        "random_grids": len(random),
        "least_gain_on_random_grids": min(row["least_gain"] for row in random),
    }
    for method, demonstrations in _networks(rows):
        place = f"{method.replace(', ', '_')}_{demonstrations}".replace(" ", "_")
        of = {"method": method, "demonstrations": demonstrations}
        for name in SCORES:
            single, middle = _single_and_median(rows, name, of)
            found[f"{place}_9_x_9_{name}"] = single
            found[f"{place}_median_{name}"] = middle
    return found


def sheets_of(rows: list[dict[str, Any]]) -> list[Sheet]:
    """Three tables: inference from all trajectories, from some, and the network."""
    exact = {"method": "MLCI", "demonstrations": ALL}
    whole = [
        [name, share_exact(select(rows, published=p, **exact))]
        for name, p in (("9 x 9", True), ("random", False))
    ]
    networks = []
    for method, kind in _networks(rows):
        of = {"method": method, "demonstrations": kind}
        pairs = [_single_and_median(rows, name, of) for name in SCORES]
        seen = method.split(", ")[1]
        networks.append([seen, kind, *[x for x, _ in pairs], *[y for _, y in pairs]])
    heads = ["AUC", "through", "precision", "recall", "KL"]
    return [
        Sheet("the planted rules exactly, from all trajectories", ["", "share"], whole),
        Sheet(
            "from some (9 x 9; random): share exact, mean rules missed, and wrong",
            ["trajectories", "stop", *["exact", "missed", "wrong"] * 2],
            _from_some(rows),
        ),
        Sheet(
            "ICRL's network (9 x 9; median of random)",
            ["sees", "trajectories", *heads * 2],
            networks,
        ),
    ]


def _networks(rows: list[dict[str, Any]]) -> list[tuple[str, str | int]]:
    """Every network, and what it learned from, in order."""
    every = [(row["method"], row["demonstrations"]) for row in rows]
    return list(dict.fromkeys(pair for pair in every if pair[0] != "MLCI"))


def _single_and_median(
    rows: list[dict[str, Any]], name: str, of: dict[str, Any]
) -> tuple[float, float]:
    single, middle = (
        float(np.nanmedian([row[name] for row in select(rows, published=p, **of)]))
        for p in (True, False)
    )
    return single, middle


def _from_some(rows: list[dict[str, Any]]) -> list[list[Any]]:
    some = [r for r in rows if r["method"] == "MLCI" and r["demonstrations"] != ALL]
    kinds = dict.fromkeys((row["demonstrations"], row["threshold"]) for row in some)
    table = []
    for n, threshold in kinds:
        cells: list[Any] = [n, threshold]
        for published in (True, False):
            of = {"demonstrations": n, "threshold": threshold}
            mine = select(some, published=published, **of)
            means = [float(np.mean([r[x] for r in mine])) for x in ("missed", "wrong")]
            cells += [share_exact(mine), *means]
        table.append(cells)
    return table
