"""Beta-distributed actions: a box filled without squashing."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma
from jaxtyping import Array, Float, Shaped

from reins.networks import MLP, ConvolutionalNetwork, network
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.policies.units import Units, units_of
from reins.types import Key

MOST = 1e4
"""Bound of α − 1 and β − 1: beyond it float32 has no digits left for log π."""


class Beta(Distribution):
    """a = low + width x, x ~ Beta(alpha, beta), each dimension by itself.

    log π(a) = Σ_d (α−1) log x + (β−1) log(1−x) − log B(α, β) − log width.

    Args: `alpha` and `beta` of at least 1, so that log π is bounded above.
    """

    alpha: Float[Array, "*batch D"]
    beta: Float[Array, "*batch D"]
    units: Units = eqx.field(static=True)

    def sample(self, key: Key) -> Float[Array, "*batch D"]:
        return self._actions(self._log_shares(key, 1)[0][0])

    def log_prob(self, actions: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        """log π(a|s); of an action at a bound, that of the nearest one inside."""
        x = 0.5 * (self.units.before(actions) + 1.0)
        least = jnp.finfo(x.dtype).epsneg
        x = jnp.clip(x, least, 1.0 - least)
        return self._log_prob(jnp.log(x), jnp.log1p(-x))

    def draws(
        self, key: Key, n: int
    ) -> tuple[Float[Array, "n *batch D"], Float[Array, "n *batch"]]:
        """As `Distribution.draws`; log π is that of x before any rounding."""
        log_x, log_rest = jax.lax.stop_gradient(self)._log_shares(key, n)
        return self._actions(log_x), self._log_prob(log_x, log_rest)

    def paths(
        self, key: Key, n: int
    ) -> tuple[Float[Array, "n *batch D"], Float[Array, "n *batch"]]:
        """As `Distribution.paths`; the gradient of a draw is the implicit one."""
        log_x, log_rest = self._log_shares(key, n)
        return self._actions(log_x), self._log_prob(log_x, log_rest)

    def entropy(self) -> Float[Array, "*batch"]:
        """log B(α, β) + (α−1)(ψ(α+β) − ψ(α)) + (β−1)(ψ(α+β) − ψ(β)) + log width."""
        whole = digamma(self.alpha + self.beta)
        of_alpha = (self.alpha - 1.0) * (whole - digamma(self.alpha))
        of_beta = (self.beta - 1.0) * (whole - digamma(self.beta))
        terms = betaln(self.alpha, self.beta) + of_alpha + of_beta
        return jnp.sum(terms + self._log_width(), axis=-1)

    def mode(self) -> Float[Array, "*batch D"]:
        """(α−1)/(α+β−2); the middle where the distribution is uniform."""
        total = self.alpha + self.beta - 2.0
        uniform = total <= 0.0
        x = (self.alpha - 1.0) / jnp.where(uniform, 1.0, total)
        return self.units.actions(2.0 * jnp.where(uniform, 0.5, x) - 1.0)

    def kl(self, other: "Beta") -> Float[Array, "*batch"]:
        """log B'/B + (α−α') ψ(α) + (β−β') ψ(β) − (α−α'+β−β') ψ(α+β)."""
        whole = digamma(self.alpha + self.beta)
        of_alpha = (self.alpha - other.alpha) * (digamma(self.alpha) - whole)
        of_beta = (self.beta - other.beta) * (digamma(self.beta) - whole)
        normalisers = betaln(other.alpha, other.beta) - betaln(self.alpha, self.beta)
        return jnp.sum(normalisers + of_alpha + of_beta, axis=-1)

    def _log_shares(
        self, key: Key, n: int
    ) -> tuple[Float[Array, "n *batch D"], Float[Array, "n *batch D"]]:
        """log x and log(1 − x) of n draws: the shares of two gamma variables."""
        keys, shape = jax.random.split(key), (n, *self.alpha.shape)
        first, second = (
            jax.random.loggamma(key, shape_parameter, shape, self.alpha.dtype)
            for key, shape_parameter in zip(keys, (self.alpha, self.beta), strict=True)
        )
        total = jnp.logaddexp(first, second)
        return first - total, second - total

    def _log_prob(
        self, log_x: Float[Array, "..."], log_rest: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        terms = (self.alpha - 1.0) * log_x + (self.beta - 1.0) * log_rest
        terms = terms - betaln(self.alpha, self.beta) - self._log_width()
        return jnp.sum(terms, axis=-1)

    def _actions(self, log_x: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.units.actions(2.0 * jnp.exp(log_x) - 1.0)

    def _log_width(self) -> Float[Array, " D"]:
        return jnp.log(2.0 * jnp.asarray(self.units.half_width, self.alpha.dtype))


class BetaPolicy(Policy):
    """α and β of each state from one network: 2 outputs for each dimension.

    α, β = 1 + softplus(raw). Above 1 the density has one peak, inside the box; below it
    would be infinite at a bound. softplus grows as its argument does, so that one large
    step of the parameters cannot make the policy certain.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"log_prob", "entropy", "reparameterised"}
    )
    network: MLP | ConvolutionalNetwork
    units: Units = eqx.field(static=True)

    def __call__(self, observations: Shaped[Array, "..."]) -> Beta:
        grown = jax.nn.softplus(self.network(observations))
        alpha, beta = jnp.split(1.0 + MOST * jnp.tanh(grown / MOST), 2, axis=-1)
        return Beta(alpha, beta, self.units)


def beta_policy(
    observations: int | tuple[int, ...],
    action_size: int,
    *,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    centre: Sequence[float] | None = None,
    half_width: Sequence[float] | None = None,
) -> PolicyInit:
    """A Beta policy on the box centre ± half_width; at the start near Beta(1.7, 1.7).

    Args:
      observations: their length, or (height, width, channels) of pictures.
      centre, half_width: of the actions, one for each dimension; 0 and 1 when None.
    """
    units = units_of(action_size, centre, half_width, squash=False)
    sizes = (*hidden, 2 * action_size)

    def init(key: Key) -> BetaPolicy:
        made = network(key, observations, sizes, activation=activation, final_gain=0.01)
        return BetaPolicy(made, units)

    return init
