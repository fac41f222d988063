"""Losses of evolution strategies against explicit sums (means: exactness/)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.errors import ConfigError
from reins.estimators.evolution import (
    antithetic_normal,
    centred_ranks,
    evolution_loss,
    evolution_ranked_loss,
)
from tests import strategies as some

N, D, STD = 5, 2, 0.4


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@jax.jit
def estimates(samples, mean, scores):
    """Minus the gradients in the mean of both losses, and the first loss."""
    terms = (samples, mean, scores)
    loss = evolution_loss(*terms, std=STD)[0]
    gradients = [
        jax.grad(lambda at, loss=loss: loss(samples, at, scores, std=STD)[0])(mean)
        for loss in (evolution_loss, evolution_ranked_loss)
    ]
    return loss, -gradients[0], -gradients[1]


@given(samples=some.arrays((N, D)), mean=some.arrays((D,)), scores=some.arrays((N,)))
def test_evolution_loss(samples, mean, scores):
    expected, gradient = 0.0, np.zeros(D)
    for theta, score in zip(samples, scores, strict=True):
        for d in range(D):
            z = (theta[d] - mean[d]) / STD
            log_density = -0.5 * z**2 - np.log(STD * np.sqrt(2 * np.pi))
            expected -= score * log_density / N
            gradient[d] += score * z / STD / N
    loss, found, _ = estimates(*map(jnp.asarray, (samples, mean, scores)))
    np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-3)


def test_samples_and_scores_are_constants():
    key = jax.random.key(0)
    samples = jax.random.normal(key, (N, D))

    def loss(samples, scores):
        return evolution_loss(samples, jnp.ones(D), scores, std=STD)[0]

    for slope in jax.grad(loss, argnums=(0, 1))(samples, samples[:, 0]):
        np.testing.assert_array_equal(slope, 0.0)


def test_a_constant_cancels_in_antithetic_pairs():
    mean = jnp.array([0.3, -1.0])
    samples = mean + STD * antithetic_normal(jax.random.key(1), 6, D)
    scores = jnp.arange(6.0) ** 2
    _, plain, _ = estimates(samples, mean, scores)
    _, moved, _ = estimates(samples, mean, scores + 7.0)
    close(moved, plain)
    assert np.linalg.norm(plain) > 0.1


def slow_ranks(scores):
    """Places of a sorted list, ties sharing the mean of theirs."""
    ordered = sorted(scores)
    places = {
        x: np.mean([i for i, y in enumerate(ordered) if y == x]) for x in set(ordered)
    }
    return np.array([places[x] / (len(scores) - 1) - 0.5 for x in scores])


@given(scores=some.arrays((N,)))
def test_centred_ranks(scores):
    scores = np.round(scores, 1)  # ties, and no numbers that are flushed to 0
    found = np.asarray(centred_ranks(jnp.asarray(scores)))
    close(found, slow_ranks(list(jnp.asarray(scores).tolist())))
    assert abs(found.sum()) < 1e-6


def test_ties_share_their_rank():
    scores = jnp.array([3.0, 1.0, 3.0, 9.0, 1.0, 1.0])
    np.testing.assert_allclose(
        centred_ranks(scores), np.array([3.5, 1, 3.5, 5, 1, 1]) / 5 - 0.5, atol=1e-7
    )


def test_scores_that_do_not_differ_rank_zero():
    np.testing.assert_array_equal(centred_ranks(jnp.full(4, 2.5)), 0.0)
    np.testing.assert_array_equal(centred_ranks(jnp.array([2.5])), 0.0)


def test_ranked_is_evolution_of_the_ranks_and_sees_only_their_order():
    key = jax.random.key(2)
    samples, mean = jax.random.normal(key, (N, D)), jnp.array([0.3, -1.0])
    scores = jnp.array([0.2, -1.5, 3.0, 0.9, -0.1])
    _, _, ranked = estimates(samples, mean, scores)
    ranks = jnp.array([-0.0, -0.5, 0.5, 0.25, -0.25])  # the order of the five
    close(ranked, estimates(samples, mean, ranks)[1])
    close(ranked, estimates(samples, mean, jnp.exp(3 * scores))[2])


def test_antithetic_normals_come_in_opposite_pairs():
    drawn = antithetic_normal(jax.random.key(0), 1000, 3)
    assert drawn.shape == (1000, 3)
    np.testing.assert_array_equal(drawn[:500], -drawn[500:])
    # Of 500 independent rows: the mean square has standard error sqrt(2/500).
    squares = jnp.mean(drawn**2, axis=0)
    assert jnp.max(jnp.abs(squares - 1)) < 5 * np.sqrt(2 / 500)


@pytest.mark.parametrize("n", [-2, 0, 1, 7])
def test_a_sample_without_partner_is_refused(n):
    with pytest.raises(ConfigError, match=f"^{n} antithetic samples .* even number"):
        antithetic_normal(jax.random.key(0), n, 2)
