"""A finite MDP as a problem of the lab."""

from collections.abc import Callable
from functools import partial

from reins.errors import CapabilityError, unknown_name
from reins.lab.problem import Design, Options, Problem
from reins.lab.study import in_float64
from reins.lab.tables.constraint import constraint
from reins.lab.tables.population import population
from reins.lab.tables.spec import TableSpec
from reins.lab.tables.states import with_states
from reins.lab.tables.trajectories import behaviour, old, on_policy
from reins.lab.tables.truth import GRADIENTS, exact_gradient

MOST_DIMENSIONS = 3
"""Of a smoothed return that quadrature still gives exactly."""


def tabular_problem(name: str, summary: str, spec: TableSpec) -> Problem:
    """A finite MDP as a problem of the lab."""
    designs = ["trajectories", "behaviour", "old", "states", "every-action"]
    targets = list(GRADIENTS)
    if spec.logits.size <= MOST_DIMENSIONS:
        designs.append("population")
        targets.append("smoothed J")
    if spec.demonstrations is not None:
        designs.append("constraint")
        targets.append("log-likelihood")
    return Problem(
        name=name,
        summary=summary,
        design=in_float64(partial(_design, name, spec, designs)),
        designs=tuple(designs),
        gradient=in_float64(partial(exact_gradient, name, spec, targets)),
        targets=tuple(targets),
    )


def _design(
    problem: str, spec: TableSpec, known: list[str], name: str, options: Options
) -> Design:
    if name not in known:
        raise CapabilityError(unknown_name(f"design of {problem}", name, known))
    return _DESIGNS[name](spec, options)


_DESIGNS: dict[str, Callable[[TableSpec, Options], Design]] = {
    "trajectories": on_policy,
    "behaviour": behaviour,
    "old": old,
    "states": partial(with_states, every_action=False),
    "every-action": partial(with_states, every_action=True),
    "population": population,
    "constraint": constraint,
}
