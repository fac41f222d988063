"""The linear-quadratic problem of the lab: its truth, and the arrays it hands out.

Means over paths are taken by quadrature, three nodes for each normal: what is averaged
is a polynomial of at most fifth degree in each of them, and so nothing is lost.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from reins.errors import CapabilityError
from reins.lab import LAB, Options, lab_problem, measure
from reins.lab.estimators import arguments_for, design_of
from reins.lab.linear_quadratic import DEFAULT_SPEC, linear_quadratic_problem
from reins.lab.linear_quadratic.designs import StateDraw
from reins.lab.tables import SMOOTHING
from reins.tabular import (
    LinearPolicy,
    LinearQuadraticSample,
    gauss_hermite_grid,
    linear_quadratic_messages,
    linear_quadratic_return,
    quadratic_value,
    quadratic_values,
    state_moments,
    visit_moments,
)
from tests.tabular.test_linear_quadratic import gaussian_of, log_density, soft_total


def spec_of(**changes):
    problem = dataclasses.replace(DEFAULT_SPEC.problem, **changes)
    return DEFAULT_SPEC._replace(problem=problem)


DISCOUNTED = spec_of(horizon=2, discount=0.8)
PLAIN = spec_of(horizon=2)
PARAMS, OLD = np.array(DEFAULT_SPEC.policy), np.array(DEFAULT_SPEC.old)
TEMPERATURE = DEFAULT_SPEC.temperature


def exact(spec, target, **options):
    return linear_quadratic_problem(spec).gradient(target, Options(**options))


def equal(found, expected, atol=1e-10):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def paths(problem, policies, points):
    """States and actions of normals `points`, with a policy for each step."""
    states = [problem.initial_mean + problem.initial_std * points[:, 0]]
    actions = []
    for t, policy in enumerate(policies):
        mean = policy[0] * states[t] + policy[1]
        actions.append(mean + jnp.exp(policy[2]) * points[:, 1 + 2 * t])
        moved = problem.state_factor * states[t] + problem.action_factor * actions[t]
        noise = problem.noise_std * points[:, 2 + 2 * t]
        states.append(moved + problem.drift + noise)
    return jnp.stack(states), jnp.stack(actions)


def rewards_of(problem, states, actions):
    away = problem.state_weight * (states[:-1] - problem.goal) ** 2
    return -away - problem.action_weight * actions**2


def slope(objective, params=PARAMS):
    return jax.jit(jax.grad(objective))(jnp.asarray(params))


# The truth, against slow ways to it.


@pytest.mark.parametrize(
    ("target", "temperature"), [("J", 0.0), ("−α KL(q ‖ p(.|O))", TEMPERATURE)]
)
def test_returns_have_the_slopes_of_quadrature(target, temperature):
    problem = DISCOUNTED.problem
    points, log_weights = gauss_hermite_grid(3, 5)

    def objective(params):
        states, actions = paths(problem, [params, params], points)
        terms = (LinearPolicy(*params), states, actions, temperature)
        return jnp.exp(log_weights) @ soft_total(problem, *terms)

    equal(exact(DISCOUNTED, target), slope(objective))


def test_the_surrogate_is_one_step_of_the_new_policy_at_a_time():
    """Σ_t E[Σ_{k≥t} γ^k r_k], where the new policy acts at step t alone."""
    problem = DISCOUNTED.problem
    points, log_weights = gauss_hermite_grid(3, 5)

    def objective(params):
        total = 0.0
        for t in range(problem.horizon):
            policies = [OLD, OLD]
            policies[t] = params
            rewards = rewards_of(problem, *paths(problem, policies, points))
            discounts = problem.discount ** jnp.arange(t, problem.horizon)
            total += discounts @ rewards[t:] @ jnp.exp(log_weights)
        return total

    equal(exact(DISCOUNTED, "surrogate"), slope(objective))


def test_the_entropy_is_that_of_its_scale_alone():
    equal(exact(DISCOUNTED, "E[Σ H]"), [0.0, 0.0, 2.0])


def test_the_forward_kl_has_the_slope_of_the_posteriors_density():
    problem, split = PLAIN.problem, PLAIN.problem.horizon + 1
    prior = LinearPolicy(*map(jnp.asarray, (0.0, 0.0, np.log(problem.prior_std))))

    def joint(path):
        rewards = rewards_of(problem, path[:split], path[split:])
        return log_density(problem, prior, path) + jnp.sum(rewards) / TEMPERATURE

    points, log_weights = gauss_hermite_grid(3, 5)

    def objective(params):
        mean, covariance, _ = gaussian_of(joint, len(points[0]))
        drawn = mean + points @ jnp.linalg.cholesky(covariance).T
        acted = params[0] * drawn[:, :2] + params[1]
        log_probs = norm.logpdf(drawn[:, split:], acted, jnp.exp(params[2]))
        return jnp.exp(log_weights) @ jnp.sum(log_probs, axis=1)

    equal(exact(PLAIN, "−KL(p(.|O) ‖ q)"), slope(objective))


def critic_of(spec, critic):
    policy = LinearPolicy(*map(jnp.asarray, spec.policy))
    if critic == "message":
        found = linear_quadratic_messages(spec.problem, temperature=spec.temperature)
        return spec.temperature * found.log_action
    temperature = {"soft": spec.temperature, "classic": 0.0}[critic]
    return quadratic_values(spec.problem, policy, temperature=temperature)


@pytest.mark.parametrize("critic", ["soft", "classic", "message"])
def test_the_boltzmann_target_has_the_slope_of_a_fine_grid_of_actions(critic):
    """Even steps over all of a Gaussian are as exact as floats."""
    problem, forms = DISCOUNTED.problem, critic_of(DISCOUNTED, critic)
    points, log_weights = gauss_hermite_grid(3, 5)
    states = paths(problem, [PARAMS, PARAMS], points)[0][:-1, :, None]
    actions = jnp.linspace(-12, 12, 400)

    def objective(params):
        values = quadratic_value(forms[:, None, None], states, actions)
        chances = jax.nn.softmax(values / TEMPERATURE + problem.log_prior(actions))
        log_probs = LinearPolicy(*params).log_prob(states, actions)
        means = jnp.sum(chances * log_probs, axis=2) @ jnp.exp(log_weights)
        return problem.discount ** jnp.arange(problem.horizon) @ means

    target = "−KL(Boltzmann(Q) ‖ π)"
    equal(exact(DISCOUNTED, target, critic=critic), slope(objective))


def test_the_smoothed_return_has_the_slope_of_a_finer_quadrature():
    points, log_weights = gauss_hermite_grid(6, 2)

    def objective(mean):
        def one(point):
            gain, offset = mean + SMOOTHING * point
            policy = LinearPolicy(gain, offset, jnp.asarray(PARAMS[2]))
            return linear_quadratic_return(DISCOUNTED.problem, policy)

        return jnp.exp(log_weights) @ jax.vmap(one)(points)

    equal(exact(DISCOUNTED, "smoothed J"), slope(objective, PARAMS[:2]))


# The arrays: means of estimates made of them, by quadrature.


def estimates(spec, name, draws):
    """One estimate for each row of `draws`."""
    problem, record = linear_quadratic_problem(spec), LAB[name]
    options = record.options._replace(actions=1)
    design = problem.design(design_of(record, name), options)

    @jax.jit
    def run(params, draws):
        def one(draw):
            def loss(params):
                offered = design.quantities(params, design.tables, draw)
                asked = arguments_for(record, name, set(offered), problem.name)
                return record.loss(**{each: offered[each]() for each in asked})[0]

            return -jax.grad(loss)(params)

        return jax.vmap(one)(draws)

    return run(design.params, draws)


def drawn(spec, policy, points):
    """One trajectory for each row of `points`, as draws of one sample each."""
    states, actions = paths(spec.problem, [policy] * spec.problem.horizon, points)
    rewards = rewards_of(spec.problem, states, actions)
    rows = LinearQuadraticSample(states.T, actions.T, rewards.T)
    return jax.tree.map(lambda x: x[:, None], rows)


BY_TRAJECTORIES = [
    *((DISCOUNTED, f"score_{kind}") for kind in ("total_return", "reward_to_go")),
    *((DISCOUNTED, f"score_{kind}") for kind in ("state_baseline", "advantage")),
    *((DISCOUNTED, f"score_{kind}") for kind in ("td", "gae")),
    (DISCOUNTED, "entropy_bonus"),
    *((PLAIN, f"reverse_kl_{kind}") for kind in ("trajectory", "causal")),
]


@pytest.mark.parametrize(("spec", "name"), BY_TRAJECTORIES)
def test_means_over_trajectories_are_the_truth(spec, name):
    points, log_weights = gauss_hermite_grid(3, 5)
    found = jnp.exp(log_weights) @ estimates(spec, name, drawn(spec, PARAMS, points))
    equal(found, exact(spec, LAB[name].target))


def test_the_mean_over_the_old_policys_trajectories_is_the_truth():
    """By paths of the new policy, weighed by what the old one makes of them."""
    problem = DISCOUNTED.problem
    points, log_weights = gauss_hermite_grid(3, 5)
    draws = drawn(DISCOUNTED, PARAMS, points)
    states, actions = draws.states[:, 0, :-1], draws.actions[:, 0]
    assert actions.shape[1] == problem.horizon
    log_old, log_new = (
        LinearPolicy(*policy).log_prob(states, actions) for policy in (OLD, PARAMS)
    )
    masses = jnp.exp(log_weights + jnp.sum(log_old - log_new, axis=1))
    found = masses @ estimates(DISCOUNTED, "trajectory_ratio", draws)
    equal(found, exact(DISCOUNTED, "J"))


BY_STATES = ["reverse_kl_score", "reverse_kl_pathwise"]


@pytest.mark.parametrize("name", BY_STATES)
def test_means_over_states_and_fresh_actions_are_the_truth(name):
    points, log_weights = gauss_hermite_grid(3, 7)
    trajectories = drawn(DISCOUNTED, PARAMS, points[:, :5])
    draws = StateDraw(trajectories, points[:, None, 5:, None])
    found = jnp.exp(log_weights) @ estimates(DISCOUNTED, name, draws)
    equal(found, exact(DISCOUNTED, LAB[name].target))


def test_a_pathwise_estimate_of_one_step_is_its_closed_form():
    """(0, 0, α) − (2ρ + α/σ₀²) u ∂u/∂θ: it varies only as Q bends in the action."""
    spec = spec_of(horizon=1)
    points, _ = gauss_hermite_grid(3, 4)
    draws = StateDraw(drawn(spec, PARAMS, points[:, :3]), points[:, None, 3:, None])
    state, std = draws.trajectories.states[:, 0, 0], np.exp(PARAMS[2])
    action = PARAMS[0] * state + PARAMS[1] + std * points[:, 3]
    bend = 2 * spec.problem.action_weight + TEMPERATURE / spec.problem.prior_std**2
    moved = np.stack([state, np.ones_like(state), std * points[:, 3]])
    expected = np.array([0, 0, TEMPERATURE]) - (bend * action * moved).T
    equal(estimates(spec, "reverse_kl_pathwise", draws), expected)


def test_squared_norms_are_those_of_the_summed_scores():
    points, _ = gauss_hermite_grid(3, 5)
    draws = drawn(DISCOUNTED, PARAMS, points)
    rows = jax.tree.map(lambda x: x[:, 0], draws)
    design = linear_quadratic_problem(DISCOUNTED).design("trajectories", Options())
    found = design.quantities(design.params, design.tables, rows)["squared_norms"]()

    @jax.jit
    def expected(params):
        def log_prob(params):
            log_probs = LinearPolicy(*params).log_prob(
                rows.states[:, :-1], rows.actions
            )
            return jnp.sum(log_probs, axis=1)

        return jnp.sum(jax.jacfwd(log_prob)(params) ** 2, axis=1)

    equal(found, expected(design.params))


@pytest.mark.parametrize("states", ["path", "two-filter"])
def test_weights_of_states_sum_to_one_at_every_step(states):
    design = linear_quadratic_problem().design("states", Options(states=states))

    @jax.jit
    def run(key):
        draw = design.draw(design.tables, key, 5)
        return design.quantities(design.params, design.tables, draw)["state_weights"]()

    weights = run(jax.random.key(1)).reshape(5, DEFAULT_SPEC.problem.horizon)
    equal(jnp.sum(weights, axis=0), np.ones(weights.shape[1]))
    spread = np.ptp(weights, axis=1)
    assert np.all(spread < 1e-10) if states == "path" else np.any(spread > 0.01)


# What is measured.

EXACTLY = [name for _, name in BY_TRAJECTORIES] + BY_STATES
CLAIMED = [
    name
    for name, record in LAB.items()
    if record.unbiased in ("yes", "with an exact critic")
    and design_of(record, name) not in ("every-action", "constraint")
]


def measured(name, samples, repeats):
    """As it is done in earnest, in single precision."""
    with jax.enable_x64(False):
        return measure(
            name,
            "linear-quadratic",
            key=jax.random.key(7),
            samples=samples,
            repeats=repeats,
        )[0]


def errors_away(row, expected, repeats):
    """Distance of the mean from what it should be, in standard errors."""
    error = np.sqrt(row.statistics.trace_covariance.value / repeats)
    return np.linalg.norm(row.mean - expected) / error


@pytest.mark.parametrize("name", [name for name in CLAIMED if name not in EXACTLY])
def test_a_measured_bias_is_noise_where_none_is_claimed(name):
    row = measured(name, 8, 500)
    assert row.statistics.bias_score < 6
    assert errors_away(row, row.exact, 500) < 5


def test_dropping_the_ratios_of_later_steps_takes_the_old_policys_q():
    problem, policy = DEFAULT_SPEC.problem, LinearPolicy(*map(jnp.asarray, PARAMS))
    old = LinearPolicy(*map(jnp.asarray, OLD))

    @jax.jit
    def expected():
        states = state_moments(problem, policy)
        forms = quadratic_values(problem, old, temperature=0.0)

        def held(params):
            return jnp.sum(forms * visit_moments(states, LinearPolicy(*params)))

        return jax.grad(held)(jnp.asarray(PARAMS))

    row, mean = measured("past_ratios", 256, 1000), expected()
    assert errors_away(row, mean, 1000) < 5
    assert row.statistics.bias_score > 20
    assert errors_away(row, row.exact, 1000) > 5


@pytest.mark.parametrize(
    ("options", "target"),
    [
        (Options(actions=256), "−KL(Boltzmann(Q) ‖ π)"),
        (Options(256, "message", "two-filter"), "−KL(p(.|O) ‖ q)"),
    ],
)
def test_forward_estimates_of_many_actions_tend_to_the_truth(options, target):
    """Of 256 fresh actions in each state, and 256 trajectories to weigh states by."""
    with jax.enable_x64(False):
        row = measure(
            "forward_kl_marginal",
            "linear-quadratic",
            key=jax.random.key(5),
            samples=256,
            repeats=60,
            target=target,
            options=options,
        )[0]
    assert np.linalg.norm(row.exact) > 0.3
    assert np.linalg.norm(row.mean - row.exact) < 0.04


def test_weights_have_a_variance():
    """E[ρ²] and E[w²] are integrals of Gaussian densities, if all variances are > 0."""
    problem, size = DEFAULT_SPEC.problem, 2 * DEFAULT_SPEC.problem.horizon + 1
    split = problem.horizon + 1
    policy, old = LinearPolicy(*map(jnp.asarray, PARAMS)), LinearPolicy(*OLD)
    prior = LinearPolicy(*map(jnp.asarray, (0.0, 0.0, np.log(problem.prior_std))))

    def joint(path):
        rewards = rewards_of(problem, path[:split], path[split:])
        return log_density(problem, prior, path) + jnp.sum(rewards) / TEMPERATURE

    def ratios(path):
        return 2 * log_density(problem, policy, path) - log_density(problem, old, path)

    def posterior(path):
        return 2 * joint(path) - log_density(problem, policy, path)

    @jax.jit
    def found():
        spread = [
            jnp.linalg.eigvalsh(gaussian_of(f, size)[1]) for f in (ratios, posterior)
        ]
        evidence = 2 * gaussian_of(joint, size)[2]
        second = gaussian_of(posterior, size)[2] - evidence
        return jnp.stack(spread), gaussian_of(ratios, size)[2], second

    variances, log_ratios, log_weights = found()
    assert jnp.min(variances) > 0
    assert 1.2 < jnp.exp(log_ratios) < 2
    assert 1.2 < jnp.exp(log_weights) < 5


def test_the_functions_of_a_design_are_always_the_same():
    for name in lab_problem("linear-quadratic").designs:
        one, other = (
            linear_quadratic_problem().design(name, Options(actions=3))
            for _ in range(2)
        )
        assert one.draw is other.draw
        assert one.quantities is other.quantities


def test_what_the_problem_has_not():
    problem = lab_problem("linear-quadratic")
    with pytest.raises(CapabilityError, match="no design of the problem linear-quad"):
        problem.design("constraint", Options())
    with pytest.raises(CapabilityError, match="no target of the problem linear-quad"):
        problem.gradient("log-likelihood", Options())
    with pytest.raises(CapabilityError, match="needs samples of the design"):
        measure("reverse_kl_exact", problem, key=jax.random.key(0))
