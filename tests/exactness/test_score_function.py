"""Score-function estimators: discounts, baselines, critics, batch means, exactly."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from reins.credit import (
    constant_baseline,
    gae_advantages,
    optimal_constant_baseline,
    returns_to_go,
    time_baseline,
    total_returns,
)
from reins.estimators import (
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from reins.tabular import (
    advantages,
    enumerate_trajectories,
    occupancies,
    policy_gradient,
    random_mdp,
    state_values,
    step_log_probs,
    trajectory_log_probs,
)
from tests.exactness.problems import (
    POISON,
    PolicyProblem,
    apart,
    at_steps,
    discounts,
    equal,
    log_probs,
    mean_estimate,
    policy_problem,
)

# Discounting of states.


def _reward_to_go(logits, batch, problem, discount_states):
    terms = (log_probs(logits, batch), batch.rewards, batch.mask)
    options = {"discount": problem.mdp.discount, "discount_states": discount_states}
    return score_reward_to_go_loss(*terms, **options)[0]


_discounted = partial(_reward_to_go, discount_states=True)
_undiscounted = partial(_reward_to_go, discount_states=False)


def test_dropping_the_discount_of_states_changes_the_target():
    problem = policy_problem(discount=0.7)
    found = mean_estimate(_undiscounted, problem)
    # Σ_t Σ_s d_t(s) π(a|s) A_t(s, a): the policy gradient theorem without γ^t.
    occupied = occupancies(problem.mdp, problem.logits)[:, :, None]
    critic = advantages(problem.mdp, problem.logits)
    policy = jax.nn.softmax(problem.logits)
    equal(found, policy * jnp.sum(occupied * critic, axis=0))
    assert apart(found, policy_gradient(problem.mdp, problem.logits)) > 0.05


def test_without_discount_the_option_changes_nothing():
    problem = policy_problem()
    equal(mean_estimate(_discounted, problem), mean_estimate(_undiscounted, problem))


# Baselines that do not see the action, and one that does.


def _less_baseline(logits, batch, problem, baseline):
    """Weights G_t − b; `baseline` is a table (T, S, A)."""
    to_go = returns_to_go(batch.rewards, batch.mask, discount=problem.mdp.discount)
    weights = (to_go - at_steps(baseline, batch)) * discounts(problem)
    return score_advantage_loss(log_probs(logits, batch), weights, batch.mask)[0]


@pytest.mark.parametrize("kind", ["none", "constant", "time", "state", "both"])
def test_a_baseline_leaves_the_mean_unchanged(kind):
    problem = policy_problem(discount=0.7)
    noise = 3.0 * jax.random.normal(jax.random.key(7), (3, 4, 1))
    baseline = {
        "none": jnp.zeros(()),
        "constant": noise[0, 0],
        "time": noise[:, :1],
        "state": noise[0],
        "both": noise,
    }[kind]
    found = mean_estimate(
        _less_baseline, problem, jnp.broadcast_to(baseline, (3, 4, 2))
    )
    equal(found, policy_gradient(problem.mdp, problem.logits))


def test_a_baseline_that_sees_the_action_does_not():
    problem = policy_problem(discount=0.7)
    table = 3.0 * jax.random.normal(jax.random.key(8), (3, 4, 2))
    found = mean_estimate(_less_baseline, problem, table)
    assert apart(found, policy_gradient(problem.mdp, problem.logits)) > 0.05


# Advantages from a critic.


def _gae_loss(logits, batch, problem, values, gae_lambda):
    """GAE from a table V_t(s), (T + 1, S); the horizon ends the bootstrap."""
    mdp, times = problem.mdp, jnp.arange(problem.mdp.horizon)
    ends = mdp.terminal[batch.states[:, 1:]] | (times == mdp.horizon - 1)
    weights = gae_advantages(
        batch.rewards,
        values[times, batch.states[:, :-1]],
        values[times + 1, batch.states[:, 1:]],
        ends,
        ends,
        discount=mdp.discount,
        gae_lambda=gae_lambda,
    )
    weights = weights * discounts(problem)
    return score_advantage_loss(log_probs(logits, batch), weights, batch.mask)[0]


_GAE = {x: partial(_gae_loss, gae_lambda=x) for x in (0.0, 0.6, 1.0)}


@pytest.mark.parametrize("gae_lambda", _GAE)
def test_gae_with_an_exact_critic_is_unbiased_for_every_lambda(gae_lambda):
    problem = policy_problem(discount=0.7)
    values = state_values(problem.mdp, problem.logits)
    found = mean_estimate(_GAE[gae_lambda], problem, values)
    equal(found, policy_gradient(problem.mdp, problem.logits))


def test_gae_with_a_wrong_critic_is_unbiased_only_at_lambda_1():
    problem = policy_problem(discount=0.7)
    gradient = policy_gradient(problem.mdp, problem.logits)
    wrong = jax.random.normal(jax.random.key(9), (4, 4))
    equal(mean_estimate(_GAE[1.0], problem, wrong), gradient)
    assert apart(mean_estimate(_GAE[0.6], problem, wrong), gradient) > 0.05


# Batch means: every pair (and triple) of trajectories.


def _constant(batch, leave_one_out, discount):
    totals = total_returns(batch.rewards, batch.mask, discount=discount)
    b = constant_baseline(totals) if leave_one_out else jnp.mean(totals)
    return jnp.broadcast_to((totals - b)[:, None], batch.rewards.shape)


def _time(batch, leave_one_out, discount):
    to_go = returns_to_go(batch.rewards, batch.mask, discount=discount)
    b = time_baseline(to_go, batch.mask) if leave_one_out else jnp.mean(to_go, axis=0)
    return (to_go - b) * discount ** jnp.arange(to_go.shape[1])


def _batch_mean_loss(logits, batch, problem, weights, leave_one_out):
    w = weights(batch, leave_one_out, problem.mdp.discount)
    return score_advantage_loss(log_probs(logits, batch), w, batch.mask)[0]


def _batch_mean(problem, weights, *, leave_one_out: bool, batch: int):
    loss = partial(_batch_mean_loss, weights=weights, leave_one_out=leave_one_out)
    expected = policy_gradient(problem.mdp, problem.logits)
    return mean_estimate(loss, problem, batch=batch), expected


@pytest.mark.parametrize("weights", [_constant, _time])
def test_leave_one_out_means_are_unbiased_over_all_pairs(weights):
    problem = policy_problem(discount=0.7, states=3, horizon=2)
    lengths = jnp.sum(problem.trajectories.mask, axis=1)
    assert set(lengths.tolist()) == {1, 2}  # unequal, or masks would prove nothing
    equal(*_batch_mean(problem, weights, leave_one_out=True, batch=2))


@pytest.mark.parametrize("weights", [_constant, _time])
def test_plain_batch_means_shrink_the_gradient_by_one_over_n_pairs(weights):
    problem = policy_problem(states=3, horizon=2)
    found, gradient = _batch_mean(problem, weights, leave_one_out=False, batch=2)
    equal(found, (1 - 1 / 2) * gradient)


def deterministic_problem():
    """Few enough trajectories for triples of them."""
    keys = jax.random.split(jax.random.key(3))
    mdp = random_mdp(keys[0], 2, 3, horizon=2, deterministic=True)
    trajectories = enumerate_trajectories(mdp)
    return PolicyProblem(mdp, jax.random.normal(keys[1], (2, 3)), trajectories)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_batch_means_over_all_triples(leave_one_out):
    problem = deterministic_problem()
    found, gradient = _batch_mean(
        problem, _constant, leave_one_out=leave_one_out, batch=3
    )
    equal(found, gradient if leave_one_out else (1 - 1 / 3) * gradient)


def test_alone_in_its_batch_a_trajectory_has_baseline_0():
    problem = policy_problem()
    equal(*_batch_mean(problem, _constant, leave_one_out=True, batch=1))


@partial(jax.jit, static_argnames="share")
def _mean_square(problem, share):
    """E‖ĝ‖² over all triples, with b_t = `share` of the others' summed G_t."""
    rows = problem.trajectories
    to_go = returns_to_go(rows.rewards, rows.mask)
    masses = trajectory_log_probs(rows, problem.logits)
    every = range(len(masses))
    chosen = jnp.asarray(list(itertools.product(every, repeat=3)))

    def square(index):
        def loss(logits):
            batch = jax.tree.map(lambda x: x[index], rows)
            returns = to_go[index]
            baseline = share * (jnp.sum(returns, axis=0) - returns)
            terms = (log_probs(logits, batch), returns - baseline, batch.mask)
            return score_advantage_loss(*terms)[0]

        return jnp.sum(jnp.square(jax.grad(loss)(problem.logits)))

    weights = jnp.exp(jnp.sum(masses[chosen], axis=1))
    return jnp.sum(weights * jax.vmap(square)(chosen))


