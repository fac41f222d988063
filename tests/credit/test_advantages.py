"""GAE on rows of several episodes, against a loop that knows where each one ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reins import credit
from tests import strategies as some

# Compiled here, or the scan would compile anew for every example.
returns_to_go = jax.jit(credit.returns_to_go, static_argnames="discount")
gae_advantages = jax.jit(
    credit.gae_advantages, static_argnames=("discount", "gae_lambda")
)
td_errors = credit.td_errors
N, T = some.N, some.T
TABLES = st.tuples(*[some.arrays((N, T))] * 3)
"""Rewards, values and next values, all of them free."""


def slow_gae(rewards, values, next_values, terminated, ends, discount, gae_lambda):
    """A_t = Σ_k (γλ)^k δ_{t+k} up to and including the step that ends the episode."""
    found = np.zeros((N, T))
    for i in range(N):
        for t in range(T):
            for k in range(t, T):
                bootstrap = 0.0 if terminated[i, k] else discount * next_values[i, k]
                delta = rewards[i, k] + bootstrap - values[i, k]
                found[i, t] += (discount * gae_lambda) ** (k - t) * delta
                if ends[i, k]:
                    break
    return found


def gae(tables, terminated, ends, **options):
    arrays = (*tables, terminated, ends)
    return gae_advantages(*map(jnp.asarray, arrays), **options)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
@given(tables=TABLES, terminated=some.flags(), truncated=some.flags())
def test_across_ends_of_both_kinds(gae_lambda, tables, terminated, truncated):
    """A terminated step has no bootstrap, a truncated one has; neither looks on."""
    truncated = truncated & ~terminated
    ends = terminated | truncated
    options = {"discount": 0.9, "gae_lambda": gae_lambda}
    expected = slow_gae(*tables, terminated, ends, *options.values())
    close(gae(tables, terminated, ends, **options), expected)


@given(tables=TABLES, terminated=some.flags())
def test_lambda_0_is_the_td_error(tables, terminated):
    found = gae(tables, terminated, terminated, discount=0.8, gae_lambda=0.0)
    arrays = map(jnp.asarray, (*tables, terminated))
    close(found, td_errors(*arrays, discount=0.8))


@given(tables=TABLES)
def test_lambda_1_is_the_return_less_the_value(tables):
    """One whole episode a row: G_t − V(s_t), whatever the critic says in between."""
    rewards, values, _ = tables
    next_values = np.hstack([values[:, 1:], values[:, :1]])
    ends = np.zeros((N, T), bool)
    ends[:, -1] = True
    tables = (rewards, values, next_values)
    found = gae(tables, ends, ends, discount=0.9, gae_lambda=1.0)
    to_go = returns_to_go(jnp.asarray(rewards), jnp.ones((N, T), bool), discount=0.9)
    close(found, to_go - values)


@given(tables=TABLES)
def test_lambda_1_cut_off_keeps_the_bootstrap(tables):
    """Truncated at the last step: G_t + γ^{T−t} V(s_T) − V(s_t)."""
    rewards, values, _ = tables
    last = np.array([0.5, -1.0, 2.0], np.float32)[:, None]
    next_values = np.hstack([values[:, 1:], last])
    ends = np.zeros((N, T), bool)
    ends[:, -1] = True
    tables = (rewards, values, next_values)
    found = gae(tables, np.zeros_like(ends), ends, discount=0.9, gae_lambda=1.0)
    to_go = returns_to_go(jnp.asarray(rewards), jnp.ones((N, T), bool), discount=0.9)
    close(found, to_go + 0.9 ** (T - np.arange(T)) * last - values)


def test_td_errors_by_hand():
    found = td_errors(
        jnp.array([[1.0, 2.0]]),
        jnp.array([[0.5, 3.0]]),
        jnp.array([[3.0, 100.0]]),
        jnp.array([[False, True]]),
        discount=0.9,
    )
    np.testing.assert_allclose(found, [[1.0 + 2.7 - 0.5, 2.0 - 3.0]], rtol=1e-6)


@given(tables=TABLES, order=some.permutations)
def test_rows_are_independent(tables, order):
    terminated = np.zeros((N, T), bool)
    terminated[0, 1] = terminated[2, 3] = True
    options = {"discount": 0.9, "gae_lambda": 0.7}
    found = np.asarray(gae(tables, terminated, terminated, **options))
    permuted = [x[order] for x in (*tables, terminated, terminated)]
    close(gae(permuted[:3], *permuted[3:], **options), found[order])


def test_what_follows_an_end_changes_nothing_before_it():
    """Padding after the end of an episode, or another episode, is out of sight."""
    generator = np.random.default_rng(0)
    tables = generator.normal(size=(3, N, T)).astype(np.float32)
    terminated = np.zeros((N, T), bool)
    truncated = np.zeros((N, T), bool)
    terminated[0, 2] = truncated[1, 2] = truncated[2, 2] = True
    options = {"discount": 0.9, "gae_lambda": 0.7}
    found = gae(tables, terminated, terminated | truncated, **options)
    tables[:, :, 3:] = 55.0
    again = gae(tables, terminated, terminated | truncated, **options)
    np.testing.assert_array_equal(found[:, :3], again[:, :3])
    assert not np.allclose(found[:, 3:], again[:, 3:])
