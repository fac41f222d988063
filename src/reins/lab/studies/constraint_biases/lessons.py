"""Which rule is learned: from whom, how near the wall they came, how long they took."""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from reins.lab.studies.constraint_biases.corridor import (
    Behaviour,
    Corridor,
    behaviour,
    by_pair,
    first_visits,
)
from reins.lab.studies.constraint_biases.learning import (
    Balance,
    Lesson,
    Outcome,
    learned_each,
    outcome,
)
from reins.lab.studies.constraint_biases.rows import Row, row
from reins.lab.studies.constraint_biases.weights import COMPETENCES
from reins.tabular import TabularMDP, model_log_partition, trajectory_model

LEAVERS = Corridor(pay=-1.0, rest=-1.0, gold=1.0, door=4.0)
"""Where time costs: who keeps the rule leaves by the door, who breaks it stays."""
LONG = Corridor(cells=12, start=7, horizon=12)
"""With room between the start and the wall."""
MARGINS = (0, 1, 2, 3)
REGULARISERS = (0.0, 0.1, 0.5, 1.0, 1.9, 2.1, 3.0)
SHARES = (0.0, 0.001, 0.01, 0.1, 1.0)
"""Of demonstrators who go as near the wall as the rule lets them."""


class Shown(NamedTuple):
    """A corridor, solved: what demonstrators do, and who keeps exactly the rule."""

    mdp: TabularMDP
    forbidden: Bool[Array, " S"]
    demonstrators: Behaviour


def shown(corridor: Corridor, margin: int = 0) -> Shown:
    """Demonstrators without end, so many cells further from the wall than they must."""
    mdp, forbidden = corridor.mdp(), jnp.asarray(corridor.forbidden)
    found = behaviour(mdp, forbidden, corridor.careful(margin))
    return Shown(mdp, forbidden, found)


def outcome_rows(here: partial, name: str, found: Outcome) -> list[Row]:
    """The numbers of an outcome."""
    values = {
        "allowed cost": found.allowed_cost,
        "forbidden cost": found.forbidden_cost,
        "kl": found.kl,
        "returned": found.agent.returned,
        "broken": found.agent.broken,
        "length": found.agent.length,
    }
    return [here(name, quantity, value) for quantity, value in values.items()]


def table_rows(part: str, name: str, log_zeta: Float[Array, " S"]) -> list[Row]:
    """ζ of every cell."""
    here = partial(row, part, name, "zeta", by="cell")
    return [here(zeta, at=cell) for cell, zeta in enumerate(jnp.exp(log_zeta))]


# Episodes of unequal length.


def length_rows(*, steps: int) -> list[Row]:
    """Demonstrators who leave early, and demonstrations that are cut short."""
    rows = []
    leavers, runners = shown(LEAVERS), shown(Corridor())
    balances: tuple[Balance, ...] = ("sum", "step-mean")
    for balance in balances:
        rows += _learned_rows("leave", balance, leavers, steps=steps, balance=balance)
    half = Corridor().horizon // 2
    log_zeta = jnp.where(runners.forbidden, -jnp.inf, 0.0)
    first, _ = first_visits(runners.mdp, log_zeta, steps=half)
    cut = partial(_learned_rows, "cut", of=runners, visits=first, steps=steps)
    for balance in balances:
        rows += cut(balance, balance=balance)
    rows += cut("sum, agent cut too", seen=half)
    for part, of in (("leave", leavers), ("cut", runners)):
        here = partial(row, "lengths", by=part)
        free = behaviour(of.mdp, of.forbidden, trajectory_model(of.mdp))
        for name, found in (("knows no rule", free), ("shown", of.demonstrators)):
            for quantity in ("returned", "broken", "length"):
                rows.append(here(name, quantity, getattr(found, quantity)))
    return rows


def lesson_of(
    of: Shown, visits: Float[Array, " S"] | None = None, **changed: Any
) -> Lesson:
    """What its demonstrators teach, or these visits."""
    given = of.demonstrators.visits if visits is None else visits
    return Lesson(given, of.demonstrators.returned, **changed)


