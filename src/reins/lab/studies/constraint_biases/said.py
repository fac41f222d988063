"""What the study of known biases says: its tables and its findings."""

import math
from typing import Any

from reins.lab.studies.constraint_biases.lessons import MARGINS, REGULARISERS, SHARES
from reins.lab.studies.constraint_biases.rows import Row, only, select
from reins.lab.studies.constraint_biases.weights import COMPETENCES, WEIGHTINGS
from reins.lab.study import Sheet


def sheets_of(rows: list[Row]) -> list[Sheet]:
    """A table to a bias."""
    return [
        _weights(rows),
        _horizons(rows),
        _stops(rows),
        _multipliers(rows),
        _lengths(rows),
        _margins(rows),
    ]


def _places(rows: list[Row], **wanted: Any) -> list[Any]:
    return list(dict.fromkeys(r["at"] for r in select(rows, **wanted)))


def _weights(rows: list[Row]) -> Sheet:
    of = {"part": "weights", "quantity": "error", "samples": None}
    places = _places(rows, **of)
    lines = [
        [name, *(only(rows, **of, name=name, at=at) for at in places)]
        for name in WEIGHTINGS
    ]
    of |= {"quantity": "effective share", "name": "trajectory"}
    lines.append(["effective share", *(only(rows, **of, at=at) for at in places)])
    title = "relative error of the gradient, all trajectories, by steps of ζ behind"
    return Sheet(title, ["weights", *(f"{at:g}" for at in places)], lines)


def _horizons(rows: list[Row]) -> Sheet:
    of = {"part": "horizon", "samples": None}
    lines = []
    for at in _places(rows, **of):
        names = dict.fromkeys(r["name"] for r in select(rows, **of, at=at))
        for name in names:
            here = {"at": at, "name": name}
            quantities = ("effective share", "kl_old_new", "kl_new_old")
            exact = [only(rows, **of, **here, quantity=q) for q in quantities]
            (few,) = (
                r["value"]
                for r in select(rows, part="horizon", quantity=quantities[0], **here)
                if r["samples"] is not None
            )
            lines.append([int(at), name, exact[0], few, *exact[1:]])
    columns = ["horizon", "steps of ζ", "effective share", "as estimated"]
    title = "weights per trajectory in long episodes"
    return Sheet(title, [*columns, "KL(old ‖ new)", "KL(new ‖ old)"], lines)


def _stops(rows: list[Row]) -> Sheet:
    last = max(_places(rows, part="stop"))
    of = {"part": "stop", "at": last}
    numbers = dict.fromkeys(r["samples"] for r in select(rows, **of))
    lines = []
    for m in filter(None, numbers):
        here = of | {"name": "exact", "samples": m}
        quantities = ("kl_new_old", "kl_new_old highest", "kl_new_old fired")
        found = [only(rows, **here, quantity=q) for q in quantities]
        fired = ("effective share fired", "stop fired")
        found += [only(rows, **here, quantity=q) for q in fired]
        lines.append([m, math.log(m), *found])
    truth = only(rows, **of, name="true", quantity="kl_new_old")
    title = f"KL(new ‖ old) after {last:g} steps of ζ, in nats; it is {truth:.3g}"
    columns = ["episodes", "log M", "median", "highest", "above 2.5", "ESS below 0.2"]
    return Sheet(title, [*columns, "usual stop"], lines)


def _multipliers(rows: list[Row]) -> Sheet:
    lines = []
    last = max(_places(rows, part="ascent"))
    for name in dict.fromkeys(r["name"] for r in select(rows, part="ascent")):
        of = {"part": "ascent", "name": name, "at": last}
        quantities = ("multipliers", "returned", "broken", "length")
        lines.append([name, *(only(rows, **of, quantity=q) for q in quantities)])
    for name in dict.fromkeys(r["name"] for r in select(rows, part="log-reward")):
        of = {"part": "log-reward", "name": name}
        quantities = ("returned", "broken", "length")
        lines.append([name, "", *(only(rows, **of, quantity=q) for q in quantities)])
    title = f"the exact agent after {last:g} updates of λ, budget 0"
    return Sheet(title, ["forward", "λ", "return", "steps that break", "length"], lines)


def _lengths(rows: list[Row]) -> Sheet:
    lines = []
    quantities = ("allowed cost", "kl", "returned", "length")
    for part in ("leave", "cut"):
        of = {"part": "lengths", "by": part}
        names = dict.fromkeys(r["name"] for r in select(rows, **of, quantity="kl"))
        for name in names:
            found = [only(rows, **of, name=name, quantity=q) for q in quantities]
            lines.append([part, name, *found])
        shown = [only(rows, **of, name="shown", quantity=q) for q in quantities[2:]]
        lines.append([part, "shown", "", "", *shown])
    title = "demonstrators who leave early, and demonstrations cut short"
    columns = ["", "balance", "cost of what is shown", "KL", "return", "length"]
    return Sheet(title, columns, lines)


