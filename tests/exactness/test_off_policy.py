"""Ratios of policies: several behaviours as one, and what dropping ratios costs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators import ESTIMATORS, surrogate_loss
from reins.tabular import occupancies, policy_gradient, trajectory_log_probs
from reins.weights import cumulative_log_ratios, mixture_log_probs
from tests.exactness.losses import OF_BEHAVIOUR, OF_REWARDS
from tests.exactness.problems import (
    BEHAVIOUR,
    PolicyProblem,
    apart,
    discounts,
    equal,
    log_probs,
    mean_estimate,
    other_logits,
    policy_problem,
)

LOG_SHARES = np.log([0.3, 0.7])


def behaviours(problem):
    """Two policies that gathered the data, neither of them near the one that learns."""
    return jnp.stack([other_logits(problem, seed) for seed in (BEHAVIOUR, 7)])


@jax.jit
def mixed(problem, tables, log_shares):
    """log-masses of the trajectories, and log β of their steps, of the mixture."""
    trajectories = problem.trajectories
    masses = jax.vmap(trajectory_log_probs, (None, 0))(trajectories, tables)
    masses = jax.nn.logsumexp(masses + log_shares[:, None], axis=0)
    return masses, _mixture(problem, trajectories, tables, log_shares)


def _mixture(problem, batch, tables, log_shares):
    steps = jnp.stack([log_probs(table, batch) for table in tables])
    return mixture_log_probs(steps, log_shares, batch.mask)


def _of_mixture(logits, batch, problem, tables, log_shares, *, name):
    return ESTIMATORS[name].loss(
        log_probs(logits, batch),
        _mixture(problem, batch, tables, log_shares),
        batch.rewards,
        batch.mask,
        discount=problem.mdp.discount,
    )[0]


_OF_MIXTURE = {
    name: partial(_of_mixture, name=name)
    for name in ("trajectory_ratio", "per_decision")
}


# Several behaviours.


@pytest.mark.parametrize("discount", [1.0, 0.7])
@pytest.mark.parametrize("name", _OF_MIXTURE)
def test_data_of_two_behaviours_is_unbiased_with_the_mixture_as_one(name, discount):
    problem = policy_problem(discount=discount)
    terms = (behaviours(problem), LOG_SHARES)
    masses, _ = mixed(problem, *terms)
    found = mean_estimate(_OF_MIXTURE[name], problem, *terms, log_masses=masses)
    equal(found, policy_gradient(problem.mdp, problem.logits))


@pytest.mark.parametrize("name", _OF_MIXTURE)
def test_with_one_of_the_two_in_its_place_it_is_biased(name):
    problem = policy_problem()
    tables = behaviours(problem)
    masses, _ = mixed(problem, tables, LOG_SHARES)
    found = mean_estimate(OF_BEHAVIOUR[name], problem, tables[0], log_masses=masses)
    assert apart(found, policy_gradient(problem.mdp, problem.logits)) > 0.05


def test_the_mixture_is_a_policy_its_probabilities_sum_to_1():
    problem = policy_problem()
    masses, steps = mixed(problem, behaviours(problem), LOG_SHARES)
    found = problem.trajectories.log_dynamics + jnp.sum(steps, axis=1)
    equal(jnp.sum(jnp.exp(found)), 1.0)
    equal(found, masses)


def test_it_remembers_who_may_have_acted():
    """The same state and action, another past: another probability."""
    problem = policy_problem()
    _, steps = mixed(problem, behaviours(problem), LOG_SHARES)
    states, actions, _, _, _, mask = problem.trajectories
    again = (states[:, 1] == 0) & (actions[:, 1] == 1) & mask[:, 1]
    assert jnp.ptp(steps[:, 1][again]) > 0.05


@pytest.mark.parametrize("k", [0, 1])
def test_no_ratio_exceeds_one_over_the_share(k):
    problem = policy_problem()
    tables = behaviours(problem)
    _, steps = mixed(problem, tables, LOG_SHARES)
    mask = problem.trajectories.mask
    own = log_probs(tables[k], problem.trajectories)
    ratios = jnp.exp(cumulative_log_ratios(own - steps, mask))
    bound = 1 / jnp.exp(LOG_SHARES[k])
    assert jnp.max(ratios) <= bound + 1e-12
    assert jnp.max(ratios) > 1.2  # the bound does something


def test_one_policy_or_equal_ones_give_that_policy_back():
    problem = policy_problem()
    table = behaviours(problem)[:1]
    trajectories = problem.trajectories
    expected = jnp.where(trajectories.mask, log_probs(table[0], trajectories), 0.0)
    equal(mixed(problem, table, jnp.zeros(1))[1], expected)
    equal(mixed(problem, jnp.tile(table, (2, 1, 1)), LOG_SHARES)[1], expected)


# Ratios.


def test_the_last_cumulative_ratio_is_the_trajectorys():
    problem = policy_problem()
    trajectories, behaviour = problem.trajectories, other_logits(problem, BEHAVIOUR)
    steps = log_probs(problem.logits, trajectories) - log_probs(behaviour, trajectories)
    found = cumulative_log_ratios(steps, trajectories.mask)
    masses = (
        trajectory_log_probs(trajectories, x) for x in (problem.logits, behaviour)
    )
    log_policy, log_behaviour = masses
    equal(found[:, -1], log_policy - log_behaviour)
    for t, column in enumerate(found.T):
        earlier = np.where(trajectories.mask, steps, 0.0)[:, : t + 1]
        equal(column, earlier.sum(axis=1))


@pytest.mark.parametrize("name", OF_BEHAVIOUR)
def test_the_policys_own_data_need_no_ratio(name):
    """Identities of the docstrings, for each trajectory by itself."""
    problem = policy_problem(discount=0.7)
    plain = "score_total_return" if name == "trajectory_ratio" else "score_reward_to_go"
    one = jax.tree.map(lambda rows: rows[5:9], problem.trajectories)

    @jax.jit
    def gradients(logits):
        own = OF_BEHAVIOUR[name]
        found = jax.grad(own)(logits, one, problem, problem.logits)
        return found, jax.grad(OF_REWARDS[plain])(logits, one, problem)

    equal(*gradients(problem.logits))


def test_the_effective_sample_size_is_that_of_the_trajectories():
    problem = policy_problem()
    trajectories, behaviour = problem.trajectories, other_logits(problem, BEHAVIOUR)
    steps = [log_probs(x, trajectories) for x in (problem.logits, behaviour)]
    terms = (*steps, trajectories.rewards, trajectories.mask)
    masses = [
        trajectory_log_probs(trajectories, x) for x in (problem.logits, behaviour)
    ]
    weights = np.exp(masses[0] - masses[1])
    for name in OF_BEHAVIOUR:
        _, info = ESTIMATORS[name].loss(*terms)
        equal(info["ess"], weights.sum() ** 2 / np.sum(weights**2))


# What the lecture prints.


def test_dropping_the_ratios_of_later_steps_is_a_bias_but_for_one_step():
    """Correction 4: rewards after t are then those of the behaviour."""
    for horizon in (1, 3):
        problem = policy_problem(horizon=horizon)
        behaviour = other_logits(problem, BEHAVIOUR)
        masses = trajectory_log_probs(problem.trajectories, behaviour)
        past, whole = (
            mean_estimate(OF_BEHAVIOUR[name], problem, behaviour, log_masses=masses)
            for name in ("past_ratios", "per_decision")
        )
        truth = policy_gradient(problem.mdp, problem.logits)
        equal(whole, truth)
        if horizon == 1:
            equal(past, truth)
        else:
            assert apart(past, truth) > 0.01


def _printed(logits, batch, problem):
    """E[Σ_t γ^t ρ_t r_t], ρ differentiated: the objective of the last slide."""
    ratios = log_probs(logits, batch) - log_probs(problem.logits, batch)
    times = jnp.arange(problem.mdp.horizon)[None]
    options = {"times": times, "discount": problem.mdp.discount}
    return surrogate_loss(ratios, batch.rewards, batch.mask, **options)[0]


@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_the_printed_objective_has_another_gradient_than_is_printed_under_it(discount):
    """Correction 6: with r_t alone it is no policy gradient even at θ_old; G_t is."""
    problem = policy_problem(discount=discount)
    truth = policy_gradient(problem.mdp, problem.logits)
    found = mean_estimate(_printed, problem)
    equal(found, _immediate(problem))
    assert apart(found, truth) > 0.05
    meant = OF_BEHAVIOUR["per_step_ratio"]
    equal(mean_estimate(meant, problem, problem.logits), truth)


def _immediate(problem: PolicyProblem):
    """Σ_t γ^t Σ_s d_t(s) Σ_a ∇π(a|s) r(s, a)."""
    mdp = problem.mdp
    policy = jax.nn.softmax(problem.logits)
    rewards = jnp.sum(mdp.transitions * mdp.rewards, axis=-1)
    centred = rewards - jnp.sum(policy * rewards, axis=1, keepdims=True)
    occupied = discounts(problem) @ occupancies(mdp, problem.logits)
    return occupied[:, None] * policy * centred
