"""A3C: several actor-learners move shared parameters, each at its own pace, no lock."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from reins.agents.a2c import joint_gradient
from reins.agents.agent import act_by_policy, descend, require
from reins.agents.policy_gradient import at_least_one
from reins.agents.ppo import CriticInit
from reins.agents.shared_trunk import view_of
from reins.critics import ValueCritic
from reins.errors import ConfigError, RunError
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory


class A3CState(NamedTuple):
    """Policy, critic and their one optimiser: all that the actor-learners share."""

    policy: Policy
    critic: ValueCritic
    optimizer: optax.OptState


class AsynchronousAgent(NamedTuple):
    """An algorithm of several actor-learners, as pure functions.

    `init`, `act` and `update` are an `Agent`'s: what one actor-learner does alone.

    Attributes:
      init: key -> state.
      act: (state, observations, key) -> actions.
      update: (state, batch, key) -> (state, info): gradient, and step.
      gradient: (state, batch, worker) -> (gradients, info), from a worker's own copy.
      step: (state, gradients) -> (what to add to policy and critic, the optimiser's
        new state).
      workers: how many actor-learners.
    """

    init: Callable[[Key], Any]
    act: Callable[[Any, Array, Key], Array]
    update: Callable[[Any, Trajectory, Key], tuple[Any, Info]]
    gradient: Callable[[Any, Trajectory, int | Array], tuple[Any, Info]]
    step: Callable[[Any, Any], tuple[Any, Any]]
    workers: int


class Shared(abc.ABC):
    """θ and θ_v, wherever all actor-learners can read and move them."""

    @abc.abstractmethod
    def read(self) -> A3CState:
        """A copy of one's own; others may be moving the original meanwhile."""

    @abc.abstractmethod
    def moves(self) -> int:
        """How often they have been moved so far, by all workers."""

    @abc.abstractmethod
    def move(self, worker: int, gradients: Any) -> None:
        """One step along a worker's gradients, from wherever they are now."""


def a3c(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    *,
    workers: int = 4,
    exploration_spread: float = 1.0,
    discount: float = 0.99,
    gae_lambda: float = 1.0,
    entropy_weight: float = 0.01,
    value_weight: float = 0.5,
    shared_trunk: bool = False,
) -> AsynchronousAgent:
    """Asynchronous advantage actor-critic; `actor_learner` is its loop.

    The gradient is that of `a2c`, by each worker's own copy of the parameters, with an
    entropy weight of its own: w κ^{u_i}, u_i spread evenly over [−1, 1].

    Source: S3, A3C.

    Args:
      policy, critic: how to make them from a key.
      optimizer: updates policy and critic together; its statistics are shared too.
      workers: how many actor-learners.
      exploration_spread: κ >= 1; the most curious worker has κ² times the entropy
        weight of the least curious. 1: all explore alike.
      discount, gae_lambda, entropy_weight, value_weight, shared_trunk: as in `a2c`.

    Raises: ConfigError without a worker, or for a spread that cannot be used;
      CapabilityError for a policy or a critic that cannot do this.
    """
    at_least_one("workers", workers)
    _check_spread(exploration_spread, entropy_weight)
    require(policy, ["score_advantage", "entropy_bonus"])
    view = view_of(policy, critic, shared_trunk=shared_trunk)
    weights = entropy_weight * exploration_spread ** curiosity(workers)

    def init(key: Key) -> A3CState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), critic(critic_key)
        return A3CState(parts[0], parts[1], optimizer.init(parts))

    def by_weight(state: A3CState, batch: Trajectory, weight: float | Array):
        return joint_gradient(
            (state.policy, state.critic),
            batch,
            view=view,
            discount=discount,
            gae_lambda=gae_lambda,
            entropy_weight=weight,
            value_weight=value_weight,
        )

    def gradient(state: A3CState, batch: Trajectory, worker: int | Int[Array, ""]):
        return by_weight(state, batch, jnp.asarray(weights, jnp.float32)[worker])

    def step(state: A3CState, gradients: Any) -> tuple[Any, optax.OptState]:
        parts: Any = state.policy, state.critic
        return optimizer.update(gradients, state.optimizer, parts)

    def update(state: A3CState, batch: Trajectory, key: Key) -> tuple[A3CState, Info]:
        del key
        # credit
        gradients, info = by_weight(state, batch, entropy_weight)
        # ascend
        parts = state.policy, state.critic
        (actor, judge), moments = descend(optimizer, parts, gradients, state.optimizer)
        return A3CState(actor, judge, moments), info

    return AsynchronousAgent(init, act_by_policy, update, gradient, step, workers)


def actor_learner(
    worker: int,
    shared: Shared,
    gather: Callable[[A3CState], Trajectory],
    gradient: Callable[[A3CState, Trajectory, int], tuple[Any, Info]],
    *,
    more: Callable[[], bool],
    tell: Callable[[Info], None],
) -> None:
    """One worker: copy θ, act for n steps, move θ by its gradient, over and over.

    Who runs it, and where θ lies, it does not know.

    Source: S3, Algorithm S3.

    Args:
      worker: its number, from 0.
      shared: θ and θ_v.
      gather: n steps of the worker's own environments with a copy's policy.
      gradient: of `AsynchronousAgent`.
      more: waits until it is known whether another update is wanted (T < T_max).
      tell: told of every update; `staleness` counts the updates of other workers
        between the copy and the step.

    Raises: RunError for a gradient that is not finite, before it moves anything;
      whatever `gather` raises.
    """
    while more():
        # synchronise: θ' = θ
        before = shared.moves()
        own = shared.read()
        # gather
        batch = gather(own)
        # credit
        gradients, info = gradient(own, batch, worker)
        _check_finite(info)
        # ascend: θ by dθ, without waiting for anybody
        staleness = float(shared.moves() - before)
        shared.move(worker, gradients)
        tell(info | {"staleness": staleness, "staleness_max": staleness})


def curiosity(workers: int) -> Float[np.ndarray, " W"]:
    """u_i of each worker: evenly from −1 to 1, and 0 of one that is alone."""
    return np.linspace(-1.0, 1.0, workers) if workers > 1 else np.zeros(1)


def _check_spread(spread: float, entropy_weight: float) -> None:
    if not spread >= 1.0:
        raise ConfigError(
            f"`exploration_spread` is {spread}; it is a factor of the entropy weight, "
            "and must be at least 1, which lets all workers explore alike."
        )
    if spread > 1.0 and entropy_weight == 0.0:
        raise ConfigError(
            f"`exploration_spread` {spread} was asked for with an entropy weight of 0; "
            "it multiplies that weight, and would do nothing. Give `entropy_weight` "
            "too, as 0.01."
        )


def _check_finite(info: Info) -> None:
    norm = float(info["gradient_norm"])
    if not np.isfinite(norm):
        raise RunError(
            f"the norm of its gradient became {norm}, and moved nothing; a smaller "
            "learning rate helps most often"
        )