def _learned_rows(
    part: str,
    name: str,
    of: Shown,
    visits: Float[Array, " S"] | None = None,
    **options: Any,
) -> list[Row]:
    (log_zeta,) = learned_each(of.mdp, [lesson_of(of, visits)], **options)
    here = partial(row, "lengths", by=part)
    rows = outcome_rows(here, name, outcome(*of, log_zeta))
    return rows + table_rows(f"zeta, {part}", name, log_zeta)


# An agent that has not learned yet.


def novice_rows(*, steps: int) -> list[Row]:
    """The rule that is learned against an agent that stays at a competence."""
    of = shown(Corridor())
    lessons = [lesson_of(of, competence=competence) for competence in COMPETENCES]
    rows = []
    for name in ("trajectory", "return"):
        options = {"steps": steps, "by_return": name == "return"}
        tables = learned_each(of.mdp, lessons, **options)
        for competence, log_zeta in zip(COMPETENCES, tables, strict=True):
            here = partial(row, "novice", by="competence", at=competence)
            rows += outcome_rows(here, name, outcome(*of, log_zeta))
    return rows


# Demonstrators who never come near the wall.


def margin_rows(*, steps: int) -> list[Row]:
    """The boundary that is learned, by how near demonstrators came and by δ.

    And by the share of them who came as near as the rule lets them.
    """
    turned = [shown(LONG, margin) for margin in MARGINS]
    near, far = turned[0], turned[-1]
    lessons = {
        (margin, regulariser): lesson_of(of, regulariser=regulariser)
        for margin, of in zip(MARGINS, turned, strict=True)
        for regulariser in REGULARISERS
    }
    mixed = [
        lesson_of(
            near,
            share * near.demonstrators.visits
            + (1.0 - share) * far.demonstrators.visits,
        )
        for share in SHARES
    ]
    every = [*lessons.values(), *mixed]
    tables = iter(learned_each(near.mdp, every, steps=steps))
    rows = []
    for (margin, regulariser), log_zeta in zip(lessons, tables, strict=False):
        here = partial(row, "margin", by="margin", at=margin)
        name = f"δ = {regulariser:g}"
        rows += outcome_rows(here, name, outcome(*turned[margin], log_zeta))
        rows += _boundary_rows(here, name, log_zeta)
        rows += table_rows(f"zeta, margin {margin}", name, log_zeta)
    for share, log_zeta in zip(SHARES, tables, strict=True):
        here = partial(row, "near", by="share who come near", at=share)
        rows += outcome_rows(here, "δ = 0", outcome(*near, log_zeta))
        rows += _boundary_rows(here, "δ = 0", log_zeta)
    return rows


def _boundary_rows(here: partial, name: str, log_zeta: Float[Array, " S"]) -> list[Row]:
    """Cells on the way to the wall that ζ < 1/2 forbids, and forbidden ones it allows.

    Cells beyond the first that is forbidden are asked too.
    """
    below = np.asarray(log_zeta) < np.log(0.5)
    between = slice(LONG.wall + 1, LONG.start)
    missed = ~below[: LONG.wall + 1]
    counts = {"cells too many": below[between].sum(), "cells missed": missed.sum()}
    return [here(name, quantity, count) for quantity, count in counts.items()]


def rule_rows() -> list[Row]:
    """Gains in likelihood of hard rules: of a cell and all before it, and of it alone.

    log Z − log Z(rule), nats a demonstration that breaks neither.
    """
    mdp = LONG.mdp()
    cells = np.arange(LONG.cells)
    free = model_log_partition(trajectory_model(mdp))
    rows = []
    for cell in range(LONG.start):
        for name, kept in (("up to", cells <= cell), ("alone", cells == cell)):
            log_zeta = jnp.where(kept, -jnp.inf, 0.0)
            ruled = model_log_partition(trajectory_model(mdp, by_pair(log_zeta)))
            rows.append(row("rule", name, "gain", free - ruled, by="cell", at=cell))
    return rows
