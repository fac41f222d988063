"""Surrogate losses against explicit sums, and where clipping stops the gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.estimators import (
    clipped_surrogate_loss,
    score_advantage_loss,
    surrogate_loss,
)
from tests import strategies as some

N, T = some.N, some.T
ARRAY = some.arrays((N, T))
RATIOS = some.arrays((N, T), -1.0, 1.0)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@given(log_ratios=RATIOS, advantages=ARRAY, mask=some.masks())
def test_surrogate(log_ratios, advantages, mask):
    terms = tuple(map(jnp.asarray, (log_ratios, advantages, mask)))
    weighted = np.exp(log_ratios) * advantages
    close(surrogate_loss(*terms)[0], -np.sum(weighted[mask]) / N)
    times = np.array([[0, 1, 2, 0, 1], [5, 6, 0, 1, 2], [0, 1, 2, 3, 4]])
    timed = surrogate_loss(*terms, times=jnp.asarray(times), discount=0.9)[0]
    close(timed, -np.sum((0.9**times * weighted)[mask]) / N)


@given(log_ratios=RATIOS, advantages=ARRAY, mask=some.masks())
def test_clipped(log_ratios, advantages, mask):
    expected, outside = 0.0, 0
    for i, t in zip(*np.nonzero(mask), strict=True):
        ratio, advantage = np.exp(log_ratios[i, t]), advantages[i, t]
        inside = min(max(ratio, 0.7), 1.3)
        expected -= min(ratio * advantage, inside * advantage) / N
        outside += not 0.7 <= ratio <= 1.3
    terms = map(jnp.asarray, (log_ratios, advantages, mask))
    found, info = clipped_surrogate_loss(*terms, clip_epsilon=0.3)
    close(found, expected)
    close(info["clip_fraction"], outside / np.sum(mask))


@given(log_ratios=RATIOS, advantages=ARRAY, mask=some.masks())
def test_clipping_at_infinity_is_no_clipping(log_ratios, advantages, mask):
    terms = tuple(map(jnp.asarray, (log_ratios, advantages, mask)))
    found, info = clipped_surrogate_loss(*terms, clip_epsilon=float("inf"))
    close(found, surrogate_loss(*terms)[0])
    assert info["clip_fraction"] == 0.0


def gradient(loss, log_ratios, advantages, mask):
    return jax.grad(lambda x: loss(x, advantages, mask)[0])(log_ratios)


@pytest.mark.parametrize("loss", [surrogate_loss, clipped_surrogate_loss])
def test_at_the_old_policy_the_gradient_is_the_score_function(loss):
    advantages = jnp.array([[1.0, -2.0, 0.5], [3.0, 0.0, 9.0]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    terms = (jnp.zeros((2, 3)), advantages, mask)
    expected = gradient(score_advantage_loss, *terms)
    np.testing.assert_allclose(gradient(loss, *terms), expected)
    np.testing.assert_allclose(expected, -jnp.where(mask, advantages, 0.0) / 2)


@pytest.mark.parametrize(
    ("ratio", "advantage", "goes_on"),
    [
        (1.4, 2.0, False),  # good, and already much likelier: enough
        (1.4, -2.0, True),  # bad, and much likelier: must come back
        (0.6, 2.0, True),  # good, and much less likely: must come back
        (0.6, -2.0, False),  # bad, and already much less likely: enough
        (1.1, 2.0, True),
        (0.9, -2.0, True),
    ],
)
def test_clipping_stops_the_gradient_only_of_what_has_gone_far_enough(
    ratio, advantage, goes_on
):
    log_ratios = jnp.log(jnp.full((1, 1), ratio))
    advantages, mask = jnp.full((1, 1), advantage), jnp.ones((1, 1), bool)
    found = gradient(clipped_surrogate_loss, log_ratios, advantages, mask)
    expected = -ratio * advantage if goes_on else 0.0
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)


@pytest.mark.parametrize("loss", [surrogate_loss, clipped_surrogate_loss])
def test_advantages_are_constants_under_differentiation(loss):
    mask = jnp.ones((1, 2), bool)

    def of(advantages):
        return loss(jnp.array([[0.1, -0.1]]), advantages, mask)[0]

    found = jax.grad(of)(jnp.array([[1.0, -1.0]]))
    np.testing.assert_array_equal(found, np.zeros((1, 2)))


@pytest.mark.parametrize("loss", [surrogate_loss, clipped_surrogate_loss])
@given(log_ratios=RATIOS, advantages=ARRAY, mask=some.masks(), order=some.permutations)
def test_padding_and_permutation_change_nothing(
    loss, log_ratios, advantages, mask, order
):
    def of(*arrays):
        value, info = loss(*map(jnp.asarray, arrays))
        return value, info.get("clip_fraction", 0.0)

    expected = of(log_ratios, advantages, mask)
    close(of(log_ratios[order], advantages[order], mask[order]), expected)
    garbage = [np.where(mask, x, 7.0).astype("f4") for x in (log_ratios, advantages)]
    close(of(*garbage, mask), expected)


@pytest.mark.parametrize("loss", [surrogate_loss, clipped_surrogate_loss])
def test_an_impossible_padded_action_does_not_poison_the_loss(loss):
    mask = jnp.asarray([[True, False]])
    log_ratios = jnp.asarray([[0.0, jnp.inf]])
    assert loss(log_ratios, jnp.ones((1, 2)), mask)[0] == -1.0
    gradient = jax.grad(lambda x: loss(x, jnp.ones((1, 2)), mask)[0])(log_ratios)
    np.testing.assert_array_equal(gradient, [[-1.0, 0.0]])
