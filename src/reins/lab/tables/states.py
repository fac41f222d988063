"""States of the policy's trajectories, with fresh actions in each or all of them."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.lab.problem import Design, Options, Quantities, States
from reins.lab.tables.spec import TableSpec
from reins.lab.tables.trajectories import (
    TrajectoryTables,
    discounts,
    draw_trajectories,
    every_trajectory,
    trajectory_tables,
)
from reins.tabular import (
    action_values,
    backward_messages,
    message_values,
    soft_action_values,
)
from reins.tabular.sampling import SampledTrajectories, pick
from reins.types import Key
from reins.weights import (
    normalised_weights,
    posterior_log_weights,
    smoothing_log_weights,
)


class StateTables(NamedTuple):
    """Trajectories, the Q that weighs actions, and the message that weighs states."""

    trajectories: TrajectoryTables
    q_values: Float[Array, "T S A"]
    log_messages: Float[Array, "T_plus_1 S"]


class StateDraw(NamedTuple):
    """Trajectories, and K numbers in (0, 1) at each of their steps."""

    trajectories: SampledTrajectories
    numbers: Float[Array, "N T K"]


@cache
def _draw_states(actions: int) -> Callable[..., StateDraw]:
    def draw(tables: StateTables, key: Key, n: int) -> StateDraw:
        keys = jax.random.split(key)
        trajectories = draw_trajectories(tables.trajectories, keys[0], n)
        shape = (*trajectories.actions.shape, actions)
        return StateDraw(trajectories, jax.random.uniform(keys[1], shape))

    return draw


@cache
def _state_quantities(states: States, *, every_action: bool) -> Callable:
    def quantities(
        params: Float[Array, " D"], tables: StateTables, draw: StateDraw
    ) -> Quantities:
        prior = tables.trajectories.log_prior
        log_policy = jax.nn.log_softmax(params.reshape(prior.shape))
        where = draw.trajectories.states[:, :-1]
        times = jnp.arange(where.shape[1])[:, None]
        if every_action:
            actions = jnp.broadcast_to(
                jnp.arange(prior.shape[1]), (*where.shape, prior.shape[1])
            )
        else:
            actions = pick(
                jnp.cumsum(jax.lax.stop_gradient(jnp.exp(log_policy)), axis=1)[where][
                    :, :, None
                ],
                draw.numbers,
            )
        where = where[..., None]
        names = ("log_policy", "log_prior") if every_action else _SAMPLED
        return {
            names[0]: lambda: _rows(log_policy[where, actions]),
            names[1]: lambda: _rows(prior[where, actions]),
            "q_values": lambda: _rows(tables.q_values[times, where, actions]),
            "state_weights": lambda: _state_weights(states, tables, draw.trajectories),
            "temperature": lambda: tables.trajectories.temperature,
            "discount": lambda: tables.trajectories.mdp.discount,
        }

    return quantities


_SAMPLED = ("log_probs", "log_priors")


def _rows(array: Array) -> Array:
    """(N, T, K) as states, one to a row."""
    return array.reshape(-1, array.shape[-1])


def _state_weights(
    states: States, tables: StateTables, draw: SampledTrajectories
) -> Float[Array, " N"]:
    """γ^t/N as visited; else w_it, so that Σ_t Σ_i is Σ_t Σ_s p(s_t = s|O)."""
    trajectories, mask = tables.trajectories, draw.mask
    if states == "visited":
        return (mask * discounts(trajectories.mdp) / len(mask)).reshape(-1)
    log_policy = jax.nn.log_softmax(trajectories.acting[0])
    before = draw.states[:, :-1]
    steps = posterior_log_weights(
        log_policy[before, draw.actions],
        trajectories.log_prior[before, draw.actions],
        draw.rewards,
        mask,
        temperature=trajectories.temperature,
        log_z0=trajectories.log_z0,
    )
    messages = tables.log_messages[jnp.arange(mask.shape[1]), before]
    chosen = messages if states == "two-filter" else None
    log_weights = smoothing_log_weights(steps, mask, chosen)
    return (normalised_weights(log_weights.T).T * mask).reshape(-1)


def with_states(spec: TableSpec, options: Options, *, every_action: bool) -> Design:
    """Designs `states` and `every-action`: those of the policy's own trajectories."""
    trajectories = trajectory_tables(spec, spec.logits[None], jnp.zeros(1))
    messages = backward_messages(
        spec.mdp, spec.log_prior, temperature=spec.temperature, log_z0=spec.log_z0
    )
    tables = StateTables(trajectories, critic_of(spec, options), messages.log_state)
    draw = _draw_states(1 if every_action else options.actions)
    quantities = _state_quantities(options.states, every_action=every_action)
    every = _every_state if every_action else None
    return Design(spec.logits.reshape(-1), tables, draw, quantities, every)


def _every_state(tables: StateTables) -> tuple[StateDraw, Float[Array, " E"]]:
    rows, log_masses = every_trajectory(tables.trajectories)
    return StateDraw(rows, jnp.zeros((*rows.actions.shape, 1))), log_masses


def critic_of(spec: TableSpec, options: Options) -> Float[Array, "T S A"]:
    """The exact Q that the options ask for."""
    given = {"temperature": spec.temperature}
    if options.critic == "classic":
        return action_values(spec.mdp, spec.logits)
    if options.critic == "soft":
        return soft_action_values(spec.mdp, spec.logits, spec.log_prior, **given)
    return message_values(spec.mdp, spec.log_prior, log_z0=spec.log_z0, **given)
