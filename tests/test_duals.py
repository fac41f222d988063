"""Multipliers: exact numbers, and what holds for all of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from reins.duals import (
    Dual,
    log_dual,
    pid_dual,
    projected_dual,
    scheduled_dual,
    softplus_dual,
)
from reins.errors import ConfigError
from tests import strategies as some

DUALS = {
    "projected": projected_dual(initial=0.3, learning_rate=0.1),
    "softplus": softplus_dual(initial=0.3, learning_rate=0.1),
    "pid": pid_dual(initial=0.3, proportional=0.2, integral=0.1, derivative=0.3),
    "log": log_dual(initial=0.3, learning_rate=0.1, largest_violation=10.0),
}


def follow(dual: Dual, violations) -> np.ndarray:
    """The multiplier after each violation."""
    return np.asarray(_follow(dual, jnp.asarray(violations, jnp.float32)))


@partial(jax.jit, static_argnames="dual")
def _follow(dual, violations):
    def step(state, violation):
        state = dual.update(state, violation)
        return state, dual.value(state)

    return jax.lax.scan(step, dual.init(), violations)[1]


@pytest.mark.parametrize("name", DUALS)
def test_it_starts_where_it_is_told(name):
    np.testing.assert_allclose(DUALS[name].value(DUALS[name].init()), 0.3, rtol=1e-6)


@pytest.mark.parametrize("name", DUALS)
def test_it_rises_under_violation_and_falls_without(name):
    rising = follow(DUALS[name], [1.0] * 5)
    assert np.all(rising > 0.3)
    assert np.all(np.diff(rising[1:]) > 0)  # the first step is PID's jump as well
    falling = follow(DUALS[name], [-0.5] * 3)
    assert falling[0] < 0.3
    assert falling[-1] < falling[0] or falling[-1] == 0.0


@pytest.mark.parametrize("name", DUALS)
@given(violations=hnp.arrays(np.float32, 6, elements=some.floats(-50.0, 50.0)))
def test_it_is_never_negative(name, violations):
    assert np.all(follow(DUALS[name], violations) >= 0.0)


@pytest.mark.parametrize("name", DUALS)
def test_larger_violations_raise_it_further(name):
    small, large = (follow(DUALS[name], [x])[0] for x in (0.5, 2.0))
    assert large > small


def test_projected_by_hand():
    dual = projected_dual(initial=0.5, learning_rate=0.1, maximum=1.0)
    found = follow(dual, [2.0, 4.0, -3.0, -9.0, 1.0])
    np.testing.assert_allclose(found, [0.7, 1.0, 0.7, 0.0, 0.1], atol=1e-6)


def test_softplus_ascends_the_violation_in_its_parameter():
    """p ← p + η dλ/dp · violation: the gradient of λ(p) · violation."""
    dual = softplus_dual(initial=0.7, learning_rate=0.2)
    state = dual.init()
    parameter = np.log(np.expm1(0.7))
    for violation in (3.0, -1.5, -20.0, 2.0):
        state = dual.update(state, jnp.asarray(violation))
        slope = jax.grad(lambda p: jax.nn.softplus(p))(jnp.float32(parameter))
        parameter = parameter + 0.2 * violation * float(slope)
        expected = np.log1p(np.exp(parameter))
        np.testing.assert_allclose(dual.value(state), expected, rtol=1e-5)


def test_softplus_stays_below_its_maximum():
    found = follow(softplus_dual(initial=1.0, maximum=1.5), [5.0] * 4)
    np.testing.assert_allclose(found[-1], 1.5)


def test_log_moves_by_a_share_of_itself_and_no_faster_than_its_bound():
    dual = log_dual(initial=0.5, learning_rate=0.1, maximum=0.56)
    found = follow(dual, [0.5, 40.0, -3.0, -0.2])
    up = 0.5 * np.exp(0.05)
    expected = [up, 0.56, 0.56 * np.exp(-0.1), 0.56 * np.exp(-0.12)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    state = dual.init()
    for _ in range(3):
        state = dual.update(state, jnp.asarray(-1e9))
    assert dual.value(state) > 0


def test_log_cannot_start_at_zero():
    with pytest.raises(ConfigError, match="projected_dual"):
        log_dual(initial=0.0)


def test_a_schedule_does_not_mind_what_is_violated():
    dual = scheduled_dual(lambda k: 1.0 / (1.0 + k))
    np.testing.assert_allclose(dual.value(dual.init()), 1.0)
    found = follow(dual, [5.0, -5.0, 0.0])
    np.testing.assert_allclose(found, [1 / 2, 1 / 3, 1 / 4], rtol=1e-6)


def test_pid_by_hand():
    """I: 1.2, 1.4, 0.9; λ = I + 0.5 v + 0.1 max(0, rise of v)."""
    dual = pid_dual(initial=1.0, proportional=0.5, integral=0.1, derivative=0.1)
    found = follow(dual, [2.0, 2.0, -5.0, 1.0])
    expected = [1.2 + 1.0 + 0.2, 1.4 + 1.0, 0.0, 1.0 + 0.5 + 0.6]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


INTEGRAL = pid_dual(
    initial=0.3, proportional=0.0, integral=0.1, derivative=0.0, maximum=2.0
)
PROJECTED = projected_dual(initial=0.3, learning_rate=0.1, maximum=2.0)


@given(violations=hnp.arrays(np.float32, 6, elements=some.floats(-20.0, 20.0)))
def test_pid_with_its_integral_alone_is_the_projected_dual(violations):
    found, expected = follow(INTEGRAL, violations), follow(PROJECTED, violations)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_ceiling_does_not_wind_up():
    """Long at its ceiling, a multiplier comes down at the first relief."""
    for dual in (PROJECTED, INTEGRAL):
        found = follow(dual, [10.0] * 50 + [-1.0])
        np.testing.assert_allclose(found[-2:], [2.0, 1.9], rtol=1e-6)
    found = follow(softplus_dual(learning_rate=0.1, maximum=2.0), [10.0] * 50 + [-1.0])
    np.testing.assert_allclose(found[-2], 2.0, rtol=1e-6)
    assert 1.9 < found[-1] < 1.95


@pytest.mark.parametrize("initial", [1e-6, 0.1, 100.0, 1000.0])
def test_softplus_starts_where_it_is_told_and_moves(initial):
    dual = softplus_dual(initial=initial, learning_rate=1.0)
    state = dual.update(dual.init(), jnp.asarray(2.0))
    np.testing.assert_allclose(dual.value(dual.init()), initial, rtol=1e-5)
    assert dual.value(state) > initial


def test_softplus_cannot_start_at_zero():
    with pytest.raises(ConfigError, match="projected_dual"):
        softplus_dual(initial=0.0)


def test_it_settles_where_the_constraint_holds():
    """max 4x − x² subject to x ≤ 1: the best answer to λ is x = (4 − λ)/2, so λ = 2."""
    for dual in (projected_dual(learning_rate=0.2), softplus_dual(), pid_dual()):

        def step(state, _, dual=dual):
            x = (4.0 - dual.value(state)) / 2.0
            return dual.update(state, x - 1.0), dual.value(state)

        _, path = jax.lax.scan(step, dual.init(), length=3000)
        np.testing.assert_allclose(path[-1], 2.0, atol=1e-3)
