"""Every record of `ESTIMATORS` is read, and what it claims is proven.

One that claims to be unbiased needs a proof here, one that does not its exact bias.
Means are sums over all trajectories, pairs of them or actions, or exact quadratures.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.estimators import ESTIMATORS
from reins.tabular import (
    action_values,
    advantages,
    boltzmann_policy,
    gauss_hermite_grid,
    message_values,
    occupancies,
    policy_gradient,
    posterior_states,
    soft_action_values,
    surrogate_value,
    trajectory_log_probs,
)
from tests.exactness import losses, test_evolution, test_pathwise
from tests.exactness.problems import (
    BEHAVIOUR,
    apart,
    at_every_step,
    discounts,
    enumerated_actions,
    equal,
    forward_kl,
    mean_estimate,
    mean_over_actions,
    other_logits,
    policy_problem,
    posterior,
    prior_of,
    reverse_kl,
    table_visits,
    visits,
)

TEMPERATURE = 0.5
SMALL = {"states": 3, "horizon": 2}
"""For pairs of trajectories."""


def off_by(error, table):
    """A critic that is wrong by so much, times a standard normal."""
    return table + error * jax.random.normal(jax.random.key(5), table.shape)


# Proofs return the mean of the estimates and the gradient of the target. `error` says
# how wrong the critic is, where the estimator is given one.


def _of_rewards(name):
    def proof(problem, error):
        target = policy_gradient(problem.mdp, problem.logits)
        return mean_estimate(losses.OF_REWARDS[name], problem), target

    return proof


def _advantage(problem, error):
    critic = off_by(error, advantages(problem.mdp, problem.logits))
    target = policy_gradient(problem.mdp, problem.logits)
    return mean_estimate(losses.score_advantage, problem, critic), target


def _surrogate(problem, error):
    critic = off_by(error, advantages(problem.mdp, problem.logits))
    new = other_logits(problem, 0)
    target = jax.grad(surrogate_value, argnums=1)(problem.mdp, new, problem.logits)
    return mean_estimate(losses.surrogate, problem, critic, at=new), target


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


def _clipped_surrogate(problem, error):
    critic = off_by(error, advantages(problem.mdp, problem.logits))
    new = other_logits(problem, 0)
    target = jax.grad(_clipped_objective)(new, problem, 0.2)
    return mean_estimate(losses.clipped_surrogate, problem, critic, at=new), target


def _behaved(name, problem):
    behaviour = other_logits(problem, BEHAVIOUR)
    masses = trajectory_log_probs(problem.trajectories, behaviour)
    loss = losses.OF_BEHAVIOUR[name]
    return mean_estimate(loss, problem, behaviour, log_masses=masses)


def _of_behaviour(name):
    def proof(problem, error):
        return _behaved(name, problem), policy_gradient(problem.mdp, problem.logits)

    return proof


@jax.jit
def _minus_reverse_kl_gradient(problem, temperature):
    terms = (problem, prior_of(problem), temperature)
    return -temperature * jax.grad(reverse_kl)(problem.logits, *terms)


@jax.jit
def _minus_forward_kl_gradient(problem, temperature):
    terms = (problem, prior_of(problem), temperature)
    return -jax.grad(forward_kl)(problem.logits, *terms)


def _reverse_trajectory(problem, error):
    terms = (prior_of(problem), TEMPERATURE)
    found = mean_estimate(losses.OF_PRIOR["reverse_kl_trajectory"], problem, *terms)
    return found, _minus_reverse_kl_gradient(problem, TEMPERATURE)


def _soft_tables(problem, error):
    """log π0 and soft Q, at every step."""
    log_prior = prior_of(problem)
    terms = (problem.mdp, problem.logits, log_prior)
    soft = soft_action_values(*terms, temperature=TEMPERATURE)
    return at_every_step(problem, log_prior), off_by(error, soft)


def _reverse_score(problem, error):
    found = mean_over_actions(
        ESTIMATORS["reverse_kl_score"].loss,
        problem,
        visits(problem),
        *_soft_tables(problem, error),
        actions=2,
        temperature=TEMPERATURE,
    )
    return found, _minus_reverse_kl_gradient(problem, TEMPERATURE)


def _reverse_exact(problem, error):
    found = enumerated_actions(
        ESTIMATORS["reverse_kl_exact"].loss,
        problem,
        table_visits(occupancies(problem.mdp, problem.logits)),
        *_soft_tables(problem, error),
        temperature=TEMPERATURE,
    )
    return found, _minus_reverse_kl_gradient(problem, TEMPERATURE)


def _reverse_pathwise(problem, error):
    """On a linear-quadratic problem of its own."""

    def wrong(*args):
        log_probs, log_priors, q_values = test_pathwise.pathwise(*args)
        return log_probs, log_priors, (1 + error) * q_values

    problem = test_pathwise.problem_of()
    found = test_pathwise.mean_estimate(problem, wrong)
    return jnp.stack(found), jnp.stack(test_pathwise.soft_gradient(problem))


def _forward_exact(problem, error):
    terms = (problem.mdp, prior_of(problem))
    message = message_values(*terms, temperature=TEMPERATURE)
    found = enumerated_actions(
        ESTIMATORS["forward_kl_exact"].loss,
        problem,
        table_visits(posterior_states(*terms, temperature=TEMPERATURE)),
        at_every_step(problem, prior_of(problem)),
        off_by(error, message),
        temperature=TEMPERATURE,
    )
    return found, _minus_forward_kl_gradient(problem, TEMPERATURE)


def _evolution(problem, error):
    """On a linear-quadratic problem of its own, with the same discount."""
    problem = test_evolution.problem_of(problem.mdp.discount)
    mean = jnp.array(test_evolution.POLICY[:2])
    noise, log_weights = gauss_hermite_grid(4, 2)
    found = test_evolution.mean_estimate(problem, mean, noise[:, None], log_weights)
    return found, test_evolution.smoothed_gradient(problem, mean, test_evolution.STD)


PROOFS = {
    "score_total_return": _of_rewards("score_total_return"),
    "score_reward_to_go": _of_rewards("score_reward_to_go"),
    "score_advantage": _advantage,
    "evolution": _evolution,
    "trajectory_ratio": _of_behaviour("trajectory_ratio"),
    "per_decision": _of_behaviour("per_decision"),
    "surrogate": _surrogate,
    "clipped_surrogate": _clipped_surrogate,
    "reverse_kl_trajectory": _reverse_trajectory,
    "reverse_kl_score": _reverse_score,
    "reverse_kl_pathwise": _reverse_pathwise,
    "reverse_kl_exact": _reverse_exact,
    "forward_kl_exact": _forward_exact,
}


# Biases return the mean of the estimates, the gradient of the target, and what the one
# is off the other, computed in another way.


def _entropy_bias(problem):
    """Against ∇ E[Σ_t H(π(.|s_t))]: what is missing is the states' own dependence."""

    def objective(states_from, logits):
        log_policy = jax.nn.log_softmax(logits)
        entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1)
        return jnp.sum(occupancies(problem.mdp, states_from) * entropy)

    both = (problem.logits, problem.logits)
    missing, held = jax.grad(objective, argnums=(0, 1))(*both)
    return mean_estimate(losses.entropy_bonus, problem), held + missing, -missing


