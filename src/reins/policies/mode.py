"""A policy that always does what another finds most probable."""

from typing import ClassVar

from jaxtyping import Array, Float, Shaped

from reins.errors import CapabilityError
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.types import Key


class Certain(Distribution):
    """The mode of another distribution, with probability 1."""

    of: Distribution

    def sample(self, key: Key) -> Shaped[Array, "..."]:
        del key
        return self.of.mode()

    def mode(self) -> Shaped[Array, "..."]:
        return self.of.mode()

    def log_prob(self, actions: Shaped[Array, "..."]) -> Float[Array, "*batch"]:
        raise _no_density("log-probability")

    def entropy(self) -> Float[Array, "*batch"]:
        raise _no_density("entropy")

    def kl(self, other: Distribution) -> Float[Array, "*batch"]:
        raise _no_density("KL divergence")


class ModePolicy(Policy):
    """The deterministic policy a = mode of π(.|s), with the parameters of π.

    Parameters that do not move the mode, as a Gaussian's scale, have no effect.
    """

    gives: ClassVar[frozenset[str]] = frozenset()
    policy: Policy

    def __call__(self, observations: Shaped[Array, "..."]) -> Certain:
        return Certain(self.policy(observations))


def mode_policy(policy: PolicyInit) -> PolicyInit:
    """How to make the deterministic policy from how to make the stochastic one."""
    return lambda key: ModePolicy(policy(key))


def _no_density(asked: str) -> CapabilityError:
    return CapabilityError(
        f"the {asked} of a deterministic policy was asked for; all its probability is "
        "on one action, so there is no density. Use the stochastic policy inside it "
        "(`.policy`)."
    )
