"""Message passing over S2's model against all its trajectories."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.tabular import (
    enumerate_trajectories,
    expected_visits,
    kl_new_old,
    kl_old_new,
    log_likelihood,
    log_likelihood_gradient,
    log_partition,
    model_log_probs,
    random_mdp,
    tabular_mdp,
    visit_counts,
)

TEMPERATURE = 0.7


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.fixture(params=["deterministic", "stochastic"])
def problem(request):
    """An MDP with a terminal state (and a discount, which the model ignores), two ζ."""
    keys = jax.random.split(jax.random.key(31), 3)
    options = {"deterministic": request.param == "deterministic", "terminal_states": 1}
    mdp = random_mdp(keys[0], 4, 2, horizon=3, discount=0.5, **options)
    tables = (jax.nn.log_sigmoid(jax.random.normal(key, (4, 2))) for key in keys[1:])
    return mdp, *tables


def slow_scores(mdp, log_zeta):
    """exp of log p(s_0) Π P exp(r/α) Π ζ for every trajectory, one at a time."""
    trajectories = enumerate_trajectories(mdp)
    states, actions, log_p, rewards, _, mask = map(np.asarray, trajectories)
    scores = []
    for i in range(len(mask)):
        score = np.exp(log_p[i])
        for t in np.flatnonzero(mask[i]):
            zeta = np.exp(log_zeta[states[i, t], actions[i, t]])
            score *= zeta * np.exp(rewards[i, t] / TEMPERATURE)
        scores.append(score)
    return trajectories, np.asarray(scores)


def test_log_partition(problem):
    mdp, log_zeta, _ = problem
    _, scores = slow_scores(mdp, log_zeta)
    found = log_partition(mdp, log_zeta, temperature=TEMPERATURE)
    equal(found, np.log(np.sum(scores)))


def test_without_rewards_and_constraints_it_counts_trajectories():
    """Deterministic and indifferent: Z is the number of action sequences."""
    p = jax.nn.one_hot(jnp.array([[0, 1, 1], [1, 0, 0]]), 2)
    mdp = tabular_mdp(p, jnp.zeros((2, 3)), initial=[0.4, 0.6], horizon=4)
    equal(log_partition(mdp, jnp.zeros((2, 3))), 4 * np.log(3))


def test_the_model_is_normalised_and_in_proportion(problem):
    mdp, log_zeta, _ = problem
    trajectories, scores = slow_scores(mdp, log_zeta)
    found = model_log_probs(trajectories, log_zeta, temperature=TEMPERATURE)
    equal(np.exp(found), scores / np.sum(scores))


def test_expected_visits_are_mean_counts(problem):
    mdp, log_zeta, _ = problem
    trajectories, scores = slow_scores(mdp, log_zeta)
    counts = visit_counts(trajectories, states=4, actions=2)
    expected = np.tensordot(scores / np.sum(scores), np.asarray(counts), axes=1)
    found = expected_visits(mdp, log_zeta, temperature=TEMPERATURE)
    equal(found, expected)
    lengths = np.sum(np.asarray(trajectories.mask), axis=1)
    equal(jnp.sum(found), scores @ lengths / np.sum(scores))


def test_visit_counts_count_valid_steps_only(problem):
    trajectories = enumerate_trajectories(problem[0])
    counts = np.zeros((len(trajectories.mask), 4, 2))
    states, actions, *_, mask = map(np.asarray, trajectories)
    for i, t in zip(*np.nonzero(mask), strict=True):
        counts[i, states[i, t], actions[i, t]] += 1
    equal(visit_counts(trajectories, states=4, actions=2), counts)


def demonstrations_of(mdp):
    trajectories = enumerate_trajectories(mdp)
    rows = jnp.array([0, 3, 3, len(trajectories.mask) - 1])
    return trajectories, jax.tree.map(lambda x: x[rows], trajectories), rows


def test_log_likelihood_is_the_mean_of_log_probabilities(problem):
    mdp, log_zeta, _ = problem
    trajectories, demonstrations, rows = demonstrations_of(mdp)
    found = log_likelihood(mdp, log_zeta, demonstrations, temperature=TEMPERATURE)
    log_p = model_log_probs(trajectories, log_zeta, temperature=TEMPERATURE)
    equal(found, jnp.mean(log_p[rows]))


def test_its_gradient_is_its_derivative(problem):
    mdp, log_zeta, _ = problem
    _, demonstrations, _ = demonstrations_of(mdp)
    of = partial(log_likelihood, temperature=TEMPERATURE)
    derivative = jax.grad(of, argnums=1)(mdp, log_zeta, demonstrations)
    found = log_likelihood_gradient(
        mdp, log_zeta, demonstrations, temperature=TEMPERATURE
    )
    equal(found, derivative)
    step = 1e-5
    up, down = (
        of(mdp, log_zeta.at[1, 1].add(h), demonstrations) for h in (step, -step)
    )
    assert abs(found[1, 1] - (up - down) / (2 * step)) < 1e-8
    assert jnp.linalg.norm(found) > 0.05


def test_kls_are_those_of_the_two_distributions(problem):
    mdp, old, new = problem
    trajectories, scores_old = slow_scores(mdp, old)
    _, scores_new = slow_scores(mdp, new)
    p, q = scores_old / scores_old.sum(), scores_new / scores_new.sum()
    forward, backward = p @ np.log(p / q), q @ np.log(q / p)
    assert abs(forward - backward) > 1e-3
    options = {"temperature": TEMPERATURE}
    equal(kl_old_new(mdp, old, new, **options), forward)
    equal(kl_new_old(mdp, old, new, **options), backward)
    equal(kl_old_new(mdp, old, old, **options), 0.0)
    assert len(trajectories.mask) > 10


def test_stochastic_dynamics_are_changed_by_the_model():
    """Correction 11: the model prefers lucky transitions to those of the MDP."""
    p = jnp.array([[[0.5, 0.5]], [[0.5, 0.5]]])
    rewards = jnp.array([[[0.0, 2.0]], [[0.0, 2.0]]])
    mdp = tabular_mdp(p, rewards, initial=[1.0, 0.0], horizon=1)
    trajectories = enumerate_trajectories(mdp)
    masses = jnp.exp(model_log_probs(trajectories, jnp.zeros((2, 1))))
    lucky = trajectories.states[:, 1] == 1
    equal(jnp.sum(masses[lucky]), 1 / (1 + np.exp(-2.0)))
