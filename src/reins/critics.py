"""Critics: networks that predict returns, and the losses that fit them."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from reins.networks import MLP, ConvolutionalNetwork, network
from reins.types import Key


class ValueCritic(eqx.Module):
    """V(s), one number per observation."""

    network: MLP | ConvolutionalNetwork

    def __call__(self, observations: Shaped[Array, "..."]) -> Float[Array, "..."]:
        return self.network(observations)[..., 0]


def value_critic(
    observations: int | tuple[int, ...],
    *,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
) -> Callable[[Key], ValueCritic]:
    """How to make a V critic from a key.

    Args:
      observations: their length, or (height, width, channels) of pictures.
    """

    def init(key: Key) -> ValueCritic:
        return ValueCritic(
            network(key, observations, (*hidden, 1), activation=activation)
        )

    return init


class ActionValueCritic(eqx.Module):
    """Q(s, .), one number per observation and action of a finite set."""

    network: MLP | ConvolutionalNetwork

    def __call__(self, observations: Shaped[Array, "..."]) -> Float[Array, "..."]:
        return self.network(observations)


def action_value_critic(
    observations: int | tuple[int, ...],
    actions: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
) -> Callable[[Key], ActionValueCritic]:
    """How to make a critic of finitely many actions, Q(s, .), from a key.

    Args:
      observations: their length, or (height, width, channels) of pictures.
      actions: how many there are.
    """

    def init(key: Key) -> ActionValueCritic:
        return ActionValueCritic(
            network(key, observations, (*hidden, actions), activation=activation)
        )

    return init


def value_loss(
    values: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    mask: Bool[Array, "*batch"],
) -> Float[Array, ""]:
    """Half the mean squared error to fixed targets, over valid steps.

    ½ mean (V(s_t) − y_t)²;  y_t = G_t fits by Monte Carlo, y_t = r + γV(s') by TD.

    Source: S3, fitting V.
    """
    errors = jnp.square(values - jax.lax.stop_gradient(targets))
    return 0.5 * jnp.sum(jnp.where(mask, errors, 0.0)) / jnp.maximum(jnp.sum(mask), 1)
