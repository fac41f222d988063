"""Critics asked as one Q: the least of them, the largest, a reward less a cost."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike


class Values(NamedTuple):
    """Several critics as one Q.

    Attributes:
      of: (N observations, K actions at each) -> their Q, (K, N).
      of_all: N observations -> Q of every action of a finite set, (N, A).
    """

    of: Callable[[Array, Array], Float[Array, "K N"]]
    of_all: Callable[[Array], Float[Array, "N A"]]


def least(critics: Sequence[Any], *, discrete: bool) -> Values:
    """The least of the critics: what can be hoped for of a reward, at worst."""
    return _joined(jnp.min, critics, discrete)


def largest(critics: Sequence[Any], *, discrete: bool) -> Values:
    """The largest of the critics: what is to be feared of a cost."""
    return _joined(jnp.max, critics, discrete)


def _joined(
    pick: Callable[..., Array], critics: Sequence[Any], discrete: bool
) -> Values:
    def of(observations: Array, actions: Array) -> Array:
        each = [q_of(c, observations, actions, discrete) for c in critics]
        return pick(jnp.stack(each), axis=0)

    def of_all(observations: Array) -> Array:
        return pick(jnp.stack([c(observations) for c in critics]), axis=0)

    return Values(of, of_all)


def priced(reward: Values, cost: Values, multiplier: ScalarLike) -> Values:
    """(Q_reward − λ Q_cost)/(1 + λ), finite for whatever λ.

    Source: S2 (9), the Lagrangian at one step.

    Args:
      multiplier: λ ≥ 0, units of reward per unit of cost.
    """
    share = 1.0 / (1.0 + jnp.asarray(multiplier))
    weight = multiplier * share

    def of(observations: Array, actions: Array) -> Array:
        paid, charged = (q.of(observations, actions) for q in (reward, cost))
        return share * paid - weight * charged

    def of_all(observations: Array) -> Array:
        return share * reward.of_all(observations) - weight * cost.of_all(observations)

    return Values(of, of_all)


ROWS_AT_ONCE = 4096
"""Pairs of state and action that a critic is asked about at once.

What they are in hidden layers then stays in the processor's cache: of 16,384 at once
each took up to twice the time.
"""


def q_of(
    critic: Any, observations: Array, actions: Array, discrete: bool
) -> Float[Array, "K N"]:
    """Q of K actions at each of N states."""
    if not discrete:
        at_once = max(1, ROWS_AT_ONCE // len(observations))
        whole = len(actions) // at_once * at_once
        if whole <= at_once:
            return critic(observations, actions)
        slabs = actions[:whole].reshape(-1, at_once, *actions.shape[1:])
        found = jax.lax.map(lambda some: critic(observations, some), slabs)
        found = found.reshape(whole, -1)
        if whole == len(actions):
            return found
        return jnp.concatenate([found, critic(observations, actions[whole:])])
    return jax.vmap(
        lambda a, q: jnp.take_along_axis(q, a[:, None], axis=1)[:, 0], (0, None)
    )(actions, critic(observations))
