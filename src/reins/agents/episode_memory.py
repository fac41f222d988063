"""Episodes of the latest policies in places of fixed shape, the newest first."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Shaped

from reins.agents.policy_gradient import there
from reins.policies import Policy
from reins.types import Trajectory


class Memory(NamedTuple):
    """K batches of M rows, each with an episode of at most T steps or with nothing.

    Attributes:
      log_probs: log β(a_t|s_t) of the policy that acted, in nats.
      policies: those policies, stacked; () where nobody asks for them.
    """

    observations: Shaped[Array, "K M T ..."]
    actions: Shaped[Array, "K M T ..."]
    rewards: Float[Array, "K M T"]
    mask: Bool[Array, "K M T"]
    log_probs: Float[Array, "K M T"]
    policies: Any


class Recalled(NamedTuple):
    """All episodes as one list, whoever gathered them.

    Attributes:
      episodes: one to a row; what no gradient asks for is blank.
      log_probs: log β(a_t|s_t) in nats of the behaviour that acted.
      by_all: the same under every behaviour; None where nobody asks for it.
      members: which behaviour gathered which row; none where a row is empty.
    """

    episodes: Trajectory
    log_probs: Float[Array, "N T"]
    by_all: Float[Array, "K N T"] | None
    members: Bool[Array, "K N"]


def empty_memory(
    policy: Policy,
    batches: int,
    rows: int,
    horizon: int,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    keep_policies: bool,
) -> Memory:
    """A memory without an episode, for K = `batches`, M = `rows` and T = `horizon`."""
    shape = (batches, rows, horizon)
    copies = jax.tree.map(lambda x: jnp.stack([x] * batches), policy)
    return Memory(
        observations=blank(observation_space, shape),
        actions=blank(action_space, shape),
        rewards=jnp.zeros(shape),
        mask=jnp.zeros(shape, bool),
        log_probs=jnp.zeros(shape),
        policies=copies if keep_policies else (),
    )


def remember(memory: Memory, policy: Policy, episodes: Trajectory) -> Memory:
    """The same memory with a batch in the first place; the oldest is forgotten."""
    log_probs = policy(episodes.observations).log_prob(episodes.actions)
    newest = Memory(
        episodes.observations,
        episodes.actions,
        episodes.rewards,
        episodes.mask,
        jnp.where(episodes.mask, log_probs, 0.0),
        () if memory.policies == () else policy,
    )

    def push(old: Array, new: Array) -> Array:
        return jnp.concatenate([new.astype(old.dtype)[None], old[:-1]])

    return jax.tree.map(push, memory, newest)


def recall(
    memory: Memory, told: Trajectory | None = None, teller: Policy | None = None
) -> Recalled:
    """Everything in a memory, and the episodes of one more behaviour behind it.

    Args: told: episodes, as `as_episodes` gives them. teller: who acted in them.
    """
    batches, rows = memory.mask.shape[:2]
    flat = jax.tree.map(
        lambda x: x.reshape(-1, *x.shape[2:]), memory._replace(policies=())
    )
    episodes = episode_rows(flat.observations, flat.actions, flat.rewards, flat.mask)
    log_probs, policies = flat.log_probs, memory.policies
    who = jnp.repeat(jnp.arange(batches), rows)
    if told is not None and teller is not None:
        own = teller(told.observations).log_prob(told.actions)
        own = jnp.where(told.mask, own, 0.0)
        episodes = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), episodes, told)
        log_probs = jnp.concatenate([log_probs, own])
        who = jnp.concatenate([who, jnp.full(len(own), batches)])
        batches += 1
        if policies != ():
            policies = jax.tree.map(
                lambda a, b: jnp.concatenate([a, b[None]]), policies, teller
            )
    by_all = None
    if policies != ():
        by_all = jax.vmap(
            lambda p: p(episodes.observations).log_prob(episodes.actions)
        )(policies)
    members = (jnp.arange(batches)[:, None] == who) & there(episodes)
    return Recalled(episodes, log_probs, by_all, members)


def blank(space: spaces.Space, shape: tuple[int, ...]) -> Array:
    """Zeros of the kind that environments and policies hand on."""
    kind: Any = space.dtype
    if np.issubdtype(kind, np.floating):
        kind = float
    elif isinstance(space, spaces.Discrete):
        kind = jnp.int32
    return jnp.zeros((*shape, *(space.shape or ())), kind)


def episode_rows(
    observations: Array, actions: Array, rewards: Array, mask: Array
) -> Trajectory:
    """Episodes one to a row; what no policy gradient asks for is blank."""
    nothing = jnp.zeros_like(mask)
    return Trajectory(
        observations=observations,
        actions=actions,
        rewards=rewards,
        costs=jnp.zeros_like(rewards),
        terminated=nothing,
        truncated=nothing,
        next_observations=observations,
        mask=mask,
        times=jnp.broadcast_to(jnp.arange(mask.shape[1]), mask.shape),
    )
