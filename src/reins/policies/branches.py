"""K Gaussians with a weight each: what policies with a discrete branch are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reins.errors import ConfigError
from reins.networks import MLP, ConvolutionalNetwork, network
from reins.policies.gaussian import Gaussian
from reins.policies.squashed import bounded_log_std
from reins.policies.units import Units
from reins.types import Key

SPREAD = 0.5
"""How far apart branches start: the deviation of their means, in units of σ."""


class Branches(eqx.Module):
    """A probability w_k, and a Gaussian N_k of u, for each of K branches.

    Attributes:
      log_weights: log w_k, normalised.
      gaussians: of u, before `units` make an action of it.
    """

    log_weights: Float[Array, "*batch K"]
    gaussians: Gaussian
    units: Units = eqx.field(static=True)

    @property
    def k(self) -> int:
        """K."""
        return self.log_weights.shape[-1]

    def draws(
        self, key: Key, n: int
    ) -> tuple[Int[Array, "n *batch"], Float[Array, "n *batch D"]]:
        """Branch and u of n draws; constants, since the branch carries no gradient."""
        still = jax.lax.stop_gradient(self)
        branch_key, noise_key = jax.random.split(key)
        shape = (n, *self.log_weights.shape[:-1])
        branches = jax.random.categorical(branch_key, still.log_weights, shape=shape)
        mean, log_std = still.gaussians.mean, still.gaussians.log_std
        noise = jax.random.normal(noise_key, (*shape, mean.shape[-1]), mean.dtype)
        return branches, pick(mean, branches) + jnp.exp(pick(log_std, branches)) * noise

    def log_joint(self, u: Float[Array, "... D"]) -> Float[Array, "... K"]:
        """log w_k + log N_k of the action that each u becomes."""
        of_u = self.log_weights + self.gaussians.log_prob(for_each(u, self.k))
        return of_u - self.units.log_slope(u)[..., None]

    def modes(self) -> tuple[Int[Array, "*batch"], Float[Array, "*batch D"]]:
        """The branch whose own peak is the highest before squashing, and its action.

        Squashing would multiply peaks near the bounds, however wide they are.
        """
        peaks = self.log_weights + self.gaussians.log_prob(self.gaussians.mean)
        best = jnp.argmax(peaks, axis=-1)
        return best, self.units.actions(pick(self.gaussians.mean, best))

    def mean(self, values: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """Σ_k w_k values_k."""
        return jnp.sum(jnp.exp(self.log_weights) * values, axis=-1)

    def mean_log_slope(self) -> Float[Array, "*batch"]:
        """E log |da/du|; `Units.mean_log_slope` says how exact."""
        mean, log_std = self.gaussians.mean, self.gaussians.log_std
        return self.mean(self.units.mean_log_slope(mean, log_std))


def branches_of(outputs: Float[Array, "*batch _"], k: int, units: Units) -> Branches:
    """K branches from K (1 + 2 D) outputs of a network: logits, means, log-scales."""
    shape = (*outputs.shape[:-1], k, -1)
    logits, gaussians = outputs[..., :k], outputs[..., k:]
    mean, raw = (x.reshape(shape) for x in jnp.split(gaussians, 2, axis=-1))
    log_weights = jax.nn.log_softmax(logits)
    return Branches(log_weights, Gaussian(mean, bounded_log_std(raw)), units)


def branches_network(
    observations: int | tuple[int, ...],
    action_size: int,
    k: int,
    *,
    hidden: Sequence[int],
    activation: str,
) -> Callable[[Key], MLP | ConvolutionalNetwork]:
    """How to make the network of K branches.

    At the start the weights are near 1/K, σ near 1, and the means (before squashing) a
    few tenths apart, whatever the state: equal branches would have equal gradients.

    Raises: ConfigError for no branch at all.
    """
    if k < 1:
        raise ConfigError(
            f"a policy of {k} branches was asked for; there is no action without one. "
            "Give `branches` of at least 1."
        )
    means = k * action_size
    sizes = (*hidden, k + 2 * means)

    def init(key: Key) -> MLP | ConvolutionalNetwork:
        network_key, spread_key = jax.random.split(key)
        made = network(
            network_key, observations, sizes, activation=activation, final_gain=0.01
        )
        apart = SPREAD * jax.random.normal(spread_key, (means,))
        return eqx.tree_at(
            _last_bias, made, _last_bias(made).at[k : k + means].set(apart)
        )

    return init


def pick(
    values: Float[Array, "*batch K D"], branches: Int[Array, "..."]
) -> Float[Array, "... D"]:
    """The row of `values` that each number of `branches` names."""
    chosen = jax.nn.one_hot(branches, values.shape[-2], dtype=bool)
    return jnp.sum(jnp.where(chosen[..., None], values, 0.0), axis=-2)


def for_each(u: Float[Array, "... D"], k: int) -> Float[Array, "... K D"]:
    """The same u for each of K branches."""
    return jnp.broadcast_to(u[..., None, :], (*u.shape[:-1], k, u.shape[-1]))


def _last_bias(made: Any) -> Any:
    head = made.head if isinstance(made, ConvolutionalNetwork) else made
    return head.biases[-1]