def _margins(rows: list[Row]) -> Sheet:
    lines = []
    for margin in MARGINS:
        for regulariser in REGULARISERS:
            name = f"δ = {regulariser:g}"
            of = {"part": "margin", "at": float(margin), "name": name}
            quantities = ("cells too many", "cells missed", "returned", "broken")
            found = [only(rows, **of, quantity=q) for q in quantities]
            lines.append([margin, regulariser, *map(int, found[:2]), *found[2:]])
    title = "the boundary, by how far from the wall demonstrators stay"
    columns = ["cells", "δ", "too many", "missed", "return", "steps that break"]
    return Sheet(title, columns, lines)


def findings_of(
    rows: list[Row], *, fewest: int, most: int, behind: int, longest: int
) -> dict[str, Any]:
    """The numbers that the documents quote, by name."""
    return {
        **_of_weights(rows, fewest, behind),
        **_of_horizons(rows, fewest, behind, longest),
        **_of_stops(rows, fewest, most),
        **_of_multipliers(rows),
        **_of_lengths(rows),
        **_of_margins(rows),
    }


def _of_weights(rows: list[Row], fewest: int, behind: int) -> dict[str, float]:
    found = {}
    for name in WEIGHTINGS:
        of = {"part": "weights", "name": name, "at": float(behind)}
        word = name.replace("-", "_")
        for quantity in ("error", "cosine"):
            value = only(rows, **of, quantity=quantity, samples=None)
            found[f"{quantity}_{behind}_behind_{word}"] = value
    of = {"part": "weights", "at": float(behind), "quantity": "effective share"}
    found["effective_share_behind"] = only(rows, **of, samples=None)
    found["effective_share_behind_as_estimated"] = only(rows, **of, samples=fewest)
    for competence in COMPETENCES:
        for name in ("trajectory", "return"):
            of = {"part": "competence", "name": name, "at": competence}
            value = only(rows, **of, quantity="error")
            found[f"error_at_competence_{competence:g}_{name}"] = value
            of |= {"part": "novice", "quantity": "allowed cost"}
            found[f"allowed_cost_at_competence_{competence:g}_{name}"] = only(
                rows, **of
            )
    return found


def _of_horizons(
    rows: list[Row], fewest: int, behind: int, longest: int
) -> dict[str, float]:
    of = {"part": "horizon", "at": float(longest), "name": f"after {behind}"}
    share = of | {"quantity": "effective share"}
    return {
        "effective_share_longest": only(rows, **share, samples=None),
        "effective_share_longest_as_estimated": only(rows, **share, samples=fewest),
        "kl_new_old_longest": only(rows, **of, quantity="kl_new_old"),
    }


def _of_stops(rows: list[Row], fewest: int, most: int) -> dict[str, float]:
    last = max(_places(rows, part="stop"))
    of = {"part": "stop", "at": last}
    found = {"true_kl_new_old": only(rows, **of, name="true", quantity="kl_new_old")}
    for m in (fewest, most):
        here = of | {"name": "exact", "samples": m}
        for quantity in ("kl_new_old", "kl_new_old highest", "kl_new_old fired"):
            name = quantity.replace(" ", "_")
            found[f"{name}_{m}_episodes"] = only(rows, **here, quantity=quantity)
        for quantity in ("effective share fired", "stop fired"):
            name = quantity.replace(" ", "_")
            found[f"{name}_{m}_episodes"] = only(rows, **here, quantity=quantity)
    of = {"part": "factor", "quantity": "kl_old_new", "samples": fewest}
    for name in ("exact", "published"):
        for factor in (0.99, 0.97):
            value = only(rows, **of, name=name, at=factor)
            found[f"kl_old_new_of_factor_{factor:g}_{name}"] = value
    return found


def _of_multipliers(rows: list[Row]) -> dict[str, float]:
    last = max(_places(rows, part="ascent"))
    found = {}
    for name in dict.fromkeys(r["name"] for r in select(rows, part="ascent")):
        word = _word(name)
        of = {"part": "ascent", "name": name, "at": last}
        for quantity in ("multipliers", "returned", "length"):
            found[f"{quantity}_{word}"] = only(rows, **of, quantity=quantity)
    for row in select(rows, part="log-reward", quantity="returned"):
        found[f"returned_{_word(row['name'])}"] = row["value"]
    return found


def _of_lengths(rows: list[Row]) -> dict[str, float]:
    found = {}
    for part in ("leave", "cut"):
        for quantity in ("kl", "allowed cost", "returned", "length"):
            for row in select(rows, part="lengths", by=part, quantity=quantity):
                word = f"{quantity}_{part}_{row['name']}"
                found[_word(word)] = row["value"]
    return found


def _of_margins(rows: list[Row]) -> dict[str, float]:
    found = {}
    for margin in MARGINS:
        for regulariser in (0.1, REGULARISERS[-2]):
            name = f"δ = {regulariser:g}"
            of = {"part": "margin", "at": float(margin), "name": name}
            for quantity in ("cells too many", "cells missed", "returned"):
                word = _word(f"{quantity}_margin_{margin}_{name}")
                found[word] = only(rows, **of, quantity=quantity)
    for share in SHARES:
        of = {"part": "near", "at": share, "quantity": "cells too many"}
        found[f"cells_too_many_share_{share:g}"] = only(rows, **of)
    return found


def _word(name: str) -> str:
    for old, new in ((", ", "_"), ("δ = ", "regulariser_"), (" ", "_"), ("-", "_")):
        name = name.replace(old, new)
    return name
