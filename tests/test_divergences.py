"""Divergences against scipy, quadrature, samples, and by their identities."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given

from reins.divergences import (
    categorical_kl,
    gaussian_kl,
    gaussian_kl_full,
    kl_new_old_from_ratios,
    kl_old_new_from_ratios,
    sampled_kl,
    sampled_kl_positive,
    total_variation,
)
from tests import strategies as some


@given(log_p=some.log_distributions(), log_q=some.log_distributions())
def test_categorical_kl_is_scipys_relative_entropy(log_p, log_q):
    found = categorical_kl(jnp.asarray(log_p), jnp.asarray(log_q))
    p, q = np.exp(log_p.astype(float)), np.exp(log_q.astype(float))
    expected = scipy.stats.entropy(p / p.sum(), q / q.sum())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found >= -1e-6
    assert categorical_kl(jnp.asarray(log_p), jnp.asarray(log_p)) == 0.0


def test_categorical_kl_by_hand_and_in_both_directions():
    p, q = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(categorical_kl(p, q), 0.5 * np.log(4 / 3), rtol=1e-6)
    backward = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)
    np.testing.assert_allclose(categorical_kl(q, p), backward, rtol=1e-6)


def test_what_p_never_does_costs_nothing_and_what_q_never_does_costs_everything():
    certain = jnp.log(jnp.array([1.0, 0.0]))
    open_minded = jnp.log(jnp.array([0.5, 0.5]))
    np.testing.assert_allclose(categorical_kl(certain, open_minded), np.log(2))
    assert categorical_kl(open_minded, certain) == np.inf
    assert categorical_kl(certain, certain) == 0.0


def test_categorical_kl_of_a_batch():
    log_p, log_q = jax.nn.log_softmax(
        jax.random.normal(jax.random.key(0), (2, 3, 5)), axis=-1
    )
    found = categorical_kl(log_p, log_q)
    rows = [categorical_kl(p, q) for p, q in zip(log_p, log_q, strict=True)]
    np.testing.assert_allclose(found, rows, rtol=1e-6)


@pytest.mark.parametrize(
    ("mean_p", "std_p", "mean_q", "std_q"),
    [(0.3, 0.5, -0.4, 1.5), (1.0, 2.0, 1.0, 0.7), (-1.0, 0.4, 0.5, 0.4)],
)
def test_gaussian_kl_is_the_integral(mean_p, std_p, mean_q, std_q):
    p, q = scipy.stats.norm(mean_p, std_p), scipy.stats.norm(mean_q, std_q)
    expected, _ = scipy.integrate.quad(
        lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -20, 20, limit=200
    )
    terms = [[mean_p], np.log([std_p]), [mean_q], np.log([std_q])]
    found = gaussian_kl(*(jnp.asarray(x, jnp.float32) for x in terms))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_gaussian_kl_sums_over_dimensions_and_agrees_with_samples():
    terms = jnp.array([[0.3, -1.0], [-0.2, 0.4], [0.1, 0.5], [0.3, -0.1]])
    found = gaussian_kl(*terms)
    singles = [gaussian_kl(*terms[:, d : d + 1]) for d in range(2)]
    np.testing.assert_allclose(found, sum(singles), rtol=1e-6)
    mean_p, log_std_p, mean_q, log_std_q = np.asarray(terms)
    seed, draws = 7, 20_000
    noise = np.random.default_rng(seed).normal(size=(draws, 2))
    x = mean_p + np.exp(log_std_p) * noise
    log_p = scipy.stats.norm.logpdf(x, mean_p, np.exp(log_std_p)).sum(axis=1)
    log_q = scipy.stats.norm.logpdf(x, mean_q, np.exp(log_std_q)).sum(axis=1)
    error = np.std(log_p - log_q, ddof=1) / draws**0.5
    distance = abs(np.mean(log_p - log_q) - found) / error
    assert distance < 5, f"{distance} standard errors at seed {seed}"


@given(terms=some.arrays((4, 2), -2.0, 2.0))
def test_gaussian_kl_is_not_negative_and_0_at_equality(terms):
    assert gaussian_kl(*jnp.asarray(terms)) >= -1e-5
    p = jnp.asarray(terms[:2])
    np.testing.assert_allclose(gaussian_kl(*p, *p), 0.0, atol=1e-6)


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def random_gaussians(seed, n=4, dimensions=3):
    """(mean, covariance, mean, covariance), n of each; scales and axes differ."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(2, n, dimensions, dimensions))
    covariances = factors @ factors.swapaxes(-1, -2) + 0.3 * np.eye(dimensions)
    means = rng.normal(size=(2, n, dimensions))
    return means[0], covariances[0], means[1], covariances[1]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_gaussian_kl_full_is_the_integral(float64, dimensions):
    """Gauss-Hermite is exact here: log p − log q is a quadratic polynomial."""
    terms = random_gaussians(5, dimensions=dimensions)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    z = np.array(list(itertools.product(nodes, repeat=dimensions)))
    w = np.array([np.prod(x) for x in itertools.product(weights, repeat=dimensions)])
    found = gaussian_kl_full(*map(jnp.asarray, terms))
    for kl, mean_p, cov_p, mean_q, cov_q in zip(found, *terms, strict=True):
        x = mean_p + z @ np.linalg.cholesky(cov_p).T
        log_p = scipy.stats.multivariate_normal(mean_p, cov_p).logpdf(x)
        log_q = scipy.stats.multivariate_normal(mean_q, cov_q).logpdf(x)
        equal(kl, w @ (log_p - log_q) / w.sum())


