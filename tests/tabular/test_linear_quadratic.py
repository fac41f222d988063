"""The linear-quadratic problem against quadrature and against its density."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.tabular import (
    LinearPolicy,
    gauss_hermite,
    gauss_hermite_grid,
    linear_quadratic,
    linear_quadratic_log_evidence,
    linear_quadratic_messages,
    linear_quadratic_return,
    linear_quadratic_reverse_kl,
    posterior_state_moments,
    posterior_visit_moments,
    quadratic_advantages,
    quadratic_boltzmann_policy,
    quadratic_state_values,
    quadratic_value,
    quadratic_values,
    sample_linear_quadratic,
    smoothed_return,
    soft_linear_quadratic_return,
    soft_linear_quadratic_values,
    state_moments,
    visit_moments,
)

NUMBERS = {
    "state_factor": 0.9,
    "action_factor": -0.6,
    "drift": 0.3,
    "noise_std": 0.4,
    "goal": 1.2,
    "state_weight": 0.7,
    "action_weight": 0.2,
    "initial_mean": -0.5,
    "initial_std": 0.8,
    "prior_std": 1.5,
}
TEMPERATURE = 0.6


def problem_of(horizon=2, **changes):
    return linear_quadratic(horizon=horizon, **(NUMBERS | changes))


def policy_of(gain=0.35, offset=-0.4, log_std=-0.3):
    return LinearPolicy(*map(jnp.asarray, (gain, offset, log_std)))


def equal(found, expected):
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


# A slow path by quadrature: three nodes for each normal, as all is of second degree.


def log_normal(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * jnp.log(2 * jnp.pi)


def paths(problem, policy):
    """Every path of the quadrature: states, actions, log-weights."""
    points, log_weights = gauss_hermite_grid(3, 2 * problem.horizon + 1)
    states = [problem.initial_mean + problem.initial_std * points[:, 0]]
    actions = []
    for t in range(problem.horizon):
        mean = policy.gain * states[t] + policy.offset
        actions.append(mean + jnp.exp(policy.log_std) * points[:, 1 + 2 * t])
        moved = problem.state_factor * states[t] + problem.action_factor * actions[t]
        noise = problem.noise_std * points[:, 2 + 2 * t]
        states.append(moved + problem.drift + noise)
    return jnp.stack(states), jnp.stack(actions), log_weights


def soft_reward(problem, policy, t, state, action, temperature):
    reward = -problem.state_weight * (state - problem.goal) ** 2
    reward = reward - problem.action_weight * action**2
    mean, std = policy.gain * state + policy.offset, jnp.exp(policy.log_std)
    ratio = log_normal(action, mean, std) - log_normal(action, 0, problem.prior_std)
    return problem.discount**t * (reward - temperature * ratio)


def soft_total(problem, policy, states, actions, temperature):
    steps = [
        soft_reward(problem, policy, t, states[t], actions[t], temperature)
        for t in range(problem.horizon)
    ]
    return jnp.sum(jnp.stack(steps), axis=0)


# A second path by the density: its Hessian is minus the precision of (s_0..s_T, u).


def log_density(problem, policy, path):
    states, actions = path[: problem.horizon + 1], path[problem.horizon + 1 :]
    total = log_normal(states[0], problem.initial_mean, problem.initial_std)
    for t in range(problem.horizon):
        mean = policy.gain * states[t] + policy.offset
        moved = problem.state_factor * states[t] + problem.action_factor * actions[t]
        total += log_normal(actions[t], mean, jnp.exp(policy.log_std))
        total += log_normal(states[t + 1], moved + problem.drift, problem.noise_std)
    return total


def gaussian_of(log_density, size):
    """Mean, covariance and logarithm of the integral of exp(a quadratic)."""
    origin = jnp.zeros(size)
    precision = -jax.hessian(log_density)(origin)
    covariance = jnp.linalg.inv(precision)
    mean = covariance @ jax.grad(log_density)(origin)
    log_volume = (
        0.5 * size * jnp.log(2 * jnp.pi) - 0.5 * jnp.linalg.slogdet(precision)[1]
    )
    return mean, covariance, log_density(mean) + log_volume


DISCOUNTS = [1.0, 0.7]


@pytest.mark.parametrize("temperature", [0.0, TEMPERATURE])
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_returns_are_those_of_quadrature(discount, temperature):
    problem, policy = problem_of(discount=discount), policy_of()
    states, actions, log_weights = paths(problem, policy)
    totals = soft_total(problem, policy, states, actions, temperature)
    found = soft_linear_quadratic_return(problem, policy, temperature=temperature)
    equal(found, jnp.sum(jnp.exp(log_weights) * totals))
    if temperature == 0.0:
        equal(linear_quadratic_return(problem, policy), found)


@pytest.mark.parametrize("temperature", [0.0, TEMPERATURE])
def test_returns_are_those_of_the_density(temperature):
    problem, policy = problem_of(3, discount=0.8), policy_of()

    @jax.jit
    def expected():
        size = 2 * problem.horizon + 1
        density = partial(log_density, problem, policy)
        mean, covariance, _ = gaussian_of(density, size)

        def total(path):
            split = problem.horizon + 1
            terms = (path[:split], path[split:], temperature)
            return soft_total(problem, policy, *terms)

        return total(mean) + 0.5 * jnp.sum(jax.hessian(total)(mean) * covariance)

    found = soft_linear_quadratic_return(problem, policy, temperature=temperature)
    equal(found, expected())


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_the_gradient_is_the_mean_of_totals_times_scores(discount):
    problem, policy = problem_of(discount=discount), policy_of()

    @jax.jit
    def both(policy):
        def weighted_scores(policy):
            states, actions, log_weights = jax.lax.stop_gradient(paths(problem, policy))
            terms = (states, actions, TEMPERATURE)
            totals = jax.lax.stop_gradient(soft_total(problem, policy, *terms))
            mean = policy.gain * states[:-1] + policy.offset
            log_probs = log_normal(actions, mean, jnp.exp(policy.log_std))
            return jnp.sum(jnp.exp(log_weights) * totals * jnp.sum(log_probs, axis=0))

        def exact(policy):
            terms = {"temperature": TEMPERATURE}
            return soft_linear_quadratic_return(problem, policy, **terms)

        return jax.grad(exact)(policy), jax.grad(weighted_scores)(policy)

    equal(*both(policy))


def test_moments_are_those_of_quadrature():
    problem, policy = problem_of(), policy_of()
    states, _, log_weights = paths(problem, policy)
    weights = jnp.exp(log_weights)
    mean = states @ weights
    found = state_moments(problem, policy)
    equal(found, (mean, (states - mean[:, None]) ** 2 @ weights))


def test_visit_moments_are_those_of_quadrature():
    problem, policy = problem_of(), policy_of()
    states, actions, log_weights = paths(problem, policy)
    x = jnp.stack([jnp.ones_like(actions), states[:-1], actions])
    expected = jnp.einsum("itn,jtn,n->tij", x, x, jnp.exp(log_weights))
    equal(visit_moments(state_moments(problem, policy), policy), expected)


def test_moments_are_those_of_a_simulation():
    problem, policy, n = problem_of(4), policy_of(), 20_000
    drawn = sample_linear_quadratic(problem, policy, jax.random.key(3), n=n)
    mean, variance = state_moments(problem, policy)
    assert drawn.states.shape == (n, 5)
    far = jnp.abs(jnp.mean(drawn.states, axis=0) - mean) / jnp.sqrt(variance / n)
    assert jnp.max(far) < 5
    # The variance of (s − mean)² is 2 variance².
    squares = jnp.mean((drawn.states - mean) ** 2, axis=0)
    assert jnp.max(jnp.abs(squares - variance) / variance) < 5 * np.sqrt(2 / n)
    totals = np.asarray(jnp.sum(drawn.rewards, axis=1))
    found = linear_quadratic_return(problem, policy)
    assert abs(totals.mean() - found) < 5 * totals.std() / np.sqrt(n)


def test_a_simulation_without_noise_is_the_recursion():
    problem, policy = problem_of(3, noise_std=0.0), policy_of()
    drawn = sample_linear_quadratic(problem, policy, jax.random.key(0), n=5)
    states, actions, rewards = map(np.asarray, drawn)
    moved = NUMBERS["state_factor"] * states[:, :-1]
    moved = moved + NUMBERS["action_factor"] * actions + NUMBERS["drift"]
    equal(states[:, 1:], moved)
    equal(rewards, -0.7 * (states[:, :-1] - 1.2) ** 2 - 0.2 * actions**2)
    assert np.ptp(actions[:, 0] - policy.gain * states[:, 0]) > 0.1


# Values.


def slow_q(problem, policy, t, state, action, temperature):
    """Plain Python: three nodes for the noise, three for the next action."""
    x, log_w = gauss_hermite(3)
    total = -problem.state_weight * (state - problem.goal) ** 2
    total -= problem.action_weight * action**2
    if t + 1 == problem.horizon:
        return total
    gain, offset, std = float(policy.gain), float(policy.offset), np.exp(policy.log_std)
    moved = problem.state_factor * state + problem.action_factor * action
    for noise, weight in zip(x, np.exp(log_w), strict=True):
        following = moved + problem.drift + problem.noise_std * noise
        for eps, chance in zip(x, np.exp(log_w), strict=True):
            u = gain * following + offset + float(std) * eps
            prior = -0.5 * (u / problem.prior_std) ** 2 - np.log(problem.prior_std)
            ratio = -0.5 * eps**2 - np.log(float(std)) - prior
            onward = slow_q(problem, policy, t + 1, following, u, temperature)
            onward -= temperature * ratio
            total += problem.discount * weight * chance * onward
    return total


@pytest.mark.parametrize("temperature", [0.0, TEMPERATURE])
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_soft_action_values_are_those_of_quadrature(discount, temperature):
    problem, policy = problem_of(3, discount=discount), policy_of()
    states = jnp.array([[0.4, -1.1, 2.0], [-0.3, 0.9, 0.1]])
    actions = jnp.array([[-0.7, 1.3, 0.5], [0.2, -2.0, 1.1]])
    found = soft_linear_quadratic_values(
        problem, policy, states, actions, temperature=temperature
    )
    expected = [
        [
            slow_q(problem, policy, t, float(s), float(u), temperature)
            for t, (s, u) in enumerate(zip(*row, strict=True))
        ]
        for row in zip(states, actions, strict=True)
    ]
    equal(found, jnp.array(expected))
    forms = quadratic_values(problem, policy, temperature=temperature)
    equal(forms, jnp.swapaxes(forms, 1, 2))
    equal(quadratic_value(forms[1], states[:, 1], actions[:, 1]), found[:, 1])


def test_the_first_soft_value_averages_to_the_soft_return():
    problem, policy = problem_of(5, discount=0.9), policy_of()
    points, log_weights = gauss_hermite_grid(3, 2)
    states = problem.initial_mean + problem.initial_std * points[:, 0]
    actions = policy.act(states, points[:, 1])
    form = quadratic_values(problem, policy, temperature=TEMPERATURE)[0]
    ratios = policy.log_prob(states, actions) - problem.log_prior(actions)
    values = quadratic_value(form, states, actions) - TEMPERATURE * ratios
    found = soft_linear_quadratic_return(problem, policy, temperature=TEMPERATURE)
    equal(found, jnp.sum(jnp.exp(log_weights) * values))
    first = quadratic_state_values(problem, policy, temperature=TEMPERATURE)[0]
    equal(found, jnp.exp(log_weights) @ quadratic_value(first, states))


@pytest.mark.parametrize("temperature", [0.0, TEMPERATURE])
def test_state_values_are_means_of_action_values(temperature):
    problem, policy = problem_of(3, discount=0.9), policy_of()
    points, log_weights = gauss_hermite(3)
    states = jnp.array([[0.4], [-1.1], [2.0], [0.3]])
    actions = policy.act(states, points)
    forms = quadratic_values(problem, policy, temperature=temperature)[:, None, None]
    ratios = policy.log_prob(states, actions) - problem.log_prior(actions)
    inside = quadratic_value(forms, states, actions) - temperature * ratios
    found = quadratic_state_values(problem, policy, temperature=temperature)
    means = inside @ jnp.exp(log_weights)
    equal(quadratic_value(found[:-1, None], states[:, 0]), means)
    equal(found[-1], jnp.zeros((2, 2)))
    if temperature == 0.0:
        advantages = quadratic_advantages(problem, policy)[:, None, None]
        excess = inside - means[..., None]
        equal(quadratic_value(advantages, states, actions), excess)


# The posterior over trajectories.


def posterior(problem):
    """Mean and covariance of (s_0..s_T, u), and log p(O), by the density."""
    prior = policy_of(0.0, 0.0, np.log(problem.prior_std))
    split = problem.horizon + 1

    @jax.jit
    def run():
        def joint(path):
            total = soft_total(problem, prior, path[:split], path[split:], 0.0)
            return log_density(problem, prior, path) + total / TEMPERATURE

        return gaussian_of(joint, 2 * problem.horizon + 1)

    return run()


def test_posterior_moments_are_those_of_the_density():
    problem, steps = problem_of(3), 3
    mean, covariance, _ = posterior(problem)
    found = posterior_state_moments(problem, temperature=TEMPERATURE)
    equal(found, (mean[: steps + 1], jnp.diagonal(covariance)[: steps + 1]))
    moments = posterior_visit_moments(problem, temperature=TEMPERATURE)
    square = covariance + jnp.outer(mean, mean)
    for t in range(steps):
        at = jnp.array([t, steps + 1 + t])
        equal(moments[t, 1:, 1:], square[at][:, at])
        equal(moments[t, 0], jnp.append(1.0, mean[at]))
    equal(moments, jnp.swapaxes(moments, 1, 2))


def test_messages_are_integrals_over_what_lies_ahead():
    """At the middle of three steps, over (s_2, u_2), and over u_1 too from a state."""
    problem = problem_of(3)
    messages = linear_quadratic_messages(problem, temperature=TEMPERATURE)

    def onward(state, action, rest):
        moved = problem.state_factor * state + problem.action_factor * action
        total = log_normal(rest[0], moved + problem.drift, problem.noise_std)
        total += problem.log_prior(rest[1])
        rewards = problem.reward(state, action) + problem.reward(rest[0], rest[1])
        return total + rewards / TEMPERATURE

    @jax.jit
    def expected(state, action):
        def from_state(rest):
            return onward(state, rest[2], rest) + problem.log_prior(rest[2])

        given_action = gaussian_of(partial(onward, state, action), 2)[2]
        return given_action, gaussian_of(from_state, 3)[2]

    for state, action in ((0.4, -0.7), (-1.3, 0.9), (2.0, 0.2)):
        state, action = jnp.asarray(state), jnp.asarray(action)
        found = (
            quadratic_value(messages.log_action[1], state, action),
            quadratic_value(messages.log_state[1], state),
        )
        equal(found, expected(state, action))
    equal(messages.log_state[-1], jnp.zeros((2, 2)))
    scores = quadratic_value(messages.log_action[-1], state, action)
    equal(scores, problem.reward(state, action) / TEMPERATURE)


@pytest.mark.parametrize("temperature", [0.0, TEMPERATURE])
def test_the_boltzmann_policy_is_the_normalised_exponential(temperature):
    problem = problem_of(3, discount=0.9)
    forms = quadratic_values(problem, policy_of(), temperature=temperature)
    found = quadratic_boltzmann_policy(problem, forms, temperature=TEMPERATURE)

    @jax.jit
    def expected(form, state):
        def log_mass(action):
            value = quadratic_value(form, state, action[0])
            return problem.log_prior(action[0]) + value / TEMPERATURE

        mean, covariance, _ = gaussian_of(log_mass, 1)
        return mean[0], 0.5 * jnp.log(covariance[0, 0])

    for t, state in enumerate((0.4, -1.3, 2.0)):
        policy = jax.tree.map(lambda x, t=t: x[t], found)
        mean = policy.gain * state + policy.offset
        equal((mean, policy.log_std), expected(forms[t], jnp.asarray(state)))


def test_the_log_evidence_is_the_integral_of_the_density():
    problem = problem_of(3)
    found = linear_quadratic_log_evidence(problem, temperature=TEMPERATURE)
    equal(found, posterior(problem)[2])


def test_the_reverse_kl_is_that_of_two_gaussians():
    problem, policy = problem_of(), policy_of()
    size = 2 * problem.horizon + 1

    @jax.jit
    def expected(p_mean, p_cov):
        q_mean, q_cov, _ = gaussian_of(partial(log_density, problem, policy), size)
        precision, away = jnp.linalg.inv(p_cov), p_mean - q_mean
        log_dets = jnp.linalg.slogdet(p_cov)[1] - jnp.linalg.slogdet(q_cov)[1]
        spread = jnp.trace(precision @ q_cov) + away @ precision @ away
        return 0.5 * (spread - size + log_dets)

    found = linear_quadratic_reverse_kl(problem, policy, temperature=TEMPERATURE)
    equal(found, expected(*posterior(problem)[:2]))
    assert found > 0.1


def test_the_reverse_kl_vanishes_at_the_posterior_of_one_step():
    """From a known state, π₀(u) exp(−ρ u²/α) is Gaussian and does not see the state."""
    problem = problem_of(1, initial_std=0.0)
    precision = 1 / problem.prior_std**2 + 2 * problem.action_weight / TEMPERATURE
    best = policy_of(0.0, 0.0, -0.5 * np.log(precision))
    kl = partial(linear_quadratic_reverse_kl, problem, temperature=TEMPERATURE)
    equal(kl(best), 0.0)
    assert kl(best._replace(offset=jnp.asarray(0.1))) > 1e-3


def test_the_gradient_of_the_soft_return_is_that_of_the_kl():
    problem, policy = problem_of(4), policy_of()

    def gradient(function):
        return jax.grad(partial(function, problem, temperature=TEMPERATURE))(policy)

    soft = gradient(soft_linear_quadratic_return)
    kl = gradient(linear_quadratic_reverse_kl)
    equal(soft, jax.tree.map(lambda slope: -TEMPERATURE * slope, kl))


def test_with_a_discount_there_is_no_posterior():
    with pytest.raises(ConfigError, match=r"at discount 0\.9.*Use discount 1"):
        linear_quadratic_reverse_kl(
            problem_of(discount=0.9), policy_of(), temperature=1.0
        )


# Smoothing over the policy's parameters.


def test_the_smoothed_return_is_the_heat_equation_s():
    """E J(θ + σ ε) = J + σ²/2 ΔJ + σ⁴/8 Δ²J, as J is of fourth degree for two steps."""
    problem, policy, std = problem_of(discount=0.9), policy_of(), 0.3

    def returns(vector):
        return linear_quadratic_return(
            problem, policy._replace(gain=vector[0], offset=vector[1])
        )

    def laplacian(function):
        return lambda vector: jnp.trace(jax.hessian(function)(vector))

    @jax.jit
    def expected(vector):
        first, second = laplacian(returns), laplacian(laplacian(returns))
        moved = 0.5 * std**2 * first(vector) + std**4 / 8 * second(vector)
        return returns(vector) + moved, moved

    whole, moved = expected(jnp.stack(policy[:2]))
    equal(smoothed_return(problem, policy, std=std), whole)
    assert abs(moved) > 0.01


def test_a_node_more_than_steps_is_exact_and_a_node_less_is_not():
    problem, policy = problem_of(3), policy_of()
    smoothed = partial(smoothed_return, problem, policy, std=0.4)
    equal(smoothed(), smoothed(nodes=8))
    assert abs(smoothed(nodes=3) - smoothed()) > 1e-4
    equal(
        smoothed_return(problem, policy, std=0.0),
        linear_quadratic_return(problem, policy),
    )


def test_gauss_hermite_gives_the_moments_of_a_normal():
    points, log_weights = gauss_hermite(4)
    moments = [np.sum(np.exp(log_weights) * points**k) for k in range(8)]
    equal(np.array(moments), np.array([1, 0, 1, 0, 3, 0, 15, 0]))
    grid, log_weights = gauss_hermite_grid(3, 2)
    assert grid.shape == (9, 2)
    equal(np.sum(np.exp(log_weights) * grid[:, 0] ** 2 * grid[:, 1] ** 4), 3.0)


@pytest.mark.parametrize("nodes", [0, 101])
def test_gauss_hermite_refuses_rules_it_does_not_know(nodes):
    with pytest.raises(ConfigError, match=f"rule of {nodes} nodes"):
        gauss_hermite(nodes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"horizon": 0}, "the horizon is 0 steps"),
        ({"noise_std": -0.1}, r"noise_std is -0\.1; it must not be negative"),
        ({"initial_std": -2.0}, "initial_std is -2"),
        ({"state_weight": -1.0}, "state_weight is -1"),
        ({"prior_std": 0.0}, r"prior_std is 0\.0; it must be above 0"),
        ({"discount": 1.5}, r"the discount is 1\.5"),
        ({"goal": float("nan")}, "goal is nan; it must be a finite number"),
        ({"horizon": 0, "prior_std": -1.0}, "2 faults"),
    ],
)
def test_numbers_that_make_no_problem(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        linear_quadratic(**({"horizon": 2} | NUMBERS | changes))
