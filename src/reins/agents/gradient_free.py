"""Hill climbing and a genetic algorithm: what did well is kept, and perturbed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.agents.agent import Agent
from reins.agents.population import (
    PopulationState,
    act_by_population,
    check_population,
    flatten,
    if_any,
    population_of,
    report,
    row_scores,
    rows_of,
)
from reins.policies import Policy, PolicyInit
from reins.policies.mode import mode_policy
from reins.types import Info, Key, Trajectory


def hill_climbing(
    policy: PolicyInit,
    *,
    horizon: int,
    environments: int,
    std: float = 0.05,
    deterministic: bool = True,
) -> Agent:
    """Hill climbing: θ ← argmax of F over θ and N − 1 of θ + σ z_i.

    θ acts in environment 0, so it is measured afresh in every batch: a lucky one does
    not last. Ties are θ's. F is the mean total return of a row's whole episodes;
    without one of θ itself there is nothing to compare with, and nothing changes.

    Source: S3, gradient free optimisation.

    Args:
      policy: how to make it from a key; that it acts is all that is asked of it.
      horizon: most steps in an episode; a batch's rows are at least as long.
      environments: N ≥ 2; the rows of every batch.
      std: σ > 0, in units of the parameters.
      deterministic: act by the policy's mode; the parameters alone are perturbed.

    Raises: ConfigError that lists every setting that cannot be used.
    """
    faults = _too_few(environments)
    check_population("hill_climbing", horizon=horizon, std=std, faults=faults)
    make = mode_policy(policy) if deterministic else policy

    def around(best: Policy, key: Key) -> Policy:
        vector, _ = flatten(best)
        noise = jax.random.normal(key, (environments, vector.size)).at[0].set(0.0)
        return population_of(best, vector + std * noise)

    def init(key: Key) -> PopulationState:
        policy_key, population_key = jax.random.split(key)
        best = make(policy_key)
        return PopulationState(best, around(best, population_key))

    def update(
        state: PopulationState, batch: Trajectory, key: Key
    ) -> tuple[PopulationState, Info]:
        # credit
        scores = row_scores(batch, horizon=horizon, environments=environments)
        # ascend
        best = jnp.argmax(jnp.where(scores.known, scores.returns, -jnp.inf))
        chosen = jax.tree.map(lambda x: x[best], state.population)
        after = PopulationState(chosen, around(chosen, key))
        return if_any(scores.known[:1], after, state), report(scores)

    return Agent(init, act_by_population, update)


def genetic(
    policy: PolicyInit,
    *,
    horizon: int,
    environments: int,
    std: float = 0.05,
    elite: int | None = None,
    deterministic: bool = True,
) -> Agent:
    """A genetic algorithm: the best E of N survive; the rest are a survivor + σ z_i.

    The first population is N policies drawn apart. Each child's parent is any of the
    survivors, equally likely. F is the mean total return of a row's whole episodes;
    rows without one come after those that have, and with none nothing changes.

    Source: S3, gradient free optimisation.

    Args:
      policy: how to make it from a key; that it acts is all that is asked of it.
      horizon: most steps in an episode; a batch's rows are at least as long.
      environments: N ≥ 2; the rows of every batch, and the size of the population.
      std: σ > 0, in units of the parameters.
      elite: E in 1..N − 1; a quarter of N when None.
      deterministic: act by the policy's mode; the parameters alone are perturbed.

    Raises: ConfigError that lists every setting that cannot be used.
    """
    survivors = max(1, environments // 4) if elite is None else elite
    faults = _too_few(environments)
    if not 1 <= survivors < max(environments, 2):
        faults.append(
            f"`elite` is {survivors} in a population of {environments}; at least 1 has "
            "to survive and 1 to be replaced"
        )
    check_population("genetic", horizon=horizon, std=std, faults=faults)
    make = mode_policy(policy) if deterministic else policy

    def state_of(population: Policy) -> PopulationState:
        return PopulationState(jax.tree.map(lambda x: x[0], population), population)

    def children(parents: Float[Array, "E D"], key: Key) -> Float[Array, "C D"]:
        parent_key, noise_key = jax.random.split(key)
        n = environments - survivors
        chosen = parents[jax.random.randint(parent_key, (n,), 0, survivors)]
        return chosen + std * jax.random.normal(noise_key, chosen.shape)

    def init(key: Key) -> PopulationState:
        return state_of(jax.vmap(make)(jax.random.split(key, environments)))

    def update(
        state: PopulationState, batch: Trajectory, key: Key
    ) -> tuple[PopulationState, Info]:
        # credit
        scores = row_scores(batch, horizon=horizon, environments=environments)
        # ascend: best first, and of equals the one that has survived longer
        order = jnp.argsort(jnp.where(scores.known, -scores.returns, jnp.inf))
        parents = rows_of(state.population)[order[:survivors]]
        rows = jnp.concatenate([parents, children(parents, key)])
        after = state_of(population_of(state.policy, rows))
        return if_any(scores.known, after, state), report(scores)

    return Agent(init, act_by_population, update)


def _too_few(environments: int) -> list[str]:
    if environments >= 2:
        return []
    return [f"`environments` is {environments}; at least 2 policies can be compared"]
