"""Targets of a soft critic: by hand, and by what a table fitted to them becomes."""

import jax.numpy as jnp
import numpy as np

from reins.credit import soft_td_targets
from reins.tabular import soft_action_values, tabular_mdp

S, A, DISCOUNT, ALPHA = 3, 2, 0.7, 0.4


def test_by_hand():
    found = soft_td_targets(
        jnp.array([1.0, -2.0, 0.5]),
        jnp.array([10.0, 4.0, 7.0]),
        jnp.array([0.5, -1.0, 3.0]),
        jnp.array([False, False, True]),
        discount=0.9,
        temperature=2.0,
    )
    expected = [1.0 + 0.9 * (10.0 - 1.0), -2.0 + 0.9 * (4.0 + 2.0), 0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_without_a_temperature_it_is_the_classic_target():
    q, ends = jnp.array([3.0, 5.0]), jnp.array([False, True])
    found = soft_td_targets(
        jnp.array([1.0, 2.0]),
        q,
        jnp.array([9.0, -9.0]),
        ends,
        discount=0.5,
        temperature=0.0,
    )
    np.testing.assert_allclose(found, [2.5, 2.0])


def test_fitted_to_its_own_targets_a_table_is_the_soft_q():
    rng = np.random.default_rng(0)
    following, rewards = rng.integers(0, S, (S, A)), rng.normal(size=(S, A))
    transitions = np.eye(S)[following]
    policy = rng.dirichlet(np.ones(A), S)
    log_prior = np.log(rng.dirichlet(np.ones(A), S))
    ratios = np.log(policy) - log_prior
    q = np.zeros((S, A))
    for _ in range(200):
        values = np.sum(policy * q, 1), np.sum(policy * ratios, 1)
        q = np.asarray(
            soft_td_targets(
                jnp.asarray(rewards).ravel(),
                jnp.asarray(values[0][following]).ravel(),
                jnp.asarray(values[1][following]).ravel(),
                jnp.zeros(S * A, bool),
                discount=DISCOUNT,
                temperature=ALPHA,
            )
        ).reshape(S, A)
    mdp = tabular_mdp(
        transitions, rewards, initial=np.ones(S) / S, horizon=200, discount=DISCOUNT
    )
    exact = soft_action_values(
        mdp, jnp.log(policy), jnp.asarray(log_prior), temperature=ALPHA
    )[0]
    np.testing.assert_allclose(q, exact, rtol=1e-4, atol=1e-5)
