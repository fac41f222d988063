"""Parameters drawn around a mean, one episode played with each."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.credit import total_returns
from reins.estimators import antithetic_normal
from reins.lab.problem import Design, Options, Quantities
from reins.lab.tables.spec import TableSpec
from reins.lab.tables.trajectories import TrajectoryTables, trajectory_tables
from reins.tabular.sampling import sample_trajectories
from reins.types import Key

SMOOTHING = 0.3
"""Scale of the noise on the logits, for evolution strategies."""


class Population(NamedTuple):
    """Perturbed parameters, and the return of one episode with each."""

    samples: Float[Array, "N D"]
    scores: Float[Array, " N"]


def perturbations(key: Key, n: int, d: int, *, antithetic: bool) -> Float[Array, "n d"]:
    """Standard normals; opposite ones side by side, as rows are dealt out in order."""
    if not antithetic:
        return jax.random.normal(key, (n, d))
    halves = antithetic_normal(key, n, d).reshape(2, -1, d)
    return halves.swapaxes(0, 1).reshape(n, d)


@cache
def _draw_population(antithetic: bool) -> Callable[..., Population]:
    def draw(tables: TrajectoryTables, key: Key, n: int) -> Population:
        keys = jax.random.split(key)
        mean = tables.acting[0].reshape(-1)
        noise = perturbations(keys[0], n, mean.size, antithetic=antithetic)
        samples = mean + SMOOTHING * noise
        logits = samples.reshape(n, 1, *tables.log_prior.shape)

        def play(one: Array, key: Key) -> Array:
            episode = sample_trajectories(tables.mdp, one, jnp.zeros(1), key, 1)
            return total_returns(
                episode.rewards, episode.mask, discount=tables.mdp.discount
            )[0]

        return Population(samples, jax.vmap(play)(logits, jax.random.split(keys[1], n)))

    return draw


def population_quantities(
    params: Float[Array, " D"], tables: Any, draw: Population
) -> Quantities:
    """What evolution strategies ask for; `mean` carries the gradient."""
    del tables
    return {
        "samples": lambda: draw.samples,
        "scores": lambda: draw.scores,
        "mean": lambda: params,
        "std": lambda: SMOOTHING,
    }


def population(spec: TableSpec, options: Options) -> Design:
    """Design `population`: logits drawn around the policy's own."""
    tables = trajectory_tables(spec, spec.logits[None], jnp.zeros(1))
    draw = _draw_population(options.antithetic)
    return Design(spec.logits.reshape(-1), tables, draw, population_quantities)
