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
corrected_returns_to_go = jax.jit(
    credit.corrected_returns_to_go, static_argnames="discount"
)
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


@pytest.mark.parametrize("discount", DISCOUNTS)
@given(
    rewards=some.arrays((some.N, some.T)),
    log_ratios=some.arrays((some.N, some.T), -1.0, 1.0),
    mask=some.masks(),
)
def test_corrected_returns_to_go(discount, rewards, log_ratios, mask):
    """Σ_{k≥t} γ^{k−t} r_k Π_{t<j≤k} ρ_j over valid steps, each from scratch."""
    terms = map(jnp.asarray, (log_ratios, rewards, mask))
    found = corrected_returns_to_go(*terms, discount=discount)
    expected = np.zeros(rewards.shape)
    for i, t in zip(*np.nonzero(mask), strict=True):
        for k in range(t, mask[i].sum()):
            ratio = np.exp(log_ratios[i, t + 1 : k + 1].astype(float).sum())
            expected[i, t] += discount ** (k - t) * float(rewards[i, k]) * ratio
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@given(rewards=some.arrays((some.N, some.T)), mask=some.masks())
def test_ratios_of_1_correct_nothing(rewards, mask):
    terms = (jnp.asarray(rewards), jnp.asarray(mask))
    log_ratios = jnp.where(terms[1], 0.0, 5.0)  # what padding holds is not seen
    found = corrected_returns_to_go(log_ratios, *terms, discount=0.9)
    np.testing.assert_allclose(found, returns_to_go(*terms, discount=0.9), rtol=1e-6)
