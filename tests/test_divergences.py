"""Divergences against scipy, quadrature, samples, and by their identities."""

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
    kl_new_old_from_ratios,
    kl_old_new_from_ratios,
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
