"""Dynamic programming against enumeration and against a slow recursion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.tabular import (
    action_values,
    advantages,
    enumerate_trajectories,
    enumerated_return,
    expected_cost,
    expected_return,
    occupancies,
    performance_difference,
    random_mdp,
    state_values,
    surrogate_value,
    tabular_mdp,
    trajectory_log_probs,
)


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.fixture(params=["stochastic", "deterministic"])
def problem(request):
    """An MDP with a terminal state, γ < 1, and two policies."""
    keys = jax.random.split(jax.random.key(11), 3)
    options = {"deterministic": request.param == "deterministic", "terminal_states": 1}
    mdp = random_mdp(keys[0], 4, 3, horizon=3, discount=0.8, **options)
    return mdp, *(jax.random.normal(key, (4, 3)) for key in keys[1:])


def masses_of(mdp, logits):
    trajectories = enumerate_trajectories(mdp)
    return trajectories, np.exp(trajectory_log_probs(trajectories, logits))


def slow_q(mdp, policy, t, s, a):
    """Q_t(s, a) by plain recursion."""
    if mdp.terminal[s] or t == mdp.horizon:
        return 0.0
    total = 0.0
    for s_next, p in enumerate(np.asarray(mdp.transitions[s, a])):
        onward = sum(
            policy[s_next, b] * slow_q(mdp, policy, t + 1, s_next, b)
            for b in range(policy.shape[1])
            if t + 1 < mdp.horizon and p > 0
        )
        total += p * (mdp.rewards[s, a, s_next] + mdp.discount * onward)
    return total


def test_action_values_are_those_of_a_plain_recursion(problem):
    mdp, logits, _ = problem
    policy = np.asarray(jax.nn.softmax(logits))
    host = jax.tree.map(np.asarray, mdp)
    found = action_values(mdp, logits)
    assert found.shape == (3, 4, 3)
    for t, s, a in [(0, 0, 1), (0, 2, 0), (1, 1, 2), (2, 0, 0), (1, 3, 1)]:
        equal(found[t, s, a], slow_q(host, policy, t, s, a))


def test_by_hand():
    """One state, two actions: 0 goes on for 2, 1 ends for 5; π(1) = 1/4, γ = 1/2."""
    mdp = tabular_mdp(
        [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]],
        [[2.0, 5.0], [100.0, 100.0]],
        initial=[1.0, 0.0],
        terminal=[False, True],
        horizon=2,
        discount=0.5,
        costs=[[1.0, 10.0], [100.0, 100.0]],
    )
    logits = jnp.log(jnp.array([[0.75, 0.25], [0.5, 0.5]]))
    last = 0.75 * 2 + 0.25 * 5
    equal(state_values(mdp, logits)[:, 0], [0.75 * (2 + last / 2) + 1.25, last, 0.0])
    equal(action_values(mdp, logits)[0], [[2 + last / 2, 5.0], [0.0, 0.0]])
    equal(expected_return(mdp, logits), 0.75 * (2 + last / 2) + 1.25)
    equal(occupancies(mdp, logits), [[1.0, 0.0], [0.75, 0.0]])
    equal(expected_cost(mdp, logits), 1.75 * (0.75 * 1 + 0.25 * 10))


def test_the_expected_return_is_that_of_all_trajectories(problem):
    mdp, logits, _ = problem
    trajectories = enumerate_trajectories(mdp)
    exact = enumerated_return(trajectories, logits, discount=mdp.discount)
    equal(expected_return(mdp, logits), exact)


def test_the_expected_cost_is_not_discounted(problem):
    mdp, logits, _ = problem
    trajectories, masses = masses_of(mdp, logits)
    equal(expected_cost(mdp, logits), masses @ np.sum(trajectories.costs, axis=1))


def test_occupancies_are_frequencies_of_valid_steps(problem):
    mdp, logits, _ = problem
    trajectories, masses = masses_of(mdp, logits)
    found = occupancies(mdp, logits)
    for t in range(mdp.horizon):
        for s in range(4):
            here = (trajectories.states[:, t] == s) & trajectories.mask[:, t]
            equal(found[t, s], masses @ np.asarray(here))
    equal(jnp.sum(found, axis=1), masses @ np.asarray(trajectories.mask))
    assert np.sum(found[-1]) < 0.99


def test_advantages_average_to_nothing_and_values_are_means(problem):
    mdp, logits, _ = problem
    policy = jax.nn.softmax(logits)
    equal(jnp.sum(policy * advantages(mdp, logits), axis=-1), np.zeros((3, 4)))
    values = state_values(mdp, logits)
    assert values.shape == (4, 4)
    equal(values[-1], np.zeros(4))
    equal(values[:, 3], np.zeros(4))
    equal(values[:-1], jnp.sum(policy * action_values(mdp, logits), axis=-1))


def test_performance_difference(problem):
    mdp, old, new = problem
    difference = expected_return(mdp, new) - expected_return(mdp, old)
    assert abs(difference) > 0.01
    equal(performance_difference(mdp, new, old), difference)


def test_the_surrogate_is_the_difference_but_for_the_states(problem):
    mdp, old, new = problem
    gain = jnp.sum(jax.nn.softmax(new) * advantages(mdp, old), axis=-1)
    expected = sum(
        mdp.discount**t * occupancies(mdp, old)[t] @ gain[t] for t in range(mdp.horizon)
    )
    equal(surrogate_value(mdp, new, old), expected)
    assert abs(expected - performance_difference(mdp, new, old)) > 1e-3
    equal(surrogate_value(mdp, old, old), 0.0)


@pytest.fixture
def changing(problem):
    """The MDP, and a policy with another table for each step."""
    return problem[0], jax.random.normal(jax.random.key(17), (3, 4, 3))


def slow_masses(mdp, step_logits):
    """The probability of every trajectory, step by step."""
    trajectories = enumerate_trajectories(mdp)
    policies = np.asarray(jax.nn.softmax(step_logits))
    masses = np.exp(trajectories.log_dynamics)
    states, actions = np.asarray(trajectories.states), np.asarray(trajectories.actions)
    for i, t in zip(*np.nonzero(np.asarray(trajectories.mask)), strict=True):
        masses[i] *= policies[t, states[i, t], actions[i, t]]
    return trajectories, masses


def test_a_policy_may_change_with_the_step(changing):
    mdp, step_logits = changing
    trajectories, masses = slow_masses(mdp, step_logits)
    equal(np.exp(trajectory_log_probs(trajectories, step_logits)), masses)
    discounts = mdp.discount ** np.arange(3)
    exact = masses @ (np.asarray(trajectories.rewards) @ discounts)
    equal(expected_return(mdp, step_logits), exact)
    exact = masses @ np.sum(trajectories.costs, axis=1)
    equal(expected_cost(mdp, step_logits), exact)
    found = occupancies(mdp, step_logits)
    for t in range(3):
        for s in range(4):
            here = (trajectories.states[:, t] == s) & trajectories.mask[:, t]
            equal(found[t, s], masses @ np.asarray(here))


def test_differences_of_policies_that_change_and_that_do_not(problem, changing):
    """Either may be the new one; a surrogate at the same policy is nothing."""
    mdp, stationary, _ = problem
    _, step_logits = changing
    for new, old in ((step_logits, stationary), (stationary, step_logits)):
        difference = expected_return(mdp, new) - expected_return(mdp, old)
        assert abs(difference) > 0.01
        equal(performance_difference(mdp, new, old), difference)
    equal(surrogate_value(mdp, step_logits, step_logits), 0.0)


def test_a_stationary_policy_is_one_that_repeats(problem):
    mdp, logits, other = problem
    repeated = jnp.tile(logits, (3, 1, 1))
    functions = (action_values, state_values, advantages, occupancies, expected_cost)
    for function in (*functions, expected_return):
        equal(function(mdp, repeated), function(mdp, logits))
    for function in (performance_difference, surrogate_value):
        equal(function(mdp, repeated, other), function(mdp, logits, other))
    by_step = jax.grad(expected_return, argnums=1)(mdp, repeated)
    stationary = jax.grad(expected_return, argnums=1)(mdp, logits)
    equal(jnp.sum(by_step, axis=0), stationary)
