"""Policy losses of the forward KL against −∇KL(p(.|O) ‖ q), both written out."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators import (
    forward_kl_exact_loss,
    forward_kl_marginal_loss,
    forward_kl_trajectory_loss,
)
from reins.tabular import (
    action_values,
    backward_messages,
    boltzmann_policy,
    enumerate_trajectories,
    message_values,
    occupancies,
    posterior_states,
    soft_action_values,
    tabular_mdp,
    trajectory_log_probs,
)
from reins.weights import (
    normalised_weights,
    posterior_log_weights,
    smoothing_log_weights,
)
from tests.exactness.losses import OF_PRIOR
from tests.exactness.problems import (
    PolicyProblem,
    apart,
    at_every_step,
    enumerated_actions,
    equal,
    forward_kl,
    log_probs,
    mean_estimate,
    mean_over_actions,
    policy_problem,
    posterior,
    prior_log_probs,
    prior_of,
    table_visits,
    visits,
)

TEMPERATURES = [0.5, 2.0]
TRAJECTORY = OF_PRIOR["forward_kl_trajectory"]


@jax.jit
def truth(problem, temperature):
    """−∇KL(p(.|O) ‖ q)."""
    terms = (problem, prior_of(problem), temperature)
    return -jax.grad(forward_kl)(problem.logits, *terms)


# Trajectories.


def _enumerated(logits, batch, problem, log_prior, temperature, log_z0=0.0):
    """All trajectories in one batch; their masses go to the first step's prior.

    The weight of a row is then q(τ) p(τ, O)/q(τ), as if rows came as often as q has it.
    """
    masses = trajectory_log_probs(batch, problem.logits)
    log_priors = prior_log_probs(log_prior, batch).at[:, 0].add(masses)
    return forward_kl_trajectory_loss(
        log_probs(logits, batch),
        log_priors,
        batch.rewards,
        batch.mask,
        temperature=temperature,
        log_z0=log_z0,
    )[0]


@jax.jit
def limit(problem, *terms):
    """The estimate of infinitely many trajectories."""
    gradient = jax.grad(_enumerated)
    return -gradient(problem.logits, problem.trajectories, problem, *terms)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_infinitely_many_trajectories_are_exact(temperature):
    problem = policy_problem()
    terms = (problem, prior_of(problem), temperature)
    equal(limit(*terms), truth(problem, temperature))


def test_log_z0_matters_where_trajectories_differ_in_length():
    problem = policy_problem()
    log_prior = prior_of(problem)
    # r − α log Z₀ in the place of r is the same model.
    rows = problem.trajectories
    rows = rows._replace(rewards=rows.rewards - 0.5 * 0.8)
    shifted = problem._replace(trajectories=rows)
    found = limit(problem, log_prior, 0.5, 0.8)
    equal(found, truth(shifted, 0.5))
    assert apart(found, truth(problem, 0.5)) > 0.02


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_single_trajectory_has_the_weight_1_and_so_the_mean_0(temperature):
    """E[∇log q] = 0: the bias is the whole of the gradient."""
    problem = policy_problem()
    found = mean_estimate(TRAJECTORY, problem, prior_of(problem), temperature)
    equal(found, 0.0)
    assert jnp.linalg.norm(truth(problem, temperature)) > 0.05


def test_pairs_are_biased_less_than_singles():
    """The exact bias of pairs is among the claims."""
    problem = policy_problem(states=3, horizon=2)
    found = mean_estimate(TRAJECTORY, problem, prior_of(problem), 2.0, batch=2)
    gradient = truth(problem, 2.0)
    assert 0.1 < apart(found, gradient) < 0.9  # singles: 1


def test_ascending_as_printed_moves_away_from_the_posterior():
    """Correction 8: Σ w ∇log q is minus the gradient of the KL, printed as plus."""
    problem = policy_problem()
    terms = (problem, prior_of(problem), 0.5)
    estimate = limit(*terms)
    kl = jax.jit(lambda step: forward_kl(problem.logits + step * estimate, *terms))
    assert kl(0.05) < kl(0.0) < kl(-0.05)  # −: a descent along the printed gradient
    equal(jax.grad(kl)(0.0), -jnp.sum(jnp.square(estimate)))


# Self-normalisation: the bias of N samples, exactly.


def bandit():
    """One state, three actions, one step."""
    mdp = tabular_mdp(np.ones((1, 3, 1)), [[1.0, -0.6, 0.3]], initial=[1.0], horizon=1)
    logits = jnp.array([[0.2, 1.1, -0.5]])
    return PolicyProblem(mdp, logits, enumerate_trajectories(mdp))


def mean_over_counts(problem, n, temperature):
    """E[Σ_a n_a ω_a g_a / Σ_a n_a ω_a], counts (n_1, n_2, n_3) multinomial."""
    log_q = np.asarray(jax.nn.log_softmax(problem.logits[0]))
    log_prior = np.asarray(prior_of(problem)[0])
    weights = np.exp(
        np.asarray(problem.trajectories.rewards)[:, 0] / temperature + log_prior - log_q
    )
    first, second = np.indices((n + 1, n + 1)).reshape(2, -1)
    counts = np.stack([first, second, n - first - second])[:, first + second <= n]
    log_factorials = np.append(0.0, np.cumsum(np.log(np.arange(1, n + 1))))
    masses = np.exp(
        log_factorials[n] - log_factorials[counts].sum(axis=0) + log_q @ counts
    )
    weighted = counts * weights[:, None]
    shares = weighted / weighted.sum(axis=0)
    return masses @ (shares.T @ (np.eye(3) - np.exp(log_q)))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_counts_are_the_estimator(n):
    problem = bandit()
    assert problem.trajectories.actions[:, 0].tolist() == [0, 1, 2]
    found = mean_estimate(TRAJECTORY, problem, prior_of(problem), 0.5, batch=n)
    equal(mean_over_counts(problem, n, 0.5), found[0])


@pytest.mark.parametrize("temperature", [1.0, 2.0])  # at 0.5 the slope is −1.050
def test_the_bias_falls_as_one_over_n(temperature):
    problem = bandit()
    exact = np.asarray(truth(problem, temperature)[0])
    numbers = [16, 32, 64, 128, 256]
    biases = [
        np.linalg.norm(mean_over_counts(problem, n, temperature) - exact)
        for n in numbers
    ]
    slope, _ = np.polyfit(np.log(numbers), np.log(biases), 1)
    assert abs(slope + 1) < 0.05, f"slope {slope:.3f} from {biases}"
    assert biases[0] > 1e-4


# States and actions.


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_message_q_in_states_of_the_posterior_is_exact(temperature):
    problem = policy_problem()
    terms = (problem.mdp, prior_of(problem))
    q_values = message_values(*terms, temperature=temperature)
    states = posterior_states(*terms, temperature=temperature)
    found = fitted(problem, table_visits(states), q_values, temperature)
    equal(found, truth(problem, temperature))


def fitted(problem, rows, q_values, temperature):
    """Minus the gradient with every action enumerated."""
    tables = (at_every_step(problem, prior_of(problem)), q_values)
    options = {"temperature": temperature}
    return enumerated_actions(forward_kl_exact_loss, problem, rows, *tables, **options)


def q_of(problem, kind, temperature):
    terms = (problem.mdp, problem.logits)
    if kind == "classic":
        return action_values(*terms)
    return soft_action_values(*terms, prior_of(problem), temperature=temperature)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", ["soft", "classic"])
def test_other_qs_fit_the_boltzmann_policy_of_each_state(kind, temperature):
    """−∇ of the mean over rows of KL(π₀ exp(Q/α)/Z ‖ π): no word of trajectories."""
    problem = policy_problem()
    q_values = q_of(problem, kind, temperature)
    best = boltzmann_policy(q_values, prior_of(problem), temperature=temperature)

    def objective(logits):
        log_policy = jax.nn.log_softmax(logits)
        return jnp.mean(jnp.sum(jnp.exp(best) * (best - log_policy), axis=-1))

    rows = table_visits(jnp.full(q_values.shape[:2], 1 / q_values[..., 0].size))
    found = fitted(problem, rows, q_values, temperature)
    equal(found, -jax.jit(jax.grad(objective))(problem.logits))
    unweighted = rows._replace(weights=None)
    equal(fitted(problem, unweighted, q_values, temperature), found)


@pytest.mark.parametrize("kind", ["message in own states", "soft", "classic"])
def test_other_qs_or_other_states_do_not_give_the_forward_kl(kind):
    problem = policy_problem()
    terms = (problem.mdp, prior_of(problem))
    states = posterior_states(*terms, temperature=0.5)
    if kind == "message in own states":
        q_values = message_values(*terms, temperature=0.5)
        states = occupancies(problem.mdp, problem.logits)
    else:
        q_values = q_of(problem, kind, 0.5)
    found = fitted(problem, table_visits(states), q_values, 0.5)
    assert apart(found, truth(problem, 0.5)) > 0.01


def test_a_single_action_has_the_weight_1_and_so_the_mean_0():
    problem = policy_problem()
    tables = (at_every_step(problem, prior_of(problem)), q_of(problem, "soft", 0.5))
    options = {"actions": 1, "temperature": 0.5}
    rows = visits(problem)
    loss = forward_kl_marginal_loss
    equal(mean_over_actions(loss, problem, rows, *tables, **options), 0.0)


# Seven draws that come exactly as often as the policy has it: its limit of many.
DRAWS = np.array([0, 1, 1, 1, 2, 2, 2])
LOG_POLICY = np.log([[1 / 7, 3 / 7, 3 / 7]])


def _marginal(logits, log_prior, q_values, *, printed=False):
    log_policy = jax.nn.log_softmax(logits)[:, DRAWS]
    log_priors = log_prior[:, DRAWS]
    if printed:  # the ratio where its logarithm belongs
        log_priors = log_policy - jnp.exp(log_policy - log_priors)
    terms = (log_policy, log_priors, q_values[:, DRAWS])
    return forward_kl_marginal_loss(*terms, temperature=0.5)[0]


def _exact(logits, log_prior, q_values):
    terms = (jax.nn.log_softmax(logits), log_prior, q_values)
    return forward_kl_exact_loss(*terms, temperature=0.5)[0]


def bandit_tables():
    noise = jax.random.normal(jax.random.key(4), (2, 1, 3))
    return jnp.asarray(LOG_POLICY), jax.nn.log_softmax(noise[0]), noise[1]


def test_many_actions_tend_to_all_of_them_enumerated():
    terms = bandit_tables()
    exact = jax.jit(jax.grad(_exact))(*terms)
    equal(jax.jit(jax.grad(_marginal))(*terms), exact)
    assert jnp.linalg.norm(exact) > 0.05


def test_the_printed_weight_lacks_a_logarithm():
    """Correction 7: with π/π₀ in the place of log π/π₀ not even the limit is right."""
    terms = bandit_tables()
    printed = jax.jit(jax.grad(partial(_marginal, printed=True)))(*terms)
    assert apart(printed, jax.jit(jax.grad(_exact))(*terms)) > 0.02


def test_a_constant_added_to_the_q_of_a_state_changes_nothing():
    log_policy, log_prior, q_values = bandit_tables()
    for loss in (_marginal, _exact):
        gradients = jax.jit(jax.grad(loss))
        found = gradients(log_policy, log_prior, q_values + 3.0)
        equal(found, gradients(log_policy, log_prior, q_values))


# States weighed as the posterior has them.


@jax.jit
def step_weights(problem, temperature):
    """log-weights of every step of every trajectory."""
    batch = problem.trajectories
    return posterior_log_weights(
        log_probs(problem.logits, batch),
        prior_log_probs(prior_of(problem), batch),
        batch.rewards,
        batch.mask,
        temperature=temperature,
    )


@jax.jit
def smoothing(problem, temperature):
    """Both forms of the log-weights, times what each trajectory's probability is."""
    states, _, _, _, _, mask = problem.trajectories
    terms = (problem.mdp, prior_of(problem))
    _, log_state = backward_messages(*terms, temperature=temperature)
    messages = log_state[jnp.arange(problem.mdp.horizon), states[:, :-1]]
    terms = (step_weights(problem, temperature), mask)
    masses = trajectory_log_probs(problem.trajectories, problem.logits)[:, None]
    path, filters = (smoothing_log_weights(*terms, x) for x in (None, messages))
    return masses, path, filters


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_both_smoothing_weights_tend_to_the_states_of_the_posterior(temperature):
    problem = policy_problem()
    states, mask = problem.trajectories.states[:, :-1], problem.trajectories.mask
    expected = posterior_states(problem.mdp, prior_of(problem), temperature=temperature)
    masses, *both = smoothing(problem, temperature)
    for log_weights in both:
        weights = normalised_weights((log_weights + masses).T).T
        weights = jnp.where(mask, weights, 0.0)
        equal(jnp.einsum("nt,nts->ts", weights, jax.nn.one_hot(states, 4)), expected)


