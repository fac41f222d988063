"""Policies with a discrete branch, against sums, integrals and NumPyro."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from reins.errors import ConfigError
from reins.policies import (
    Branches,
    Gaussian,
    Hybrid,
    Mixture,
    Units,
    hybrid_policy,
    mixture_policy,
)
from reins.policies.mixture import fixed_points
from tests.strategies import floats

KEY = jax.random.key(7)
BOX = Units((1.0,), (2.0,))
PLAIN = Units((1.0,), (2.0,), squash=False)
WEIGHTS = np.array([0.5, 0.2, 0.3])
MEAN = np.array([[-1.1], [0.2], [0.9]])
LOG_STD = np.array([[-1.5], [0.1], [-0.7]])


def branches(units=BOX, weights=WEIGHTS, mean=MEAN, log_std=LOG_STD):
    log_weights, mean, log_std = (
        jnp.asarray(x, jnp.float32) for x in (np.log(weights), mean, log_std)
    )
    return Branches(log_weights, Gaussian(mean, log_std), units)


def by_hand(actions, weights=WEIGHTS, mean=MEAN, log_std=LOG_STD, units=BOX):
    """log w_k + log N_k of each action and branch, of one dimension, in float64."""
    y = (np.asarray(actions, float) - units.centre[0]) / units.half_width[0]
    u = np.arctanh(y) if units.squash else y
    slope = units.half_width[0] * ((1 - y**2) if units.squash else 1.0)
    normal = scipy.stats.norm(mean[:, 0], np.exp(log_std[:, 0]))
    return (
        np.log(weights)
        + normal.logpdf(u[:, None])
        - np.log(slope * np.ones_like(y))[:, None]
    )


GRID = {
    BOX: np.linspace(-1.0, 3.0, 40003)[1:-1],
    PLAIN: np.linspace(-20.0, 20.0, 40001),
}


@pytest.mark.parametrize("units", [BOX, PLAIN])
def test_log_prob_sums_over_branches(units):
    actions = np.random.default_rng(0).uniform(-0.9, 2.9, size=40)
    mixture, hybrid = Mixture(branches(units)), Hybrid(branches(units))
    joint = by_hand(actions, units=units)
    found = jax.vmap(mixture.log_prob)(jnp.asarray(actions[:, None], jnp.float32))
    expected = scipy.special.logsumexp(joint, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for k in range(3):
        shown = np.stack([np.full(40, k), actions], axis=1)
        found = jax.vmap(hybrid.log_prob)(jnp.asarray(shown, jnp.float32))
        np.testing.assert_allclose(found, joint[:, k], rtol=1e-4, atol=1e-4)


def test_it_is_numpyros_mixture():
    dist = pytest.importorskip("numpyro.distributions")
    rng = np.random.default_rng(1)
    mean, log_std = rng.normal(size=(2, 5, 3, 4))
    logits = rng.normal(size=(5, 3))
    theirs = dist.MixtureSameFamily(
        dist.Categorical(logits=jnp.asarray(logits)),
        dist.Normal(jnp.asarray(mean), jnp.exp(jnp.asarray(log_std))).to_event(1),
    )
    made = Branches(
        jax.nn.log_softmax(jnp.asarray(logits, jnp.float32)),
        Gaussian(jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32)),
        Units((0.0,) * 4, (1.0,) * 4, squash=False),
    )
    actions, log_probs = Mixture(made).draws(KEY, 30)
    np.testing.assert_allclose(log_probs, theirs.log_prob(actions), rtol=1e-4)


@pytest.mark.parametrize("units", [BOX, PLAIN])
def test_entropy_and_kl_of_a_mixture_are_near_the_integrals(units):
    grid = GRID[units]
    other = {"weights": WEIGHTS[::-1], "mean": MEAN + 0.2, "log_std": LOG_STD + 0.1}
    log_p, log_q = (
        scipy.special.logsumexp(by_hand(grid, units=units, **told), axis=1)
        for told in ({}, other)
    )
    p, q = Mixture(branches(units)), Mixture(branches(units, **other))
    density = np.exp(log_p)
    entropy = -np.trapezoid(density * log_p, grid)
    np.testing.assert_allclose(p.entropy(), entropy, atol=0.03)
    kl = np.trapezoid(density * (log_p - log_q), grid)
    assert kl > 0.1
    np.testing.assert_allclose(p.kl(q), kl, atol=0.02)


@pytest.mark.parametrize("units", [BOX, PLAIN])
def test_entropy_and_kl_of_a_hybrid_are_the_integrals(units):
    grid = GRID[units]
    other = {"weights": WEIGHTS[::-1], "mean": MEAN + 0.2, "log_std": LOG_STD + 0.1}
    joint, joint_q = by_hand(grid, units=units), by_hand(grid, units=units, **other)
    p, q = Hybrid(branches(units)), Hybrid(branches(units, **other))
    entropy = -np.trapezoid(np.exp(joint) * joint, grid, axis=0).sum()
    np.testing.assert_allclose(p.entropy(), entropy, rtol=1e-4)
    kl = np.trapezoid(np.exp(joint) * (joint - joint_q), grid, axis=0).sum()
    np.testing.assert_allclose(p.kl(q), kl, rtol=1e-3)


def test_the_entropy_is_exact_where_branches_are_equal_or_far_apart():
    equal = {"mean": np.full((3, 1), 0.3), "log_std": np.full((3, 1), -0.4)}
    one = branches(PLAIN, weights=np.ones(1), mean=[[0.3]], log_std=[[-0.4]])
    found = Mixture(branches(PLAIN, **equal)).entropy()
    exact = Hybrid(one).entropy()
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    apart = branches(PLAIN, mean=100 * MEAN)
    np.testing.assert_allclose(
        Mixture(apart).entropy(), Hybrid(apart).entropy(), rtol=1e-5
    )


@pytest.mark.parametrize("dimensions", [1, 3, 40])
def test_the_fixed_points_have_mean_0_and_covariance_1(dimensions):
    points = fixed_points(dimensions)
    assert points.shape[0] >= 64
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(
        points.T @ points / len(points), np.eye(dimensions), atol=1e-9
    )


def test_draws_come_from_each_branch_as_often_as_its_weight():
    n = 4000
    actions, _ = Hybrid(branches()).draws(KEY, n)
    k, x = np.asarray(actions[:, 0]), np.asarray(actions[:, 1], float)
    assert set(k.tolist()) == {0.0, 1.0, 2.0}
    for branch in range(3):
        error = np.sqrt(WEIGHTS[branch] * (1 - WEIGHTS[branch]) / n)
        assert abs(np.mean(k == branch) - WEIGHTS[branch]) < 5 * error
        u = np.arctanh((x[k == branch] - 1.0) / 2.0)
        normal = scipy.stats.norm(MEAN[branch, 0], np.exp(LOG_STD[branch, 0]))
        assert scipy.stats.kstest(u, normal.cdf).pvalue > 1e-4
    x = np.asarray(Mixture(branches()).draws(KEY, n)[0][:, 0], float)

    def cdf(a):
        u = np.arctanh((a - 1.0) / 2.0)[:, None]
        return scipy.stats.norm.cdf(u, MEAN[:, 0], np.exp(LOG_STD[:, 0])) @ WEIGHTS

    assert scipy.stats.kstest(x, cdf).pvalue > 1e-4


def test_the_mode_is_that_of_the_branch_with_the_highest_peak():
    """Before squashing: 0.5/e^−1.5 > 0.3/e^−0.7 > 0.2/e^0.1."""
    expected = 1.0 + 2.0 * np.tanh(-1.1)
    np.testing.assert_allclose(Mixture(branches()).mode(), [expected], rtol=1e-6)
    np.testing.assert_allclose(Hybrid(branches()).mode(), [0.0, expected], rtol=1e-6)
    other = branches(weights=[0.1, 0.1, 0.8])
    expected = 1.0 + 2.0 * np.tanh(0.9)
    np.testing.assert_allclose(Hybrid(other).mode(), [2.0, expected], rtol=1e-6)


def test_no_half_of_a_gradient_comes_through_a_sample():
    """Means move samples and weights do not: neither would be worse than both."""
    for kind in (Mixture, Hybrid):
        slopes = jax.grad(lambda b, kind=kind: jnp.sum(kind(b).sample(KEY)))(branches())
        assert all(np.all(x == 0) for x in jax.tree.leaves(slopes))


@functools.cache
def everything():
    """All that can be asked of two branches, and its slopes, compiled once."""

    def told(logit, mean, log_std, action):
        log_weights = jax.nn.log_softmax(jnp.stack([logit, jnp.zeros(())]))
        places = jnp.stack([mean, jnp.float32(0.5)])[:, None]
        scales = jnp.stack([log_std, jnp.float32(0.0)])[:, None]
        made = Branches(log_weights, Gaussian(places, scales), BOX)
        mixture, hybrid = Mixture(made), Hybrid(made)
        values = (
            *(mixture.log_prob(action[None]), mixture.entropy(), hybrid.entropy()),
            *(*mixture.draws(KEY, 5), *hybrid.draws(KEY, 5), mixture.kl(mixture)),
            hybrid.log_prob(jnp.stack([jnp.ones(()), action])),
        )
        return jnp.concatenate([jnp.ravel(x) for x in values])

    return jax.jit(told), jax.jit(jax.jacfwd(told, argnums=(0, 1, 2, 3)))


@settings(deadline=None, max_examples=60)
@given(
    logit=st.one_of(floats(-3.0, 3.0), floats(-1e3, 1e3)),
    mean=st.one_of(floats(-5.0, 5.0), floats(-1e4, 1e4)),
    log_std=floats(-5.0, 2.0),
    action=st.one_of(floats(-1.0, 3.0), st.sampled_from([-1.0, 3.0, 3.5])),
)
def test_values_and_slopes_are_finite(logit, mean, log_std, action):
    told = tuple(map(jnp.float32, (logit, mean, log_std, action)))
    values, slopes = (f(*told) for f in everything())
    assert np.all(np.isfinite(values))
    for slope in slopes:
        assert np.all(np.isfinite(slope))


# The policies.


@pytest.mark.parametrize("make", [mixture_policy, hybrid_policy])
def test_branches_start_apart_alike_and_equally_likely(make):
    seen = jax.random.normal(KEY, (50, 4))
    found = make(4, 2, branches=5, hidden=(16,))(KEY)(seen).branches
    np.testing.assert_allclose(found.log_weights, np.log(0.2), atol=0.2)
    np.testing.assert_allclose(found.gaussians.log_std, 0.0, atol=0.2)
    means = np.asarray(found.gaussians.mean).mean(axis=0)
    assert np.all(np.abs(means) < 2.0)
    gaps = np.linalg.norm(means[:, None] - means, axis=-1)[np.triu_indices(5, 1)]
    assert np.all(gaps > 0.05)
    other = make(4, 2, branches=5, hidden=(16,))(jax.random.key(8))(seen).branches
    assert np.all(np.abs(other.gaussians.mean - found.gaussians.mean).max(axis=0) > 0)


def test_pictures_have_branches_too():
    policy = mixture_policy((9, 9, 1), 2, branches=3, hidden=(5,))(KEY)
    pictures = jnp.zeros((2, 9, 9, 1), jnp.uint8)
    actions, log_probs = policy(pictures).draws(KEY, 4)
    assert actions.shape == (4, 2, 2)
    assert log_probs.shape == (4, 2)
    assert np.ptp(np.asarray(policy(pictures).branches.gaussians.mean[0, :, 0])) > 0.05


def test_a_mixture_fits_two_peaks_and_a_single_branch_cannot():
    """Maximum likelihood of actions that are −1 or 1, give or take 0.1."""
    rng = np.random.default_rng(0)
    data = rng.choice([-1.0, 1.0], size=(200, 1)) + 0.1 * rng.normal(size=(200, 1))
    data, seen = jnp.asarray(data, jnp.float32), jnp.zeros((200, 1))
    truth = np.log(0.5) - 0.5 * np.log(2 * np.pi * 0.01) - 0.5

    def fitted(k):
        init = mixture_policy(1, 1, branches=k, hidden=(), squash=False)
        slope = jax.grad(lambda p: -jnp.mean(p(seen).log_prob(data)))

        def step(policy, _):
            return eqx.apply_updates(
                policy, jax.tree.map(lambda g: -0.03 * g, slope(policy))
            ), None

        policy = jax.jit(lambda p: jax.lax.scan(step, p, None, length=1500)[0])(
            init(KEY)
        )
        return float(jnp.mean(policy(seen).log_prob(data)))

    assert fitted(3) > truth - 0.1
    assert fitted(1) < truth - 0.7


def test_no_branch_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"0 branches.*at least 1"):
        mixture_policy(4, 2, branches=0)
