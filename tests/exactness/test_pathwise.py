"""The pathwise reverse-KL estimator against the exact gradient of the soft return."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators import reverse_kl_pathwise_loss, reverse_kl_score_loss
from reins.tabular import (
    LinearPolicy,
    gauss_hermite_grid,
    linear_quadratic,
    linear_quadratic_reverse_kl,
    quadratic_value,
    quadratic_values,
    soft_linear_quadratic_return,
    state_moments,
)

TEMPERATURE = 0.6
HELD = jax.lax.stop_gradient


def equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def apart(found, expected) -> float:
    """Relative distance of two gradients."""
    found, expected = jnp.stack(found), jnp.stack(expected)
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


def policy_of():
    return LinearPolicy(*map(jnp.asarray, (0.35, -0.4, -0.3)))


def problem_of(discount=1.0):
    return linear_quadratic(
        horizon=3,
        state_factor=0.9,
        action_factor=-0.6,
        drift=0.3,
        noise_std=0.4,
        goal=1.2,
        state_weight=0.7,
        action_weight=0.2,
        initial_mean=-0.5,
        initial_std=0.8,
        prior_std=1.5,
        discount=discount,
    )


# What an estimator is given at states (N, 1) with noise (N, K): log π, log π₀ and Q of
# the actions, as functions of the policy that is differentiated.


def pathwise(problem, policy, forms, t, states, noise):
    actions = policy.act(states, noise)
    q_values = quadratic_value(forms[t], states, actions)
    return policy.log_prob(states, actions), problem.log_prior(actions), q_values


def log_prob_of_held_actions(problem, policy, forms, t, states, noise):
    actions = policy.act(states, noise)
    _, log_priors, q_values = pathwise(problem, policy, forms, t, states, noise)
    return policy.log_prob(states, HELD(actions)), log_priors, q_values


def values_of_held_actions(problem, policy, forms, t, states, noise):
    log_probs, log_priors, q_values = pathwise(problem, policy, forms, t, states, noise)
    return log_probs, log_priors, HELD(q_values)


def moving_critic(problem, policy, forms, t, states, noise):
    """Differentiates the coefficients of Q as well, which depend on the policy."""
    del forms
    forms = quadratic_values(problem, policy, temperature=TEMPERATURE)
    return pathwise(problem, policy, forms, t, states, noise)


def held_actions(problem, policy, forms, t, states, noise):
    actions = HELD(policy.act(states, noise))
    q_values = quadratic_value(forms[t], states, actions)
    return policy.log_prob(states, actions), problem.log_prior(actions), q_values


def mean_estimate(
    problem, terms=pathwise, *, n=1, k=1, loss=reverse_kl_pathwise_loss, weights=None
):
    """Σ_t γ^t E[ĝ] over N states of step t and K actions in each, by quadrature."""
    points, log_weights = gauss_hermite_grid(3, n + n * k)

    @jax.jit
    def run(policy):
        moments = state_moments(problem, policy)
        forms = quadratic_values(problem, policy, temperature=TEMPERATURE)

        def estimate(point, t):
            states = moments.mean[t] + jnp.sqrt(moments.variance[t]) * point[:n, None]
            noise = point[n:].reshape(n, k)

            def of(policy):
                arrays = terms(problem, policy, forms, t, states, noise)
                options = {"temperature": TEMPERATURE, "state_weights": weights}
                return loss(*arrays, **options)[0]

            return jax.tree.map(jnp.negative, jax.grad(of)(policy))

        steps = jnp.arange(problem.horizon)
        over_points = jax.vmap(estimate, in_axes=(0, None))
        found = jax.vmap(over_points, in_axes=(None, 0))(points, steps)
        masses = problem.discount ** steps[:, None] * jnp.exp(log_weights)
        return jax.tree.map(lambda slopes: jnp.sum(masses * slopes), found)

    return run(policy_of())


@jax.jit
def soft_gradient(problem):
    def soft_return(policy):
        return soft_linear_quadratic_return(problem, policy, temperature=TEMPERATURE)

    return jax.grad(soft_return)(policy_of())


@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_unbiased_for_the_soft_return(discount):
    problem = problem_of(discount)
    equal(mean_estimate(problem), soft_gradient(problem))


def test_unbiased_for_minus_the_reverse_kl():
    problem = problem_of()

    @jax.jit
    def gradient(policy):
        def objective(policy):
            terms = {"temperature": TEMPERATURE}
            return -TEMPERATURE * linear_quadratic_reverse_kl(problem, policy, **terms)

        return jax.grad(objective)(policy)

    equal(mean_estimate(problem), gradient(policy_of()))


def test_unbiased_with_two_states_and_two_actions_in_each():
    problem = problem_of()
    equal(mean_estimate(problem, n=2, k=2), soft_gradient(problem))


def test_weights_of_states_that_sum_to_one_keep_the_mean():
    problem = problem_of()
    found = mean_estimate(problem, n=2, weights=jnp.array([0.9, 0.1]))
    equal(found, soft_gradient(problem))


def test_the_score_function_form_has_the_same_mean():
    problem = problem_of()
    found = mean_estimate(problem, held_actions, k=2, loss=reverse_kl_score_loss)
    equal(found, soft_gradient(problem))


@pytest.mark.parametrize(
    "mistake", [log_prob_of_held_actions, values_of_held_actions, moving_critic]
)
def test_a_gradient_stopped_or_let_through_in_the_wrong_place_is_a_bias(mistake):
    problem = problem_of()
    assert apart(mean_estimate(problem, mistake), soft_gradient(problem)) > 0.05


def test_held_actions_in_log_prob_lose_exactly_the_entropy():
    """The score has mean zero: what is missing is α T d/d log std of the entropy."""
    problem = problem_of()
    found = mean_estimate(problem, log_prob_of_held_actions)
    gain, offset, log_std = soft_gradient(problem)
    missing = TEMPERATURE * problem.horizon
    equal(found, LinearPolicy(gain, offset, log_std - missing))
