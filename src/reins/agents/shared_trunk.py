"""What policy and critic see: observations, or features of the layers they share."""

from collections.abc import Callable

import jax
from jaxtyping import Array

from reins.critics import ValueCritic
from reins.errors import CapabilityError
from reins.networks import MLP
from reins.policies import Policy, PolicyInit, at_trunk, trunk_width
from reins.types import Key

View = Callable[[Policy, Array], tuple[Policy, Array]]
"""(policy, observations) -> the policy of what is seen, and what is seen."""


def apart(policy: Policy, observations: Array) -> tuple[Policy, Array]:
    """Nothing is shared: both see the observations."""
    return policy, observations


def view_of(
    policy: PolicyInit, critic: Callable[[Key], ValueCritic], *, shared_trunk: bool
) -> View:
    """How an agent's loss sees its observations.

    π(a|s) and V(s), each of its own network; or π'(a|h(s)) and V(h(s)) with h the
    policy's hidden layers, which are then the policy's parameters and nobody else's.

    Source: S3, actor-critic, which lacks shared features there.

    Raises: CapabilityError for a shared trunk that the policy has not, or that the
      critic does not fit.
    """
    if not shared_trunk:
        return apart
    width = trunk_width(policy)
    network = jax.eval_shape(critic, jax.random.key(0)).network
    inputs = network.weights[0].shape[0] if isinstance(network, MLP) else "pictures"
    if inputs != width:
        raise CapabilityError(
            "a critic on the policy's hidden layers was asked for; the last of them "
            f"has {width} units, and this critic takes {inputs}. Use "
            "`value_critic(trunk_width(policy), hidden=())`."
        )
    return at_trunk


def values_of(view: View, policy: Policy, critic: ValueCritic) -> Callable:
    """V as a function of raw observations, whatever the critic sees of them."""
    return lambda observations: critic(view(policy, observations)[1])