def test_a_time_baseline_without_its_1_over_n_is_worse_than_none():
    problem = deterministic_problem()
    rewards = jnp.where(problem.trajectories.mask, problem.trajectories.rewards + 1, 0)
    problem = problem._replace(
        trajectories=problem.trajectories._replace(rewards=rewards)
    )
    mean, none, printed = (_mean_square(problem, share) for share in (0.5, 0.0, 1.0))
    assert 1.2 * mean < none < printed


# The constant that makes the variance least.


@jax.jit
def _squared_norms(batch, problem):
    """‖∇ log p(τ)‖² of each row."""

    def log_prob(logits, row):
        return jnp.sum(jnp.where(row.mask, log_probs(logits, row), 0.0))

    rows = jax.tree.map(lambda x: x[:, None], batch)
    scores = jax.vmap(jax.grad(log_prob), (None, 0))(problem.logits, rows)
    return jnp.sum(jnp.square(scores), axis=(1, 2))


def _optimal_loss(logits, batch, problem):
    totals = total_returns(batch.rewards, batch.mask, discount=problem.mdp.discount)
    norms = _squared_norms(batch, problem)
    weights = totals - optimal_constant_baseline(totals, norms)
    weights = jnp.broadcast_to(weights[:, None], batch.rewards.shape)
    return score_advantage_loss(log_probs(logits, batch), weights, batch.mask)[0]


