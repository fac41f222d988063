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
from reins.policies.gaussian import REACH, GaussianPolicy
from reins.policies.normalised import NormalisedPolicy
from reins.policies.policy import Policy
from reins.policies.squashed import LEAST, MOST, SquashedGaussianPolicy
from reins.types import Key


def has_host_act(policy: Policy) -> bool:
    """Whether `host_act` can evaluate this policy (its shapes are enough)."""
    inner = _inner(policy)
    known = GaussianPolicy | SquashedGaussianPolicy | CategoricalPolicy
    if not isinstance(inner, known):
        return False
    return isinstance(inner.network, MLP)


def action_noise(
    policy: Policy, key: Key, *, steps: int, environments: int
) -> Float[Array, "T N A"]:
    """All that `steps` steps of `host_act` need of chance.

    Standard normal for a Gaussian, squashed or not; Gumbel for a categorical policy
    (whose greatest logit plus noise is a draw from it).
    """
    inner = _inner(policy)
    if isinstance(inner, GaussianPolicy):
        return jax.random.normal(key, (steps, environments, len(inner.centre)))
    if isinstance(inner, SquashedGaussianPolicy):
        size = len(inner.units.centre)
        return jax.random.normal(key, (steps, environments, size))
    size = inner.network.biases[-1].shape[-1]
    return jax.random.gumbel(key, (steps, environments, size))


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
    prepare = _normaliser(policy) if isinstance(policy, NormalisedPolicy) else _plain
    layers = list(zip(network.weights, network.biases, strict=True))
    finish = _most_probable
    if isinstance(inner, GaussianPolicy):
        layers[-1], finish = _in_units(inner, *layers[-1]), _spread(inner)
    if isinstance(inner, SquashedGaussianPolicy):
        finish = _squashed(inner)
    activate = ACTIVATIONS[network.activation]

    def actions(observations: np.ndarray, noise: np.ndarray) -> np.ndarray:
        x = prepare(observations)
        for weight, bias in layers[:-1]:
            x = _times(x, weight)
            x += bias
            activate(x, out=x)
        x = _times(x, layers[-1][0])
        x += layers[-1][1]
        return finish(x, noise)

    return actions


Finish = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(outputs of the network, noise) -> actions."""


def _most_probable(logits: np.ndarray, noise: np.ndarray) -> np.ndarray:
    logits += noise
    return np.argmax(logits, axis=-1)


def _in_units(
    policy: GaussianPolicy, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The last layer with the units of the action bounds in it, where it is a mean."""
    size = len(policy.centre)
    centre, half_width = np.zeros_like(bias), np.ones_like(bias)
    centre[:size], half_width[:size] = policy.centre, policy.half_width
    return half_width * weight, half_width * bias + centre


def _spread(policy: GaussianPolicy) -> Finish:
    """What adds the scaled noise to the mean, whichever the scale is."""
    start = policy.start if policy.log_std is None else policy.log_std
    deviation = np.asarray(policy.half_width, np.float32) * np.exp(
        np.asarray(start, np.float32)
    )
    reach = np.float32(REACH)

    def constant(mean: np.ndarray, noise: np.ndarray) -> np.ndarray:
        mean += deviation * noise
        return mean

    def of_state(outputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        mean, raw = np.split(outputs, 2, axis=-1)
        factor = np.exp(reach * np.tanh(raw / reach))
        return mean + deviation * factor * noise

    return of_state if policy.scale == "state" else constant


def _squashed(policy: SquashedGaussianPolicy) -> Finish:
    """What makes an action of mean, log-scale and noise, in few passes of numpy."""
    centre = np.asarray(policy.units.centre, np.float32)
    half_width = np.asarray(policy.units.half_width, np.float32)
    size = len(centre)

    def finish(outputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        raw = outputs[..., size:]
        bound = np.where(raw < 0, np.float32(-LEAST), np.float32(MOST))
        u = np.exp(bound * np.tanh(raw / bound))
        u *= noise
        u += outputs[..., :size]
        np.tanh(u, out=u)
        u *= half_width
        u += centre
        return u

    return finish


def _inner(policy: Policy) -> Any:
    return policy.policy if isinstance(policy, NormalisedPolicy) else policy


def _plain(observations: np.ndarray) -> np.ndarray:
    return observations if observations.dtype == np.int8 else _float32(observations)


def _times(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x W. Signed bytes are mostly 0, as in what moved: these are left out."""
    if x.dtype != np.int8:
        return np.dot(x, weight)
    used = np.flatnonzero(x.any(axis=0))
    return np.dot(_float32(x[:, used]), weight[used])


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