def test_gaussian_kl_full_of_diagonal_ones(float64):
    """Equals `gaussian_kl`, in both directions."""
    terms = jax.random.normal(jax.random.key(1), (4, 5, 3))
    mean_p, log_std_p, mean_q, log_std_q = terms
    cov_p, cov_q = (
        jax.vmap(jnp.diag)(jnp.exp(2 * scale)) for scale in (log_std_p, log_std_q)
    )
    equal(gaussian_kl_full(mean_p, cov_p, mean_q, cov_q), gaussian_kl(*terms))
    backward = gaussian_kl(mean_q, log_std_q, mean_p, log_std_p)
    equal(gaussian_kl_full(mean_q, cov_q, mean_p, cov_p), backward)


def test_gaussian_kl_full_at_equality_and_under_a_linear_map(float64):
    mean_p, cov_p, mean_q, cov_q = map(jnp.asarray, random_gaussians(2))
    found = gaussian_kl_full(mean_p, cov_p, mean_q, cov_q)
    assert np.min(found) > 0.1
    equal(gaussian_kl_full(mean_p, cov_p, mean_p, cov_p), 0.0)
    bend = jnp.array([[2.0, 0.3, 0.0], [0.0, -0.7, 0.1], [0.5, 0.0, 1.1]])
    bent = gaussian_kl_full(
        mean_p @ bend.T, bend @ cov_p @ bend.T, mean_q @ bend.T, bend @ cov_q @ bend.T
    )
    equal(bent, found)


def every_draw(p, n):
    """All tuples of n samples of p, and the probability of each."""
    draws = np.array(list(itertools.product(range(len(p)), repeat=n)))
    return draws, np.prod(p[draws], axis=1)


def mean_and_variance(estimate, p, q, n):
    draws, masses = every_draw(p, n)
    log_p, log_q = jnp.log(p)[draws], jnp.log(q)[draws]
    estimates = jax.vmap(estimate)(log_p, log_q)
    mean = masses @ estimates
    return mean, masses @ np.square(estimates - mean), estimates


P, Q = np.array([0.5, 0.2, 0.3]), np.array([0.35, 0.45, 0.2])


@pytest.mark.parametrize("estimate", [sampled_kl, sampled_kl_positive])
@pytest.mark.parametrize("n", [1, 3])
def test_sampled_kls_are_unbiased(float64, estimate, n):
    mean, _, _ = mean_and_variance(estimate, P, Q, n)
    equal(mean, scipy.stats.entropy(P, Q))


def test_one_sampled_kl_can_be_negative_and_the_other_cannot(float64):
    assert np.min(mean_and_variance(sampled_kl, P, Q, 2)[2]) < -0.5
    assert np.min(mean_and_variance(sampled_kl_positive, P, Q, 2)[2]) > 0.0


