"""Trajectories of a finite MDP by simulation: many at once, a number at a time."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from reins.tabular.mdp import TabularMDP
from reins.types import Key


class SampledTrajectories(NamedTuple):
    """N trajectories, padded to the horizon as `AllTrajectories` are.

    Attributes:
      states: s_0..s_T; after the end of an episode the state stays.
      actions: a_0..a_{T−1}.
      rewards, costs: r_t in units of reward, c_t in units of cost; 0 in the padding.
      mask: valid steps.
    """

    states: Int[Array, "N T_plus_1"]
    actions: Int[Array, "N T"]
    rewards: Float[Array, "N T"]
    costs: Float[Array, "N T"]
    mask: Bool[Array, "N T"]


@partial(jax.jit, static_argnames="n")
def sample_trajectories(
    mdp: TabularMDP,
    logits: Float[Array, "K S A"],
    log_shares: Float[Array, " K"],
    key: Key,
    n: int,
) -> SampledTrajectories:
    """N trajectories of K policies, each drawn from policy k with probability c_k.

    Args:
      logits: of the policies; one policy is K = 1.
      log_shares: log c_k.
    """
    first, second, third = jax.random.split(key, 3)
    policies = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    dynamics = jnp.cumsum(mdp.transitions, axis=-1)
    who = pick(jnp.cumsum(jnp.exp(log_shares)), jax.random.uniform(first, (n,)))
    start = pick(jnp.cumsum(mdp.initial), jax.random.uniform(second, (n,)))

    def step(states, numbers):
        actions = pick(policies[who, states], numbers[0])
        following = pick(dynamics[states, actions], numbers[1])
        following = jnp.where(mdp.terminal[states], states, following)
        return following, (following, actions)

    numbers = jax.random.uniform(third, (mdp.horizon, 2, n))
    _, (later, actions) = jax.lax.scan(step, start, numbers)
    states = jnp.concatenate([start[None], later]).T
    return rewarded(mdp, states, actions.T)


def rewarded(
    mdp: TabularMDP, states: Int[Array, "N T_plus_1"], actions: Int[Array, "N T"]
) -> SampledTrajectories:
    """These states and actions with what they earn and cost."""
    before, after = states[:, :-1], states[:, 1:]
    mask = ~mdp.terminal[before]
    rewards = jnp.where(mask, mdp.rewards[before, actions, after], 0.0)
    costs = jnp.where(mask, mdp.costs[before, actions], 0.0)
    return SampledTrajectories(states, actions, rewards, costs, mask)


def pick(
    cumulative: Float[Array, "*#batch A"], numbers: Float[Array, "*#batch"]
) -> Int[Array, "..."]:
    """The outcome that a number in [0, 1) falls on, from cumulative probabilities.

    Identities: of uniform numbers, outcome a has probability c_a − c_{a−1}.
    """
    below = numbers[..., None] * cumulative[..., -1:] >= cumulative
    return jnp.minimum(jnp.sum(below, axis=-1), cumulative.shape[-1] - 1)
