"""A2C: one joint step of n-step advantages, entropy and value loss, by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import a2c
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from tests.agents.by_hand import (
    KEY,
    LINEAR,
    entropy_gradient,
    moved,
    returns_and_values,
    score,
    skewed_policy,
)
from tests.toys import delayed_bandit, linear_critic, scripted_batch

DISCOUNT, ENTROPY_WEIGHT, VALUE_WEIGHT = 0.9, 0.3, 0.25
START = jnp.array([1.0, 0.0])


def judge(key):
    del key
    return linear_critic([2.0, -1.0], 0.25)


@pytest.mark.parametrize(("gae_lambda", "estimate"), [(1.0, "mc"), (0.0, "td")])
def test_one_step_goes_along_the_mean_gradient(gae_lambda, estimate):
    """λ = 1: returns as far as the row goes, bootstrapped unless terminated."""
    agent = a2c(
        skewed_policy,
        judge,
        optax.sgd(1.0),
        discount=DISCOUNT,
        gae_lambda=gae_lambda,
        entropy_weight=ENTROPY_WEIGHT,
        value_weight=VALUE_WEIGHT,
    )
    _, batch = scripted_batch()
    state = agent.init(KEY)
    after, info = jax.jit(agent.update)(state, batch, KEY)
    batch = jax.tree.map(np.asarray, batch)
    assert batch.truncated.any()
    assert batch.terminated.any()

    def value(observation):
        return 2.0 * observation[0] - observation[1] + 0.25

    returns = returns_and_values(batch, value, discount=DISCOUNT)[estimate]
    actor, critic, errors = [], [], []
    for i, t in np.ndindex(*returns.shape):
        s = batch.observations[i, t]
        advantage = returns[i, t] - value(s)
        step = advantage * score(s, int(batch.actions[i, t]))
        actor.append(step + ENTROPY_WEIGHT * entropy_gradient(s))
        critic.append(VALUE_WEIGHT * np.append(advantage * s, advantage))
        errors.append(0.5 * advantage**2)
    actor, critic = np.mean(actor, axis=0), np.mean(critic, axis=0)
    np.testing.assert_allclose(moved(state.policy, after.policy), actor, atol=1e-5)
    np.testing.assert_allclose(moved(state.critic, after.critic), critic, atol=1e-5)
    np.testing.assert_allclose(info["value_loss"], np.mean(errors), rtol=1e-5)
    norm = np.linalg.norm(np.append(actor, critic))
    np.testing.assert_allclose(info["gradient_norm"], norm, rtol=1e-4)


# What it learns.

N, T = 16, 8


@functools.cache
def collector(delay: int):
    env = delayed_bandit(delay=delay)

    @jax.jit
    def collect(policy, key):
        start = start_rollout(env, key, N)
        return rollout(env, lambda o, k: policy(o).sample(k), start, key, steps=T)[1]

    return collect


@pytest.fixture(scope="module")
def learner():
    agent = a2c(LINEAR, value_critic(2, hidden=()), optax.adam(0.1), discount=0.5)
    return agent, jax.jit(agent.update)


def test_one_update_improves_the_better_action(learner):
    agent, update = learner
    start = agent.init(KEY)
    batch = collector(0)(start.policy, KEY)
    before = start.policy(START).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        state, _ = update(start, paid, KEY)
        assert state.policy(START).log_probs[better] > before[better] + 0.02


@pytest.mark.parametrize("delay", [0, 1])
def test_it_learns_what_pays(learner, delay):
    agent, update = learner
    collect = collector(delay)
    state = agent.init(KEY)
    assert jnp.exp(state.policy(START).log_probs[1]) < 0.6
    for key in jax.random.split(KEY, 60):
        state, _ = update(state, collect(state.policy, key), key)
    assert jnp.exp(state.policy(START).log_probs[1]) > 0.9


def test_a_time_limit_keeps_its_bootstrap(learner):
    """Reward 1 for ever, γ = 1/2, every step cut: 1 if the world ends there, else 2."""
    agent, update = learner
    start = agent.init(KEY)
    batch = collector(0)(start.policy, KEY)
    batch = batch._replace(
        rewards=jnp.ones_like(batch.rewards), next_observations=batch.observations
    )
    for terminated, expected in ((True, 1.0), (False, 2.0)):
        ends = jnp.full_like(batch.terminated, terminated)
        state, cut = start, batch._replace(terminated=ends, truncated=~ends)
        for key in jax.random.split(KEY, 150):
            state, _ = update(state, cut, key)
        np.testing.assert_allclose(state.critic(START), expected, atol=0.05)


def test_padding_changes_nothing():
    """Rows are longer or shorter; what is beyond their end enters no mean."""
    agent = a2c(skewed_policy, judge, optax.sgd(1.0))
    update = jax.jit(agent.update)
    state = agent.init(KEY)
    batch = collector(0)(state.policy, KEY)
    whole, _ = update(state, batch, KEY)
    junk = jax.tree.map(lambda x: jnp.concatenate([x, x[::-1]], axis=1), batch)
    mask = jnp.arange(2 * T) < jnp.full((N, 1), T)
    found, _ = update(state, junk._replace(mask=mask), KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, whole)
