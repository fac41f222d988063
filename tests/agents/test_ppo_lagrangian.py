"""PPO under a budget: the multiplier, what it is moved by, and what it buys."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import ppo_lagrangian
from reins.agents.agent import mean_episode_total
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.duals import projected_dual
from reins.policies import categorical_policy
from tests.toys import delayed_bandit, scripted_batch

KEY = jax.random.key(0)
N, T = 16, 8
LEARNING_RATE, BUDGET = 0.1, 0.5
TEMPTING = delayed_bandit(costs=(0.0, 2.0))
"""Action 1 pays 1 and costs 2."""


def bandit_agent(budget: float):
    return ppo_lagrangian(
        categorical_policy(2, 2, hidden=()),
        value_critic(2, hidden=()),
        optax.adam(0.05),
        projected_dual(initial=1.0, learning_rate=LEARNING_RATE),
        horizon=1,
        budget=budget,
        epochs=4,
        minibatches=4,
    )


AGENT = bandit_agent(BUDGET)


@pytest.fixture(scope="module")
def update():
    return jax.jit(AGENT.update)


@pytest.fixture(scope="module")
def collect():
    @jax.jit
    def run(state, key):
        def act(observations, key):
            return AGENT.act(state, observations, key)

        start = start_rollout(TEMPTING, key, N)
        return rollout(TEMPTING, act, start, key, steps=T)[1]

    return run


def with_multiplier(state, multiplier: float):
    held = jnp.asarray(multiplier, jnp.float32)
    dual = state.dual._replace(parameter=held, multiplier=held)
    return state._replace(dual=dual)


@pytest.mark.parametrize(
    ("multiplier", "cost", "expected"),
    [
        (1.0, 1.0, 1.0 + LEARNING_RATE * (1.0 - BUDGET)),
        (1.0, 0.0, 1.0 - LEARNING_RATE * BUDGET),
        (1.0, BUDGET, 1.0),
        (0.02, 0.0, 0.0),
        (0.0, 0.0, 0.0),
        (0.0, 3.0, LEARNING_RATE * 2.5),
    ],
)
def test_the_multiplier_moves_with_the_violation(
    update, collect, multiplier, cost, expected
):
    state = with_multiplier(AGENT.init(KEY), multiplier)
    batch = collect(state, KEY)
    batch = batch._replace(costs=jnp.full_like(batch.costs, cost))
    after, info = update(state, batch, KEY)
    np.testing.assert_allclose(after.dual.multiplier, expected, atol=1e-6)
    assert info["multiplier"] == after.dual.multiplier
    np.testing.assert_allclose(info["episode_cost"], cost, rtol=1e-6)


def test_episodes_are_counted_by_their_ends():
    _, batch = scripted_batch()
    ends = np.asarray(batch.ends)
    found = mean_episode_total(batch.rewards, batch, horizon=5)
    expected = np.asarray(batch.rewards).sum() / ends.sum()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_episodes_longer_than_the_rollout_are_counted_by_the_horizon():
    _, batch = scripted_batch()
    none = jnp.zeros_like(batch.terminated)
    endless = batch._replace(terminated=none, truncated=none)
    found = mean_episode_total(jnp.ones((4, 16)), endless, horizon=100)
    np.testing.assert_allclose(found, 100.0)


def test_padding_is_in_no_episode():
    _, batch = scripted_batch()
    masked = batch._replace(mask=jnp.zeros_like(batch.mask).at[:, :10].set(True))
    amounts = jnp.where(masked.mask, 2.0, jnp.nan)
    found = mean_episode_total(amounts, masked, horizon=100)
    episodes = np.asarray(batch.ends)[:, :10].sum()
    np.testing.assert_allclose(found, 80.0 / episodes)


def learn(update, collect, hold):
    """The probability of the costly action after 25 updates, and the critics' V."""
    state = hold(AGENT.init(KEY))
    for key in jax.random.split(KEY, 25):
        state, info = update(state, collect(state, key), key)
        state = hold(state)
        assert all(np.isfinite(value) for value in info.values())
    start = jnp.array([1.0, 0.0])
    costly = float(jnp.exp(state.policy(start).log_probs[1]))
    return costly, [float(critic(start)) for critic in state.critics]


def test_without_a_multiplier_it_takes_what_pays(update, collect):
    costly, values = learn(update, collect, lambda state: with_multiplier(state, 0.0))
    assert costly > 0.95
    # Each critic knows its own stream.
    np.testing.assert_allclose(values, [1.0, 2.0], atol=0.1)


def test_under_a_huge_multiplier_it_avoids_what_costs(update, collect):
    costly, _ = learn(update, collect, lambda state: with_multiplier(state, 1e6))
    assert costly < 0.05


def test_a_multiplier_is_the_price_of_a_cost_in_units_of_reward(update, collect):
    """What pays 1 and costs 2 is worth it below λ = 1/2, and not above."""
    below, _ = learn(update, collect, lambda state: with_multiplier(state, 0.4))
    above, _ = learn(update, collect, lambda state: with_multiplier(state, 0.65))
    assert below > 0.9
    assert above < 0.1


def test_no_cost_and_no_budget_give_numbers():
    """Constant costs at budget 0 gave NaN elsewhere (OmniSafe, issue 384)."""
    agent = bandit_agent(0.0)
    state = agent.init(KEY)
    batch = jax.tree.map(jnp.asarray, scripted_batch()[1])
    batch = batch._replace(costs=jnp.zeros_like(batch.costs))
    update = jax.jit(agent.update)
    for _ in range(3):
        state, info = update(state, batch, KEY)
        assert all(np.isfinite(value) for value in info.values())
    for leaf in jax.tree.leaves(state):
        assert np.all(np.isfinite(leaf))
    assert state.dual.multiplier == 1.0
    assert info["episode_cost"] == 0.0


def test_the_dual_step_freezes_the_violation(collect):
    state = AGENT.init(KEY)
    batch = collect(state, KEY)

    def multiplier(costs):
        return AGENT.update(state, batch._replace(costs=costs), KEY)[0].dual.multiplier

    @jax.jit
    def with_slope(costs):
        return jax.jvp(multiplier, (costs,), (jnp.ones_like(costs),))

    found, slope = with_slope(batch.costs + 3.0)
    assert found > 1.0
    assert slope == 0.0