@pytest.mark.parametrize("batch", [2, 3])
def test_the_optimal_constant_is_unbiased_over_all_batches(batch):
    problem = deterministic_problem()
    found = mean_estimate(_optimal_loss, problem, batch=batch)
    equal(found, policy_gradient(problem.mdp, problem.logits))


def test_with_equal_norms_the_optimal_constant_is_the_mean():
    returns = jnp.array([3.0, -1.0, 4.0, 0.5])
    found = optimal_constant_baseline(returns, jnp.full(4, 2.7))
    equal(found, constant_baseline(returns))
    equal(optimal_constant_baseline(returns[:1], jnp.ones(1)), [0.0])
    equal(optimal_constant_baseline(returns, jnp.zeros(4)), jnp.zeros(4))


def test_no_other_constant_has_less_variance():
    """The trace of the covariance of (R(τ) − b) ∇ log p(τ), over all trajectories."""
    problem = policy_problem(discount=0.7)
    rows = problem.trajectories
    masses = jnp.exp(trajectory_log_probs(rows, problem.logits))
    totals = total_returns(rows.rewards, rows.mask, discount=0.7)
    norms = _squared_norms(rows, problem)
    gradient = policy_gradient(problem.mdp, problem.logits)

    @jax.jit
    def variance(b):
        squares = jnp.sum(masses * norms * (totals - b) ** 2)
        return squares - jnp.sum(jnp.square(gradient))

    # What a trajectory of no mass sees of all the others, each with its own.
    weights = jnp.append(masses * norms, 0.0)
    best = optimal_constant_baseline(jnp.append(totals, 0.0), weights)[-1]
    equal(jax.grad(variance)(best), 0.0)
    for other in (0.0, jnp.sum(masses * totals), best - 0.1, best + 0.1):
        assert variance(best) < variance(other) - 1e-4


# The proofs themselves.


def test_the_enumeration_is_a_distribution_and_the_padding_is_poisoned():
    problem = policy_problem()
    masses = jnp.exp(trajectory_log_probs(problem.trajectories, problem.logits))
    equal(jnp.sum(masses), 1.0)
    padding = ~problem.trajectories.mask
    assert jnp.any(padding)
    assert jnp.all(problem.trajectories.rewards[padding] == POISON)
    # The policy's own log-probabilities are not masked; only the estimators mask.
    given = log_probs(problem.logits, problem.trajectories)
    assert jnp.all(given[padding] < 0)
    masked = step_log_probs(problem.trajectories, problem.logits)
    equal(jnp.where(padding, 0.0, given), masked)


def _total_return(logits, batch, problem):
    terms = (log_probs(logits, batch), batch.rewards, batch.mask)
    return score_total_return_loss(*terms)[0]


def test_a_batch_counts_as_the_mean_of_its_rows():
    problem = policy_problem(states=3, horizon=2)
    pairs = mean_estimate(_total_return, problem, batch=2)
    equal(pairs, mean_estimate(_total_return, problem))
