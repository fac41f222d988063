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
    """p(a) = softmax(logits)_a."""

    logits: Float[Array, "*batch A"]

    @property
    def log_probs(self) -> Float[Array, "*batch A"]:
        """log p of every action."""
        return jax.nn.log_softmax(self.logits)

    def sample(self, key: Key) -> Int[Array, "*batch"]:
        return jax.random.categorical(key, self.logits)

    def log_prob(self, actions: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        # A sum over a one-hot: cheaper than a gather on a CPU, for few actions.
        one_hot = jax.nn.one_hot(
            actions, self.logits.shape[-1], dtype=self.logits.dtype
        )
        return jnp.sum(one_hot * self.log_probs, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        log_probs = self.log_probs
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

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
) -> PolicyInit:
    """A softmax policy on a network; near uniform at the start (last gain 0.01).

    Args:
      observations: their length, or (height, width, channels) of pictures.
      actions: how many there are.
    """

    def init(key: Key) -> CategoricalPolicy:
        logits = network(key, observations, (*hidden, actions), final_gain=0.01)
        return CategoricalPolicy(logits)

    return init
