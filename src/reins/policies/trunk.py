"""Hidden layers that a policy shares with its critic: the trunk, and what is on it."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Shaped

from reins.errors import CapabilityError
from reins.networks import MLP, ConvolutionalNetwork
from reins.policies.policy import Policy, PolicyInit


def at_trunk(
    policy: Policy, observations: Shaped[Array, "..."]
) -> tuple[Policy, Float[Array, "..."]]:
    """The policy as one of its last hidden layer's features, and those features.

    π(a|s) = π'(a|h(s)); h is computed once for all that stands on it, and so is its
    gradient.

    Args:
      policy: one for which there is a `trunk_width`.
    """
    network: Any = getattr(policy, "network")  # noqa: B009 (some policies have none)
    rest = eqx.tree_at(lambda p: p.network, policy, network.last_layer())
    return rest, network.features(observations)


def trunk_width(policy: PolicyInit) -> int:
    """Units of the policy's last hidden layer: the inputs of a critic that is on it.

    Raises: CapabilityError for a policy that has none.
    """
    made = jax.eval_shape(policy, jax.random.key(0))
    network = getattr(made, "network", None)
    if not isinstance(network, MLP | ConvolutionalNetwork):
        raise _no_trunk(f"`{type(made).__name__}` has no hidden layers of its own")
    if network.hidden_layers == 0:
        raise _no_trunk("this policy goes from observations to outputs in one layer")
    return network.last_layer().weights[0].shape[0]


def _no_trunk(found: str) -> CapabilityError:
    return CapabilityError(
        f"a critic on the policy's hidden layers was asked for; {found}, so there is "
        "nothing to share. Use a policy with hidden layers, as `gaussian_policy`, or "
        "leave `shared_trunk` out."
    )
