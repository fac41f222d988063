"""The policy gradient in three ways, and by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.policies import TabularPolicy
from reins.tabular import (
    advantage_gradient,
    enumerate_trajectories,
    enumerated_return,
    expected_return,
    policy_gradient,
    random_mdp,
    step_log_probs,
    surrogate_value,
    trajectory_log_probs,
)


@pytest.fixture(params=[1.0, 0.6])
def problem(request):
    keys = jax.random.split(jax.random.key(21))
    options = {"discount": request.param, "terminal_states": 1}
    mdp = random_mdp(keys[0], 3, 2, horizon=3, **options)
    return mdp, jax.random.normal(keys[1], (3, 2))


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_the_theorem_the_recursion_and_the_enumeration_agree(problem):
    mdp, logits = problem
    gradient = policy_gradient(mdp, logits)
    assert jnp.linalg.norm(gradient) > 0.05
    equal(advantage_gradient(mdp, logits), gradient)
    trajectories = enumerate_trajectories(mdp)
    by_trajectories = jax.grad(enumerated_return, argnums=1)
    equal(by_trajectories(trajectories, logits, discount=mdp.discount), gradient)


def test_finite_differences(problem):
    mdp, logits = problem
    gradient = policy_gradient(mdp, logits)
    step = 1e-5
    for s, a in [(0, 0), (1, 1), (2, 0)]:
        moved = [expected_return(mdp, logits.at[s, a].add(h)) for h in (step, -step)]
        slope = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(gradient[s, a], slope, rtol=0, atol=1e-8)


def test_a_common_shift_of_a_states_logits_changes_nothing(problem):
    equal(jnp.sum(policy_gradient(*problem), axis=1), np.zeros(3))


def test_the_surrogate_has_the_same_gradient_at_the_old_policy(problem):
    mdp, logits = problem
    found = jax.grad(surrogate_value, argnums=1)(mdp, logits, logits)
    equal(found, policy_gradient(mdp, logits))


def test_log_probabilities_of_steps_and_trajectories(problem):
    mdp, logits = problem
    trajectories = enumerate_trajectories(mdp)
    by_policy = TabularPolicy(logits)(trajectories.states[:, :-1])
    expected = jnp.where(
        trajectories.mask, by_policy.log_prob(trajectories.actions), 0.0
    )
    equal(step_log_probs(trajectories, logits), expected)
    total = trajectories.log_dynamics + jnp.sum(expected, axis=1)
    equal(trajectory_log_probs(trajectories, logits), total)
