"""Value critics and their loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.critics import (
    action_value_critic,
    state_action_critic,
    value_critic,
    value_loss,
)
from reins.errors import ConfigError
from tests.toys import linear_critic

VALUES = jnp.array([[1.0, 2.0, -3.0], [0.5, 4.0, 9.0]])
TARGETS = jnp.array([[1.5, 2.0, -1.0], [0.5, 1.0, jnp.nan]])
MASK = jnp.array([[True, True, True], [True, True, False]])


def test_a_critic_gives_one_number_per_observation():
    critic = value_critic(3, hidden=(4,))(jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (2, 5, 3))
    assert critic(observations).shape == (2, 5)
    np.testing.assert_allclose(
        critic(observations)[1, 2], critic(observations[1, 2]), rtol=1e-5
    )


def test_a_critic_of_actions_gives_one_number_for_each():
    critic = action_value_critic(3, 4, hidden=(5,))(jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (2, 6, 3))
    values = critic(observations)
    assert values.shape == (2, 6, 4)
    np.testing.assert_allclose(values[1, 2], critic(observations[1, 2]), rtol=1e-4)
    assert len(np.unique(np.asarray(values[0, 0]))) == 4


def test_a_critic_of_states_and_actions_is_the_network_of_both_at_once():
    critic = state_action_critic(3, 2, hidden=(5, 4))(jax.random.key(0))
    observations = jax.random.normal(jax.random.key(1), (6, 3))
    actions = jax.random.normal(jax.random.key(2), (7, 6, 2))
    values = critic(observations, actions)
    assert values.shape == (7, 6)
    for k in range(7):
        joined = jnp.concatenate([observations, actions[k]], axis=-1)
        whole = critic.network(joined)[:, 0]
        np.testing.assert_allclose(values[k], whole, rtol=1e-4, atol=1e-6)
    alone = critic(observations, actions[3])
    np.testing.assert_allclose(alone, values[3], rtol=1e-5, atol=1e-6)


def test_a_critic_of_actions_without_hidden_layers_is_refused():
    with pytest.raises(ConfigError, match="linear in the action"):
        state_action_critic(3, 2, hidden=())


def test_the_network_gives_the_value():
    critic = linear_critic([2.0, -1.0], 0.5)
    found = critic(jnp.array([[1.0, 3.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [-0.5, 0.5])


def test_the_loss_is_half_the_mean_square_over_valid_steps():
    expected = 0.5 * (0.25 + 0.0 + 4.0 + 0.0 + 9.0) / 5
    np.testing.assert_allclose(value_loss(VALUES, TARGETS, MASK), expected, rtol=1e-6)


def test_no_valid_step_is_no_loss():
    assert value_loss(VALUES, TARGETS, jnp.zeros_like(MASK)) == 0.0


def test_targets_are_held_fixed():
    def loss(values, targets):
        return value_loss(values, targets, MASK)

    targets = jnp.nan_to_num(TARGETS)
    by_values, by_targets = jax.grad(loss, argnums=(0, 1))(VALUES, targets)
    np.testing.assert_array_equal(by_targets, 0.0)
    expected = np.where(MASK, VALUES - targets, 0.0) / 5
    np.testing.assert_allclose(by_values, expected, rtol=1e-6)
