"""Demonstrations and nominal trajectories; the parameters are log ζ."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.errors import ConfigError
from reins.lab.problem import Options, Quantities
from reins.lab.tables.spec import TableSpec
from reins.tabular import enumerate_trajectories, model_log_probs
from reins.tabular.sampling import SampledTrajectories, rewarded
from reins.types import Key

MOST_TRAJECTORIES = 50_000
"""That are enumerated; a larger problem has no constraint to be learned."""


class ConstraintTables(NamedTuple):
    """Every trajectory, how likely each is, and an expert's."""

    every: SampledTrajectories
    cumulative: Float[Array, " E"]
    sampled_log_zeta: Float[Array, "S A"]
    demonstrations: SampledTrajectories
    temperature: Float[Array, ""]


def _draw_nominal(tables: ConstraintTables, key: Key, n: int) -> SampledTrajectories:
    numbers = jax.random.uniform(key, (n,)) * tables.cumulative[-1]
    rows = jnp.searchsorted(tables.cumulative, numbers, side="right")
    return jax.tree.map(lambda x: x[rows], tables.every)


def _constraint_quantities(
    params: Float[Array, " D"], tables: ConstraintTables, draw: SampledTrajectories
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


def constraint(spec: TableSpec, options: Options) -> Any:
    """Design `constraint`: nominal trajectories drawn under the sampled ζ."""
    del options
    every = enumerate_trajectories(spec.mdp, limit=MOST_TRAJECTORIES)
    masses = model_log_probs(every, spec.sampled_log_zeta, temperature=spec.temperature)
    tables = ConstraintTables(
        rewarded(spec.mdp, every.states, every.actions),
        jnp.cumsum(jnp.exp(masses)),
        spec.sampled_log_zeta,
        given(spec.demonstrations),
        jnp.asarray(spec.temperature),
    )
    return tables, _draw_nominal, _constraint_quantities


def given(demonstrations: SampledTrajectories | None) -> SampledTrajectories:
    """The demonstrations.

    Raises: ConfigError when the problem has none.
    """
    if demonstrations is None:
        raise ConfigError("this problem has no demonstrations, so no constraint.")
    return demonstrations
