"""A multiplier on 1 − ζ with budget 0: where it drives the agent, where it rests."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.lab.studies.constraint_biases.corridor import (
    Behaviour,
    behaviour,
    by_pair,
)
from reins.lab.studies.constraint_biases.rows import Row, row
from reins.lab.study import QUICK
from reins.tabular import TabularMDP, trajectory_model

MULTIPLIERS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
DUAL_LEARNING_RATE = 0.1


class Priced(NamedTuple):
    """A corridor whose steps are priced by a learned ζ.

    Attributes:
      mdp: the nominal MDP.
      forbidden: what is forbidden in truth.
      prices: what a step costs, 1 − ζ or 1 − ζ less the demonstrations' mean.
    """

    mdp: TabularMDP
    forbidden: Bool[Array, "*batch S"]
    prices: Float[Array, "*batch S"]


def constrained(problem: Priced, multiplier: float | Array) -> Behaviour:
    """The agent of greatest E[Σ r − λ Σ price] + entropy; exact for certain moves."""
    log_zeta = by_pair(-multiplier * problem.prices)
    model = trajectory_model(problem.mdp, log_zeta)
    return behaviour(problem.mdp, problem.forbidden, model)


class Ascent(NamedTuple):
    """After every update of the multiplier: λ, and what the agent then does.

    Attributes:
      multipliers: λ ≥ 0.
      violations: E[Σ price] an episode: what moved λ.
      returned, broken, length: as in `Behaviour`.
    """

    multipliers: Float[Array, " N"]
    violations: Float[Array, " N"]
    returned: Float[Array, " N"]
    broken: Float[Array, " N"]
    length: Float[Array, " N"]


@partial(jax.jit, static_argnames="updates", compiler_options=QUICK)
def ascend(problem: Priced, *, updates: int) -> Ascent:
    """λ ← max(0, λ + η E[Σ price]) with budget 0, the agent at its optimum each time.

    Source: S2 (9), by dual ascent.
    """

    def update(multiplier: Array, _: None) -> tuple[Array, Ascent]:
        found = constrained(problem, multiplier)
        violation = found.visits @ problem.prices
        told = (found.returned, found.broken, found.length)
        moved = jnp.maximum(0.0, multiplier + DUAL_LEARNING_RATE * violation)
        return moved, Ascent(multiplier, violation, *told)

    return jax.lax.scan(update, jnp.zeros(()), length=updates)[1]


@partial(jax.jit, compiler_options=QUICK)
def over_multipliers(problem: Priced) -> Behaviour:
    """`constrained` at each of `MULTIPLIERS`."""
    return jax.vmap(partial(constrained, problem))(jnp.asarray(MULTIPLIERS))


def multiplier_rows(name: str, problem: Priced, *, updates: int) -> list[Row]:
    """The agent at every multiplier, and on the way of dual ascent."""
    rows = []
    found = over_multipliers(problem)
    quantities = ("returned", "broken", "length")
    for i, multiplier in enumerate(MULTIPLIERS):
        here = partial(row, "multiplier", by="multiplier", at=multiplier)
        rows += [here(name, q, getattr(found, q)[i]) for q in quantities]
    rows += ascent_rows(name, ascend(problem, updates=updates))
    return rows


def ascent_rows(name: str, ascent: Ascent) -> list[Row]:
    """λ and what the agent does, before updates 1, 2, 4, 8, ... and the last."""
    updates = len(ascent.multipliers)
    shown = [2**i for i in range(updates.bit_length()) if 2**i < updates]
    rows = []
    for n in [*shown, updates]:
        here = partial(row, "ascent", by="update", at=n)
        for quantity, values in ascent._asdict().items():
            rows.append(here(name, quantity, values[n - 1]))
    return rows


def log_reward_rows(
    name: str, problem: Priced, log_zeta: Float[Array, " S"]
) -> list[Row]:
    """The same agent on r + log ζ, which has no multiplier."""
    model = trajectory_model(problem.mdp, by_pair(log_zeta))
    found = behaviour(problem.mdp, problem.forbidden, model)
    quantities = ("returned", "broken", "length")
    return [row("log-reward", name, q, getattr(found, q)) for q in quantities]
