"""Linear policies and critics whose gradients are written out, with plain loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from reins.policies import categorical_policy

KEY = jax.random.key(0)
WEIGHTS = np.array([[0.7, -0.4], [-1.1, 0.3]])
BIASES = np.array([0.2, -0.3])
LINEAR = categorical_policy(2, 2, hidden=())


def set_linear(module, weights, biases):
    """The same module with these numbers in its only layer."""
    return eqx.tree_at(
        lambda m: (m.network.weights[0], m.network.biases[0]),
        module,
        (jnp.asarray(weights, jnp.float32), jnp.asarray(biases, jnp.float32)),
    )


def skewed_policy(key):
    """π(a|s) = softmax(s W + b)_a, far from uniform."""
    return set_linear(LINEAR(key), WEIGHTS, BIASES)


def moved(before, after) -> np.ndarray:
    """How far the weights and biases of a linear module have gone, in one vector."""
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return np.concatenate([np.ravel(np.asarray(b) - np.asarray(a)) for a, b in pairs])


def probabilities(observation) -> np.ndarray:
    logits = np.asarray(observation, np.float64) @ WEIGHTS + BIASES
    return np.exp(logits) / np.sum(np.exp(logits))


def by_logits(observation, slopes) -> np.ndarray:
    """The gradient of something by weights and biases, from that by the outputs."""
    return np.concatenate([np.ravel(np.outer(observation, slopes)), slopes])


def score(observation, action) -> np.ndarray:
    """∇ log π(a|s)."""
    return by_logits(observation, np.eye(2)[action] - probabilities(observation))


def entropy_gradient(observation) -> np.ndarray:
    """∇ H(π(.|s)): by logit a it is −π_a (log π_a + H)."""
    p = probabilities(observation)
    return by_logits(observation, -p * (np.log(p) - np.sum(p * np.log(p))))


def returns_and_values(batch, value, *, discount):
    """G_t with V where the row or a time limit cuts it; r + γV(s'); by plain loops.

    Args: `value`: observation -> V(s).
    """
    n, t = batch.rewards.shape
    whole, one_step = np.zeros((n, t)), np.zeros((n, t))
    for i in range(n):
        for first in range(t):
            for k in range(first, t):
                ends = bool(batch.terminated[i, k] | batch.truncated[i, k])
                bootstrap = 0.0
                if not batch.terminated[i, k]:
                    bootstrap = discount * value(batch.next_observations[i, k])
                weight = discount ** (k - first)
                whole[i, first] += weight * batch.rewards[i, k]
                if k == first:
                    one_step[i, first] = batch.rewards[i, k] + bootstrap
                if ends or k == t - 1:
                    whole[i, first] += weight * bootstrap
                    break
    return {"mc": whole, "td": one_step}
