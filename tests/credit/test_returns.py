"""Returns against plain loops; padding enters nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins import credit
from tests import strategies as some

# Compiled here, or the scan would compile anew for every example.
returns_to_go = jax.jit(credit.returns_to_go, static_argnames="discount")
total_returns = credit.total_returns
DISCOUNTS = [1.0, 0.9, 0.0]


def slow_returns_to_go(rewards, mask, discount):
    """Σ_{k≥t} γ^{k−t} r_k over valid steps, each from scratch."""
    found = np.zeros(rewards.shape)
    for i, t in zip(*np.nonzero(mask), strict=True):
        found[i, t] = sum(
            discount ** (k - t) * float(rewards[i, k])
            for k in range(t, rewards.shape[1])
            if mask[i, k]
        )
    return found


@pytest.mark.parametrize("discount", DISCOUNTS)
@given(rewards=some.arrays((some.N, some.T)), mask=some.masks())
def test_returns_to_go(discount, rewards, mask):
    found = returns_to_go(jnp.asarray(rewards), jnp.asarray(mask), discount=discount)
    expected = slow_returns_to_go(rewards, mask, discount)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(found)[~mask], 0.0)


@pytest.mark.parametrize("discount", DISCOUNTS)
@given(rewards=some.arrays((some.N, some.T)), mask=some.masks())
def test_the_total_is_the_first_return_to_go(discount, rewards, mask):
    terms = (jnp.asarray(rewards), jnp.asarray(mask))
    total = total_returns(*terms, discount=discount)
    first = returns_to_go(*terms, discount=discount)[:, 0]
    np.testing.assert_allclose(total, first, rtol=1e-5, atol=1e-5)


def test_by_hand():
    rewards = jnp.array([[1.0, 2.0, 4.0], [-3.0, 5.0, np.nan]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    found = returns_to_go(rewards, mask, discount=0.5)
    np.testing.assert_allclose(found, [[3.0, 4.0, 4.0], [-0.5, 5.0, 0.0]])
    np.testing.assert_allclose(total_returns(rewards, mask, discount=0.5), [3.0, -0.5])
    np.testing.assert_allclose(total_returns(rewards, mask), [7.0, 2.0])
