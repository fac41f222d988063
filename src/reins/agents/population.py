"""What gradient-free agents share: one policy for each environment, scored by episodes.

Row i of a batch is what policy i did; acting is one program, vmapped over policies.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from reins.agents.policy_gradient import episodes_with_room, there
from reins.credit import total_returns
from reins.errors import ConfigError, sentence_of_faults
from reins.policies import Policy
from reins.types import Info, Key, Trajectory


class PopulationState(NamedTuple):
    """The policy to show for it, and the population that acts: N rows of parameters."""

    policy: Policy
    population: Policy


class Scores(NamedTuple):
    """How row i's policy did.

    Attributes:
      returns: F_i, mean total return of the row's whole episodes; 0 without one.
      episodes: how many these are.
    """

    returns: Float[Array, " N"]
    episodes: Int[Array, " N"]

    @property
    def known(self) -> Bool[Array, " N"]:
        """Which rows have an episode to be judged by."""
        return self.episodes > 0


def act_by_population(state: Any, observations: Array, key: Key) -> Array:
    """Draw row i's action from policy i of `state.population`."""
    n = jax.tree.leaves(state.population)[0].shape[0]
    _check_rows(observations.shape[0], n)
    return jax.vmap(lambda policy, seen, key: policy(seen).sample(key))(
        state.population, observations, jax.random.split(key, n)
    )


def row_scores(batch: Trajectory, *, horizon: int, environments: int) -> Scores:
    """F_i = mean of Σ_t r_t over the whole episodes of row i.

    All of an episode's actions are then policy i's: one that began before the batch, so
    under another population, is not among them.

    Source: S3, evolutionary methods (F).
    Raises: ConfigError for a batch of other than N rows, or of rows that may be too
      short for an episode.
    """
    _check_rows(batch.rewards.shape[0], environments)
    found = episodes_with_room(batch, horizon=horizon)
    totals = total_returns(found.rewards, found.mask).reshape(environments, -1)
    counts = jnp.sum(there(found).reshape(environments, -1), axis=1)
    return Scores(jnp.sum(totals, axis=1) / jnp.maximum(counts, 1), counts)


def flatten(policy: Policy) -> tuple[Float[Array, " D"], Callable[[Array], Policy]]:
    """A policy's parameters as one vector, and the way back."""
    parameters, rest = eqx.partition(policy, eqx.is_inexact_array)
    vector, unravel = ravel_pytree(parameters)
    return vector, lambda vector: eqx.combine(unravel(vector), rest)


def rows_of(population: Policy) -> Float[Array, "N D"]:
    """The parameters of each policy in a row."""
    return jax.vmap(lambda policy: flatten(policy)[0])(population)


def population_of(like: Policy, rows: Float[Array, "N D"]) -> Policy:
    """Policies with these parameters, made like one policy."""
    return jax.vmap(flatten(like)[1])(rows)


def report(scores: Scores) -> Info:
    """Best, mean and deviation of the rows' scores (0 without any), and `episodes`."""
    n = jnp.maximum(jnp.sum(scores.known), 1)
    best = jnp.max(scores.returns, where=scores.known, initial=-jnp.inf)
    mean = jnp.sum(scores.returns) / n
    apart = jnp.where(scores.known, scores.returns - mean, 0.0)
    return {
        "score_best": jnp.where(jnp.any(scores.known), best, 0.0),
        "score_mean": mean,
        "score_std": jnp.sqrt(jnp.sum(jnp.square(apart)) / n),
        "episodes": jnp.sum(scores.episodes),
    }


def if_any(known: Bool[Array, " N"], after: Any, before: Any) -> Any:
    """What comes after where any row is known, and what was before otherwise."""
    return jax.tree.map(lambda a, b: jnp.where(jnp.any(known), a, b), after, before)


def check_population(name: str, *, horizon: int, std: float, faults: list[str]) -> None:
    """Check what all builders are told; `faults` are those of this one.

    Raises: ConfigError that lists every setting that cannot be used.
    """
    faults = list(faults)
    if horizon < 1:
        faults.append(f"`horizon` is {horizon}; episodes last at least 1 step")
    if not 0.0 < std < float("inf"):
        faults.append(
            f"`std` is {std}; policies that do not differ cannot be compared, so give "
            "a positive one, as 0.05"
        )
    if faults:
        raise ConfigError(sentence_of_faults(f"`{name}` cannot be built", faults))


def _check_rows(found: int, environments: int) -> None:
    if found != environments:
        raise ConfigError(
            f"there are {found} environments, and a population of {environments}: each "
            "policy acts in an environment of its own. Build the agent with the number "
            "of environments that it is trained in."
        )