def test_the_positive_form_has_less_variance_near_p_and_more_far_from_it(float64):
    near, far = 0.9 * P + 0.1 * Q, np.array([0.001, 0.029, 0.97])
    plain, positive = (
        [mean_and_variance(estimate, P, q, 1)[1] for q in (near, far)]
        for estimate in (sampled_kl, sampled_kl_positive)
    )
    assert positive[0] < 0.01 * plain[0]
    skewed = np.array([0.899, 0.1, 0.001])
    swapped = [
        mean_and_variance(estimate, skewed, far, 1)[1]
        for estimate in (sampled_kl, sampled_kl_positive)
    ]
    assert swapped[1] > 10 * swapped[0]


def test_the_positive_form_misses_the_mass_where_p_has_none(float64):
    p, q = np.array([0.5, 0.5]), np.array([0.3, 0.2])  # and half of q elsewhere
    kl = p @ np.log(p / q)
    equal(mean_and_variance(sampled_kl, p, q, 2)[0], kl)
    equal(mean_and_variance(sampled_kl_positive, p, q, 2)[0], kl - 0.5)


@given(log_p=some.log_distributions(), log_q=some.log_distributions())
def test_pinsker_holds_for_half_the_l1_distance(log_p, log_q):
    log_p, log_q = jnp.asarray(log_p), jnp.asarray(log_q)
    p, q = jnp.exp(log_p), jnp.exp(log_q)
    distance = total_variation(p, q)
    assert 0.0 <= distance <= 1.0 + 1e-6
    bound = jnp.sqrt(jnp.maximum(categorical_kl(log_p, log_q), 0.0) / 2)
    assert distance <= bound + 1e-3  # float32 under a root


def test_pinsker_fails_for_the_whole_l1_distance():
    """Correction 3: S4 (60) as printed."""
    p, q = jnp.array([0.6, 0.4]), jnp.array([0.4, 0.6])
    bound = jnp.sqrt(categorical_kl(jnp.log(p), jnp.log(q)) / 2)
    np.testing.assert_allclose(total_variation(p, q), 0.2, rtol=1e-6)
    assert total_variation(p, q) < bound < 2 * total_variation(p, q)


def test_total_variation_is_the_largest_difference_over_events():
    p, q = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.25, 0.25])
    events = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T
    found = total_variation(jnp.asarray(p), jnp.asarray(q))
    np.testing.assert_allclose(found, np.max(events @ (p - q)), rtol=1e-6)


def test_kls_from_ratios_by_hand():
    """Two draws of equal mass, ω = 1 and 3: new is (1/4, 3/4)."""
    log_ratios, log_masses = jnp.log(jnp.array([1.0, 3.0])), jnp.log(jnp.full(2, 0.5))
    old, new = np.array([0.5, 0.5]), np.array([0.25, 0.75])
    forward = kl_old_new_from_ratios(log_ratios, log_masses)
    backward = kl_new_old_from_ratios(log_ratios, log_masses)
    np.testing.assert_allclose(forward, old @ np.log(old / new), rtol=1e-5)
    np.testing.assert_allclose(backward, new @ np.log(new / old), rtol=1e-5)


@pytest.mark.parametrize("kl", [kl_old_new_from_ratios, kl_new_old_from_ratios])
def test_rows_without_mass_count_for_nothing(kl):
    log_ratios = jnp.array([0.5, -1.0, 2.0, 0.3])
    log_masses = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    found = kl(log_ratios, jnp.append(log_masses, -jnp.inf))
    np.testing.assert_allclose(found, kl(log_ratios[:3], log_masses), rtol=1e-6)


def test_a_trajectory_that_becomes_impossible():
    """ω = 0: infinitely far forward; backward it is out of the new distribution."""
    log_ratios, log_masses = jnp.array([0.0, -jnp.inf]), jnp.log(jnp.array([0.4, 0.6]))
    assert kl_old_new_from_ratios(log_ratios, log_masses) == np.inf
    backward = kl_new_old_from_ratios(log_ratios, log_masses)
    np.testing.assert_allclose(backward, -np.log(0.4), rtol=1e-6)
