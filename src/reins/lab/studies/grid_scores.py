"""How near found rules are to planted ones: by item, by step, and by trajectory."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from reins.lab.grids import MOVES, GridLayout, next_cells
from reins.tabular import (
    Passes,
    RuleProblem,
    model_log_partition,
    model_passes,
    model_without,
)

OFTEN = 0.01
"""Visits an episode."""


class Truth(NamedTuple):
    """A grid with its rules, solved.

    Attributes:
      problem: the nominal MDP and its items.
      planted: the items that hold.
      passes: of the trajectories that break none.
      breaks: whether the step (s, a) breaks a rule: by its move, or by where it leads.
      reached: cells that trajectories without a breach are in before they end.
      counted: steps to score: from these cells, and taken at least `OFTEN` times an
        episode by somebody who knows no rule. Of others demonstrations say next to
        nothing.
    """

    problem: RuleProblem
    planted: Bool[np.ndarray, " I"]
    passes: Passes
    breaks: Bool[np.ndarray, "S A"]
    reached: Bool[np.ndarray, " S"]
    counted: Bool[np.ndarray, "S A"]


def truth_of(layout: GridLayout) -> Truth:
    """Solve a grid under its planted rules."""
    problem = layout.problem()
    planted = layout.chosen(layout.planted)
    passes = model_passes(model_without(problem, planted))
    reached = np.asarray(jnp.sum(passes.states[:-1], axis=0)) > 0
    reached &= ~np.asarray(problem.mdp.terminal)
    breaks = broken_steps(layout, planted)
    nominal = model_passes(model_without(problem, np.zeros_like(planted)))
    counted = reached[:, None] & (np.asarray(nominal.visits) >= OFTEN)
    return Truth(problem, planted, passes, breaks, reached, counted)


def broken_steps(
    layout: GridLayout, rules: Bool[np.ndarray, " I"]
) -> Bool[np.ndarray, "S A"]:
    """Steps that break one of these rules by their move, or by where they lead."""
    items = layout.problem().items
    places = np.any(np.asarray(items.places)[rules], axis=0)
    first = len(layout.colours)
    moves = rules[first : first + len(MOVES)]
    return places[next_cells(layout.height, layout.width)] | moves


class Scores(NamedTuple):
    """Of a map of costs in [0, 1] over steps; NaN where there is nothing to score.

    Attributes:
      auc: the probability that a step that breaks a rule costs more than one that
        breaks none; ties count one half.
      precision, recall: of "costs more than 1/2" for "breaks a rule".
    """

    auc: float
    precision: float
    recall: float


def scores_of(costs: Float[np.ndarray, "S A"], truth: Truth) -> Scores:
    """Score a map on the steps that are counted."""
    cost, breaks = costs[truth.counted], truth.breaks[truth.counted]
    worse, fine = cost[breaks], cost[~breaks]
    above = worse[:, None] - fine
    wins = (above > 0) + 0.5 * (above == 0)
    said, right = cost > 0.5, breaks & (cost > 0.5)
    return Scores(
        auc=float(wins.mean()) if wins.size else float("nan"),
        precision=float(right.sum() / said.sum()) if said.any() else float("nan"),
        recall=float(right.sum() / breaks.sum()) if breaks.any() else float("nan"),
    )


def kl_of_rules(truth: Truth, rules: Bool[np.ndarray, " I"]) -> float:
    """KL(truth ‖ model under other hard rules); infinite if they forbid what is done.

    Returns: nats per trajectory.
    """
    forbidden = model_without(truth.problem, rules)
    both = model_without(truth.problem, rules | truth.planted)
    log_z = truth.passes.log_partition
    if not np.isclose(float(model_log_partition(both)), float(log_z), atol=1e-9):
        return float("inf")
    return float(model_log_partition(forbidden) - log_z)


def kl_of_zeta(truth: Truth, log_zeta: Float[Array, "S A"], log_z: Array) -> float:
    """KL(truth ‖ π), π ∝ exp(r/α) Π ζ with partition function exp(log_z); nats."""
    lost = jnp.sum(jnp.asarray(truth.passes.visits) * log_zeta)
    return float(log_z - truth.passes.log_partition - lost)
