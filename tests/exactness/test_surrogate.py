"""The surrogate and its clipped form, exactly: at the old policy and away from it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators import clipped_surrogate_loss, surrogate_loss
from reins.tabular import (
    advantages,
    occupancies,
    policy_gradient,
    surrogate_value,
    trajectory_log_probs,
)
from tests.exactness.problems import (
    at_steps,
    log_probs,
    mean_estimate,
    other_logits,
    policy_problem,
)

DISCOUNTS = [1.0, 0.7]


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def _terms(logits, batch, problem):
    """Log-ratios, exact advantages of the old policy, mask."""
    critic = advantages(problem.mdp, problem.logits)
    ratios = log_probs(logits, batch) - log_probs(problem.logits, batch)
    return ratios, at_steps(critic, batch), batch.mask


def _timed(logits, batch, problem):
    times = jnp.arange(problem.mdp.horizon)[None]
    options = {"times": times, "discount": problem.mdp.discount}
    return surrogate_loss(*_terms(logits, batch, problem), **options)[0]


def _untimed(logits, batch, problem):
    terms = _terms(logits, batch, problem)
    return surrogate_loss(*terms, discount=problem.mdp.discount)[0]


def _clipped(logits, batch, problem, clip_epsilon):
    terms = _terms(logits, batch, problem)
    return clipped_surrogate_loss(*terms, clip_epsilon=clip_epsilon)[0]


_CLIPPED = {x: partial(_clipped, clip_epsilon=x) for x in (0.1, 0.2, 0.4, float("inf"))}


@partial(jax.jit, static_argnames="loss")
def mean_value(loss, problem, logits):
    """−Σ_τ p_old(τ) loss(τ)."""
    masses = jnp.exp(trajectory_log_probs(problem.trajectories, problem.logits))
    singles = jax.tree.map(lambda x: x[:, None], problem.trajectories)
    losses = jax.vmap(lambda batch: loss(logits, batch, problem))(singles)
    return -jnp.sum(masses * losses)


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_at_the_old_policy_the_gradient_is_the_policy_gradient(discount):
    problem = policy_problem(2, discount=discount)
    found = mean_estimate(_timed, problem)
    equal(found, policy_gradient(problem.mdp, problem.logits))


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_away_from_it_the_value_is_the_surrogate(discount):
    problem = policy_problem(2, discount=discount)
    new = other_logits(problem)
    exact = surrogate_value(problem.mdp, new, problem.logits)
    assert abs(exact) > 0.05
    equal(mean_value(_timed, problem, new), exact)


def test_without_times_every_step_counts_the_same():
    problem = policy_problem(2, discount=0.7)
    found = mean_estimate(_untimed, problem)
    occupied = occupancies(problem.mdp, problem.logits)[:, :, None]
    critic = advantages(problem.mdp, problem.logits)
    equal(found, jax.nn.softmax(problem.logits) * jnp.sum(occupied * critic, axis=0))
    gradient = policy_gradient(problem.mdp, problem.logits)
    assert jnp.linalg.norm(found - gradient) > 0.05 * jnp.linalg.norm(gradient)


def test_clipping_at_infinity_is_no_clipping():
    problem = policy_problem(2)
    new = other_logits(problem)
    losses = (_CLIPPED[float("inf")], _untimed)
    equal(*(mean_value(loss, problem, new) for loss in losses))
    equal(*(mean_estimate(loss, problem, at=new) for loss in losses))


def test_at_the_old_policy_clipping_changes_no_gradient():
    problem = policy_problem(2)
    found = mean_estimate(_CLIPPED[0.1], problem)
    equal(found, policy_gradient(problem.mdp, problem.logits))


def test_clipping_stops_the_gradient_of_exactly_the_steps_that_it_should():
    problem = policy_problem(2)
    new = other_logits(problem)
    value, gradient, stopped = slow_clipped(problem, new, 0.2)
    equal(mean_value(_CLIPPED[0.2], problem, new), value)
    equal(mean_estimate(_CLIPPED[0.2], problem, at=new), gradient)
    assert stopped["gain"] > 0
    assert stopped["loss"] > 0
    assert stopped["neither"] > 0


def slow_clipped(problem, new, epsilon):
    """Value, gradient Σ_τ p Σ_t [not stopped] ρ A ∇log π, and how many were stopped.

    `neither`: outside of the clip range, but on the side where the gradient must go on.
    """
    old_policy, policy = (np.asarray(jax.nn.softmax(x)) for x in (problem.logits, new))
    critic = np.asarray(advantages(problem.mdp, problem.logits))
    masses = np.exp(trajectory_log_probs(problem.trajectories, problem.logits))
    states, actions = map(np.asarray, problem.trajectories[:2])
    value, gradient = 0.0, np.zeros_like(policy)
    stopped = {"gain": 0, "loss": 0, "neither": 0}
    for i, t in zip(*np.nonzero(np.asarray(problem.trajectories.mask)), strict=True):
        s, a = states[i, t], actions[i, t]
        ratio, advantage = policy[s, a] / old_policy[s, a], critic[t, s, a]
        if advantage > 0 and ratio > 1 + epsilon:
            value += masses[i] * (1 + epsilon) * advantage
            stopped["gain"] += 1
        elif advantage < 0 and ratio < 1 - epsilon:
            value += masses[i] * (1 - epsilon) * advantage
            stopped["loss"] += 1
        else:
            value += masses[i] * ratio * advantage
            stopped["neither"] += abs(ratio - 1) > epsilon
            score = np.eye(policy.shape[1])[a] - policy[s]
            gradient[s] += masses[i] * ratio * advantage * score
    return value, gradient, stopped


def test_the_clipped_surrogate_is_a_lower_bound():
    problem = policy_problem(2)
    new = other_logits(problem)
    free = mean_value(_untimed, problem, new)
    tight, loose = (mean_value(_CLIPPED[x], problem, new) for x in (0.1, 0.4))
    assert tight < loose < free
