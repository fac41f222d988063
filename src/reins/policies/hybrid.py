"""Policies of hybrid actions, discrete and continuous at once: a = [k, x]."""

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from reins.divergences import categorical_kl, gaussian_kl
from reins.networks import MLP, ConvolutionalNetwork
from reins.policies.branches import Branches, branches_network, branches_of, pick
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.policies.units import Units, units_of
from reins.types import Key


class Hybrid(Distribution):
    """π(k, x) = w_k N_k(x): the action shows its branch, a = [k, x].

    For actions that are discrete and continuous at once: one vector of the branch's
    number and the D numbers x in the box.
    """

    branches: Branches

    def sample(self, key: Key) -> Float[Array, "*batch E"]:
        """An action, without a gradient: that of x is not all, the branch has none."""
        return self.draws(key, 1)[0][0]

    def log_prob(self, actions: Float[Array, "*batch E"]) -> Float[Array, "*batch"]:
        """log w_k + log N_k(x); at a bound, that of the nearest x inside."""
        joint = self.branches.log_joint(self.branches.units.before(actions[..., 1:]))
        return pick(joint[..., None], jnp.round(actions[..., 0]).astype(int))[..., 0]

    def draws(
        self, key: Key, n: int
    ) -> tuple[Float[Array, "n *batch E"], Float[Array, "n *batch"]]:
        """As `Distribution.draws`; log π is that of u, so nothing saturates."""
        branches, u = self.branches.draws(key, n)
        log_probs = pick(self.branches.log_joint(u)[..., None], branches)[..., 0]
        return _shown(branches, self.branches.units.actions(u)), log_probs

    def entropy(self) -> Float[Array, "*batch"]:
        """H(w) + Σ_k w_k H(N_k), as exact as `Units.mean_log_slope` is."""
        branches = self.branches
        each = branches.gaussians.entropy() - branches.log_weights
        return branches.mean(each) + branches.mean_log_slope()

    def mode(self) -> Float[Array, "*batch E"]:
        """The branch with the highest peak before squashing, and its mode."""
        return _shown(*self.branches.modes())

    def kl(self, other: "Hybrid") -> Float[Array, "*batch"]:
        """KL(w ‖ w') + Σ_k w_k KL(N_k ‖ N'_k)."""
        p, q = self.branches, other.branches
        each = gaussian_kl(
            p.gaussians.mean, p.gaussians.log_std, q.gaussians.mean, q.gaussians.log_std
        )
        return categorical_kl(p.log_weights, q.log_weights) + p.mean(each)


class HybridPolicy(Policy):
    """Weights, means and scales of K branches from one network.

    `gives` lacks `reparameterised`: the branch is discrete.
    """

    gives: ClassVar[frozenset[str]] = frozenset({"log_prob", "entropy"})
    network: MLP | ConvolutionalNetwork
    branches: int = eqx.field(static=True)
    units: Units = eqx.field(static=True)

    def __call__(self, observations: Shaped[Array, "..."]) -> Hybrid:
        outputs = self.network(observations)
        return Hybrid(branches_of(outputs, self.branches, self.units))


def hybrid_policy(
    observations: int | tuple[int, ...],
    action_size: int,
    *,
    branches: int,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    squash: bool = True,
    centre: Sequence[float] | None = None,
    half_width: Sequence[float] | None = None,
) -> PolicyInit:
    """π(k, x|s) = w_k(s) N_k(x|s); an action is [k, x], 1 + `action_size` numbers.

    At the start as a `mixture_policy`.

    Args:
      observations: their length, or (height, width, channels) of pictures.
      action_size: how many numbers x has.
      branches: how many values k has, from 0.
      squash: Gaussians through tanh, which stay in the box; plain ones otherwise.
      centre, half_width: of x, one for each dimension; 0 and 1 when None.

    Raises: ConfigError for no branch at all.
    """
    units = units_of(action_size, centre, half_width, squash=squash)
    make = branches_network(
        observations, action_size, branches, hidden=hidden, activation=activation
    )
    return lambda key: HybridPolicy(make(key), branches, units)


def _shown(branches: Int[Array, "..."], x: Float[Array, "... D"]) -> Array:
    return jnp.concatenate([branches[..., None].astype(x.dtype), x], axis=-1)
