"""The best policy within a KL: against a general solver, and its dual by its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st

from reins.duals import log_dual
from reins.estimators import forward_kl_exact_loss, forward_kl_marginal_loss
from reins.improvement import (
    exponential_weights,
    improved_log_weights,
    improvement_kl,
    temperature_objective,
    top_half_log_shares,
    weighted_likelihood_loss,
)

VALUES = np.array([[1.0, -0.5, 2.0, 0.3], [0.0, 4.0, -1.0, 1.5], [0.2, 0.1, 0.3, 0.0]])
SHARES = np.array([[0.4, 0.3, 0.1, 0.2], [0.25, 0.05, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def objective(eta, bound, values=VALUES, shares=SHARES):
    return float(
        temperature_objective(
            jnp.asarray(values),
            jnp.log(shares),
            temperature=eta,
            kl_bound=bound,
        )
    )


def least_at(bound, values=VALUES, shares=SHARES) -> float:
    """η by a solver that sees g alone."""
    found = scipy.optimize.minimize_scalar(
        lambda x: objective(np.exp(x), bound, values, shares),
        bounds=(-6.0, 6.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(np.exp(found.x))


def improved(eta, values=VALUES, shares=SHARES):
    log_q = improved_log_weights(
        jnp.asarray(values), jnp.log(jnp.asarray(shares)), temperature=eta
    )
    return np.exp(np.asarray(log_q))


def mean_kl(q, p=SHARES):
    return float(np.mean(np.sum(q * (np.log(q) - np.log(p)), 1)))


@pytest.mark.parametrize("bound", [0.01, 0.1, 0.6])
def test_where_the_dual_is_least_the_kl_is_at_its_bound(bound):
    q = improved(least_at(bound))
    assert abs(mean_kl(q) - bound) < 1e-6
    found = improvement_kl(jnp.log(q), jnp.log(SHARES))
    np.testing.assert_allclose(found, mean_kl(q), rtol=1e-10)


@pytest.mark.parametrize("bound", [0.01, 0.1, 0.6])
def test_no_other_weights_within_the_bound_are_worth_more(bound):
    def worth(flat):
        return -np.mean(np.sum(flat.reshape(SHARES.shape) * VALUES, 1))

    solved = scipy.optimize.minimize(
        worth,
        SHARES.ravel(),
        method="SLSQP",
        bounds=[(1e-9, 1.0)] * SHARES.size,
        constraints=[
            {"type": "ineq", "fun": lambda x: bound - mean_kl(x.reshape(SHARES.shape))},
            {"type": "eq", "fun": lambda x: x.reshape(SHARES.shape).sum(1) - 1.0},
        ],
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert solved.success
    eta = least_at(bound)
    np.testing.assert_allclose(improved(eta), solved.x.reshape(SHARES.shape), atol=2e-4)
    # The least of the dual is the most of what it bounds.
    np.testing.assert_allclose(objective(eta, bound), -solved.fun, atol=1e-6)


@given(st.floats(0.05, 20.0), st.floats(0.001, 1.0))
def test_the_slope_of_the_dual_is_what_the_bound_leaves(eta, bound):
    with jax.enable_x64(True):
        slope = jax.grad(
            lambda x: temperature_objective(
                jnp.asarray(VALUES), jnp.log(SHARES), temperature=x, kl_bound=bound
            )
        )(eta)
        np.testing.assert_allclose(
            slope, bound - mean_kl(improved(eta)), rtol=1e-7, atol=1e-9
        )


@pytest.mark.parametrize("start", [0.05, 30.0])
def test_the_one_dual_descends_it(start):
    bound, log_shares = 0.1, jnp.asarray(np.log(SHARES), jnp.float32)
    dual = log_dual(initial=start, learning_rate=0.2)

    def step(state, _):
        log_q = improved_log_weights(
            jnp.asarray(VALUES, jnp.float32), log_shares, temperature=dual.value(state)
        )
        violation = improvement_kl(log_q, log_shares) - bound
        return dual.update(state, violation), None

    with jax.enable_x64(False):
        state, _ = jax.lax.scan(step, dual.init(), None, length=800)
    np.testing.assert_allclose(state.multiplier, least_at(bound), rtol=1e-3)


def test_a_floor_of_the_dual_lets_it_come_back():
    with jax.enable_x64(False):
        dual = log_dual(initial=1.0, learning_rate=1.0, minimum=0.1)
        state = dual.init()
        for _ in range(50):
            state = dual.update(state, jnp.asarray(-1.0))
        np.testing.assert_allclose(state.multiplier, 0.1, rtol=1e-5)
        back = dual.update(state, jnp.asarray(1.0))
        np.testing.assert_allclose(back.multiplier, 0.1 * np.e, rtol=1e-5)


def test_where_no_weights_are_so_far_the_dual_falls_to_nothing():
    # Of two equal shares, none is more than log 2 from them.
    values, shares = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])
    at = [objective(eta, 0.8, values, shares) for eta in (1.0, 0.1, 0.01, 0.001)]
    assert at == sorted(at, reverse=True)
    np.testing.assert_allclose(at[-1], 1.0, atol=1e-3)


@given(st.floats(0.01, 100.0), st.floats(-50.0, 50.0))
def test_weights_sum_to_1_and_a_constant_changes_nothing(eta, constant):
    with jax.enable_x64(True):
        q = improved(eta)
        np.testing.assert_allclose(q.sum(1), 1.0, rtol=1e-12)
        shifted = improved(eta, values=VALUES + constant)
        np.testing.assert_allclose(shifted, q, rtol=1e-6, atol=1e-12)


def test_draws_of_the_old_policy_tend_to_all_of_its_actions():
    # 400,000 draws: the mean value under the weights, to 5 standard errors.
    rng, eta = np.random.default_rng(0), 0.7
    drawn = rng.choice(4, size=(1, 400_000), p=SHARES[0])
    values = jnp.asarray(VALUES[0][drawn])
    log_shares = jnp.full(values.shape, -np.log(values.shape[1]))
    q = np.exp(improved_log_weights(values, log_shares, temperature=eta))
    exact = improved(eta)[0]
    found = [q[0][drawn[0] == a].sum() for a in range(4)]
    np.testing.assert_allclose(found, exact, atol=5e-3)


def test_the_top_half_is_half_and_sums_to_1():
    advantages = jnp.array([0.3, -1.0, 7.0, 2.0, 0.1, 5.0, 9.0])
    mask = jnp.array([True, True, True, True, True, True, False])
    shares = np.exp(top_half_log_shares(advantages, mask))
    np.testing.assert_allclose(shares, [0, 0, 1 / 3, 1 / 3, 0, 1 / 3, 0])
    weights = improved_log_weights(
        advantages[None], jnp.log(shares)[None], temperature=0.5
    )
    np.testing.assert_allclose(np.exp(weights).sum(), 1.0)
    assert np.all((np.exp(weights)[0] > 0) == (shares > 0))
    by_hand = np.exp(np.array([7.0, 2.0, 5.0]) / 0.5)
    np.testing.assert_allclose(
        np.exp(weights)[0][[2, 3, 5]], by_hand / by_hand.sum(), rtol=1e-10
    )


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_few_valid_steps_one_is_the_top_half(n):
    mask = jnp.arange(3) < n
    shares = np.exp(top_half_log_shares(jnp.array([1.0, 1.0, 1.0]), mask))
    np.testing.assert_array_equal(shares, [1.0, 0.0, 0.0])


def test_exponential_weights_are_clipped_and_never_overflow():
    found = exponential_weights(
        jnp.array([0.0, 0.5, -0.5, 1e30, -1e30]), temperature=0.5, maximum=20.0
    )
    np.testing.assert_allclose(found, [1, np.e, 1 / np.e, 20, 0], rtol=1e-12)


def test_the_fixed_point_of_the_weighted_likelihood_is_the_boltzmann_policy():
    # π_β exp(A/β)/Z, whatever the states weigh: the slope of the logits is 0 there.
    advantages, beta = VALUES - np.sum(SHARES * VALUES, 1, keepdims=True), 0.8
    flat = jnp.asarray(advantages.ravel())
    weights = exponential_weights(flat, temperature=beta, maximum=1e9)
    weights = SHARES * np.asarray(weights).reshape(SHARES.shape)

    def slope(policy):
        return jax.grad(
            lambda logits: weighted_likelihood_loss(
                jax.nn.log_softmax(logits), jnp.asarray(weights)
            )
        )(jnp.log(policy))

    target = improved(beta, values=advantages)
    np.testing.assert_allclose(slope(target), np.zeros(SHARES.shape), atol=1e-12)
    assert np.abs(slope(SHARES)).max() > 0.05
    assert np.abs(slope(improved(2 * beta, values=advantages))).max() > 0.05


def test_with_all_actions_it_is_the_forward_kl_with_the_old_policy_as_prior():
    log_policy = jax.nn.log_softmax(jnp.array(VALUES[::-1]) * 0.3)
    log_old, eta = jnp.log(SHARES), 0.7
    weights = jnp.asarray(improved(eta))
    other = forward_kl_exact_loss(
        log_policy, log_old, jnp.asarray(VALUES), temperature=eta
    )[0]
    np.testing.assert_allclose(
        weighted_likelihood_loss(log_policy, weights), other, rtol=1e-12
    )


def test_of_draws_it_is_the_marginal_form_whose_prior_is_who_drew():
    log_probs = jnp.log(SHARES)  # of K = 4 draws, whatever they are
    shares = jnp.full(SHARES.shape, -np.log(4))
    weights = improved_log_weights(jnp.asarray(VALUES), shares, temperature=0.7)
    other = forward_kl_marginal_loss(
        log_probs, log_probs, jnp.asarray(VALUES), temperature=0.7
    )[0]
    np.testing.assert_allclose(
        weighted_likelihood_loss(log_probs, jnp.exp(weights)), other, rtol=1e-12
    )
