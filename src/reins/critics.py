"""Critics: networks that predict returns, and the losses that fit them."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from reins.errors import ConfigError
from reins.networks import ACTIVATIONS, MLP, ConvolutionalNetwork, network
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


class StateActionCritic(eqx.Module):
    """Q(s, a) of continuous actions, one number per pair.

    The first layer is a sum: the state's part is made once per state, and K actions
    there cost K times the action's part only.

    Attributes:
      choices: how many values the first number of an action has, where that is the
        number of a choice; it is then told as a one-hot code. 0 where it is not.
    """

    network: MLP
    choices: int = eqx.field(static=True, default=0)

    def __call__(
        self, observations: Float[Array, "N S"], actions: Float[Array, "*K N D"]
    ) -> Float[Array, "*K N"]:
        """Q of one action at each observation, or of K, which come first."""
        first, *weights = self.network.weights
        if self.choices:
            which = jnp.round(actions[..., 0]).astype(int)
            code = jax.nn.one_hot(which, self.choices, dtype=actions.dtype)
            actions = jnp.concatenate([code, actions[..., 1:]], axis=-1)
        seen = observations.shape[-1]
        x = observations @ first[:seen] + self.network.biases[0]
        rows = actions.reshape(-1, actions.shape[-1]) @ first[seen:]
        x = ACTIVATIONS[self.network.activation](
            (rows.reshape(*actions.shape[:-1], -1) + x).reshape(rows.shape)
        )
        for weight, bias in zip(weights[:-1], self.network.biases[1:-1], strict=True):
            x = ACTIVATIONS[self.network.activation](x @ weight + bias)
        return (x @ weights[-1] + self.network.biases[-1]).reshape(actions.shape[:-1])


def state_action_critic(
    observations: int,
    actions: int,
    *,
    choices: int = 0,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
) -> Callable[[Key], StateActionCritic]:
    """How to make a critic of continuous actions, Q(s, a), from a key.

    Args:
      observations, actions: lengths of the two vectors.
      choices: of hybrid actions [k, x], how many values k has; 0 for others.
      hidden: units of the hidden layers, one layer at least.

    Raises: ConfigError without a hidden layer: Q would be linear in the action.
    """
    if not hidden:
        raise ConfigError(
            "a Q critic of continuous actions was asked for without hidden layers; it "
            "would be linear in the action, and best at a bound. Give it one or more."
        )

    def init(key: Key) -> StateActionCritic:
        told = actions - 1 + choices if choices else actions
        made = MLP(key, (observations + told, *hidden, 1), activation=activation)
        return StateActionCritic(made, choices)

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
