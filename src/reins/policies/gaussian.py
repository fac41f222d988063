"""Gaussian actions with a learned scale that does not depend on the state."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from reins.divergences import gaussian_kl
from reins.networks import MLP, ConvolutionalNetwork, network
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
    """A mean from a network and one free log-scale per action dimension.

    Both are in units of `half_width` around `centre`: where actions have bounds, the
    network's −1 and 1 are those bounds, whatever their size.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"log_prob", "entropy", "reparameterised"}
    )
    network: MLP | ConvolutionalNetwork
    log_std: Float[Array, " D"]
    centre: tuple[float, ...] = eqx.field(static=True)
    half_width: tuple[float, ...] = eqx.field(static=True)

    def __call__(self, observations: Shaped[Array, "..."]) -> Gaussian:
        half_width = jnp.asarray(self.half_width)
        mean = jnp.asarray(self.centre) + half_width * self.network(observations)
        log_std = self.log_std + jnp.log(half_width)
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def gaussian_policy(
    observations: int | tuple[int, ...],
    action_size: int,
    *,
    hidden: Sequence[int] = (64, 64),
    log_std: float = 0.0,
    centre: Sequence[float] | None = None,
    half_width: Sequence[float] | None = None,
) -> PolicyInit:
    """A Gaussian policy: mean near `centre`, scale `half_width` exp(`log_std`).

    Args:
      observations: their length, or (height, width, channels) of pictures.
      centre, half_width: of the actions, one for each dimension; 0 and 1 when None.
    """
    middle = (0.0,) * action_size if centre is None else tuple(map(float, centre))
    half = (1.0,) * action_size if half_width is None else tuple(map(float, half_width))

    def init(key: Key) -> GaussianPolicy:
        mean = network(key, observations, (*hidden, action_size), final_gain=0.01)
        log_stds = jnp.full(action_size, log_std, float)
        return GaussianPolicy(mean, log_stds, middle, half)

    return init
