"""What an agent is, and what its builders share: three pure functions each."""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from reins.errors import CapabilityError
from reins.estimators import ESTIMATORS
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

AgentState = Any
"""A NamedTuple of arrays: what must survive a crash. It always has `.policy`."""


class Agent(NamedTuple):
    """An algorithm as pure functions; they compile, vmap and resume anywhere.

    Attributes:
      init: key -> state.
      act: (state, observations, key) -> actions, drawn from the policy.
      update: (state, batch, key) -> (state, info), from one batch of N rows of T steps.
    """

    init: Callable[[Key], AgentState]
    act: Callable[[AgentState, Array, Key], Array]
    update: Callable[[AgentState, Trajectory, Key], tuple[AgentState, Info]]


def act_by_policy(state: AgentState, observations: Array, key: Key) -> Array:
    """Draw actions from `state.policy`."""
    return state.policy(observations).sample(key)


def descend(
    optimizer: optax.GradientTransformation,
    parameters: Any,
    gradients: Any,
    optimizer_state: optax.OptState,
) -> tuple[Any, optax.OptState]:
    """One step of an optimiser: new parameters and its new state."""
    updates, optimizer_state = optimizer.update(gradients, optimizer_state, parameters)
    return optax.apply_updates(parameters, updates), optimizer_state


def require(policy: PolicyInit, estimators: Iterable[str]) -> None:
    """Check that a policy can give what these estimators need.

    Raises: CapabilityError that names both, and what would do instead.
    """
    made: Policy = jax.eval_shape(policy, jax.random.key(0))
    for name in estimators:
        asked = ESTIMATORS[name]
        missing = asked.needs - made.gives
        if missing:
            others = [
                f"`{other}`"
                for other, record in ESTIMATORS.items()
                if record.needs <= made.gives and record.target == asked.target
            ]
            instead = f" Use {' or '.join(others)}, of the same target." * bool(others)
            raise CapabilityError(
                f"`{name}` needs {', '.join(sorted(missing))}; "
                f"`{type(made).__name__}` gives {', '.join(sorted(made.gives))} only."
                f"{instead}"
            )


def standardise(
    values: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """Mean 0, standard deviation 1 over the valid steps; constant values become 0."""
    # Counted from the least: a constant is then 0, not the rounding of its mean.
    values = values - jnp.min(values, where=mask, initial=jnp.inf)
    mean = jnp.mean(values, where=mask)
    return (values - mean) / (jnp.std(values, where=mask) + 1e-8)


def mean_episode_total(
    amounts: Float[Array, "N T"], batch: Trajectory, *, horizon: int
) -> Float[Array, ""]:
    """Mean per episode of a per-step amount: its sum over the number of episodes.

    Episodes are counted by their ends, and are at least steps / horizon.
    """
    steps = jnp.sum(batch.mask)
    episodes = jnp.maximum(jnp.sum(batch.ends & batch.mask), steps / horizon)
    return jnp.sum(jnp.where(batch.mask, amounts, 0.0)) / episodes


def cheap_permutation(key: Key, n: int) -> Int[Array, " n"]:
    """A random order of 0..n−1 without sorting: i -> (a·i + b) mod n, a coprime to n.

    Every element is equally likely in every place, and neighbours are torn apart; which
    *sets* of elements meet is less varied than in a uniform permutation, and minibatch
    descent does not need that (docs/decisions/0004-shuffle.md).
    """
    multipliers = [
        a for a in range(1, n) if math.gcd(a, n) == 1 and a * (n - 1) < 2**32 - n
    ]
    # Strides near 0 or n leave neighbours together; keep those that go far around.
    multipliers = [a for a in multipliers if min(a, n - a) > math.isqrt(n)] or [1]
    pick_key, shift_key = jax.random.split(key)
    table = jnp.asarray(multipliers[:: max(1, len(multipliers) // 1024)], jnp.uint32)
    a = jax.random.choice(pick_key, table)
    b = jax.random.randint(shift_key, (), 0, n).astype(jnp.uint32)
    return ((a * jnp.arange(n, dtype=jnp.uint32) + b) % n).astype(jnp.int32)
