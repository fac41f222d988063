"""One Gaussian for two modes: the divergences by plain sums, the fits by scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from reins.divergences import gaussian_kl_full
from reins.errors import ConfigError
from reins.experiments.lab.draw_kl_fit import draw_kl_fit
from reins.lab.studies.kl_fit import KlFitConfig, kl_fit_study
from reins.lab.studies.mixture import (
    Mixture,
    fit_target_kl,
    mixture,
    moments,
    quadrature,
    target_fit_kl,
)

CONFIG = KlFitConfig(starts=5)
AXIS = np.linspace(-12.0, 12.0, 481)
PLANE = np.stack(np.meshgrid(AXIS, AXIS), axis=-1)
CELL = (AXIS[1] - AXIS[0]) ** 2


@pytest.fixture(scope="module")
def study():
    return kl_fit_study(CONFIG)


def log_mixture(p):
    """log p on the plane, by scipy."""
    parts = [
        w * scipy.stats.multivariate_normal(mean, covariance).pdf(PLANE)
        for w, mean, covariance in zip(
            *map(np.asarray, (p.weights, p.parts.mean, p.parts.covariance)), strict=True
        )
    ]
    return np.log(np.sum(parts, axis=0))


def slow_kl(log_p, log_q):
    """KL(p ‖ q) by a sum over the plane."""
    return np.sum(np.exp(log_p) * (log_p - log_q)) * CELL


def log_normal(mean, covariance):
    return scipy.stats.multivariate_normal(mean, covariance).logpdf(PLANE)


def row_of(study, **wanted):
    """The first row with these cells."""
    return next(row for row in study.rows if wanted.items() <= row.items())


def gaussian_of(row):
    off = row["covariance"]
    covariance = np.array([[row["variance_0"], off], [off, row["variance_1"]]])
    return np.array([row["mean_0"], row["mean_1"]]), covariance


def test_the_divergences_of_every_fit_are_those_of_a_plain_sum(study):
    log_p = log_mixture(mixture())
    for row in study.rows:
        log_q = log_normal(*gaussian_of(row))
        np.testing.assert_allclose(row["kl_forward"], slow_kl(log_p, log_q), atol=1e-6)
        np.testing.assert_allclose(row["kl_reverse"], slow_kl(log_q, log_p), atol=1e-6)


def test_the_divergences_of_one_mode_are_in_closed_form():
    """A mixture with one part."""
    parts = mixture().parts
    one, other = (jax.tree.map(lambda x, k=k: x[k], parts) for k in (0, 1))
    p = Mixture(jnp.ones(1), jax.tree.map(lambda x: x[:1], parts))
    grid = quadrature(64)
    terms = (one.mean, one.covariance), (other.mean, other.covariance)
    forward = gaussian_kl_full(*terms[0], *terms[1])
    found = jax.jit(target_fit_kl)(p, other, grid)
    np.testing.assert_allclose(found, forward, atol=1e-10)
    reverse = gaussian_kl_full(*terms[1], *terms[0])
    found = jax.jit(fit_target_kl)(p, other, grid)
    np.testing.assert_allclose(found, reverse, atol=1e-10)


def test_the_forward_fit_has_the_moments_and_no_better_neighbour(study):
    mean, covariance = gaussian_of(study.rows[0])
    masses = np.exp(log_mixture(mixture())) * CELL
    apart = PLANE - mean
    np.testing.assert_allclose(np.einsum("xy,xyi", masses, apart), 0.0, atol=1e-6)
    second = np.einsum("xy,xyi,xyj->ij", masses, apart, apart)
    np.testing.assert_allclose(covariance, second, atol=1e-5)
    p, grid, best = mixture(), quadrature(64), moments(mixture())

    def loss(fit):
        return target_fit_kl(p, fit, grid)

    slopes = jax.jit(jax.grad(loss))(best)
    np.testing.assert_allclose(slopes.mean, 0.0, atol=1e-10)
    np.testing.assert_allclose(jnp.tril(slopes.factor), 0.0, atol=1e-10)


def test_the_best_reverse_fit_is_scipys(study):
    """Nelder-Mead knows nothing of gradients or of quadrature."""
    log_p = log_mixture(mixture())[::3, ::3]
    plane = PLANE[::3, ::3]

    def loss(packed):
        factor = np.array([[np.exp(packed[2]), 0.0], [packed[4], np.exp(packed[3])]])
        q = scipy.stats.multivariate_normal(packed[:2], factor @ factor.T)
        log_q = q.logpdf(plane)
        return np.sum(np.exp(log_q) * (log_q - log_p)) * 9 * CELL

    start = np.array([-1.6, -0.9, 0.0, 0.0, 0.0])
    options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 2000}
    found = scipy.optimize.minimize(loss, start, method="Nelder-Mead", options=options)
    best = row_of(study, fit="reverse", minimum=1)
    np.testing.assert_allclose(best["kl_reverse"], found.fun, atol=1e-7)
    np.testing.assert_allclose(gaussian_of(best)[0], found.x[:2], atol=1e-4)


def test_there_is_a_minimum_for_each_mode_and_the_heavier_is_better(study):
    found = study.findings
    assert found["reverse_minima"] == 2
    assert found["longest_gradient_at_a_minimum"] < 1e-8
    means = np.array([found["reverse_minima_mean_0"], found["reverse_minima_mean_1"]]).T
    np.testing.assert_allclose(means, mixture().parts.mean, atol=0.05)
    # Far apart, a fit of one mode misses only log of its weight.
    expected = -np.log([0.65, 0.35])
    np.testing.assert_allclose(found["reverse_minima_kl_reverse"], expected, atol=0.01)


def test_each_fit_is_best_in_its_own_divergence(study):
    forward = study.rows[0]
    for row in study.rows[1:]:
        assert forward["kl_forward"] < row["kl_forward"]
        assert forward["kl_reverse"] > row["kl_reverse"]


def test_of_modes_that_overlap_there_is_one_minimum_between():
    found = kl_fit_study(KlFitConfig(starts=5, separation=0.25)).findings
    assert found["reverse_minima"] == 1
    assert found["longest_gradient_at_a_minimum"] < 1e-8


def test_the_same_key_gives_the_same_study(study):
    assert kl_fit_study(CONFIG).rows == study.rows


def test_work_is_told_as_it_is_done():
    told = []
    kl_fit_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_impossible_mixtures_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)weight is 1\.0.*2 starts"):
        KlFitConfig(weight=1.0, starts=2)


def test_the_picture_shows_each_fit_once(study):
    (axes,) = draw_kl_fit(study).axes
    assert len(axes.lines) == 2 * 3 + 1  # two ellipses for each fit, and the starts
