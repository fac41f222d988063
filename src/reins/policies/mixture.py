"""Hierarchical policies: first which branch, then an action that does not tell."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Shaped

from reins.networks import MLP, ConvolutionalNetwork
from reins.policies.branches import Branches, branches_network, branches_of
from reins.policies.gaussian import Gaussian
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.policies.units import Units, units_of
from reins.types import Key

PAIRS = 32
"""Opposite pairs of points at which a branch is looked at, to estimate an entropy."""


class Mixture(Distribution):
    """π(a) = Σ_k w_k N_k(a): the branch is drawn, and not seen in the action."""

    branches: Branches

    def sample(self, key: Key) -> Float[Array, "*batch D"]:
        """An action, without a gradient: that of the branch's Gaussian is not all."""
        return self.branches.units.actions(self.branches.draws(key, 1)[1][0])

    def log_prob(self, actions: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        """log π(a|s); of an action at a bound, that of the nearest one inside."""
        u = self.branches.units.before(actions)
        return logsumexp(self.branches.log_joint(u), axis=-1)

    def draws(
        self, key: Key, n: int
    ) -> tuple[Float[Array, "n *batch D"], Float[Array, "n *batch"]]:
        """As `Distribution.draws`; log π is that of u, so nothing saturates."""
        _, u = self.branches.draws(key, n)
        log_probs = logsumexp(self.branches.log_joint(u), axis=-1)
        return self.branches.units.actions(u), log_probs

    def entropy(self) -> Float[Array, "*batch"]:
        """Σ_k w_k H(N_k) + what the action tells of the branch, which is estimated.

        The second, Σ_k w_k E_k log(N_k/π), is between 0 and log K, and exact where
        branches are apart or equal; elsewhere a mean over 64 fixed points a branch.
        """
        ratios = self._log_shares(self._points()) - self.branches.log_weights
        return self.branches.mean_entropy() + self._mean(ratios)

    def mode(self) -> Float[Array, "*batch D"]:
        """The mode of the branch with the highest peak before squashing."""
        return self.branches.modes()[1]

    def kl(self, other: "Mixture") -> Float[Array, "*batch"]:
        """KL(self ‖ other), estimated at 64 fixed points of each branch.

        Σ_k w_k (KL(N_k ‖ N'_k) + E_k[log(N'_k/π') − log(N_k/π)]): only the second has
        to be estimated, and it is small where the two have the same branches.
        """
        points = self._points()
        mine = self._log_shares(points) - self.branches.log_weights
        its = other._log_shares(points) - other.branches.log_weights
        return self.branches.mean_kl(other.branches) + self._mean(its - mine)

    def _points(self) -> Float[Array, "P *batch K D"]:
        """u at fixed points of every branch, as its Gaussian spreads them."""
        mean, log_std = self.branches.gaussians.mean, self.branches.gaussians.log_std
        half = np.random.default_rng(0).normal(size=(PAIRS, mean.shape[-1]))
        noise = jnp.asarray(np.concatenate([half, -half]), mean.dtype)
        noise = noise.reshape(-1, *(1,) * (mean.ndim - 1), mean.shape[-1])
        return mean + jnp.exp(log_std) * noise

    def _log_shares(self, u: Float[Array, "P *batch K D"]) -> Array:
        """log of branch k's share w_k N_k/π at the points of branch k."""
        gaussians, log_weights = self.branches.gaussians, self.branches.log_weights
        others = Gaussian(
            gaussians.mean[..., None, :, :], gaussians.log_std[..., None, :, :]
        )
        joint = log_weights[..., None, :] + others.log_prob(u[..., None, :])
        own = jnp.diagonal(joint, axis1=-2, axis2=-1)
        return own - logsumexp(joint, axis=-1)

    def _mean(self, values: Float[Array, "P *batch K"]) -> Float[Array, "*batch"]:
        weights = jnp.exp(self.branches.log_weights)
        return jnp.sum(weights * jnp.mean(values, axis=0), axis=-1)


class MixturePolicy(Policy):
    """Weights, means and scales of K branches from one network.

    `gives` has neither `reparameterised`, for the branch is discrete, nor `entropy`,
    which is only estimated. log σ of a branch is that of a squashed Gaussian.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"log_prob"})
    network: MLP | ConvolutionalNetwork
    branches: int = eqx.field(static=True)
    units: Units = eqx.field(static=True)

    def __call__(self, observations: Shaped[Array, "..."]) -> Mixture:
        outputs = self.network(observations)
        return Mixture(branches_of(outputs, self.branches, self.units))


def mixture_policy(
    observations: int | tuple[int, ...],
    action_size: int,
    *,
    branches: int = 4,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    squash: bool = True,
    centre: Sequence[float] | None = None,
    half_width: Sequence[float] | None = None,
) -> PolicyInit:
    """π(a|s) = Σ_k w_k(s) N_k(a|s), the hierarchical policy of S1.

    At the start the weights are near equal, every σ is near 1, and the branches a few
    tenths apart, in units of the half widths before squashing.

    Args:
      observations: their length, or (height, width, channels) of pictures.
      branches: K.
      squash: Gaussians through tanh, which stay in the box; plain ones otherwise.
      centre, half_width: of the actions, one for each dimension; 0 and 1 when None.

    Raises: ConfigError for no branch at all.
    """
    units = units_of(action_size, centre, half_width, squash=squash)
    make = branches_network(
        observations, action_size, branches, hidden=hidden, activation=activation
    )
    return lambda key: MixturePolicy(make(key), branches, units)
