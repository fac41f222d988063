"""Small networks whose leaves are all arrays: they vmap, scan and checkpoint."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

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
        last = self.weights[-1], self.biases[-1]
        outputs = self._hidden(_as_rows(x)) @ last[0] + last[1]
        return outputs.reshape(*x.shape[:-1], outputs.shape[-1])

    def features(self, x: Float[Array, "*batch n_in"]) -> Float[Array, "*batch n"]:
        """The last hidden layer's activations; the input where there is none."""
        found = self._hidden(_as_rows(x))
        return found.reshape(*x.shape[:-1], found.shape[-1])

    def _hidden(self, x: Float[Array, "rows n_in"]) -> Float[Array, "rows n"]:
        activation = ACTIVATIONS[self.activation]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = activation(x @ weight + bias)
        return x

    @property
    def hidden_layers(self) -> int:
        """How many layers are before the last."""
        return len(self.weights) - 1

    def last_layer(self) -> "MLP":
        """What makes the outputs of the features, with the same parameters."""
        last = self.weights[-1:], self.biases[-1:]
        return eqx.tree_at(lambda m: (m.weights, m.biases), self, last)


def _as_rows(x: Float[Array, "*batch n"]) -> Float[Array, "rows n"]:
    """One axis for all leading ones: with more, XLA's gradients take twice the time."""
    return x.reshape(-1, x.shape[-1])


class ConvolutionalNetwork(eqx.Module):
    """A small network for pictures: halving convolutions, then a multilayer perceptron.

    Each convolution looks at 3 x 3 pixels and keeps every second one in both
    directions, until at most 4 x 4 are left, so pictures of any size will do. Bytes
    are divided by 255.
    """

    kernels: list[Float[Array, "3 3 _ _"]]
    biases: list[Float[Array, "..."]]
    head: MLP

    def __init__(
        self,
        key: Key,
        shape: tuple[int, int, int],
        sizes: Sequence[int],
        *,
        activation: str = "tanh",
        final_gain: float = 1.0,
    ):
        height, width, channels = shape
        widths = [channels]
        while max(height, width) > 4:
            height, width = -(-height // 2), -(-width // 2)
            widths.append(min(16 * len(widths), 64))
        head_key, *keys = jax.random.split(key, len(widths))
        make = jax.nn.initializers.orthogonal(2.0**0.5)
        self.kernels = [
            make(k, (3, 3, n_in, n_out))
            for k, n_in, n_out in zip(keys, widths[:-1], widths[1:], strict=True)
        ]
        self.biases = [jnp.zeros(n) for n in widths[1:]]
        flat = height * width * widths[-1]
        whole = (flat, *sizes)
        self.head = MLP(head_key, whole, activation=activation, final_gain=final_gain)

    def __call__(
        self, pictures: Shaped[Array, "*batch H W C"]
    ) -> Float[Array, "*batch n_out"]:
        return self.head(self._flat(pictures))

    def features(
        self, pictures: Shaped[Array, "*batch H W C"]
    ) -> Float[Array, "*batch n"]:
        """What the last hidden layer gives, after the convolutions."""
        return self.head.features(self._flat(pictures))

    @property
    def hidden_layers(self) -> int:
        """How many layers are before the last, convolutions included."""
        return len(self.kernels) + self.head.hidden_layers

    def last_layer(self) -> MLP:
        """What makes the outputs of the features, with the same parameters."""
        return self.head.last_layer()

    def _flat(self, pictures: Shaped[Array, "*batch H W C"]) -> Array:
        batch = pictures.shape[:-3]
        x = pictures.reshape(-1, *pictures.shape[-3:]).astype(jnp.float32) / 255.0
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            x = jax.lax.conv_general_dilated(
                x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias)
        return x.reshape(*batch, -1)


def network(
    key: Key,
    inputs: int | tuple[int, ...],
    sizes: Sequence[int],
    *,
    activation: str = "tanh",
    final_gain: float = 1.0,
) -> MLP | ConvolutionalNetwork:
    """The usual network for vectors of so many numbers, or for pictures of a shape.

    Args:
      inputs: length of the vectors, or (height, width, channels) of the pictures.
      sizes: units of the layers after the input (after the convolutions), the last
        being the outputs.
      activation: of the layers between (of pictures, those after the convolutions).
    """
    if isinstance(inputs, int):
        whole = (inputs, *sizes)
        return MLP(key, whole, activation=activation, final_gain=final_gain)
    height, width, channels = inputs
    shape = (height, width, channels)
    return ConvolutionalNetwork(
        key, shape, sizes, activation=activation, final_gain=final_gain
    )
