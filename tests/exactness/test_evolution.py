"""Evolution strategies against the exact gradient of the smoothed return."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators.evolution import evolution_loss, evolution_ranked_loss
from reins.tabular import (
    LinearPolicy,
    gauss_hermite_grid,
    linear_quadratic,
    linear_quadratic_return,
    smoothed_return,
)

STD = 0.3
POLICY = (0.35, -0.4, -0.3)


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def problem_of(discount=1.0):
    return linear_quadratic(
        horizon=3,
        state_factor=0.9,
        action_factor=-0.6,
        drift=0.3,
        noise_std=0.4,
        goal=1.2,
        state_weight=0.7,
        action_weight=0.2,
        initial_mean=-0.5,
        initial_std=0.8,
        discount=discount,
    )


def policies(parameters):
    """Linear policies of (gain, offset) along the last axis, all of one scale."""
    scale = jnp.full(parameters.shape[:-1], POLICY[2])
    return LinearPolicy(parameters[..., 0], parameters[..., 1], scale)


@jax.jit
def smoothed_gradient(problem, mean, std):
    return jax.grad(lambda at: smoothed_return(problem, policies(at), std=std))(mean)


def mean_estimate(problem, mean, offsets, log_weights, loss=evolution_loss):
    """Σ w ĝ(mean + std ε) over batches of noise (B, N, D)."""

    @jax.jit
    def run(problem, mean):
        samples = mean + STD * offsets
        returns = jax.vmap(jax.vmap(linear_quadratic_return, (None, 0)), (None, 0))
        scores = returns(problem, policies(samples))

        def estimate(samples, scores):
            return -jax.grad(lambda at: loss(samples, at, scores, std=STD)[0])(mean)

        return jnp.exp(log_weights) @ jax.vmap(estimate)(samples, scores)

    return run(problem, mean)


BATCHES = {
    "one": (1, lambda noise: noise[:, None]),
    "antithetic": (1, lambda noise: jnp.stack([noise, -noise], axis=1)),
    "two": (2, lambda noise: noise.reshape(-1, 2, 2)),
}
"""How many independent perturbations, and the batch made of them."""


@pytest.mark.parametrize("discount", [1.0, 0.7])
@pytest.mark.parametrize("kind", BATCHES)
def test_unbiased_for_the_smoothed_return(kind, discount):
    problem, mean = problem_of(discount), jnp.array(POLICY[:2])
    independent, batch = BATCHES[kind]
    # T + 1 nodes: a return is of degree 2T, and the score adds one.
    noise, log_weights = gauss_hermite_grid(4, 2 * independent)
    found = mean_estimate(problem, mean, batch(noise), log_weights)
    truth = smoothed_gradient(problem, mean, STD)
    equal(found, truth)
    # The target is visibly not J.
    plain = smoothed_gradient(problem, mean, 0.0)
    assert jnp.linalg.norm(plain - truth) > 0.05 * jnp.linalg.norm(truth)


def test_the_bias_of_smoothing_falls_with_the_square_of_the_scale():
    problem, mean = problem_of(), jnp.array(POLICY[:2])
    truth = jax.grad(lambda at: linear_quadratic_return(problem, policies(at)))(mean)
    biases = [
        jnp.linalg.norm(smoothed_gradient(problem, mean, std) - truth)
        for std in (0.02, 0.01)
    ]
    slope = float(jnp.log2(biases[0] / biases[1]))
    assert abs(slope - 2) < 0.01
    assert biases[1] > 1e-6


def ranked_gradient(slope):
    """The mean of ranked estimates of an antithetic pair, for F(θ) = slope θ.

    The ranks are 1/2 for one of the pair, so an estimate is |ε| times a constant, and
    E|ε| f = 2 ∫ ε f φ dε, with ε² / 2 the variable of a Gauss-Laguerre rule.
    """
    x, weights = np.polynomial.laguerre.laggauss(4)
    weights = weights * 2 / np.sqrt(2 * np.pi)
    noise = np.sqrt(2 * x)
    total = 0.0
    for eps, weight in zip(noise, weights, strict=True):
        samples = jnp.array([[0.7 + STD * eps], [0.7 - STD * eps]])
        terms = (samples, slope * samples[:, 0])

        def loss(mean, terms=terms):
            return evolution_ranked_loss(terms[0], mean, terms[1], std=STD)[0]

        total += weight / eps * -jax.grad(loss)(jnp.array([0.7]))[0]
    return total


@pytest.mark.parametrize("slope", [0.4, -3.0])
def test_ranks_forget_the_slope(slope):
    """The bias, exactly: sign(slope) sqrt(2/π) / (2 std), whatever the slope."""
    expected = np.sign(slope) * np.sqrt(2 / np.pi) / (2 * STD)
    equal(ranked_gradient(slope), expected)
    assert abs(expected - slope) > 0.5