def _clipped_bias(problem):
    """Against the gradient of the unclipped surrogate: what was clipped is missing."""
    found, clipped = _clipped_surrogate(problem, 0.0)
    whole = jax.grad(_clipped_objective)(other_logits(problem, 0), problem, jnp.inf)
    return found, whole, clipped - whole


def _ranked_bias(problem):
    """F(θ) = 0.4 θ, an antithetic pair: E|ε| / (2 std), and not 0.4."""
    found = test_evolution.ranked_gradient(0.4)
    expected = np.sqrt(2 / np.pi) / (2 * test_evolution.STD)
    return found, jnp.array(0.4), expected - 0.4


@jax.jit
def _gain(logits, occupied, problem, behaviour):
    """Σ_t γ^t Σ_s d_t(s) Σ_a π(a|s) Q_t(s, a), states given, Q of the behaviour."""
    q = action_values(problem.mdp, behaviour)
    per_state = jnp.sum(jax.nn.softmax(logits) * q, axis=-1)
    return jnp.sum(discounts(problem)[:, None] * occupied * per_state)


def _ratio_bias(name, states_of):
    """The gradient formula with Q of the behaviour, in states of one or the other."""

    def bias(problem):
        behaviour = other_logits(problem, BEHAVIOUR)
        occupied = occupancies(problem.mdp, states_of(problem, behaviour))
        expected = jax.grad(_gain)(problem.logits, occupied, problem, behaviour)
        target = policy_gradient(problem.mdp, problem.logits)
        return _behaved(name, problem), target, expected - target

    return bias


