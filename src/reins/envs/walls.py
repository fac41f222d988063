"""Forbidden regions and actions, and costs, around any compiled environment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from reins.envs.env import Env, EnvState, Step
from reins.types import Key

Forbidden = Callable[[Array, Array, Array], Bool[Array, ""]]
"""(observation, action, next observation) -> whether the step breaks the rule."""

CostFunction = Callable[[ArrayLike, ArrayLike], Array]
"""(observations, actions) -> cost >= 0 of each pair."""


def forbid(
    env: Env, forbidden: Forbidden, *, reward: float = 0.0, moves: bool = True
) -> Env:
    """The constrained twin of an environment: a forbidden step ends the episode.

    The forbidden step pays `reward` instead of its own, costs 1 and terminates.

    Source: S2, M ∪ C; the test environments of 2021.

    Args:
      env: the nominal environment; its state contains what the observation shows.
      forbidden: the rule, on one step. A region looks at the next observation, an
        action rule at the action.
      reward: what the forbidden step pays, in units of reward.
      moves: whether the forbidden step is carried out before the episode ends.
    """

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = env.reset(key)
        return (state, observation), observation

    def step(state: EnvState, action: Array, key: Key) -> tuple[EnvState, Step]:
        inner, observation = state
        moved, result = env.step(inner, action, key)
        broken = forbidden(observation, action, result.observation)
        stays = broken & (not moves)
        shown = jnp.where(stays, observation, result.observation)
        kept = jax.tree.map(lambda old, new: jnp.where(stays, old, new), inner, moved)
        return (kept, shown), Step(
            observation=shown,
            reward=jnp.where(broken, reward, result.reward),
            cost=broken.astype(jnp.float32),
            terminated=result.terminated | broken,
            truncated=result.truncated & ~broken,
        )

    return env._replace(
        name=f"{env.name}+forbidden",
        reset=reset,
        step=step,
        picture=_inner(env),
        costs=True,
    )


def cost_from(env: Env, cost: CostFunction) -> Env:
    """The same compiled environment with c_t = cost(s_t, a_t) as its cost."""

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = env.reset(key)
        return (state, observation), observation

    def step(state: EnvState, action: Array, key: Key) -> tuple[EnvState, Step]:
        inner, observation = state
        inner, result = env.step(inner, action, key)
        result = result._replace(cost=cost(observation, action))
        return (inner, result.observation), result

    return env._replace(reset=reset, step=step, picture=_inner(env), costs=True)


def _inner(env: Env) -> Callable[[EnvState, EnvState], np.ndarray] | None:
    """The picture of an environment whose state now has an observation beside it."""
    draw = env.picture
    return None if draw is None else lambda state, before: draw(state[0], before[0])
