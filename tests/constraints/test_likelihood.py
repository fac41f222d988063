"""Weights and losses of constraint learning against slow loops in numpy.

That trajectory weights give the true gradient is proven in exactness/.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.constraints import (
    WEIGHTINGS,
    constraint_likelihood_loss,
    regulariser_loss,
    step_weights,
)
from tests import strategies as some

M, T = some.N, some.T
ARRAY = some.arrays((M, T))
LOG_ZETA = some.arrays((M, T), -3.0, -0.125)


def slow_weights(log_ratios, mask, masses, weighting):
    """ω̂ of every step, from the ratios of every step."""
    omega = np.exp(np.asarray(log_ratios, float))
    found = np.zeros((M, T))
    steps = list(zip(*np.nonzero(mask), strict=True))
    for j, t in steps:
        if weighting == "trajectory":
            whole = [np.prod(omega[i][mask[i]]) for i in range(M)]
            found[j, t] = masses[j] * whole[j] / np.sum(masses * whole)
        elif weighting == "step-pooled":
            total = sum(masses[i] for i, _ in steps)
            mean = sum(masses[i] * omega[i, k] for i, k in steps) / total
            found[j, t] = masses[j] * omega[j, t] / mean
        elif weighting == "step-time":
            rows = [i for i in range(M) if mask[i, t]]
            mean = sum(masses[i] * omega[i, t] for i in rows) / sum(masses[rows])
            found[j, t] = masses[j] * omega[j, t] / mean
        else:
            found[j, t] = masses[j]
    return found


MASSES = np.array([0.5, 0.2, 0.3])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@given(log_ratios=ARRAY, mask=some.masks())
def test_weights(weighting, log_ratios, mask):
    log_masses = jnp.log(jnp.asarray(MASSES, jnp.float32))
    terms = (jnp.asarray(log_ratios), jnp.asarray(mask), log_masses)
    expected = slow_weights(log_ratios, mask, MASSES, weighting)
    close(step_weights(*terms, weighting=weighting), expected)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@given(mask=some.masks(), shift=some.floats(-4.0, 4.0))
def test_equal_constraints_give_the_masses(weighting, mask, shift):
    """Up to a constant factor on ω; whole trajectories must then be equally long."""
    mask = np.ones((M, T), bool) if weighting == "trajectory" else mask
    log_masses = jnp.log(jnp.asarray(MASSES, jnp.float32))
    log_ratios = jnp.full((M, T), shift)
    found = step_weights(log_ratios, jnp.asarray(mask), log_masses, weighting=weighting)
    close(found, np.where(mask, MASSES[:, None], 0.0))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_rows_without_mass_have_no_weight(weighting):
    """A rollout has room for more episodes than it saw; those rows are empty."""
    generator = np.random.default_rng(3)
    log_ratios = jnp.asarray(generator.normal(size=(M, T)), jnp.float32)
    mask = jnp.arange(T) < jnp.array([T, 0, 3])[:, None]
    log_masses = jnp.log(jnp.array([0.5, 0.0, 0.5]))
    found = step_weights(log_ratios, mask, log_masses, weighting=weighting)
    kept = jnp.array([0, 2])
    expected = step_weights(
        log_ratios[kept], mask[kept], log_masses[kept], weighting=weighting
    )
    close(found[kept], expected)
    np.testing.assert_array_equal(found[1], np.zeros(T))


LOSS = jax.jit(constraint_likelihood_loss, static_argnames=("horizon", "weighting"))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@given(
    expert=LOG_ZETA,
    nominal=LOG_ZETA,
    sampled=LOG_ZETA,
    masks=some.masks(),
    others=some.masks(),
)
def test_loss(weighting, expert, nominal, sampled, masks, others):
    terms = map(jnp.asarray, (expert, masks, nominal, others, sampled))
    found, info = LOSS(*terms, horizon=4, weighting=weighting)
    weights = slow_weights(nominal - sampled, others, np.full(M, 1 / M), weighting)
    expert_mean = np.sum(expert[masks]) / M / 4
    nominal_mean = np.sum((weights * nominal)[others]) / 4
    close(found, nominal_mean - expert_mean)
    close(info["expert_log_zeta"], expert_mean)
    close(info["nominal_log_zeta"], nominal_mean)
    whole = np.exp([np.sum((nominal - sampled)[j][others[j]]) for j in range(M)])
    close(info["ess"], whole.sum() ** 2 / np.sum(whole**2))


def example(seed: int = 0):
    """Expert, mask, nominal, mask, sampled."""
    generator = np.random.default_rng(seed)
    log_zetas = [jnp.asarray(-generator.uniform(0.1, 2, (M, T))) for _ in range(3)]
    masks = [jnp.arange(T) < jnp.array(x)[:, None] for x in ([5, 2, 4], [3, 5, 1])]
    return log_zetas[0], masks[0], log_zetas[1], masks[1], log_zetas[2]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_weights_are_constants_under_differentiation(weighting):
    """The gradient is −1/(M h) at each expert step and ω̂/h at each nominal one."""
    terms = example()

    def of(expert, nominal):
        loss, _ = LOSS(
            expert, terms[1], nominal, *terms[3:], horizon=4, weighting=weighting
        )
        return loss

    expert, nominal = jax.grad(of, argnums=(0, 1))(terms[0], terms[2])
    close(expert, np.where(terms[1], -1 / M / 4, 0.0))
    ratios, masses = np.asarray(terms[2] - terms[4]), np.full(M, 1 / M)
    close(nominal, slow_weights(ratios, np.asarray(terms[3]), masses, weighting) / 4)


def test_the_weightings_differ():
    values = [float(LOSS(*example(), horizon=4, weighting=w)[0]) for w in WEIGHTINGS]
    assert len({round(value, 3) for value in values}) == len(WEIGHTINGS)


def test_nothing_is_left_to_learn_from_oneself():
    """The nominal set equal to the expert's, unweighted: gradient 0."""
    expert, mask, *_ = example()

    def of(log_zeta):
        terms = (log_zeta, mask, log_zeta, mask, expert)
        return LOSS(*terms, horizon=4, weighting="none")[0]

    np.testing.assert_allclose(jax.grad(of)(expert), np.zeros((M, T)), atol=1e-7)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@given(order=some.permutations)
