"""Demonstrations and nominal trajectories; the parameters are log ζ."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.errors import ConfigError
from reins.lab.problem import Design, Options, Quantities
from reins.lab.tables.spec import TableSpec
from reins.tabular import (
    AllTrajectories,
    enumerate_trajectories,
    model_log_probs,
)
from reins.types import Key

MOST_TRAJECTORIES = 50_000
"""That are enumerated; a larger problem has no constraint to be learned."""


class ConstraintTables(NamedTuple):
    """Every trajectory, how likely each is, and an expert's."""

    every: AllTrajectories
    cumulative: Float[Array, " E"]
    sampled_log_zeta: Float[Array, "S A"]
    demonstrations: AllTrajectories
    temperature: Float[Array, ""]


def _draw_nominal(tables: ConstraintTables, key: Key, n: int) -> AllTrajectories:
    numbers = jax.random.uniform(key, (n,)) * tables.cumulative[-1]
    rows = jnp.searchsorted(tables.cumulative, numbers, side="right")
    return jax.tree.map(lambda x: x[rows], tables.every)


def _constraint_quantities(
    params: Float[Array, " D"], tables: ConstraintTables, draw: AllTrajectories
) -> Quantities:
    log_zeta = params.reshape(tables.sampled_log_zeta.shape)
    nominal, expert = (
        (rows.states[:, :-1], rows.actions) for rows in (draw, tables.demonstrations)
    )
    return {
        "expert_log_zeta": lambda: log_zeta[expert],
        "expert_mask": lambda: tables.demonstrations.mask,
        "nominal_log_zeta": lambda: log_zeta[nominal],
        "nominal_mask": lambda: draw.mask,
        "sampled_log_zeta": lambda: tables.sampled_log_zeta[nominal],
        "horizon": lambda: draw.mask.shape[1],
    }


def _every_nominal(
    tables: ConstraintTables,
) -> tuple[AllTrajectories, Float[Array, " E"]]:
    return tables.every, jnp.log(jnp.diff(tables.cumulative, prepend=0.0))


def constraint(spec: TableSpec, options: Options) -> Design:
    """Design `constraint`: nominal trajectories drawn under the sampled ζ."""
    del options
    every = enumerate_trajectories(spec.mdp, limit=MOST_TRAJECTORIES)
    masses = model_log_probs(every, spec.sampled_log_zeta, temperature=spec.temperature)
    tables = ConstraintTables(
        every,
        jnp.cumsum(jnp.exp(masses)),
        spec.sampled_log_zeta,
        given(spec.demonstrations),
        jnp.asarray(spec.temperature),
    )
    return Design(
        spec.log_zeta.reshape(-1),
        tables,
        _draw_nominal,
        _constraint_quantities,
        _every_nominal,
    )


def given(demonstrations: AllTrajectories | None) -> AllTrajectories:
    """The demonstrations.

    Raises: ConfigError when the problem has none.
    """
    if demonstrations is None:
        raise ConfigError("this problem has no demonstrations, so no constraint.")
    return demonstrations
