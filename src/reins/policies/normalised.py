"""A policy that sees observations in units of their standard deviation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.policies.policy import Distribution, Policy


class NormalisedPolicy(Policy):
    """π(a | clip((s − mean) · scale)), of raw observations.

    The statistics are no parameters: no gradient reaches them, and nothing that is
    done with the policy moves them.

    Attributes:
      policy: the inner policy, of normalised observations.
      mean: of each dimension, in its units.
      scale: 1/standard deviation of each dimension; 1 for one that never changes.
      clip: bound of a normalised observation, in standard deviations.
    """

    policy: Policy
    mean: Float[Array, "... D"]
    scale: Float[Array, "... D"]
    clip: float = eqx.field(static=True)

    @property
    def gives(self) -> frozenset[str]:
        return self.policy.gives

    def __call__(self, observations: Float[Array, "*batch D"]) -> Distribution:
        return self.policy(self.normalise(observations))

    def normalise(self, observations: Float[Array, "*batch D"]) -> Array:
        """What the inner policy sees of raw observations."""
        mean, scale = jax.lax.stop_gradient((self.mean, self.scale))
        return jnp.clip((observations - mean) * scale, -self.clip, self.clip)
