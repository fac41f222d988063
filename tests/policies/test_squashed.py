"""Gaussians through tanh, against integrals, NumPyro, and where tanh is flat."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from reins.policies import SquashedGaussian, Units, squashed_gaussian_policy
from reins.policies.squashed import bounded_log_std
from tests.strategies import floats

KEY = jax.random.key(5)
UNITS = Units((1.0, -2.0), (3.0, 0.5))
LOW, HIGH = np.array([-2.0, -2.5]), np.array([4.0, -1.5])
MEAN, LOG_STD = np.array([0.4, -1.2]), np.array([-0.7, 0.2])


def made(mean=MEAN, log_std=LOG_STD, units=UNITS):
    return SquashedGaussian(
        jnp.asarray(mean, jnp.float32), jnp.asarray(log_std, jnp.float32), units
    )


def density(a, dimension):
    """Of one dimension, from the definition, in float64."""
    centre, half_width = UNITS.centre[dimension], UNITS.half_width[dimension]
    y = (a - centre) / half_width
    normal = scipy.stats.norm(MEAN[dimension], np.exp(LOG_STD[dimension]))
    return normal.pdf(np.arctanh(y)) / (half_width * (1 - y**2))


def test_log_prob_is_the_density_in_units_of_the_action():
    rng = np.random.default_rng(0)
    actions = rng.uniform(LOW + 1e-3, HIGH - 1e-3, size=(50, 2))
    expected = sum(np.log(density(actions[:, i], i)) for i in range(2))
    found = jax.vmap(made().log_prob)(jnp.asarray(actions, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_all_probability_is_in_the_box():
    """Integrated over one dimension, the other at its centre."""
    for i in range(2):
        grid = np.linspace(LOW[i], HIGH[i], 20003)[1:-1]
        actions = np.tile(np.float32([1.0, -2.0]), (len(grid), 1))
        actions[:, i] = grid
        found = np.exp(jax.vmap(made().log_prob)(jnp.asarray(actions)))
        other = density(UNITS.centre[1 - i], 1 - i)
        mass = np.trapezoid(found, grid) / other
        np.testing.assert_allclose(mass, 1.0, atol=2e-3)


@pytest.mark.parametrize("log_std", [-5.0, -2.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("mean", [0.0, 0.7, -4.0])
def test_entropy_is_the_integral(mean, log_std):
    """−∫ N(u) (log N(u) − log da/du) du, by adaptive quadrature in float64."""
    normal, half_width = scipy.stats.norm(mean, np.exp(log_std)), 0.3

    def term(u):
        slope = np.log(half_width) + 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
        return normal.pdf(u) * (slope - normal.logpdf(u))

    ends = mean + np.array([-12, 12]) * np.exp(log_std)
    expected, _ = scipy.integrate.quad(term, *ends, points=[0.0, mean], limit=500)
    found = made([mean], [log_std], Units((5.0,), (half_width,))).entropy()
    tolerance = 5e-4 if log_std == 2.0 else 5e-6
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=tolerance)


def test_the_slopes_of_the_entropy_are_those_of_the_integral():
    """By central differences of the integral, in float64."""

    def exact(mean, log_std):
        u = mean + np.exp(log_std) * np.linspace(-9, 9, 20001)
        density = scipy.stats.norm.pdf(u, mean, np.exp(log_std))
        slope = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
        return np.trapezoid(density * (slope - np.log(density)), u)

    def found(mean, log_std):
        return SquashedGaussian(mean[None], log_std[None], Units((0.0,), (1.0,)))

    h = 1e-4
    for mean, log_std in [(0.3, -1.0), (-1.5, 0.5), (2.0, 1.2)]:
        slopes = jax.grad(lambda m, s: found(m, s).entropy(), argnums=(0, 1))(
            jnp.asarray(mean), jnp.asarray(log_std)
        )
        by_mean = (exact(mean + h, log_std) - exact(mean - h, log_std)) / (2 * h)
        by_std = (exact(mean, log_std + h) - exact(mean, log_std - h)) / (2 * h)
        np.testing.assert_allclose(slopes, [by_mean, by_std], atol=2e-5)


def test_it_is_numpyros_transformed_normal():
    dist = pytest.importorskip("numpyro.distributions")
    with jax.enable_x64(True):
        mean, log_std = jnp.asarray(MEAN), jnp.asarray(LOG_STD)
        centre, half_width = jnp.asarray(UNITS.centre), jnp.asarray(UNITS.half_width)
        maps = [  # tanh u = 2 sigmoid(2u) − 1
            dist.transforms.AffineTransform(0.0, 2.0),
            dist.transforms.SigmoidTransform(),
            dist.transforms.AffineTransform(centre - half_width, 2 * half_width),
        ]
        theirs = dist.TransformedDistribution(dist.Normal(mean, jnp.exp(log_std)), maps)
        mine = SquashedGaussian(mean, log_std, UNITS)
        actions, log_probs = mine.draws(KEY, 100)
        expected = jnp.sum(theirs.log_prob(actions), axis=-1)
        np.testing.assert_allclose(log_probs, expected, rtol=1e-9, atol=1e-7)
        found = jax.vmap(mine.log_prob)(actions)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-7)


def test_the_mode_is_the_median_and_squashing_changes_no_kl():
    p, q = made(), made(MEAN + 0.3, LOG_STD - 0.4)
    actions, _ = p.draws(KEY, 4000)
    below = np.mean(np.asarray(actions) < np.asarray(p.mode()), axis=0)
    np.testing.assert_allclose(below, 0.5, atol=5 * 0.5 / np.sqrt(4000))
    for i in range(2):
        grid = np.linspace(-12, 12, 20001)
        normals = [
            scipy.stats.norm(np.float64(d.mean[i]), np.exp(np.float64(d.log_std[i])))
            for d in (p, q)
        ]
        terms = normals[0].pdf(grid) * (
            normals[0].logpdf(grid) - normals[1].logpdf(grid)
        )
        one = [
            SquashedGaussian(d.mean[i : i + 1], d.log_std[i : i + 1], UNITS)
            for d in (p, q)
        ]
        np.testing.assert_allclose(
            one[0].kl(one[1]), np.trapezoid(terms, grid), rtol=1e-4
        )


# Where nothing may break.


@functools.cache
def everything():
    """All that can be asked of one dimension, and its slopes, compiled once."""

    def told(mean, log_std, action):
        d = SquashedGaussian(mean[None], log_std[None], Units((1.0,), (2.0,)))
        drawn, paths = d.draws(KEY, 5), d.paths(KEY, 5)
        values = (d.log_prob(action[None]), d.entropy(), d.kl(made_one), *drawn, *paths)
        return jnp.concatenate([jnp.ravel(x) for x in values])

    made_one = SquashedGaussian(jnp.zeros(1), jnp.zeros(1), Units((1.0,), (2.0,)))
    return jax.jit(told), jax.jit(jax.jacfwd(told, argnums=(0, 1, 2)))


@settings(deadline=None, max_examples=100)
@given(
    mean=st.one_of(floats(-5.0, 5.0), floats(-1e4, 1e4)),
    log_std=floats(-5.0, 2.0),
    action=st.one_of(floats(-1.0, 3.0), st.sampled_from([-1.0, 3.0, 3.5, -1.0000001])),
)
def test_values_and_slopes_are_finite_wherever_tanh_is_flat(mean, log_std, action):
    values, slopes = (
        f(*map(jnp.float32, (mean, log_std, action))) for f in everything()
    )
    assert np.all(np.isfinite(values))
    for slope in slopes:
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("mean", [-30.0, 12.0])
def test_draws_keep_their_log_probability_where_tanh_rounds_to_1(mean):
    """There an action has forgotten its u; log π and its slopes have not."""
    p = made([mean], [-3.0], Units((1.0,), (2.0,)))
    actions, log_probs = p.draws(KEY, 500)
    # XLA's tanh of large numbers is 1, or the number before it, by how it is compiled.
    assert np.all(np.abs(np.asarray(actions) - 1.0) > 2.0 - 1e-6)
    slope = np.log(2.0) + np.log(4.0) - 2 * abs(mean)  # log 4e^(−2|u|) of large u
    expected = -0.5 * (np.log(2 * np.pi) + 1) + 3.0 - slope
    np.testing.assert_allclose(np.mean(log_probs), expected, atol=0.2)

    def total(mean, log_std):
        d = SquashedGaussian(mean[None], log_std[None], Units((1.0,), (2.0,)))
        return d.draws(KEY, 500)[1]

    found = jax.jacfwd(total, argnums=(0, 1))(jnp.float32(mean), jnp.float32(-3.0))
    z = np.asarray(jax.random.normal(KEY, (500, 1)))[:, 0]
    np.testing.assert_allclose(found[0], z * np.exp(3.0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found[1], z**2 - 1, rtol=1e-3, atol=1e-3)


def test_the_pathwise_slope_of_log_prob_is_the_textbook_s():
    """d/dμ and d/dlog σ of log π(a(θ); θ): 2 tanh(u) du, and −1 for log σ."""

    def one(mean, log_std):
        d = SquashedGaussian(mean[None], log_std[None], Units((1.0,), (2.0,)))
        actions, log_probs = d.paths(KEY, 50)
        return log_probs, actions[:, 0]

    mean, log_std = jnp.float32(0.3), jnp.float32(-0.5)
    (by_mean, a_mean), (by_std, a_std) = (
        jax.jacfwd(one, argnums=i)(mean, log_std) for i in (0, 1)
    )
    noise = np.asarray(jax.random.normal(KEY, (50, 1)))[:, 0]
    step = np.exp(-0.5) * noise
    tanh = np.tanh(0.3 + step)
    np.testing.assert_allclose(by_mean, 2 * tanh, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_std, 2 * tanh * step - 1, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a_mean, 2 * (1 - tanh**2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a_std, 2 * (1 - tanh**2) * step, rtol=1e-3, atol=1e-5)


# The policy.


def test_its_first_actions_spread_over_the_whole_box():
    policy = squashed_gaussian_policy(
        4, 2, hidden=(16,), centre=UNITS.centre, half_width=UNITS.half_width
    )(KEY)
    seen = jax.random.normal(KEY, (200, 4))
    found = policy(seen)
    np.testing.assert_allclose(found.mean, 0.0, atol=0.2)
    np.testing.assert_allclose(found.log_std, 0.0, atol=0.2)
    actions = np.asarray(found.draws(KEY, 20)[0]).reshape(-1, 2)
    assert np.all((actions >= LOW) & (actions <= HIGH))
    for i in range(2):
        shares = np.histogram(actions[:, i], bins=8, range=(LOW[i], HIGH[i]))[0] / 4000
        assert np.all(shares > 0.06)


def test_a_scale_is_bounded_smoothly():
    raw = jnp.linspace(-60.0, 60.0, 2001)
    found = np.asarray(bounded_log_std(raw))
    assert found.min() >= -5.0
    assert found.max() <= 2.0
    np.testing.assert_allclose(found[[0, 1000, -1]], [-5.0, 0.0, 2.0], atol=1e-5)
    slopes = np.asarray(jax.vmap(jax.grad(bounded_log_std))(raw))
    assert np.all(slopes >= 0.0)
    np.testing.assert_allclose(slopes[1000], 1.0)
    assert np.max(np.abs(np.diff(slopes))) < 0.05
    near = jax.vmap(jax.grad(bounded_log_std))(jnp.array([-10.0, 4.0]))
    assert np.all(near > 0.05)  # almost at the bounds, and still on its way
