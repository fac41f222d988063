"""A policy's actions by numpy: one cheap pass per step, outside JAX.

An environment outside JAX asks for one small forward pass per step. Calling compiled
code costs more than such a pass takes, so policies made of the networks here are
evaluated by numpy. Log-probabilities and values are computed afterwards, for a whole
rollout at once, by the compiled update.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from reins.networks import MLP
from reins.policies.categorical import CategoricalPolicy
from reins.policies.gaussian import GaussianPolicy
from reins.policies.normalised import NormalisedPolicy
from reins.policies.policy import Policy
from reins.types import Key


def has_host_act(policy: Policy) -> bool:
    """Whether `host_act` can evaluate this policy (its shapes are enough)."""
    inner = _inner(policy)
    if not isinstance(inner, GaussianPolicy | CategoricalPolicy):
        return False
    return isinstance(inner.network, MLP)


def action_noise(
    policy: Policy, key: Key, *, steps: int, environments: int
) -> Float[Array, "T N A"]:
    """All that `steps` steps of `host_act` need of chance.

    Standard normal for a Gaussian, Gumbel for a categorical policy (whose greatest
    logit plus noise is a draw from it).
    """
    inner = _inner(policy)
    draw = jax.random.normal if isinstance(inner, GaussianPolicy) else jax.random.gumbel
    size = inner.network.biases[-1].shape[-1]
    return draw(key, (steps, environments, size))


def host_act(policy: Policy) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The policy as a numpy function: (observations, noise of a step) -> N actions.

    The actions are those that `policy(observations)` gives for the same noise, up to
    rounding.

    Args:
      policy: one for which `has_host_act`.
    """
    policy = jax.tree.map(np.asarray, policy)
    inner = _inner(policy)
    network: Any = inner.network
    prepare = _normaliser(policy) if isinstance(policy, NormalisedPolicy) else _float32
    weights, biases = list(network.weights), list(network.biases)
    deviation = np.float32(1.0)
    if isinstance(inner, GaussianPolicy):
        # Units of the action bounds are put into the last layer.
        centre, half_width = np.asarray([inner.centre, inner.half_width], np.float32)
        weights[-1], biases[-1] = half_width * weights[-1], half_width * biases[-1]
        biases[-1] += centre
        deviation = half_width * np.exp(inner.log_std)
    activate = ACTIVATIONS[network.activation]
    layers = list(zip(weights, biases, strict=True))

    def outputs(observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        x = prepare(observations)
        for weight, bias in layers[:-1]:
            x = np.dot(x, weight)
            x += bias
            activate(x, out=x)
        x = np.dot(x, layers[-1][0])
        x += layers[-1][1]
        x += deviation * noise
        return x

    if isinstance(inner, CategoricalPolicy):
        return lambda observations, noise: np.argmax(outputs(observations, noise), -1)
    return outputs


def _inner(policy: Policy) -> Any:
    return policy.policy if isinstance(policy, NormalisedPolicy) else policy


def _float32(observations: np.ndarray) -> np.ndarray:
    return observations.astype(np.float32, copy=False)


def _normaliser(policy: NormalisedPolicy) -> Callable[[np.ndarray], np.ndarray]:
    mean, scale, clip = policy.mean, policy.scale, np.float32(policy.clip)

    def prepare(observations: np.ndarray) -> np.ndarray:
        scaled = _float32(observations) - mean
        scaled *= scale
        np.maximum(scaled, -clip, out=scaled)
        return np.minimum(scaled, clip, out=scaled)

    return prepare


def _relu(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    return np.maximum(x, np.float32(0.0), out=out)


ACTIVATIONS: dict[str, Callable[..., np.ndarray]] = {"tanh": np.tanh, "relu": _relu}
