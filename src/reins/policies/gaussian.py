"""Gaussian actions with a learned scale that does not depend on the state."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.divergences import gaussian_kl
from reins.networks import MLP
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.types import Key

LOG_2PI = 1.8378770664093453


class Gaussian(Distribution):
    """N(mean, diag(exp(log_std))²)."""

    mean: Float[Array, "*batch D"]
    log_std: Float[Array, "*batch D"]

    def sample(self, key: Key) -> Float[Array, "*batch D"]:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, actions: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        z = (actions - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * (jnp.square(z) + LOG_2PI) - self.log_std, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.sum(self.log_std + 0.5 * (LOG_2PI + 1.0), axis=-1)

    def mode(self) -> Float[Array, "*batch D"]:
        return self.mean

    def kl(self, other: "Gaussian") -> Float[Array, "*batch"]:
        return gaussian_kl(self.mean, self.log_std, other.mean, other.log_std)


class GaussianPolicy(Policy):
    """A mean from a network and one free log-scale per action dimension."""

    gives: ClassVar[frozenset[str]] = frozenset(
        {"log_prob", "entropy", "reparameterised"}
    )
    network: MLP
    log_std: Float[Array, " D"]

    def __call__(self, observations: Float[Array, "*batch D"]) -> Gaussian:
        mean = self.network(observations)
        return Gaussian(mean, jnp.broadcast_to(self.log_std, mean.shape))


def gaussian_policy(
    observation_size: int,
    action_size: int,
    *,
    hidden: Sequence[int] = (64, 64),
    log_std: float = 0.0,
) -> PolicyInit:
    """A Gaussian policy on an MLP, mean near 0 at the start, scale exp(`log_std`)."""

    def init(key: Key) -> GaussianPolicy:
        sizes = (observation_size, *hidden, action_size)
        network = MLP(key, sizes, final_gain=0.01)
        return GaussianPolicy(network, jnp.full(action_size, log_std, float))

    return init
