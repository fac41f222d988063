"""The priced Q of SAC-Lagrangian against the gradient of the Lagrangian, enumerated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.agents.values import Values, priced
from reins.estimators import (
    forward_kl_exact_loss,
    reverse_kl_exact_loss,
    reverse_kl_score_loss,
)
from reins.tabular import (
    action_values,
    boltzmann_policy,
    expected_cost,
    expected_return,
    max_entropy_policy,
    occupancies,
    soft_action_values,
    trajectory_log_probs,
)
from tests.exactness.problems import (
    apart,
    at_every_step,
    at_steps,
    enumerated_actions,
    equal,
    log_probs,
    mean_over_actions,
    policy_problem,
    prior_log_probs,
    prior_of,
    table_visits,
    visits,
)

TEMPERATURE = 0.5
PRICES = [0.0, 2.0, 30.0]


def with_costs(problem):
    """The same problem with costs that rank its pairs otherwise than its rewards do."""
    noise = jax.random.normal(jax.random.key(5), problem.mdp.costs.shape)
    return problem._replace(mdp=as_reward(problem.mdp, "costs", jnp.exp(noise)))


def as_reward(mdp, field, table):
    return type(mdp)(**{**vars(mdp), field: table})


def costs_as_rewards(mdp):
    """An MDP that pays what the other charges."""
    costs = jnp.broadcast_to(mdp.costs[..., None], mdp.rewards.shape)
    return as_reward(mdp, "rewards", costs)


def priced_mdp(mdp, multiplier):
    """An MDP that pays r − λ c."""
    costs = multiplier * costs_as_rewards(mdp).rewards
    return as_reward(mdp, "rewards", mdp.rewards - costs)


def lagrangian(logits, problem, multiplier):
    """Σ_τ q(τ) Σ_t (r − λ c − α log(π/π0)), over all trajectories."""
    trajectories, mdp = problem.trajectories, problem.mdp
    masses = jnp.exp(trajectory_log_probs(trajectories, logits))
    mask = trajectories.mask
    rewards = jnp.where(mask, trajectories.rewards, 0.0)
    costs = at_steps(at_every_step(problem, mdp.costs), trajectories)
    ratios = log_probs(logits, trajectories)
    ratios = ratios - prior_log_probs(prior_of(problem), trajectories)
    steps = rewards - multiplier * costs - TEMPERATURE * ratios
    return jnp.sum(masses * jnp.sum(jnp.where(mask, steps, 0.0), axis=1))


@jax.jit
def truth(problem, multiplier):
    """∇ of the Lagrangian, over 1 + λ."""
    gradient = jax.grad(lagrangian)(problem.logits, problem, multiplier)
    return gradient / (1 + multiplier)


def priced_table(problem, logits, multiplier):
    """What the agent's priced Q is of exact critics of both streams."""
    soft = soft_action_values(
        problem.mdp, logits, prior_of(problem), temperature=TEMPERATURE
    )
    cost = action_values(costs_as_rewards(problem.mdp), logits)
    values = priced(of_table(soft), of_table(cost), multiplier)
    return values.of_all(jnp.zeros(()))


def of_table(table):
    """Critics that know a table, whatever they are asked."""
    return Values(lambda observations, actions: table, lambda observations: table)


def test_the_lagrangian_is_what_the_tables_say():
    problem = with_costs(policy_problem())
    found = lagrangian(problem.logits, problem, 3.0)
    free = lagrangian(problem.logits, problem, 0.0)
    equal(free - found, 3.0 * expected_cost(problem.mdp, problem.logits))
    costs = costs_as_rewards(problem.mdp)
    equal(
        expected_return(costs, problem.logits),
        expected_cost(problem.mdp, problem.logits),
    )


@pytest.mark.parametrize("multiplier", PRICES)
def test_every_action_enumerated_climbs_the_lagrangian_exactly(multiplier):
    problem = with_costs(policy_problem())
    tables = (
        at_every_step(problem, prior_of(problem)),
        priced_table(problem, problem.logits, multiplier),
    )
    rows = table_visits(occupancies(problem.mdp, problem.logits))
    found = enumerated_actions(
        reverse_kl_exact_loss,
        *(problem, rows, *tables),
        temperature=TEMPERATURE / (1 + multiplier),
    )
    equal(found, truth(problem, multiplier))
    if multiplier:
        # With the temperature as it is, a nat would cost 1 + λ times its price.
        undivided = enumerated_actions(
            reverse_kl_exact_loss, *(problem, rows, *tables), temperature=TEMPERATURE
        )
        assert apart(undivided, truth(problem, multiplier)) > 0.05


@pytest.mark.parametrize("multiplier", PRICES)
def test_scores_climb_it_on_average(multiplier):
    problem = with_costs(policy_problem())
    tables = (
        at_every_step(problem, prior_of(problem)),
        priced_table(problem, problem.logits, multiplier),
    )
    found = mean_over_actions(
        reverse_kl_score_loss,
        *(problem, visits(problem), *tables),
        actions=2,
        temperature=TEMPERATURE / (1 + multiplier),
    )
    equal(found, truth(problem, multiplier))


@pytest.mark.parametrize("multiplier", PRICES)
def test_priced_policy_iteration_ends_at_the_best_policy_of_the_priced_task(multiplier):
    problem = with_costs(policy_problem())
    log_prior = prior_of(problem)
    logits = at_every_step(problem, problem.logits)
    for _ in range(problem.mdp.horizon):
        logits = boltzmann_policy(
            priced_table(problem, logits, multiplier),
            log_prior,
            temperature=TEMPERATURE / (1 + multiplier),
        )
    mdp = priced_mdp(problem.mdp, multiplier)
    best = max_entropy_policy(mdp, log_prior, temperature=TEMPERATURE)
    equal(jnp.exp(logits), jnp.exp(best))
    # There the forward KL of the priced Q has no slope either.
    tables = (
        at_every_step(problem, log_prior),
        priced_table(problem, logits, multiplier),
    )
    problem = problem._replace(logits=logits[0])
    first = table_visits(jnp.asarray(problem.mdp.initial)[None])
    found = enumerated_actions(
        forward_kl_exact_loss,
        *(problem, first, *tables),
        temperature=TEMPERATURE / (1 + multiplier),
    )
    equal(found, jnp.zeros_like(found))
    free = max_entropy_policy(problem.mdp, log_prior, temperature=TEMPERATURE)
    if multiplier:
        assert np.abs(np.exp(free) - np.exp(best)).max() > 0.05


def test_a_price_without_end_leaves_the_cost_alone():
    reward, cost = jnp.array([1e6, -1e6]), jnp.array([2.0, 5e5])
    found = priced(of_table(reward), of_table(cost), 1e30).of_all(jnp.zeros(()))
    np.testing.assert_allclose(found, -cost, rtol=1e-12)
    found = priced(of_table(reward), of_table(cost), 0.0).of_all(jnp.zeros(()))
    equal(found, reward)
