"""The multilayer perceptron against one written out, and its initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.networks import ACTIVATIONS, MLP, network

KEY = jax.random.key(0)
NUMPY = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0)}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_the_formula(activation):
    network = MLP(KEY, (3, 5, 4, 2), activation=activation)
    network = jax.tree.map(lambda x: x + 0.1, network)  # biases that are not zero
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    w1, w2, w3 = map(np.asarray, network.weights)
    b1, b2, b3 = map(np.asarray, network.biases)
    f = NUMPY[activation]
    expected = f(f(x @ w1 + b1) @ w2 + b2) @ w3 + b3
    np.testing.assert_allclose(network(jnp.asarray(x)), expected, rtol=1e-5, atol=1e-5)


def test_leading_axes_are_batches():
    network = MLP(KEY, (3, 4, 2))
    x = jax.random.normal(KEY, (2, 5, 3))
    assert network(x).shape == (2, 5, 2)
    np.testing.assert_allclose(network(x)[1, 3], network(x[1, 3]), rtol=1e-5)


def test_all_leaves_are_arrays():
    leaves = jax.tree.leaves(MLP(KEY, (3, 4, 2), activation="relu"))
    assert [leaf.shape for leaf in leaves] == [(3, 4), (4, 2), (4,), (2,)]
    assert all(isinstance(leaf, jax.Array) for leaf in leaves)
    assert not any(leaf.weak_type for leaf in leaves)


def test_weights_are_orthogonal_and_biases_zero():
    network = MLP(KEY, (3, 6, 2), final_gain=0.01)
    hidden, last = map(np.asarray, network.weights)
    np.testing.assert_allclose(hidden @ hidden.T, 2.0 * np.eye(3), atol=1e-5)
    np.testing.assert_allclose(last.T @ last, 1e-4 * np.eye(2), atol=1e-9)
    assert all(np.all(np.asarray(bias) == 0.0) for bias in network.biases)


def test_without_hidden_layers_it_is_linear():
    network = MLP(KEY, (3, 2))
    x, y = jax.random.normal(KEY, (2, 3))
    np.testing.assert_allclose(network(x + y), network(x) + network(y), rtol=1e-5)


def test_other_keys_give_other_weights():
    first, second = (MLP(jax.random.key(i), (3, 3)) for i in (0, 1))
    assert not np.allclose(first.weights[0], second.weights[0])


@pytest.mark.parametrize("shape", [(84, 84, 4), (7, 7, 3), (3, 5, 1), (20, 60, 1)])
def test_pictures_of_any_size_become_outputs(shape):
    net = network(KEY, shape, (16, 3))
    pictures = jax.random.randint(KEY, (2, 5, *shape), 0, 256).astype(jnp.uint8)
    found = net(pictures)
    assert found.shape == (2, 5, 3)
    np.testing.assert_allclose(net(pictures[1, 3]), found[1, 3], rtol=1e-4, atol=1e-5)
    changed = pictures.at[1, 3, 0, 0, 0].add(100)
    moved = np.abs(net(changed) - found).sum(axis=-1) > 1e-6
    assert moved.sum() == 1, "every corner is looked at, of its own picture only"


def test_a_network_for_pictures_sees_bytes_as_shares_of_one():
    net = network(KEY, (6, 6, 1), (4,), final_gain=0.5)
    white = net(jnp.full((6, 6, 1), 255, jnp.uint8))
    np.testing.assert_allclose(white, net(jnp.full((6, 6, 1), 255.0)), rtol=1e-6)
    assert np.all(np.abs(white) < 10)


def test_a_network_for_vectors_is_the_perceptron():
    assert isinstance(network(KEY, 3, (4, 2)), MLP)
    with_relu = network(KEY, 3, (4, 2), activation="relu")
    assert with_relu.activation == "relu"


@pytest.mark.parametrize(
    ("inputs", "sizes", "layers"),
    [(3, (5, 4, 2), 2), (3, (2,), 0), ((9, 9, 2), (4, 2), 3), ((9, 9, 2), (2,), 2)],
)
def test_the_last_layer_on_the_features_is_the_network(inputs, sizes, layers):
    made = network(KEY, inputs, sizes)
    made = jax.tree.map(lambda x: x + 0.1, made)  # biases that are not zero
    shape = (inputs,) if isinstance(inputs, int) else inputs
    x = 3.0 * jax.random.normal(KEY, (2, 5, *shape))
    features, last = made.features(x), made.last_layer()
    assert made.hidden_layers == layers
    assert (last.hidden_layers, features.shape[:-1]) == (0, (2, 5))
    np.testing.assert_allclose(last(features), made(x), rtol=1e-6)
