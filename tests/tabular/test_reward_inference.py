"""Maximum-entropy IRL against enumeration of trajectories."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.tabular import (
    RewardProblem,
    enumerate_trajectories,
    infer_rewards,
    model_passes,
    random_mdp,
    reward_log_likelihood,
    trajectory_model,
)

STATES, ACTIONS, FEATURES = 4, 2, 3
TEMPERATURE = 0.7


def equal(found, expected, atol=1e-10):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.fixture(params=["deterministic", "stochastic"])
def problem(request):
    """Known rewards, three features, visits of a model with weights of its own."""
    keys = jax.random.split(jax.random.key(3), 3)
    options = {"deterministic": request.param == "deterministic", "terminal_states": 1}
    mdp = random_mdp(keys[0], STATES, ACTIONS, horizon=4, **options)
    features = jax.random.normal(keys[1], (STATES, ACTIONS, FEATURES))
    truth = jnp.array([0.8, -0.5, 0.3])
    visits = passes_at(mdp, features, truth).visits
    return RewardProblem(mdp, features, visits, TEMPERATURE), truth


def passes_at(mdp, features, weights):
    log_zeta = features @ weights / TEMPERATURE
    return model_passes(trajectory_model(mdp, log_zeta, temperature=TEMPERATURE))


def slow_counts(problem):
    """Summed features of every trajectory, and the logs of their weights at w = 0."""
    states, actions, log_p, rewards, _, mask = map(
        np.asarray, enumerate_trajectories(problem.mdp)
    )
    features = np.asarray(problem.features)
    counts = np.zeros((len(mask), FEATURES))
    for i, t in zip(*np.nonzero(mask), strict=True):
        counts[i] += features[states[i, t], actions[i, t]]
    return counts, log_p + (rewards * mask).sum(axis=1) / TEMPERATURE


def test_the_likelihood_and_its_gradient_are_sums_over_trajectories(problem):
    problem, _ = problem
    weights = jnp.array([0.2, 0.4, -0.6])
    counts, scores = slow_counts(problem)
    shown = np.einsum("sa,sak->k", problem.visits, problem.features)
    scores = scores + counts @ weights / TEMPERATURE
    log_z = np.log(np.sum(np.exp(scores)))
    likelihood = shown @ weights / TEMPERATURE - log_z
    value, gradient = jax.value_and_grad(reward_log_likelihood, argnums=1)(
        problem, weights
    )
    equal(value, likelihood)
    expected = np.exp(scores - log_z) @ counts
    equal(gradient, (shown - expected) / TEMPERATURE)
    assert np.linalg.norm(gradient) > 0.1
    with_ridge = problem._replace(ridge=0.5)
    value, gradient = jax.value_and_grad(reward_log_likelihood, argnums=1)(
        with_ridge, weights
    )
    equal(value, likelihood - 0.25 * jnp.sum(weights**2))
    equal(gradient, (shown - expected) / TEMPERATURE - 0.5 * weights)


def test_demonstrations_of_a_model_give_back_its_weights(problem):
    problem, truth = problem
    found = infer_rewards(problem, tolerance=1e-9)
    assert float(found.mismatch) <= 1e-9
    equal(found.weights, truth, atol=1e-6)
    visits = passes_at(problem.mdp, problem.features, found.weights).visits
    expected = np.einsum("sa,sak->k", visits, problem.features)
    shown = np.einsum("sa,sak->k", problem.visits, problem.features)
    equal(expected, shown, atol=1e-8)


def test_features_of_no_consequence_do_not_hinder(problem):
    """A feature that is there twice: its two weights add up to the one."""
    problem, truth = problem
    twice = jnp.concatenate([problem.features, problem.features[..., :1]], axis=-1)
    found = infer_rewards(problem._replace(features=twice), tolerance=1e-9)
    equal(found.weights[0] + found.weights[3], truth[0], atol=1e-6)
    equal(found.weights[1:3], truth[1:], atol=1e-6)


def test_a_ridge_keeps_weights_of_what_is_never_done_finite(problem):
    problem, _ = problem
    never = jnp.zeros((STATES, ACTIONS, 1)).at[0, 1, 0].set(1.0)
    visits = jnp.zeros((STATES, ACTIONS)).at[0, 0].set(1.0)
    asked = problem._replace(features=never, visits=visits)
    free = infer_rewards(asked, most=30)
    held = infer_rewards(asked._replace(ridge=0.1), tolerance=1e-9)
    assert -5.0 < float(held.weights[0]) < -0.1
    assert float(free.weights[0]) < 2 * float(held.weights[0])
    assert float(held.mismatch) <= 1e-9
