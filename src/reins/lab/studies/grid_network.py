"""ICRL's network on a grid, with an exact forward step in place of an agent."""

import dataclasses
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from reins.constraints import Constraint, InputSpec, constraint_network
from reins.lab.grids import MOVES, GridLayout, grid_log_partition, next_cells
from reins.types import Key

Seen = Literal["coordinates", "cells"]
"""What ζ sees of a state: row and column in [−1, 1], or which cell, as a one-hot."""


class GridData(NamedTuple):
    """What the network learns from on one grid; stacks over grids of one shape.

    Attributes:
      following: s' of each (s, a).
      log_rewards: r(s, a)/α, nats.
      start, goal: cells.
      visits: mean visits of a demonstration to (s, a).
    """

    following: Int[Array, "*batch S A"]
    log_rewards: Float[Array, "*batch S A"]
    start: Int[Array, "*batch"]
    goal: Int[Array, "*batch"]
    visits: Float[Array, "*batch S A"]


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """How ζ is made and improved.

    Attributes:
      seen: of a state; the move is always a one-hot.
      hidden: units of its layers (ReLU).
      steps: of Adam.
      learning_rate: its step size.
      regulariser: δ of S2 (8), as the step mean of `regulariser_loss`.
    """

    seen: Seen
    hidden: tuple[int, ...]
    steps: int
    learning_rate: float
    regulariser: float


def grid_data(layout: GridLayout, visits: Float[Array, "S A"]) -> GridData:
    """The arrays of a layout, with demonstrations' visits."""
    lengths = jnp.asarray([np.hypot(*move) for move in MOVES.values()])
    log_rewards = -lengths / layout.temperature
    return GridData(
        jnp.asarray(next_cells(layout.height, layout.width)),
        jnp.broadcast_to(log_rewards, visits.shape),
        jnp.asarray(layout.start),
        jnp.asarray(layout.goal),
        visits,
    )


def observed(height: int, width: int, seen: Seen) -> Float[np.ndarray, "S D"]:
    """What ζ sees of every cell."""
    cells = np.arange(height * width)
    if seen == "cells":
        return np.eye(height * width)
    row, column = np.divmod(cells, width)
    halves = (height - 1) / 2, (width - 1) / 2
    return np.stack([row / halves[0] - 1.0, column / halves[1] - 1.0], axis=1)


@partial(jax.jit, static_argnames=("height", "width", "horizon", "settings"))
def learned_log_zeta(
    data: GridData,
    key: Key,
    *,
    height: int,
    width: int,
    horizon: int,
    settings: NetworkSettings,
) -> Float[Array, "S A"]:
    """log ζ(s, a) after ICRL with an exact forward step: for grids of one shape.

    ascend   mean_expert Σ_t log ζ − E[Σ_t log ζ]  (over the horizon)
             + δ (mean_expert(ζ − 1) + mean_nominal(ζ − 1))

    where E is under π(τ) ∝ exp(r/α) Π ζ with the present ζ, computed anew before every
    step: what the agent samples and importance weights and early stop take care of in
    `reins.agents.icrl` is exact here.

    Source: S2 (6), (8), Algorithm 1.
    """
    seen = observed(height, width, settings.seen)
    cells, moves = seen.shape[0], len(MOVES)
    inputs = InputSpec(
        observation_size=seen.shape[1],
        action_size=moves,
        discrete=True,
        observation_dims=tuple(range(seen.shape[1])),
        action_dims=tuple(range(moves)),
    )
    observations = jnp.repeat(jnp.asarray(seen), moves, axis=0)
    actions = jnp.tile(jnp.arange(moves), cells)
    optimizer = optax.adam(settings.learning_rate, eps=1e-5)
    nominal_visits = jax.grad(grid_log_partition, argnums=1)

    def table(zeta: Constraint) -> Array:
        return zeta.log_zeta(observations, actions).reshape(cells, moves)

    def loss(zeta: Constraint) -> Array:
        log_zeta = table(zeta)
        weights = data.log_rewards + jax.lax.stop_gradient(log_zeta)
        place = (data.start, data.goal)
        nominal = nominal_visits(data.following, weights, *place, horizon=horizon)
        likelihood = jnp.sum((data.visits - nominal) * log_zeta) / horizon
        reluctance = sum(
            jnp.sum(visits * jnp.expm1(log_zeta)) / jnp.sum(visits)
            for visits in (data.visits, nominal)
        )
        return -likelihood - settings.regulariser * reluctance

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        zeta, state = carry
        updates, state = optimizer.update(jax.grad(loss)(zeta), state)
        return (optax.apply_updates(zeta, updates), state), None

    zeta: Any = constraint_network(inputs, hidden=settings.hidden)(key)
    (zeta, _), _ = jax.lax.scan(
        step, (zeta, optimizer.init(zeta)), length=settings.steps
    )
    return table(zeta)
