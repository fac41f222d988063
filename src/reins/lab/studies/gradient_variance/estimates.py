"""One batch of episodes, every baseline: gradient estimates from the same data."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.credit import (
    constant_baseline,
    optimal_constant_baseline,
    returns_to_go,
    time_baseline,
)
from reins.estimators import score_advantage_loss
from reins.policies import Policy
from reins.types import Trajectory

CREDITS = ("total-return", "reward-to-go")
Name = tuple[str, str]
"""Credit and baseline."""
SCORE: Name = ("score", "alone")
"""A weight of 1 at every step: what a constant baseline takes off, in units of b."""
Values = Callable[[Trajectory], Float[Array, "N T"]]
"""A baseline of the state: what a critic says at every step."""


def step_weights(
    policy: Policy,
    critics: Mapping[str, Values],
    episodes: Trajectory,
    *,
    discount: float,
) -> dict[Name, Float[Array, "N T"]]:
    """The weight of every step, G_t − b or R − b, by credit and baseline.

    Constants and means over time are of the other episodes of the batch, critics have
    not seen the batch: no baseline knows its own episode's actions.

    Source: S3, REINFORCE, causality and baselines.
    Identities: each is what `reins.agents.reinforce` has with that credit and baseline.

    Args:
      critics: for the reward-to-go, by the baseline's name. episodes: one to a row.
    """
    to_go = returns_to_go(episodes.rewards, episodes.mask, discount=discount)
    totals = to_go[:, 0]
    norms = squared_score_norms(policy, episodes)
    constants = {
        "none": jnp.zeros_like(totals),
        "constant": constant_baseline(totals),
        "optimal constant": optimal_constant_baseline(totals, norms),
    }
    whole = jnp.broadcast_to(totals[:, None], to_go.shape)
    found: dict[Name, Array] = {SCORE: jnp.ones_like(to_go)}
    for credit, returns in zip(CREDITS, (whole, to_go), strict=True):
        for name, constant in constants.items():
            found[credit, name] = returns - constant[:, None]
        found[credit, "time"] = returns - time_baseline(returns, episodes.mask)
    for name, values in critics.items():
        found[CREDITS[1], name] = to_go - values(episodes)
    return found


def squared_score_norms(policy: Policy, episodes: Trajectory) -> Float[Array, " N"]:
    """‖∇ log p(τ_i)‖² of each episode."""

    def log_prob(policy: Policy, episode: Trajectory) -> Float[Array, ""]:
        steps = policy(episode.observations).log_prob(episode.actions)
        return jnp.sum(jnp.where(episode.mask, steps, 0.0))

    scores = jax.vmap(jax.grad(log_prob), (None, 0))(policy, episodes)
    return jnp.sum(jnp.square(_in_rows(scores)), axis=1)


def batch_gradients(
    policy: Policy, weights: Mapping[Name, Float[Array, "N T"]], episodes: Trajectory
) -> dict[Name, Float[Array, " D"]]:
    """(1/N) Σ_i Σ_t w_it ∇ log π(a_t|s_t), a vector, for each of the weights.

    Source: S3, REINFORCE.
    """

    def objectives(policy: Policy) -> Float[Array, " W"]:
        log_probs = policy(episodes.observations).log_prob(episodes.actions)
        losses = [
            score_advantage_loss(log_probs, weight, episodes.mask)[0]
            for weight in weights.values()
        ]
        return -jnp.stack(losses)

    gradients = _in_rows(jax.jacrev(objectives)(policy))
    return dict(zip(weights, gradients, strict=True))


def _in_rows(leaves: Any) -> Float[Array, "W D"]:
    """All leaves beside each other, for each entry of their first axis."""
    rows = [x.reshape(x.shape[0], -1) for x in jax.tree.leaves(leaves)]
    return jnp.concatenate(rows, axis=1)
