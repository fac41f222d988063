"""Demonstrations as one more behaviour: their episodes, and a policy fitted to them."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import spaces
from jaxtyping import Array, Float

from reins.agents.episode_memory import blank, episode_rows
from reins.agents.policy_gradient import fit
from reins.data import Demonstrations
from reins.data.demonstrations import faults_of_fit
from reins.errors import DataError, sentence_of_faults
from reins.policies import Policy, PolicyInit
from reins.types import Key, Trajectory


def as_episodes(
    demonstrations: Demonstrations,
    horizon: int,
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> Trajectory:
    """Demonstrations, one to a row of `horizon` steps.

    Raises: DataError when they do not fit the spaces, or last longer.
    """
    faults = faults_of_fit(
        demonstrations.observations,
        demonstrations.actions,
        observation_space,
        action_space,
    )
    if demonstrations.horizon > horizon:
        faults.append(
            f"they last up to {demonstrations.horizon} steps; an episode of the agent "
            f"at most {horizon} (`horizon`)"
        )
    if faults:
        subject = "demonstrations cannot be learned from"
        raise DataError(sentence_of_faults(subject, faults))
    pairs = demonstrations.pairs()
    rewards = np.zeros(pairs.mask.shape)
    for row, earned in zip(rewards, demonstrations.rewards, strict=True):
        row[: len(earned)] = earned

    def padded(x: Array, like: Array) -> Array:
        room = [(0, 0), (0, horizon - x.shape[1])] + [(0, 0)] * (x.ndim - 2)
        return jnp.pad(x, room).astype(like.dtype)

    return episode_rows(
        padded(pairs.observations, blank(observation_space, ())),
        padded(pairs.actions, blank(action_space, ())),
        padded(jnp.asarray(rewards), jnp.zeros(())),
        padded(pairs.mask, jnp.zeros((), bool)),
    )


def cloned(
    policy: PolicyInit,
    episodes: Trajectory,
    optimizer: optax.GradientTransformation,
    key: Key,
    *,
    steps: int,
) -> Policy:
    """A policy that makes the actions of these episodes likely: behaviour cloning.

    argmax_β Σ_i Σ_t log β(a_t|s_t), by so many steps on all of them.
    """
    start: Any = policy(key)

    def loss(teller: Policy) -> Float[Array, ""]:
        return -mean_log_prob(teller, episodes)

    return fit(loss, optimizer, start, optimizer.init(start), epochs=steps)[0]


def mean_log_prob(policy: Policy, episodes: Trajectory) -> Float[Array, ""]:
    """Mean log π(a_t|s_t) of all steps, in nats per step."""
    steps = policy(episodes.observations).log_prob(episodes.actions)
    return jnp.sum(jnp.where(episodes.mask, steps, 0.0)) / jnp.sum(episodes.mask)
