"""Losses of score-function estimators against explicit sums (means: exactness/)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.estimators import (
    entropy_bonus_loss,
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from tests import strategies as some

N, T = some.N, some.T
ARRAY = some.arrays((N, T))

reward_to_go_loss = jax.jit(
    score_reward_to_go_loss, static_argnames=("discount", "discount_states")
)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@given(log_probs=ARRAY, advantages=ARRAY, mask=some.masks())
def test_advantage(log_probs, advantages, mask):
    terms = map(jnp.asarray, (log_probs, advantages, mask))
    close(score_advantage_loss(*terms)[0], -np.sum((log_probs * advantages)[mask]) / N)


@given(log_probs=ARRAY, rewards=ARRAY, mask=some.masks())
def test_total_return(log_probs, rewards, mask):
    expected = 0.0
    for i in range(N):
        total = sum(0.9**t * rewards[i, t] for t in range(T) if mask[i, t])
        expected -= total * log_probs[i][mask[i]].sum() / N
    terms = map(jnp.asarray, (log_probs, rewards, mask))
    close(score_total_return_loss(*terms, discount=0.9)[0], expected)


@pytest.mark.parametrize("discount_states", [True, False])
@given(log_probs=ARRAY, rewards=ARRAY, mask=some.masks())
def test_reward_to_go(discount_states, log_probs, rewards, mask):
    expected = 0.0
    for i, t in zip(*np.nonzero(mask), strict=True):
        to_go = sum(0.9 ** (k - t) * rewards[i, k] for k in range(t, T) if mask[i, k])
        factor = 0.9**t if discount_states else 1.0
        expected -= factor * to_go * log_probs[i, t] / N
    terms = map(jnp.asarray, (log_probs, rewards, mask))
    options = {"discount": 0.9, "discount_states": discount_states}
    close(reward_to_go_loss(*terms, **options)[0], expected)


@given(entropies=ARRAY, mask=some.masks())
def test_entropy_bonus(entropies, mask):
    result = entropy_bonus_loss(jnp.asarray(entropies), jnp.asarray(mask))
    found = result[0] if isinstance(result, tuple) else result
    close(found, -np.sum(entropies[mask]) / N)


def test_advantages_are_constants_under_differentiation():
    log_probs = jnp.array([[-0.5, -1.0, -2.0]])
    mask = jnp.array([[True, True, False]])

    def loss(log_probs, advantages):
        return score_advantage_loss(log_probs, advantages, mask)[0]

    gradients = jax.grad(loss, argnums=(0, 1))(log_probs, jnp.array([[3.0, -4.0, 9.0]]))
    np.testing.assert_allclose(gradients[0], [[-3.0, 4.0, 0.0]])
    np.testing.assert_array_equal(gradients[1], np.zeros((1, 3)))


LOSSES = {
    "advantage": score_advantage_loss,
    "total return": score_total_return_loss,
    "reward to go": reward_to_go_loss,
}


@pytest.mark.parametrize("name", LOSSES)
@given(log_probs=ARRAY, amounts=ARRAY, mask=some.masks(), order=some.permutations)
def test_padding_and_permutation_change_nothing(name, log_probs, amounts, mask, order):
    def loss(*arrays):
        return LOSSES[name](*map(jnp.asarray, arrays))[0]

    expected = loss(log_probs, amounts, mask)
    close(loss(log_probs[order], amounts[order], mask[order]), expected)
    garbage = (np.where(mask, x, 7.0).astype(np.float32) for x in (log_probs, amounts))
    close(loss(*garbage, mask), expected)


def test_an_impossible_padded_action_does_not_poison_the_loss():
    mask = jnp.asarray([[True, False]])
    log_probs = jnp.asarray([[-1.0, -jnp.inf]])

    def loss(log_probs):
        return score_advantage_loss(log_probs, jnp.ones((1, 2)), mask)[0]

    assert loss(log_probs) == 1.0
    np.testing.assert_array_equal(jax.grad(loss)(log_probs), [[-1.0, 0.0]])