def test_padding_and_permutation_change_nothing(weighting, order):
    expert, mask, nominal, others, sampled = example()
    expected, _ = LOSS(*example(), horizon=4, weighting=weighting)
    moved = [x[order] for x in (nominal, others, sampled)]
    close(LOSS(expert, mask, *moved, horizon=4, weighting=weighting)[0], expected)
    garbage = [jnp.where(others, nominal, -9.0), jnp.where(others, sampled, -1.0)]
    padded = (jnp.where(mask, expert, -9.0), mask, garbage[0], others, garbage[1])
    close(LOSS(*padded, horizon=4, weighting=weighting)[0], expected)


@given(expert=LOG_ZETA, nominal=LOG_ZETA, masks=some.masks(), others=some.masks())
def test_regulariser_per_step(expert, nominal, masks, others):
    expected = -np.mean(np.exp(expert[masks]) - 1) - np.mean(
        np.exp(nominal[others]) - 1
    )
    terms = map(jnp.asarray, (expert, masks, nominal, others))
    close(regulariser_loss(*terms), expected)


@given(expert=LOG_ZETA, nominal=LOG_ZETA, masks=some.masks(), others=some.masks())
def test_regulariser_as_printed(expert, nominal, masks, others):
    expected = 0.0
    for log_zeta, mask in ((expert, masks), (nominal, others)):
        for j in range(M):
            expected -= np.prod(np.exp(log_zeta[j][mask[j]])) - 1
    terms = map(jnp.asarray, (expert, masks, nominal, others))
    close(regulariser_loss(*terms, form="trajectory-sum"), expected)


@pytest.mark.parametrize("form", ["step-mean", "trajectory-sum"])
def test_descending_the_regulariser_allows_more(form):
    expert, mask, nominal, others, _ = example()
    of = partial(regulariser_loss, form=form)

    def loss(expert, nominal):
        return of(expert, mask, nominal, others)

    gradients = jax.grad(loss, argnums=(0, 1))(expert, nominal)
    for gradient, valid in zip(gradients, (mask, others), strict=True):
        assert np.all(np.asarray(gradient)[valid] < 0)
        assert not np.any(np.asarray(gradient)[~valid])
