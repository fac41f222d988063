"""Batch baselines leave the trajectory itself out."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from reins.credit import constant_baseline, leave_one_out_mean, time_baseline
from tests import strategies as some


@given(values=some.arrays((some.N, some.T)))
def test_the_mean_of_the_others(values):
    found = leave_one_out_mean(jnp.asarray(values))
    for i in range(some.N):
        others = np.delete(values, i, axis=0)
        np.testing.assert_allclose(found[i], others.mean(axis=0), rtol=1e-5, atol=1e-5)


def test_alone_the_baseline_is_0():
    np.testing.assert_array_equal(leave_one_out_mean(jnp.array([[7.0, 8.0]])), [[0, 0]])
    np.testing.assert_array_equal(constant_baseline(jnp.array([7.0])), [0.0])


def test_it_does_not_depend_on_the_trajectory_itself():
    jacobian = jax.jacobian(constant_baseline)(jnp.array([1.0, -2.0, 5.0, 0.5]))
    np.testing.assert_allclose(jacobian, (1 - np.eye(4)) / 3, atol=1e-7)


def test_less_its_baseline_a_return_is_stretched():
    """R − leave-one-out mean = (R − mean) N/(N − 1): why the plain mean shrinks."""
    returns = jnp.array([3.0, -1.0, 4.0])
    left = returns - constant_baseline(returns)
    np.testing.assert_allclose(left, (returns - jnp.mean(returns)) * 3 / 2, rtol=1e-6)


def test_an_ended_trajectory_counts_as_nothing_to_go():
    to_go = jnp.array([[6.0, 4.0], [2.0, np.nan], [1.0, 3.0]])
    mask = jnp.array([[True, True], [True, False], [True, True]])
    found = time_baseline(to_go, mask)
    np.testing.assert_allclose(found, [[1.5, 1.5], [3.5, 3.5], [4.0, 2.0]])


@given(to_go=some.arrays((some.N, some.T)), mask=some.masks(), order=some.permutations)
def test_permuting_trajectories_permutes_their_baselines(to_go, mask, order):
    found = time_baseline(jnp.asarray(to_go), jnp.asarray(mask))
    permuted = time_baseline(jnp.asarray(to_go[order]), jnp.asarray(mask[order]))
    np.testing.assert_allclose(permuted, np.asarray(found)[order], rtol=1e-5, atol=1e-5)
