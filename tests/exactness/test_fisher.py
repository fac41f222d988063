"""The Fisher matrix and its products: dense, by products, and against the KL itself."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from reins.divergences import (
    categorical_kl,
    fisher_matrix,
    fisher_vector_product,
    gaussian_kl,
    hessian_vector_product,
    second_order_kl,
)
from reins.policies import Gaussian

FEATURES = np.array([[0.7, -0.3], [1.1, 0.4], [-0.2, 0.9]])
STATE_MASSES = np.array([0.5, 0.2, 0.3])


def equal(found, expected, tolerance=1e-10):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


class Linear(NamedTuple):
    """A softmax policy on three states; a pytree with a nested leaf."""

    weights: Float[Array, "F A"]
    rest: dict[str, Float[Array, " A"]]


def linear(key) -> Linear:
    weights_key, bias_key = jax.random.split(key)
    bias = jax.random.normal(bias_key, (4,))
    return Linear(jax.random.normal(weights_key, (2, 4)), {"bias": bias})


def log_policy(params):
    return jax.nn.log_softmax(FEATURES @ params.weights + params.rest["bias"])


def every_pair(params):
    """log π(a|s) of each of the twelve pairs (s, a)."""
    return log_policy(params).ravel()


def masses(params):
    """log p(s) π(a|s) of each pair."""
    return jax.lax.stop_gradient(
        (jnp.log(STATE_MASSES)[:, None] + log_policy(params)).ravel()
    )


def mean_kl(old, new):
    return STATE_MASSES @ categorical_kl(log_policy(old), log_policy(new))


@jax.jit
def dense(params):
    """F, from the scores of every pair, in the flat order of the parameters."""
    flat, unravel = ravel_pytree(params)
    scores = jax.jacobian(lambda x: every_pair(unravel(x)))(flat)
    return fisher_matrix(scores, masses(params))


@jax.jit
def products(params, vector):
    """F v by scores and by the curvature of the KL, and δᵀ F δ / 2 at δ = v."""
    by_scores = fisher_vector_product(
        every_pair, params, vector, log_masses=masses(params)
    )
    by_curvature = hessian_vector_product(
        lambda new: mean_kl(params, new), params, vector
    )
    return by_scores, by_curvature, second_order_kl(by_scores, vector)


@pytest.fixture
def problem():
    params_key, vector_key = jax.random.split(jax.random.key(3))
    return linear(params_key), linear(vector_key)


def test_the_dense_matrix_is_a_sum_over_pairs_and_the_curvature(problem):
    params, _ = problem
    flat, unravel = ravel_pytree(params)
    slow = np.zeros((flat.size, flat.size))
    gradient = jax.jit(jax.grad(lambda x, s, a: log_policy(unravel(x))[s, a]))
    for s in range(3):
        for a in range(4):
            g = np.asarray(gradient(flat, s, a))
            mass = STATE_MASSES[s] * np.exp(log_policy(params)[s, a])
            slow += float(mass) * np.outer(g, g)
    found = dense(params)
    equal(found, slow)
    hessian = jax.jit(jax.hessian(lambda x: mean_kl(params, unravel(x))))(flat)
    equal(found, hessian)
    eigenvalues = np.linalg.eigvalsh(found)
    assert np.min(eigenvalues) > -1e-12  # a softmax has directions without effect
    assert np.max(eigenvalues) > 0.1


def test_products_are_the_dense_matrix_times_the_vector(problem):
    params, vector = problem
    by_scores, by_curvature, _ = products(params, vector)
    expected = dense(params) @ ravel_pytree(vector)[0]
    assert np.max(np.abs(expected)) > 0.1
    equal(ravel_pytree(by_scores)[0], expected)
    equal(ravel_pytree(by_curvature)[0], expected)


def test_products_keep_the_pytree_and_are_linear(problem):
    params, vector = problem
    found = products(params, vector)[0]
    assert jax.tree.structure(found) == jax.tree.structure(params)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, params)
    doubled = products(params, jax.tree.map(lambda x: -2.0 * x, vector))
    equal(ravel_pytree(doubled[0])[0], -2.0 * ravel_pytree(found)[0])
    equal(doubled[2], 4.0 * products(params, vector)[2])


def test_away_from_the_old_parameters_the_curvature_is_another(problem):
    """Only at the old parameters is the Hessian of the KL the Fisher matrix of them."""
    old, vector = problem
    moved = jax.tree.map(lambda x, d: x + 0.5 * d, old, vector)
    curvature = jax.jit(
        lambda at: hessian_vector_product(lambda new: mean_kl(old, new), at, vector)
    )
    here, there = (ravel_pytree(curvature(at))[0] for at in (old, moved))
    assert np.max(np.abs(here - there)) > 0.01


def test_the_second_order_form_errs_by_the_third_order(problem):
    """KL(θ ‖ θ + δ) − δᵀFδ/2 falls eightfold when the step is halved."""
    params, direction = problem
    steps = 0.02 * 0.5 ** np.arange(4)

    second_order = products(params, direction)[2]

    @jax.jit
    def error(step):
        moved = jax.tree.map(lambda x, d: x + step * d, params, direction)
        return mean_kl(params, moved) - step**2 * second_order

    errors = np.abs([error(step) for step in steps])
    slopes = np.diff(np.log(errors)) / np.diff(np.log(steps))
    np.testing.assert_allclose(slopes, 3.0, atol=0.05)


def test_a_gaussian_by_hand():
    """In (μ, log σ) the Fisher matrix is diag(1/σ², 2)."""
    mean, log_std = jnp.array([0.4, -1.0]), jnp.array([0.3, -0.5])
    params = {"mean": mean, "log_std": log_std}
    vector = {"mean": jnp.array([1.0, -0.5]), "log_std": jnp.array([0.2, 0.7])}
    found = hessian_vector_product(
        lambda new: gaussian_kl(mean, log_std, new["mean"], new["log_std"]),
        params,
        vector,
    )
    expected = {
        "mean": jnp.exp(-2 * log_std) * vector["mean"],
        "log_std": 2.0 * vector["log_std"],
    }
    equal(found["mean"], expected["mean"])
    equal(found["log_std"], expected["log_std"])
    value = np.sum(np.square(vector["mean"] / np.exp(log_std))) / 2
    value += np.sum(np.square(vector["log_std"]))
    equal(second_order_kl(found, vector), value)


def test_draws_of_a_gaussian_give_its_fisher_vector_product():
    """N draws of equal mass: within five standard errors of diag(1/σ², 2) v."""
    params = {"mean": jnp.array([0.4]), "log_std": jnp.array([0.3])}
    vector = {"mean": jnp.array([1.0]), "log_std": jnp.array([-0.6])}
    draws, batches = 200, 100
    noise = np.random.default_rng(4).normal(size=(batches, draws, 1))
    actions = params["mean"] + jnp.exp(params["log_std"]) * noise

    @jax.jit
    def product(batch):
        return fisher_vector_product(
            lambda at: Gaussian(
                jnp.broadcast_to(at["mean"], batch.shape),
                jnp.broadcast_to(at["log_std"], batch.shape),
            ).log_prob(batch),
            params,
            vector,
            log_masses=jnp.full(draws, -jnp.log(draws)),
        )

    found = jax.vmap(product)(actions)
    expected = {"mean": np.exp(-0.6), "log_std": -1.2}
    for name, value in expected.items():
        error = np.std(found[name], ddof=1) / batches**0.5
        distance = abs(np.mean(found[name]) - value) / error
        assert distance < 5, f"{name}: {distance} standard errors at seed 4"
