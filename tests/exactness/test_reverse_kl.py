"""Policy losses of the reverse KL against −α ∇KL(q ‖ p(.|O)), both written out."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from reins.estimators import (
    reverse_kl_exact_loss,
    reverse_kl_score_loss,
    reverse_kl_trajectory_loss,
)
from reins.tabular import (
    action_values,
    boltzmann_policy,
    occupancies,
    policy_gradient,
    soft_action_values,
    trajectory_log_probs,
)
from tests.exactness.losses import CAUSAL_REVERSE_KL, OF_PRIOR, OF_REWARDS
from tests.exactness.problems import (
    apart,
    at_every_step,
    enumerated_actions,
    equal,
    log_probs,
    mean_estimate,
    mean_over_actions,
    policy_problem,
    prior_log_probs,
    prior_of,
    reverse_kl,
    table_visits,
    visits,
)

TEMPERATURES = [0.5, 2.0]
TRAJECTORY = OF_PRIOR["reverse_kl_trajectory"]


@jax.jit
def truth(problem, temperature):
    """−α ∇KL(q ‖ p(.|O))."""
    terms = (problem, prior_of(problem), temperature)
    return -temperature * jax.grad(reverse_kl)(problem.logits, *terms)


def soft_tables(problem, temperature):
    """log π0 and exact soft Q, at every step."""
    log_prior = prior_of(problem)
    terms = (problem.mdp, problem.logits, log_prior)
    q_values = soft_action_values(*terms, temperature=temperature)
    return at_every_step(problem, log_prior), q_values


# Trajectories.


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("loss", [TRAJECTORY, CAUSAL_REVERSE_KL])
def test_trajectories_are_unbiased(loss, temperature):
    problem = policy_problem()
    found = mean_estimate(loss, problem, prior_of(problem), temperature)
    equal(found, truth(problem, temperature))


def test_at_temperature_0_it_is_the_policy_gradient_of_the_total_return():
    problem = policy_problem()
    found = mean_estimate(TRAJECTORY, problem, prior_of(problem), 0.0)
    equal(found, mean_estimate(OF_REWARDS["score_total_return"], problem))
    equal(found, policy_gradient(problem.mdp, problem.logits))


def _printed_sign(logits, batch, problem, log_prior, temperature):
    """Adds α log(π/π0) where it is to be subtracted."""
    log_policy = log_probs(logits, batch)
    log_priors = 2 * log_policy - prior_log_probs(log_prior, batch)
    terms = (log_policy, log_priors, batch.rewards, batch.mask)
    return reverse_kl_trajectory_loss(*terms, temperature=temperature)[0]


def test_the_printed_sign_of_the_log_ratio_is_wrong():
    """Correction 7."""
    problem = policy_problem()
    found = mean_estimate(_printed_sign, problem, prior_of(problem), 0.5)
    assert apart(found, truth(problem, 0.5)) > 0.2


@partial(jax.jit, static_argnames="loss")
def second_moment(loss, problem, *terms):
    """Σ_τ q(τ) ‖ĝ(τ)‖²."""
    rows = jax.tree.map(lambda x: x[:, None], problem.trajectories)
    gradient = jax.grad(loss)

    def norm(row):
        return jnp.sum(jnp.square(gradient(problem.logits, row, problem, *terms)))

    masses = jnp.exp(trajectory_log_probs(problem.trajectories, problem.logits))
    return jnp.sum(masses * jax.vmap(norm)(rows))


def test_causal_brackets_have_less_variance():
    problem = policy_problem()
    terms = (problem, prior_of(problem), 0.5)
    assert second_moment(CAUSAL_REVERSE_KL, *terms) < second_moment(TRAJECTORY, *terms)


# States and actions.

_SCORE = {x: partial(reverse_kl_score_loss, leave_one_out=x) for x in (True, False)}


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("actions", [1, 2])
@pytest.mark.parametrize("leave_one_out", [True, False])
def test_actions_in_the_policys_states_are_unbiased(
    leave_one_out, actions, temperature
):
    problem = policy_problem()
    loss = _SCORE[leave_one_out]
    tables = soft_tables(problem, temperature)
    options = {"actions": actions, "temperature": temperature}
    found = mean_over_actions(loss, problem, visits(problem), *tables, **options)
    equal(found, truth(problem, temperature))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_every_action_enumerated_is_exact(temperature):
    problem = policy_problem()
    rows = table_visits(occupancies(problem.mdp, problem.logits))
    tables = soft_tables(problem, temperature)
    options = {"temperature": temperature}
    found = enumerated_actions(reverse_kl_exact_loss, problem, rows, *tables, **options)
    equal(found, truth(problem, temperature))


def _without_own_ratio(log_policy, log_prior, q_values, **options):
    """log π in the place of log π0: the ratio of the step itself is then 1."""
    return reverse_kl_score_loss(
        log_policy, jax.lax.stop_gradient(log_policy), q_values, **options
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_q_without_the_log_ratio_of_its_own_step_is_biased(temperature):
    problem = policy_problem()
    tables = soft_tables(problem, temperature)
    options = {"actions": 1, "temperature": temperature}
    rows = visits(problem)
    found = mean_over_actions(_without_own_ratio, problem, rows, *tables, **options)
    assert apart(found, truth(problem, temperature)) > 0.2


def test_classic_q_is_biased():
    problem = policy_problem()
    log_prior, _ = soft_tables(problem, 2.0)
    classic = action_values(problem.mdp, problem.logits)
    rows = table_visits(occupancies(problem.mdp, problem.logits))
    terms = (problem, rows, log_prior, classic)
    found = enumerated_actions(reverse_kl_exact_loss, *terms, temperature=2.0)
    assert apart(found, truth(problem, 2.0)) > 0.05


def test_uniform_states_are_the_mean_over_rows():
    """Without weights 1/N each: M trajectories weigh their states 1/M by themselves."""
    key = jax.random.key(1)
    log_policy, log_prior, q_values = jax.random.normal(key, (3, 6, 2))
    terms = (log_policy, log_prior, q_values)
    for loss in (reverse_kl_score_loss, reverse_kl_exact_loss):
        found, _ = loss(*terms)
        equal(found, loss(*terms, state_weights=jnp.full(6, 1 / 6))[0])


@pytest.mark.parametrize("actions", [1, 2, 3])
def test_a_constant_added_to_the_q_of_a_state(actions):
    """Changes nothing with a baseline and K > 1; the mean of the scores otherwise."""
    key = jax.random.key(2)
    log_policy, log_prior, q_values = jax.random.normal(key, (3, 5, actions))
    shift = jnp.arange(5.0)[:, None]

    @jax.jit
    def gradients(log_policy):
        gradient = jax.grad(lambda *terms: reverse_kl_score_loss(*terms)[0])
        terms = (log_policy, log_prior, q_values)
        return gradient(*terms), gradient(*terms[:2], q_values + shift)

    before, after = gradients(log_policy)
    if actions > 1:
        equal(after, before)
    else:
        assert jnp.max(jnp.abs(after - before)) > 0.5


def test_the_exact_loss_is_least_at_the_boltzmann_policy():
    log_prior, q_values, noise = jax.random.normal(jax.random.key(3), (3, 4, 3))
    log_prior = jax.nn.log_softmax(log_prior)
    best = boltzmann_policy(q_values, log_prior, temperature=0.7)

    @jax.jit
    def loss_of(logits):
        terms = (jax.nn.log_softmax(logits), log_prior, q_values)
        return reverse_kl_exact_loss(*terms, temperature=0.7)[0]

    equal(jax.grad(loss_of)(best), 0.0)
    assert loss_of(best + 0.1 * noise) > loss_of(best)


def test_an_action_of_no_probability_costs_nothing():
    log_policy = jnp.log(jnp.array([[0.0, 0.4, 0.6]]))
    log_prior, q_values = jnp.log(jnp.array([[0.2, 0.3, 0.5]])), jnp.ones((1, 3))
    found, _ = reverse_kl_exact_loss(log_policy, log_prior, q_values)
    kl = 0.4 * jnp.log(0.4 / 0.3) + 0.6 * jnp.log(0.6 / 0.5)
    equal(found, kl - 1.0)
