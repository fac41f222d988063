"""Default policies π₀: uniform, another policy, or whoever gathered the data."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gymnasium import spaces
from jaxtyping import Array, Float, Shaped

from reins.agents.agent import descend
from reins.data.replay import Transitions
from reins.envs.actions import hybrid_space
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key


class Prior(NamedTuple):
    """A default policy as pure functions of a state.

    Attributes:
      init: key -> state.
      log_prob: (state, N observations, K actions at each) -> log π₀, (K, N) in nats.
      log_probs: (state, N observations) -> log π₀ of every action, (N, A).
      update: (state, steps from the replay) -> (state, info).
    """

    init: Callable[[Key], Any]
    log_prob: Callable[[Any, Array, Array], Float[Array, "K N"]]
    log_probs: Callable[[Any, Array], Float[Array, "N A"]]
    update: Callable[[Any, Transitions], tuple[Any, Info]]


def uniform_prior(action_space: spaces.Space) -> Prior:
    """log π₀ = −log A of A actions, or minus the log of the box's volume.

    Of hybrid actions both: −log K of the choice, less the log of the volume.

    A real density: soft values and what a terminated episode is worth depend on it. A
    box without bounds has no uniform density; there log π₀ = 0, and the temperature
    prices entropy alone.

    Source: S1 3.0; SPEC 1, "a uniform prior is a real log-density".
    """
    hybrid = hybrid_space(action_space)
    if isinstance(action_space, spaces.Discrete):
        level, finite = -float(np.log(action_space.n)), int(action_space.n)
    elif hybrid is not None:
        level = -float(np.log(hybrid.choices) + _log_volume(hybrid.box))
        finite = 0
    else:
        assert isinstance(action_space, spaces.Box)  # noqa: S101
        bounded = action_space.is_bounded()
        level, finite = -_log_volume(action_space) if bounded else 0.0, 0

    def log_prob(state: Any, observations: Array, actions: Array) -> Array:
        del state
        return jnp.full((actions.shape[0], observations.shape[0]), level)

    def log_probs(state: Any, observations: Array) -> Array:
        del state
        return jnp.full((observations.shape[0], finite), level)

    return Prior(lambda key: (), log_prob, log_probs, _unmoved)


def _log_volume(box: spaces.Box) -> float:
    return float(np.log(box.high.astype(float) - box.low).sum())


def policy_prior(policy: Policy) -> Prior:
    """Another policy, as it is: nothing moves it."""
    return Prior(lambda key: policy, _log_prob, _log_probs, _unmoved)


class CloneState(NamedTuple):
    """A policy that is being fitted, and its optimiser."""

    policy: Policy
    optimizer: optax.OptState


def behaviour_prior(
    policy: PolicyInit, optimizer: optax.GradientTransformation
) -> Prior:
    """Whoever gathered what is in the replay, by maximum likelihood as it comes.

    π₀ ← π₀ + η ∇ mean log π₀(a|s) over the steps of each minibatch.
    """

    def init(key: Key) -> CloneState:
        made: Any = policy(key)
        return CloneState(made, optimizer.init(made))

    def update(state: CloneState, steps: Transitions) -> tuple[CloneState, Info]:
        def loss(policy: Policy) -> Array:
            return -jnp.mean(policy(steps.observations).log_prob(steps.actions))

        fit, gradient = jax.value_and_grad(loss)(state.policy)
        moved = descend(optimizer, state.policy, gradient, state.optimizer)
        return CloneState(*moved), {"prior_log_likelihood": -fit}

    def log_prob(state: CloneState, observations: Array, actions: Array) -> Array:
        return _log_prob(state.policy, observations, actions)

    def log_probs(state: CloneState, observations: Array) -> Array:
        return _log_probs(state.policy, observations)

    return Prior(init, log_prob, log_probs, update)


def _log_prob(
    policy: Policy, observations: Array, actions: Shaped[Array, "K N ..."]
) -> Float[Array, "K N"]:
    # The prior's own parameters are constant; a path through the action is not.
    distribution = jax.lax.stop_gradient(policy)(observations)
    return jax.vmap(distribution.log_prob)(actions)


def _log_probs(policy: Any, observations: Array) -> Float[Array, "N A"]:
    return jax.lax.stop_gradient(policy)(observations).log_probs


def _unmoved(state: Any, steps: Transitions) -> tuple[Any, Info]:
    del steps
    return state, {}
