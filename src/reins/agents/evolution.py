"""Evolution strategies: one step per batch on a mean, from perturbed policies."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from reins.agents.agent import Agent, descend
from reins.agents.population import (
    act_by_population,
    check_population,
    flatten,
    if_any,
    population_of,
    report,
    row_scores,
    rows_of,
)
from reins.estimators import (
    antithetic_normal,
    evolution_loss,
    evolution_ranked_loss,
)
from reins.policies import Policy, PolicyInit
from reins.policies.mode import mode_policy
from reins.types import Info, Key, Trajectory


class EvolutionState(NamedTuple):
    """The mean policy, those drawn around it, and the optimiser of the mean."""

    policy: Policy
    population: Policy
    optimizer: optax.OptState


def es(
    policy: PolicyInit,
    optimizer: optax.GradientTransformation,
    *,
    horizon: int,
    environments: int,
    std: float = 0.05,
    ranked: bool = True,
    weight_decay: float = 0.0,
    deterministic: bool = True,
) -> Agent:
    """Evolution strategies: μ ← μ + η [(1/N) Σ_i F_i ∇_μ log N(θ_i; μ, σ² I) − w μ].

    θ_i = μ + σ z_i acts in environment i, z_{i+N/2} = −z_i, and F_i is the mean total
    return of its whole episodes. A pair of which one has no episode is left out; with
    no pair, nothing changes.

    Source: S3, evolutionary methods.

    Args:
      policy: how to make it from a key; that it acts is all that is asked of it.
      optimizer: updates μ, as one vector.
      horizon: most steps in an episode; a batch's rows are at least as long.
      environments: N, even; the rows of every batch, and the size of the population.
      std: σ > 0, in units of the parameters.
      ranked: put ranks from −1/2 to 1/2 for the F_i: their scale then does not matter.
      weight_decay: w ≥ 0, of −w/2 ‖μ‖² beside the objective.
      deterministic: act by the policy's mode; the parameters alone are perturbed.

    Raises: ConfigError that lists every setting that cannot be used.
    """
    faults = []
    if environments < 2 or environments % 2:
        faults.append(
            f"`environments` is {environments}; policies come in opposite pairs, so "
            "choose an even number of at least 2"
        )
    if not 0.0 <= weight_decay < float("inf"):
        faults.append(f"`weight_decay` is {weight_decay}; it must be at least 0")
    check_population("es", horizon=horizon, std=std, faults=faults)
    make = mode_policy(policy) if deterministic else policy
    loss = evolution_ranked_loss if ranked else evolution_loss

    def around(mean: Policy, key: Key) -> Policy:
        vector, _ = flatten(mean)
        noise = antithetic_normal(key, environments, vector.size)
        return population_of(mean, vector + std * noise)

    def init(key: Key) -> EvolutionState:
        policy_key, population_key = jax.random.split(key)
        mean = make(policy_key)
        vector, _ = flatten(mean)
        population = around(mean, population_key)
        return EvolutionState(mean, population, optimizer.init(vector))

    def update(
        state: EvolutionState, batch: Trajectory, key: Key
    ) -> tuple[EvolutionState, Info]:
        # gather
        samples = rows_of(state.population)
        mean, rebuild = flatten(state.policy)
        # credit
        scores = row_scores(batch, horizon=horizon, environments=environments)
        pairs = scores.known & jnp.roll(scores.known, environments // 2)
        n = jnp.sum(pairs)
        # weigh: two equal scores of a pair cancel, so those left out are made equal
        if ranked:  # below all others, whose ranks then keep their distances
            weights = jnp.where(pairs, scores.returns, -jnp.inf)
            counted = n * (n - 1) / (environments * (environments - 1))
        else:  # the mean is taken out for rounding alone; in pairs it has no effect
            middle = jnp.mean(scores.returns, where=pairs)
            weights = jnp.where(pairs, scores.returns - middle, 0.0)
            counted = n / environments
        # ascend
        gradient = jax.grad(lambda mean: loss(samples, mean, weights, std=std)[0])(mean)
        gradient = gradient / counted + weight_decay * mean
        gradient = jnp.where(n > 0, gradient, 0.0)
        vector, optimizer_state = descend(optimizer, mean, gradient, state.optimizer)
        moved = rebuild(vector)
        after = EvolutionState(moved, around(moved, key), optimizer_state)
        info = report(scores) | {"gradient_norm": optax.tree.norm(gradient)}
        return if_any(pairs, after, state), info

    return Agent(init, act_by_population, update)
