"""Self-normalised weights and their effective sample size."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given

from reins.weights import effective_sample_size, normalised_weights
from tests import strategies as some


@given(log_weights=some.arrays((6,)), shift=some.floats(-50.0, 50.0))
def test_weights_sum_to_1_and_a_common_factor_cancels(log_weights, shift):
    found = normalised_weights(jnp.asarray(log_weights))
    expected = np.exp(log_weights.astype(float))
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)
    shifted = normalised_weights(jnp.asarray(log_weights) + shift)
    np.testing.assert_allclose(shifted, found, rtol=1e-4)


@given(log_weights=some.arrays((6,)), shift=some.floats(-50.0, 50.0))
def test_effective_sample_size(log_weights, shift):
    w = np.exp(log_weights.astype(float))
    found = effective_sample_size(jnp.asarray(log_weights))
    np.testing.assert_allclose(found, w.sum() ** 2 / np.sum(w**2), rtol=1e-5)
    assert 1.0 - 1e-5 <= found <= 6.0 + 1e-5
    shifted = effective_sample_size(jnp.asarray(log_weights) + shift)
    np.testing.assert_allclose(shifted, found, rtol=1e-4)


def test_equal_weights_count_fully_and_one_that_has_it_all_counts_once():
    np.testing.assert_allclose(effective_sample_size(jnp.full(7, -3.0)), 7, rtol=1e-6)
    lonely = jnp.array([0.0, 500.0, 0.0])
    np.testing.assert_allclose(effective_sample_size(lonely), 1.0)
    np.testing.assert_allclose(normalised_weights(lonely), [0.0, 1.0, 0.0])


def test_weights_of_no_mass():
    log_weights = jnp.array([0.0, -jnp.inf, 0.0])
    np.testing.assert_allclose(normalised_weights(log_weights), [0.5, 0.0, 0.5])
    np.testing.assert_allclose(effective_sample_size(log_weights), 2.0, rtol=1e-6)


def test_each_row_by_itself():
    log_weights = jnp.array([[0.0, 1.0, -2.0], [3.0, 0.5, 0.0]])
    for function in (normalised_weights, effective_sample_size):
        expected = [function(row) for row in log_weights]
        np.testing.assert_allclose(function(log_weights), expected, rtol=1e-6)