def test_two_filters_have_the_larger_effective_sample_size():
    """(E w)² / E w², what a sample's share of effective ones tends to."""
    problem = policy_problem()
    masses, *both = smoothing(problem, 0.5)
    path, filters = (
        jnp.sum(jnp.exp(masses + x), axis=0) ** 2
        / jnp.sum(jnp.exp(masses + 2 * x), axis=0)
        for x in both
    )
    equal(path, path[0])
    assert jnp.all(filters > 1.1 * path), f"{filters} against {path}"
    assert filters[0] > 5 * path[0]


def test_messages_that_are_each_rows_own_future_give_the_path_form():
    mask = jnp.array([[True, True, False], [True, True, True]])
    steps = jnp.array([[0.3, -1.0, 9.0], [2.0, 0.7, -0.4]])
    future = jnp.array([[-0.7, -1.0, 9.0], [2.3, 0.3, -0.4]])
    path = smoothing_log_weights(steps, mask)
    equal(path, [[-0.7] * 3, [2.3] * 3])
    equal(smoothing_log_weights(steps, mask, future), path)


def test_weights_of_a_trajectory_are_its_share_of_the_posterior():
    problem = policy_problem()
    steps = step_weights(problem, 0.5)
    assert jnp.all(steps[~problem.trajectories.mask] == 0)
    masses = trajectory_log_probs(problem.trajectories, problem.logits)
    found = jax.nn.log_softmax(jnp.sum(steps, axis=1) + masses)
    equal(found, posterior(problem, prior_of(problem), 0.5))
