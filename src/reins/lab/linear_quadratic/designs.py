"""Draws of the linear-quadratic problem and the arrays they make.

Every function here is of module level or cached, and takes what it needs as `tables`,
so that it compiles once.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.credit import total_returns
from reins.lab.problem import Options, Quantities, States
from reins.lab.tables import (
    SMOOTHING,
    Population,
    perturbations,
    population_quantities,
)
from reins.tabular import (
    LinearPolicy,
    LinearQuadratic,
    LinearQuadraticSample,
    linear_quadratic_messages,
    quadratic_advantages,
    quadratic_state_values,
    quadratic_value,
    quadratic_values,
    sample_linear_quadratic,
)
from reins.types import Key
from reins.weights import (
    normalised_weights,
    posterior_log_weights,
    smoothing_log_weights,
)

Numbers = tuple[float, float, float]
"""Gain, offset and log_std of a policy."""
ENTROPY = 0.5 * np.log(2 * np.pi) + 0.5
"""Of a standard normal, in nats."""


class LinearQuadraticSpec(NamedTuple):
    """A linear-quadratic problem and the policies that are measured on it.

    Attributes:
      problem: the problem.
      policy: the one whose gradient is measured.
      old: gathers off-policy data, and is the old policy of a surrogate. For ratios of
        finite variance its scale is the larger one.
      temperature: α > 0, units of reward per nat.
    """

    problem: LinearQuadratic
    policy: Numbers
    old: Numbers
    temperature: float


def linear_policy(numbers: Numbers) -> LinearPolicy:
    """The policy of these numbers."""
    return LinearPolicy(*map(jnp.asarray, numbers))


def discounts(problem: LinearQuadratic) -> Float[Array, " T"]:
    """γ^t of every step."""
    return problem.discount ** jnp.arange(problem.horizon)


def critic(spec: LinearQuadraticSpec, options: Options) -> Float[Array, "T 3 3"]:
    """The form of the exact Q that `options` ask for."""
    alpha = spec.temperature
    if options.critic == "message":
        messages = linear_quadratic_messages(spec.problem, temperature=alpha)
        return alpha * messages.log_action
    within = alpha if options.critic == "soft" else 0.0
    return quadratic_values(
        spec.problem, linear_policy(spec.policy), temperature=within
    )


# Whole trajectories, of the policy itself or of the old one.


class TrajectoryTables(NamedTuple):
    """What the arrays of whole trajectories are made of; `acting` gathers them."""

    problem: LinearQuadratic
    acting: Float[Array, " 3"]
    advantages: Float[Array, "T 3 3"]
    values: Float[Array, "T_plus_1 2 2"]
    temperature: Float[Array, ""]


def _draw_trajectories(
    tables: TrajectoryTables, key: Key, n: int
) -> LinearQuadraticSample:
    policy = LinearPolicy(*tables.acting)
    return sample_linear_quadratic(tables.problem, policy, key, n=n)


def _trajectory_quantities(
    params: Float[Array, " 3"], tables: TrajectoryTables, draw: LinearQuadraticSample
) -> Quantities:
    problem, actions = tables.problem, draw.actions
    policy, acting = LinearPolicy(*params), LinearPolicy(*tables.acting)
    before, after = draw.states[:, :-1], draw.states[:, 1:]
    ends = jnp.arange(problem.horizon) == problem.horizon - 1

    def log_probs() -> Array:
        return policy.log_prob(before, actions)

    return {
        "log_probs": log_probs,
        "log_priors": lambda: problem.log_prior(actions),
        "behaviour_log_probs": lambda: acting.log_prob(before, actions),
        "log_ratios": lambda: log_probs() - acting.log_prob(before, actions),
        "entropies": lambda: jnp.full_like(actions, ENTROPY) + policy.log_std,
        "rewards": lambda: draw.rewards,
        "mask": lambda: jnp.ones_like(actions, bool),
        "advantages": lambda: (
            quadratic_value(tables.advantages, before, actions) * discounts(problem)
        ),
        "values": lambda: quadratic_value(tables.values[:-1], before),
        "next_values": lambda: quadratic_value(tables.values[1:], after),
        "terminated": lambda: jnp.zeros_like(actions, bool),
        "ends": lambda: jnp.broadcast_to(ends, actions.shape),
        "squared_norms": lambda: _squared_norms(policy, before, actions),
        "discount": lambda: problem.discount,
        "temperature": lambda: tables.temperature,
        "log_z0": lambda: 0.0,  # rewards are never positive
    }


def _squared_norms(
    policy: LinearPolicy, states: Float[Array, "N T"], actions: Float[Array, "N T"]
) -> Float[Array, " N"]:
    """‖∇ log p(τ)‖² in the parameters: with z the noise, (s z, z)/std and z² − 1."""
    std = jnp.exp(policy.log_std)
    noise = (actions - policy.gain * states - policy.offset) / std
    scores = jnp.stack([states * noise / std, noise / std, jnp.square(noise) - 1.0])
    squares = jnp.square(jnp.sum(scores, axis=2))
    return jax.lax.stop_gradient(jnp.sum(squares, axis=0))


def _trajectory_tables(spec: LinearQuadraticSpec, acting: Numbers) -> TrajectoryTables:
    """Advantages and values are those of the policy that acts."""
    given = spec.problem, linear_policy(acting)
    values = quadratic_state_values(*given, temperature=0.0)
    return TrajectoryTables(
        spec.problem,
        jnp.asarray(acting),
        quadratic_advantages(*given),
        values,
        jnp.asarray(spec.temperature),
    )


def _on_policy(spec: LinearQuadraticSpec, options: Options) -> Any:
    del options
    tables = _trajectory_tables(spec, spec.policy)
    return tables, _draw_trajectories, _trajectory_quantities


def _off_policy(spec: LinearQuadraticSpec, options: Options) -> Any:
    del options
    tables = _trajectory_tables(spec, spec.old)
    return tables, _draw_trajectories, _trajectory_quantities


# States of the policy's trajectories, with fresh actions.


class StateTables(NamedTuple):
    """Trajectories, the Q that weighs actions, and the message that weighs states."""

    trajectories: TrajectoryTables
    q_values: Float[Array, "T 3 3"]
    log_messages: Float[Array, "T_plus_1 2 2"]


class StateDraw(NamedTuple):
    """Trajectories, and K standard normals at each of their steps."""

    trajectories: LinearQuadraticSample
    noise: Float[Array, "N T K"]


@cache
def _draw_states(actions: int) -> Callable[..., StateDraw]:
    def draw(tables: StateTables, key: Key, n: int) -> StateDraw:
        keys = jax.random.split(key)
        trajectories = _draw_trajectories(tables.trajectories, keys[0], n)
        shape = (*trajectories.actions.shape, actions)
        return StateDraw(trajectories, jax.random.normal(keys[1], shape))

    return draw


@cache
def _state_quantities(states: States, *, pathwise: bool) -> Callable:
    """With `pathwise`, all that depends on actions is differentiable through them."""

    def quantities(
        params: Float[Array, " 3"], tables: StateTables, draw: StateDraw
    ) -> Quantities:
        problem, policy = tables.trajectories.problem, LinearPolicy(*params)
        before = draw.trajectories.states[:, :-1, None]
        actions = policy.act(before, draw.noise)
        if not pathwise:
            actions = jax.lax.stop_gradient(actions)
        forms = tables.q_values[:, None]
        return {
            "log_probs": lambda: _rows(policy.log_prob(before, actions)),
            "log_priors": lambda: _rows(problem.log_prior(actions)),
            "q_values": lambda: _rows(quadratic_value(forms, before, actions)),
            "state_weights": lambda: _state_weights(states, tables, draw.trajectories),
            "temperature": lambda: tables.trajectories.temperature,
            "discount": lambda: problem.discount,
        }

    return quantities


def _rows(array: Array) -> Array:
    """(N, T, K) as states, one to a row."""
    return array.reshape(-1, array.shape[-1])


def _state_weights(
    states: States, tables: StateTables, draw: LinearQuadraticSample
) -> Float[Array, " N"]:
    """γ^t/N as visited; else w_it, so that Σ_t Σ_i is Σ_t ∫ p(s_t|O) ds_t."""
    trajectories, before = tables.trajectories, draw.states[:, :-1]
    problem, mask = trajectories.problem, jnp.ones_like(draw.actions, bool)
    if states == "visited":
        return (mask * discounts(problem) / len(mask)).reshape(-1)
    steps = posterior_log_weights(
        LinearPolicy(*trajectories.acting).log_prob(before, draw.actions),
        problem.log_prior(draw.actions),
        draw.rewards,
        mask,
        temperature=trajectories.temperature,
    )
    messages = None
    if states == "two-filter":
        messages = quadratic_value(tables.log_messages[:-1], before)
    log_weights = smoothing_log_weights(steps, mask, messages)
    return normalised_weights(log_weights.T).T.reshape(-1)


def _with_states(spec: LinearQuadraticSpec, options: Options, *, pathwise: bool) -> Any:
    messages = linear_quadratic_messages(spec.problem, temperature=spec.temperature)
    tables = StateTables(
        _trajectory_tables(spec, spec.policy),
        critic(spec, options),
        messages.log_state,
    )
    quantities = _state_quantities(options.states, pathwise=pathwise)
    return tables, _draw_states(options.actions), quantities


# Parameters drawn around a mean, one episode played with each.


@cache
def _draw_population(antithetic: bool) -> Callable[..., Population]:
    def draw(tables: TrajectoryTables, key: Key, n: int) -> Population:
        keys = jax.random.split(key)
        gain, offset, log_std = tables.acting
        noise = perturbations(keys[0], n, 2, antithetic=antithetic)
        samples = jnp.stack([gain, offset]) + SMOOTHING * noise
        policies = LinearPolicy(samples[:, 0], samples[:, 1], log_std)
        played = sample_linear_quadratic(tables.problem, policies, keys[1], n=n)
        mask, discount = jnp.ones_like(played.rewards, bool), tables.problem.discount
        scores = total_returns(played.rewards, mask, discount=discount)
        return Population(samples, scores)

    return draw


def _population(spec: LinearQuadraticSpec, options: Options) -> Any:
    tables = _trajectory_tables(spec, spec.policy)
    return tables, _draw_population(options.antithetic), population_quantities


DESIGNS: dict[str, Callable[[LinearQuadraticSpec, Options], Any]] = {
    "trajectories": _on_policy,
    "behaviour": _off_policy,
    "old": _off_policy,
    "states": partial(_with_states, pathwise=False),
    "paths": partial(_with_states, pathwise=True),
    "population": _population,
}
