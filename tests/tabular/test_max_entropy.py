"""The passes of a maximum-entropy model against all its trajectories, one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.tabular import (
    enumerate_trajectories,
    expected_visits,
    log_partition,
    model_log_partition,
    model_messages,
    model_passes,
    random_mdp,
    sample_walks,
    trajectory_model,
)

TEMPERATURE = 0.7
STATES, ACTIONS = 4, 2


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def random_zeta(key):
    """Some of it 0: these pairs are forbidden."""
    values, holes = jax.random.normal(key, (2, STATES, ACTIONS))
    return jnp.where(holes > 0.9, -jnp.inf, jax.nn.log_sigmoid(values))


@pytest.fixture(params=["deterministic", "stochastic"])
def problem(request):
    """An MDP with a terminal state, a ζ with zeros, and a forbidden state."""
    mdp_key, zeta_key = jax.random.split(jax.random.key(12))
    options = {"deterministic": request.param == "deterministic", "terminal_states": 1}
    mdp = random_mdp(mdp_key, STATES, ACTIONS, horizon=4, discount=0.5, **options)
    log_zeta = random_zeta(zeta_key)
    assert 0 < int(jnp.sum(jnp.isinf(log_zeta))) < 4
    return mdp, log_zeta, jnp.array([True, False, True, True])


def slow_weights(mdp, log_zeta, allowed, arrive):
    """The weight of every trajectory, by a loop over its steps."""
    trajectories = enumerate_trajectories(mdp)
    states, actions, log_p, rewards, _, mask = map(np.asarray, trajectories)
    weights = np.exp(log_p)
    for i in range(len(mask)):
        for t in np.flatnonzero(mask[i]):
            zeta = np.exp(log_zeta[states[i, t], actions[i, t]])
            weights[i] *= zeta * np.exp(rewards[i, t] / TEMPERATURE)
        weights[i] *= all(allowed[s] for s in states[i])
        weights[i] *= bool(mdp.terminal[states[i, -1]]) or not arrive
    return trajectories, weights


@pytest.mark.parametrize("arrive", [False, True])
def test_the_passes_are_sums_over_trajectories(problem, arrive):
    mdp, log_zeta, allowed = problem
    trajectories, weights = slow_weights(mdp, log_zeta, allowed, arrive)
    assert 3 < np.count_nonzero(weights) < len(weights)
    model = trajectory_model(
        mdp, log_zeta, allowed=allowed, arrive=arrive, temperature=TEMPERATURE
    )
    found = model_passes(model)
    equal(found.log_partition, np.log(weights.sum()))
    equal(model_log_partition(model), found.log_partition)
    masses = weights / weights.sum()
    states, actions, *_, mask = map(np.asarray, trajectories)
    visits = np.zeros((STATES, ACTIONS))
    marginals = np.zeros((mdp.horizon + 1, STATES))
    pairs = np.zeros((mdp.horizon, STATES, ACTIONS))
    for i in range(len(mask)):
        for t in range(mdp.horizon + 1):
            marginals[t, states[i, t]] += masses[i]
        for t in np.flatnonzero(mask[i]):
            visits[states[i, t], actions[i, t]] += masses[i]
            pairs[t, states[i, t], actions[i, t]] += masses[i]
    equal(found.visits, visits)
    equal(found.states, marginals)
    there = pairs.sum(axis=2)
    policies = pairs[there > 0] / there[there > 0][:, None]
    equal(np.asarray(found.policies)[there > 0], policies)


def test_what_is_impossible_has_exactly_no_mass(problem):
    mdp, log_zeta, allowed = problem
    found = model_passes(trajectory_model(mdp, log_zeta, allowed=allowed, arrive=True))
    assert np.all(np.asarray(found.visits)[np.isinf(log_zeta)] == 0.0)
    assert np.all(np.asarray(found.states)[:, ~np.asarray(allowed)] == 0.0)
    assert not np.isnan(jax.tree.leaves(found)[1]).any()


def test_without_rules_it_is_the_model_of_constraints(problem):
    mdp, _, _ = problem
    log_zeta = jax.nn.log_sigmoid(jax.random.normal(jax.random.key(2), (4, 2)))
    model = trajectory_model(mdp, log_zeta, temperature=TEMPERATURE)
    options = {"temperature": TEMPERATURE}
    equal(model_log_partition(model), log_partition(mdp, log_zeta, **options))
    visits = expected_visits(mdp, log_zeta, **options)
    equal(model_passes(model).visits, visits)


def test_when_nothing_is_allowed_there_is_no_mass_and_no_nan(problem):
    mdp, _, _ = problem
    model = trajectory_model(mdp, jnp.full((STATES, ACTIONS), -jnp.inf))
    found = model_passes(model)
    assert found.log_partition == -jnp.inf
    assert float(jnp.sum(found.visits)) == 0.0
    assert float(jnp.sum(found.states)) == 0.0


def test_messages_say_what_can_follow(problem):
    mdp, log_zeta, allowed = problem
    model = trajectory_model(mdp, log_zeta, allowed=allowed, arrive=True)
    messages = np.asarray(model_messages(model))
    equal(messages[:, -1], 0.0)
    assert np.all(messages[:, 1] == -np.inf)
    assert np.all(messages[-1, :-1] == -np.inf)


def test_walks_are_drawn_from_the_model(problem):
    mdp, log_zeta, allowed = problem
    _, weights = slow_weights(mdp, log_zeta, allowed, arrive=True)
    model = trajectory_model(
        mdp, log_zeta, allowed=allowed, arrive=True, temperature=TEMPERATURE
    )
    n = 4000
    walks = sample_walks(model, jax.random.key(0), n)
    assert walks.states.shape == (n, mdp.horizon + 1)
    assert bool(jnp.all(mdp.terminal[walks.states[:, -1]]))
    assert bool(jnp.all(allowed[walks.states]))
    equal(walks.mask, ~mdp.terminal[walks.states[:, :-1]])
    found = model_passes(model)
    share = np.stack([np.mean(walks.states == s, axis=0) for s in range(STATES)], 1)
    error = np.abs(share - found.states)
    spread = np.maximum(found.states * (1 - found.states), 0.0)
    bound = 5 * np.sqrt(spread / n)
    assert np.all(error <= bound + 1e-12)
    counts = np.zeros((STATES, ACTIONS))
    at = (walks.states[:, :-1][walks.mask], walks.actions[walks.mask])
    np.add.at(counts, tuple(map(np.asarray, at)), 1.0 / n)
    assert np.max(np.abs(counts - found.visits)) < 0.06
    assert np.max(np.asarray(found.visits)) > 0.3
    assert weights.sum() > 0
