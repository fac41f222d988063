"""What whole episodes cost, however short the batches in which they are seen."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.types import Trajectory


class EpisodeCosts(NamedTuple):
    """The costs of episodes that go on, and of those that ended last.

    Attributes:
      running: of each environment's present episode so far, undiscounted.
      latest: mean of the episodes that ended in the last batch in which any did.
    """

    running: Float[Array, " N"]
    latest: Float[Array, ""]


def init_episode_costs(environments: int) -> EpisodeCosts:
    """Nothing has been paid yet."""
    return EpisodeCosts(jnp.zeros(environments), jnp.zeros(()))


def count_costs(
    costs: EpisodeCosts, batch: Trajectory
) -> tuple[EpisodeCosts, Bool[Array, ""]]:
    """Add a batch; and whether an episode ended in it, for either reason.

    An episode begins where its time is 0: what was cut off before is forgotten.
    """

    def step(running: Array, column: tuple[Array, ...]) -> tuple[Array, tuple]:
        cost, begins, ends, real = column
        total = jnp.where(begins, 0.0, running) + cost
        total = jnp.where(real, total, running)
        over = ends & real
        return jnp.where(over, 0.0, total), (jnp.where(over, total, 0.0), over)

    columns = (batch.costs, batch.times == 0, batch.ends, batch.mask)
    running, (totals, over) = jax.lax.scan(
        step, costs.running, jax.tree.map(lambda x: x.T, columns)
    )
    ended = jnp.any(over)
    mean = jnp.sum(totals) / jnp.maximum(jnp.sum(over), 1)
    return EpisodeCosts(running, jnp.where(ended, mean, costs.latest)), ended
