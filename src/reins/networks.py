"""Small networks whose leaves are all arrays: they vmap, scan and checkpoint."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.types import Key

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
}


class MLP(eqx.Module):
    """A multilayer perceptron on the last axis; any number of leading axes.

    Weights are orthogonal with gain sqrt(2) in hidden layers and `final_gain` in the
    last, biases zero (the initialisation that on-policy agents are used to).
    """

    weights: list[Float[Array, "..."]]
    biases: list[Float[Array, "..."]]
    activation: str = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        sizes: Sequence[int],
        *,
        activation: str = "tanh",
        final_gain: float = 1.0,
    ):
        keys = jax.random.split(key, len(sizes) - 1)
        gains = [2.0**0.5] * (len(sizes) - 2) + [final_gain]
        self.weights = [
            jax.nn.initializers.orthogonal(gain)(k, (n_in, n_out))
            for k, gain, n_in, n_out in zip(
                keys, gains, sizes[:-1], sizes[1:], strict=True
            )
        ]
        self.biases = [jnp.zeros(n) for n in sizes[1:]]
        self.activation = activation

    def __call__(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n_out"]:
        activation = ACTIVATIONS[self.activation]
        *hidden, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in hidden:
            x = activation(x @ weight + bias)
        return x @ last[0] + last[1]
