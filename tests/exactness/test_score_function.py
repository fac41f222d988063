"""Score-function estimators against the exact gradient, summed over all trajectories.

Every record of `ESTIMATORS` is read: one that claims to be unbiased needs a proof here,
one that does not needs its exact bias.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.credit import (
    constant_baseline,
    gae_advantages,
    returns_to_go,
    time_baseline,
    total_returns,
)
from reins.estimators import (
    ESTIMATORS,
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from reins.policies import TabularPolicy
from reins.tabular import (
    advantages,
    enumerate_trajectories,
    occupancies,
    policy_gradient,
    random_mdp,
    state_values,
    step_log_probs,
    surrogate_value,
    trajectory_log_probs,
)
from tests.exactness.problems import (
    POISON,
    PolicyProblem,
    at_steps,
    discounts,
    log_probs,
    mean_estimate,
    other_logits,
    policy_problem,
)

DISCOUNTS = [1.0, 0.7]


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def apart(found, expected) -> float:
    """Relative distance; what must be clearly nonzero where there is a bias."""
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


# The claims of the records. A proof returns the mean of the estimates and the gradient
# of the target; `critic` is the table of advantages that the estimator is given.


def _of_rewards(name):
    def loss(logits, batch, problem):
        terms = (log_probs(logits, batch), batch.rewards, batch.mask)
        return ESTIMATORS[name].loss(*terms, discount=problem.mdp.discount)[0]

    def proof(problem, critic):
        target = policy_gradient(problem.mdp, problem.logits)
        return mean_estimate(loss, problem), target

    return proof


def _advantage_loss(logits, batch, problem, critic):
    weights = at_steps(critic, batch) * discounts(problem)
    terms = (log_probs(logits, batch), weights, batch.mask)
    return ESTIMATORS["score_advantage"].loss(*terms)[0]


def _advantage(problem, critic):
    target = policy_gradient(problem.mdp, problem.logits)
    return mean_estimate(_advantage_loss, problem, critic), target


def _surrogate_loss(logits, batch, problem, critic):
    return ESTIMATORS["surrogate"].loss(
        log_probs(logits, batch) - log_probs(problem.logits, batch),
        at_steps(critic, batch),
        batch.mask,
        times=jnp.arange(problem.mdp.horizon)[None],
        discount=problem.mdp.discount,
    )[0]


def _surrogate(problem, critic):
    new = other_logits(problem, 0)
    target = jax.grad(surrogate_value, argnums=1)(problem.mdp, new, problem.logits)
    return mean_estimate(_surrogate_loss, problem, critic, at=new), target


def _clipped_loss(logits, batch, problem, critic):
    ratios = log_probs(logits, batch) - log_probs(problem.logits, batch)
    terms = (ratios, at_steps(critic, batch), batch.mask)
    return ESTIMATORS["clipped_surrogate"].loss(*terms, clip_epsilon=0.2)[0]


@jax.jit
def _clipped_objective(new, problem, clip_epsilon):
    """Σ_t Σ_s d_t(s) Σ_a π_old min(ρ A, clip(ρ) A): no trajectory in sight."""
    critic = advantages(problem.mdp, problem.logits)
    old = jax.nn.softmax(problem.logits)
    ratios = jax.nn.softmax(new) / old
    inside = jnp.clip(ratios, 1 - clip_epsilon, 1 + clip_epsilon)
    clipped = jnp.minimum(ratios * critic, inside * critic)
    occupied = occupancies(problem.mdp, problem.logits)
    return jnp.einsum("ts,sa,tsa->", occupied, old, clipped)


def _clipped_surrogate(problem, critic):
    new = other_logits(problem, 0)
    target = jax.grad(_clipped_objective)(new, problem, 0.2)
    return mean_estimate(_clipped_loss, problem, critic, at=new), target


PROOFS = {
    "score_total_return": _of_rewards("score_total_return"),
    "score_reward_to_go": _of_rewards("score_reward_to_go"),
    "score_advantage": _advantage,
    "surrogate": _surrogate,
    "clipped_surrogate": _clipped_surrogate,
}


def _entropy_loss(logits, batch, problem):
    entropies = TabularPolicy(logits)(batch.states[:, :-1]).entropy()
    result = ESTIMATORS["entropy_bonus"].loss(entropies, batch.mask)
    return result[0] if isinstance(result, tuple) else result


def _entropy_bias(problem, critic):
    """Against ∇ E[Σ_t H(π(.|s_t))]: what is missing is the states' own dependence."""

    def objective(states_from, logits):
        log_policy = jax.nn.log_softmax(logits)
        entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1)
        return jnp.sum(occupancies(problem.mdp, states_from) * entropy)

    both = (problem.logits, problem.logits)
    missing, held = jax.grad(objective, argnums=(0, 1))(*both)
    return mean_estimate(_entropy_loss, problem), held + missing, -missing


def _clipped_bias(problem, critic):
    """Against the gradient of the unclipped surrogate: what was clipped is missing."""
    found, clipped = _clipped_surrogate(problem, critic)
    whole = jax.grad(_clipped_objective)(other_logits(problem, 0), problem, jnp.inf)
    return found, whole, clipped - whole


BIASES = {"entropy_bonus": _entropy_bias, "clipped_surrogate": _clipped_bias}


def claims(*values: str) -> list[str]:
    return [name for name, record in ESTIMATORS.items() if record.unbiased in values]


def test_every_record_makes_one_of_three_claims_and_has_its_proof():
    assert set(claims("yes", "with an exact critic", "no")) == set(ESTIMATORS)
    unproven = set(claims("yes", "with an exact critic")) - set(PROOFS)
    assert not unproven, f"{unproven} claim to be unbiased; write their proof in PROOFS"
    unknown = set(claims("no")) - set(BIASES)
    assert not unknown, f"{unknown} are biased; write their exact bias in BIASES"


@pytest.mark.parametrize("discount", DISCOUNTS)
@pytest.mark.parametrize("name", claims("yes", "with an exact critic"))
def test_unbiased_as_claimed(name, discount):
    problem = policy_problem(discount=discount)
    critic = advantages(problem.mdp, problem.logits)
    equal(*PROOFS[name](problem, critic))


@pytest.mark.parametrize("name", claims("with an exact critic"))
def test_a_wrong_critic_biases_what_needs_an_exact_one(name):
    problem = policy_problem()
    critic = advantages(problem.mdp, problem.logits)
    wrong = critic + jax.random.normal(jax.random.key(5), critic.shape)
    assert apart(*PROOFS[name](problem, wrong)) > 0.05


@pytest.mark.parametrize("name", claims("no"))
def test_biased_by_exactly_what_is_left_out(name):
    problem = policy_problem()
    critic = advantages(problem.mdp, problem.logits)
    found, target, bias = BIASES[name](problem, critic)
    equal(found, target + bias)
    assert apart(found, target) > 0.05


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


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_batch_means_over_all_triples(leave_one_out):
    keys = jax.random.split(jax.random.key(3))
    mdp = random_mdp(keys[0], 2, 3, horizon=2, deterministic=True)
    trajectories = enumerate_trajectories(mdp)
    problem = PolicyProblem(mdp, jax.random.normal(keys[1], (2, 3)), trajectories)
    found, gradient = _batch_mean(
        problem, _constant, leave_one_out=leave_one_out, batch=3
    )
    equal(found, gradient if leave_one_out else (1 - 1 / 3) * gradient)


def test_alone_in_its_batch_a_trajectory_has_baseline_0():
    problem = policy_problem()
    equal(*_batch_mean(problem, _constant, leave_one_out=True, batch=1))


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
