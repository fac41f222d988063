"""Beta policies against SciPy and NumPyro, and at the ends of what float32 can do."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from reins.policies import Beta, Units, beta_policy
from tests.strategies import floats

KEY = jax.random.key(6)
UNITS = Units((1.0, -2.0), (3.0, 0.5), squash=False)
LOW, WIDTH = np.array([-2.0, -2.5]), np.array([6.0, 1.0])
ALPHA = np.array([[1.0, 2.5], [30.0, 1.7], [1.0, 400.0]])
BETA = np.array([[1.0, 1.2], [4.0, 1.7], [3.0, 250.0]])


def made(alpha=ALPHA, beta=BETA, units=UNITS):
    return Beta(jnp.asarray(alpha, jnp.float32), jnp.asarray(beta, jnp.float32), units)


def theirs(alpha=ALPHA, beta=BETA):
    return scipy.stats.beta(alpha, beta, loc=LOW, scale=WIDTH)


def test_it_is_scipys():
    p = made()
    rng = np.random.default_rng(0)
    actions = LOW + WIDTH * rng.uniform(1e-3, 1 - 1e-3, size=(20, 3, 2))
    found = jax.vmap(p.log_prob)(jnp.asarray(actions, jnp.float32))
    expected = theirs().logpdf(actions).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(
        p.entropy(), theirs().entropy().sum(-1), rtol=1e-4, atol=1e-3
    )
    x = (ALPHA - 1) / np.where(ALPHA + BETA > 2, ALPHA + BETA - 2, 1.0)
    x[0, 0] = 0.5  # uniform: any action is a mode
    np.testing.assert_allclose(p.mode(), LOW + WIDTH * x, rtol=1e-5, atol=1e-5)


def test_kl_is_numpyros_and_the_integral():
    dist = pytest.importorskip("numpyro.distributions")
    other_alpha, other_beta = ALPHA[::-1] + 0.5, BETA[::-1] + 0.1
    found = made().kl(made(other_alpha, other_beta))
    with jax.enable_x64(True):
        expected = dist.kl_divergence(
            dist.Beta(ALPHA, BETA).to_event(1),
            dist.Beta(other_alpha, other_beta).to_event(1),
        )
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    grid = np.linspace(0, 1, 200001)[1:-1]
    pairs = scipy.stats.beta(2.5, 1.2), scipy.stats.beta(1.3, 4.0)
    terms = pairs[0].pdf(grid) * (pairs[0].logpdf(grid) - pairs[1].logpdf(grid))
    one = Units((0.0,), (7.0,), squash=False)
    kl = made([2.5], [1.2], one).kl(made([1.3], [4.0], one))
    np.testing.assert_allclose(kl, np.trapezoid(terms, grid), rtol=1e-3)


def test_draws_come_as_often_as_they_should():
    """Kolmogorov-Smirnov, at a level that one in ten thousand right ones fails."""
    actions = np.asarray(made().draws(KEY, 2000)[0], float)
    for i in range(3):
        for d in range(2):
            law = scipy.stats.beta(ALPHA[i, d], BETA[i, d], LOW[d], WIDTH[d])
            assert scipy.stats.kstest(actions[:, i, d], law.cdf).pvalue > 1e-4


def test_paths_have_the_gradient_of_means():
    """∂E x/∂α = β/(α+β)² and ∂E x²/∂β, by draws: within 5 standard errors."""
    one = Units((0.5,), (0.5,), squash=False)

    def drawn(alpha, beta):
        return Beta(alpha[None], beta[None], one).paths(KEY, 4000)[0][:, 0]

    alpha, beta = jnp.float32(2.3), jnp.float32(1.4)
    x, slope = jax.jvp(lambda a: drawn(a, beta), (alpha,), (jnp.float32(1.0),))
    error = np.std(slope) / np.sqrt(4000)
    assert abs(np.mean(slope) - 1.4 / 3.7**2) < 5 * error
    x, slope = jax.jvp(lambda b: drawn(alpha, b), (beta,), (jnp.float32(1.0),))
    slope = 2 * np.asarray(x) * np.asarray(slope)

    def second(b):
        return 2.3 * 3.3 / ((2.3 + b) * (3.3 + b))

    expected = (second(1.4 + 1e-5) - second(1.4 - 1e-5)) / 2e-5
    assert abs(np.mean(slope) - expected) < 5 * np.std(slope) / np.sqrt(4000)


# Where nothing may break.


@functools.cache
def everything():
    """All that can be asked of one state, and its slopes, compiled once."""
    policy = beta_policy(1, 1, hidden=(), centre=(1.0,), half_width=(2.0,))(KEY)

    def told(raw, action):
        made = eqx.tree_at(lambda p: p.network.biases[-1], policy, raw)
        d = made(jnp.zeros(1))
        drawn, paths = d.draws(KEY, 3), d.paths(KEY, 3)
        other = Beta(jnp.ones(1), 2.0 * jnp.ones(1), d.units)
        values = (
            *(d.log_prob(action[None]), d.entropy(), d.kl(other), other.kl(d)),
            *(d.mode(), *drawn, *paths),
        )
        return jnp.concatenate([jnp.ravel(x) for x in values])

    return jax.jit(told), jax.jit(jax.jacfwd(told, argnums=(0, 1)))


RAW = st.one_of(floats(-5.0, 5.0), floats(-1e4, 1e4), st.sampled_from([-1e30, 1e30]))


@settings(deadline=None, max_examples=60)
@given(
    first=RAW,
    second=RAW,
    action=st.one_of(floats(-1.0, 3.0), st.sampled_from([-1.0, 3.0, 3.5, -1.0000001])),
)
def test_values_and_slopes_are_finite(first, second, action):
    raw = jnp.asarray([first, second], jnp.float32)
    values, slopes = (f(raw, jnp.float32(action)) for f in everything())
    assert np.all(np.isfinite(values))
    for slope in slopes:
        assert np.all(np.isfinite(slope))


def test_log_prob_keeps_its_digits_where_the_policy_is_almost_certain():
    """α, β of 10,000: a scale of half a percent of the width."""
    one = Units((0.5,), (0.5,), squash=False)
    p = made([1e4], [9e3], one)
    actions, log_probs = p.draws(KEY, 200)
    expected = scipy.stats.beta(1e4, 9e3).logpdf(np.asarray(actions, float)[:, 0])
    np.testing.assert_allclose(log_probs, expected, atol=0.05)


def test_it_starts_as_a_broad_hump():
    found = beta_policy(4, 2, hidden=(16,))(KEY)(jax.random.normal(KEY, (50, 4)))
    expected = 1 + np.log(2)
    np.testing.assert_allclose(found.alpha, expected, atol=0.1)
    np.testing.assert_allclose(found.beta, expected, atol=0.1)
