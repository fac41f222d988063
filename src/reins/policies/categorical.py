"""Softmax over a finite set of actions."""

from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from reins.divergences import categorical_kl
from reins.networks import MLP, ConvolutionalNetwork, network
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.types import Key


class Categorical(Distribution):
    """p(a) = softmax(logits)_a; a logit of −inf leaves its action out."""

    logits: Float[Array, "*batch A"]

    @property
    def log_probs(self) -> Float[Array, "*batch A"]:
        """log p of every action."""
        return jax.nn.log_softmax(self.logits)

    def sample(self, key: Key) -> Int[Array, "*batch"]:
        return jax.random.categorical(key, self.logits)

    def log_prob(self, actions: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        # A sum over a one-hot: cheaper than a gather on a CPU, for few actions.
        one_hot = jax.nn.one_hot(actions, self.logits.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(one_hot, self.log_probs, 0.0), axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        log_probs = self.log_probs
        probs = jnp.exp(log_probs)
        # 0 log 0 = 0, and so is its gradient.
        return -jnp.sum(probs * jnp.where(probs > 0, log_probs, 0.0), axis=-1)

    def mode(self) -> Int[Array, "*batch"]:
        return jnp.argmax(self.logits, axis=-1)

    def kl(self, other: "Categorical") -> Float[Array, "*batch"]:
        return categorical_kl(self.log_probs, other.log_probs)


class CategoricalPolicy(Policy):
    """Logits from a network."""

    gives: ClassVar[frozenset[str]] = frozenset({"log_prob", "entropy", "enumerable"})
    network: MLP | ConvolutionalNetwork

    def __call__(self, observations: Shaped[Array, "..."]) -> Categorical:
        return Categorical(self.network(observations))


def categorical_policy(
    observations: int | tuple[int, ...],
    actions: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
) -> PolicyInit:
    """A softmax policy on a network; near uniform at the start (last gain 0.01).

    Args:
      observations: their length, or (height, width, channels) of pictures.
      actions: how many there are.
      activation: of the hidden units, "tanh" or "relu".
    """
    sizes = (*hidden, actions)

    def init(key: Key) -> CategoricalPolicy:
        logits = network(
            key, observations, sizes, activation=activation, final_gain=0.01
        )
        return CategoricalPolicy(logits)

    return init