@jax.jit
def _pairs_of_trajectories(problem):
    """Σ_ij q_i q_j (w_i g_i + w_j g_j) / (w_i + w_j), with w = p(.|O)/q exact."""
    log_q = trajectory_log_probs(problem.trajectories, problem.logits)
    log_w = posterior(problem, prior_of(problem), TEMPERATURE) - log_q
    scores = jax.jacobian(trajectory_log_probs, 1)(problem.trajectories, problem.logits)
    shares = jax.nn.sigmoid(log_w[:, None] - log_w)
    q = jnp.exp(log_q)
    return 2 * jnp.einsum("i,j,ij,isa->sa", q, q, shares, scores)


def _forward_trajectory_bias(problem):
    """Of pairs of trajectories."""
    problem = policy_problem(discount=problem.mdp.discount, **SMALL)
    loss = losses.OF_PRIOR["forward_kl_trajectory"]
    terms = (prior_of(problem), TEMPERATURE)
    target = _minus_forward_kl_gradient(problem, TEMPERATURE)
    found = mean_estimate(loss, problem, *terms, batch=2)
    return found, target, _pairs_of_trajectories(problem) - target


def _forward_marginal_bias(problem):
    """Of pairs of actions, in the policy's own states, with soft Q."""
    log_prior, q_values = _soft_tables(problem, 0.0)
    found = mean_over_actions(
        ESTIMATORS["forward_kl_marginal"].loss,
        problem,
        visits(problem),
        log_prior,
        q_values,
        actions=2,
        temperature=TEMPERATURE,
    )
    # Equal actions weigh 1/2 each, whatever x is; unequal ones as x/π has it.
    boltzmann = jnp.exp(
        boltzmann_policy(q_values, log_prior[0], temperature=TEMPERATURE)
    )
    policy = jax.nn.softmax(problem.logits)
    ratios = boltzmann / policy
    unequal = 2 * policy[:, :1] * policy[:, 1:] * ratios
    weights = policy**2 + unequal / jnp.sum(ratios, axis=-1, keepdims=True)
    occupied = occupancies(problem.mdp, problem.logits)[:, :, None]
    gradients = (
        jnp.sum(occupied * (fitted - policy), axis=0) for fitted in (boltzmann, weights)
    )
    target, expected = gradients
    return found, target, expected - target


BIASES = {
    "entropy_bonus": _entropy_bias,
    "evolution_ranked": _ranked_bias,
    "past_ratios": _ratio_bias("past_ratios", lambda problem, _: problem.logits),
    "per_step_ratio": _ratio_bias("per_step_ratio", lambda _, behaviour: behaviour),
    "clipped_surrogate": _clipped_bias,
    "forward_kl_trajectory": _forward_trajectory_bias,
    "forward_kl_marginal": _forward_marginal_bias,
}


def claims(*values: str) -> list[str]:
    return [name for name, record in ESTIMATORS.items() if record.unbiased in values]


def discounted(*values: str) -> list[tuple[str, float]]:
    """Names, with another discount where the target has one."""
    return [
        (name, discount)
        for name in claims(*values)
        for discount in (1.0, 0.7)
        if discount == 1.0 or ESTIMATORS[name].target in ("J", "smoothed J")
    ]


def test_every_record_makes_one_of_three_claims_and_has_its_proof():
    assert set(claims("yes", "with an exact critic", "no")) == set(ESTIMATORS)
    unproven = set(claims("yes", "with an exact critic")) - set(PROOFS)
    assert not unproven, f"{unproven} claim to be unbiased; write their proof in PROOFS"
    unknown = set(claims("no")) - set(BIASES)
    assert not unknown, f"{unknown} are biased; write their exact bias in BIASES"


@pytest.mark.parametrize(
    ("name", "discount"), discounted("yes", "with an exact critic")
)
def test_unbiased_as_claimed(name, discount):
    equal(*PROOFS[name](policy_problem(discount=discount), 0.0))


@pytest.mark.parametrize("name", claims("with an exact critic"))
def test_a_wrong_critic_biases_what_needs_an_exact_one(name):
    assert apart(*PROOFS[name](policy_problem(), 1.0)) > 0.05


@pytest.mark.parametrize(("name", "discount"), discounted("no"))
def test_biased_by_exactly_what_is_left_out(name, discount):
    found, target, bias = BIASES[name](policy_problem(discount=discount))
    equal(found, target + bias)
    assert apart(found, target) > 0.05
