"""A problem of many steps, cut short: every horizon without compiling for each.

A shorter episode is the beginning of a longer one, and without a discount what lies
ahead of a step depends on how many are left: tables of values are moved in time.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, ScalarLike

from reins.lab.problem import Design, Options, Problem
from reins.lab.tables import StateTables, TableSpec, tabular_problem
from reins.tabular.sampling import SampledTrajectories
from reins.types import Key


class Cut(NamedTuple):
    """Tables of the longest MDP, moved, and after how many steps an episode ends."""

    tables: Any
    horizon: Int[np.ndarray, ""]


def cut_problem(
    spec: TableSpec, horizon: int, gradients: Mapping[str, Float[np.ndarray, " D"]]
) -> Problem:
    """The problem of `spec`, cut after `horizon` steps.

    Identities: its estimates are those of the MDP of that horizon, on average.
    Args:
      spec: undiscounted, of the longest horizon.
      gradients: the exact ones at this horizon, by target.
    """
    whole = tabular_problem("cut", f"Cut after {horizon} steps.", spec)

    def design(name: str, options: Options) -> Design:
        found = whole.design(name, options)
        tables = _moved(found.tables, horizon - spec.mdp.horizon)
        cut = Cut(tables, np.asarray(horizon))
        return Design(
            found.params, cut, _cut_draw(found.draw), _cut_quantities(found.quantities)
        )

    return whole._replace(
        design=design,
        gradient=lambda target, options: gradients[target],
        targets=tuple(gradients),
    )


def _moved(tables: Any, by: int) -> Any:
    """Rows of time moved to earlier; those that come round are never asked for."""
    if isinstance(tables, StateTables):
        return tables._replace(
            trajectories=_moved(tables.trajectories, by),
            q_values=np.roll(tables.q_values, by, axis=0),
            log_messages=np.roll(tables.log_messages, by, axis=0),
        )
    return tables._replace(
        advantages=np.roll(tables.advantages, by, axis=0),
        values=np.roll(tables.values, by, axis=0),
    )


@cache
def _cut_draw(draw: Callable) -> Callable:
    def cut(tables: Cut, key: Key, n: int) -> Any:
        found = draw(tables.tables, key, n)
        if isinstance(found, SampledTrajectories):
            return first_steps(found, tables.horizon)
        return found._replace(
            trajectories=first_steps(found.trajectories, tables.horizon)
        )

    return cut


@cache
def _cut_quantities(quantities: Callable) -> Callable:
    return lambda params, tables, draw: quantities(params, tables.tables, draw)


def first_steps(draw: SampledTrajectories, horizon: ScalarLike) -> SampledTrajectories:
    """The same trajectories, as if each had ended after `horizon` steps."""
    mask = draw.mask & (jnp.arange(draw.mask.shape[1]) < horizon)
    return draw._replace(mask=mask, rewards=jnp.where(mask, draw.rewards, 0.0))
