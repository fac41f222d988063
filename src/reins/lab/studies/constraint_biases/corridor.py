"""A corridor with a wall, small enough that all that is said of it is exact.

Constraints are tables of log ζ by cell, and α is 1: rewards are in nats.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.tabular import (
    TabularMDP,
    TrajectoryModel,
    model_passes,
    tabular_mdp,
    trajectory_model,
)

MOVES = (-1, 0, 1)


@dataclasses.dataclass(frozen=True)
class Corridor:
    """Cells in a row. Behind the wall is gold, and nobody should be there.

    Attributes:
      cells: how many; the last is a door, and arriving there ends an episode.
      start: where every episode begins.
      wall: the last cell in which to act is forbidden; so are all before it.
      horizon: T, steps.
      pay, rest: reward of a move from a cell that is allowed, and of staying anywhere.
      gold: reward of a move from a cell that is forbidden.
      door: reward of arriving at the door.
    """

    cells: int = 9
    start: int = 4
    wall: int = 2
    horizon: int = 8
    pay: float = 1.0
    rest: float = 0.0
    gold: float = 2.0
    door: float = 0.0

    @property
    def forbidden(self) -> Bool[np.ndarray, " S"]:
        """The planted rule."""
        return np.arange(self.cells) <= self.wall

    def mdp(self) -> TabularMDP:
        """The nominal MDP, in which the wall is not there. No move leads out of it."""
        cells = np.arange(self.cells)
        following = np.clip(cells[:, None] + MOVES, 0, self.cells - 1)
        moved = following != cells[:, None]
        paid = np.where(self.forbidden, self.gold, self.pay)[:, None]
        rewards = np.where(moved, paid, self.rest)
        rewards = np.where(moved & (following == self.cells - 1), self.door, rewards)
        return tabular_mdp(
            np.eye(self.cells)[following],
            rewards,
            initial=cells == self.start,
            terminal=cells == self.cells - 1,
            horizon=self.horizon,
        )

    def careful(self, margin: int = 0) -> TrajectoryModel:
        """Demonstrators: π ∝ exp(r), who stay so many cells further from the wall."""
        kept = np.arange(self.cells) <= self.wall + margin
        log_zeta = jnp.where(kept, -jnp.inf, 0.0)
        return trajectory_model(self.mdp(), by_pair(log_zeta))


def by_pair(log_zeta: Float[Array, " S"]) -> Float[Array, "S A"]:
    """A table by cell as one by cell and move."""
    return jnp.broadcast_to(log_zeta[:, None], (log_zeta.shape[0], len(MOVES)))


class Behaviour(NamedTuple):
    """What a distribution of trajectories does, per episode.

    Attributes:
      visits: steps taken in each cell.
      log_partition: log Z, nats.
      returned: mean return, as it is paid.
      broken: mean steps taken where it is forbidden.
      length: mean steps.
    """

    visits: Float[Array, " S"]
    log_partition: Float[Array, ""]
    returned: Float[Array, ""]
    broken: Float[Array, ""]
    length: Float[Array, ""]


@jax.jit
def behaviour(
    mdp: TabularMDP, forbidden: Bool[Array, " S"], model: TrajectoryModel
) -> Behaviour:
    """Of a model of the MDP's trajectories, whatever its weights are."""
    passes = model_passes(model)
    visits = jnp.sum(passes.visits, axis=1)
    earned = jnp.sum(mdp.transitions * mdp.rewards, axis=2)
    return Behaviour(
        visits,
        passes.log_partition,
        returned=jnp.sum(passes.visits * earned),
        broken=jnp.sum(visits, where=forbidden),
        length=jnp.sum(visits),
    )


@partial(jax.jit, static_argnames="steps")
def first_visits(
    mdp: TabularMDP,
    log_zeta: Float[Array, " S"],
    *,
    steps: int,
    competence: ScalarLike = 1.0,
) -> tuple[Float[Array, " S"], Float[Array, ""]]:
    """Visits to each cell in the first steps, and log Z, of π ∝ exp(β r) Π ζ.

    Args: `competence` is β: 1 for an agent as S2 (1) has it, 0 before it has learned.
    """
    model = trajectory_model(
        dataclasses.replace(mdp, rewards=competence * mdp.rewards), by_pair(log_zeta)
    )
    passes = model_passes(model)
    states = jnp.where(mdp.terminal, 0.0, passes.states[:steps])
    return jnp.sum(states, axis=0), passes.log_partition
