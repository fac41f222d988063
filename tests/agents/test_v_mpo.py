"""V-MPO against a loop by hand, and what its bounds hold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from reins.agents import v_mpo
from reins.agents.trust_region_step import region_around
from reins.critics import value_critic
from reins.duals import log_dual, projected_dual, scheduled_dual
from reins.errors import ConfigError
from reins.policies import categorical_policy, gaussian_policy
from tests.toys import (
    delayed_bandit,
    point_env,
    random_batch,
    scripted_batch,
)

KEY = jax.random.key(0)
CRITIC = value_critic(2, hidden=())
BANDIT = jnp.array([1.0, 0.0])
"""The only observation of the bandit."""


def agent_of(*, policy=None, optimizer=None, temperature=None, price=None, **options):
    defaults = {"epochs": 4, "minibatches": 2}
    return v_mpo(
        policy or categorical_policy(2, 2, hidden=()),
        CRITIC,
        optimizer or optax.adam(0.05),
        temperature or log_dual(initial=1.0, learning_rate=0.1),
        price or projected_dual(initial=1.0, learning_rate=1.0),
        **(defaults | options),
    )


@functools.cache
def bandit_batch():
    return random_batch(delayed_bandit(), n=16, steps=8)[1]


def top_half_by_hand(advantages, mask):
    valid = [i for i in np.argsort(-advantages, kind="stable") if mask[i]]
    return valid[: len(valid) // 2]


def test_one_step_is_what_its_box_says():
    # One pass of one minibatch: the first price, the weights of the whole batch.
    rate, eta, price, v = 0.1, 0.5, 0.7, 0.3
    agent = agent_of(
        optimizer=optax.sgd(rate),
        temperature=scheduled_dual(lambda k: eta),
        price=projected_dual(initial=price, learning_rate=2.0),
        epochs=1,
        minibatches=1,
        value_weight=v,
        kl_bound=0.02,
    )
    _, batch = scripted_batch()
    start = agent.init(KEY)
    after, info = jax.jit(agent.update)(start, batch, KEY)

    region = region_around(
        start.policy, start.critics[0], batch, discount=0.99, gae_lambda=0.95
    )
    sample, mask = region.sample, np.asarray(region.sample.mask)
    advantages = np.asarray(sample.advantages, float)
    half = top_half_by_hand(advantages, mask)
    psi = np.exp(advantages[half] / eta)
    psi /= psi.sum()
    s = np.asarray(sample.observations, float)
    logits = s @ np.asarray(start.policy.network.weights[0]) + np.asarray(
        start.policy.network.biases[0]
    )
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    slope = np.zeros_like(
        share
    )  # of the likelihood, by the logits; the KL has none yet
    for weight, i in zip(psi, half, strict=True):
        slope[i] = weight * (np.eye(2)[int(sample.actions[i])] - share[i])
    np.testing.assert_allclose(
        after.policy.network.biases[0],
        start.policy.network.biases[0] + rate * slope.sum(0),
        rtol=1e-4,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        after.policy.network.weights[0],
        start.policy.network.weights[0] + rate * s.T @ slope,
        rtol=1e-4,
        atol=1e-6,
    )
    values = np.asarray(start.critics[0](sample.observations), float)
    errors = np.where(mask, values - np.asarray(sample.targets[0]), 0.0)
    np.testing.assert_allclose(
        after.critics[0].network.biases[0],
        start.critics[0].network.biases[0] - rate * v * errors.sum() / mask.sum(),
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        info["multiplier"], price + 2.0 * (0.0 - 0.02), rtol=1e-5
    )
    likelihood = -np.sum(psi * np.log([share[i, int(sample.actions[i])] for i in half]))
    np.testing.assert_allclose(info["policy_loss"], likelihood, rtol=1e-4)


def test_the_temperature_comes_to_its_bound():
    bound = 0.07
    agent = agent_of(
        improvement_kl_bound=bound,
        temperature_steps=2000,
        epochs=1,
        temperature=log_dual(initial=20.0, learning_rate=0.1),
    )
    state, info = jax.jit(agent.update)(agent.init(KEY), scripted_batch()[1], KEY)
    np.testing.assert_allclose(info["improvement_kl"], bound, rtol=1e-3)
    assert 0.0 < float(state.temperature.multiplier) < 20.0


def test_the_better_action_is_imitated():
    agent = agent_of()
    update, batch = jax.jit(agent.update), bandit_batch()
    start = agent.init(KEY)
    before = start.policy(BANDIT).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        state, info = update(start, paid, KEY)
        after = state.policy(BANDIT).log_probs
        assert after[better] > before[better] + 0.02
        np.testing.assert_allclose(
            info["entropy"], state.policy(BANDIT).entropy(), rtol=1e-5
        )


def test_the_policy_comes_to_rest_at_its_bound():
    bound = 0.02
    agent = agent_of(
        optimizer=optax.adam(0.01),
        kl_bound=bound,
        price=projected_dual(initial=1.0, learning_rate=1.0),
        epochs=600,
    )
    batch = bandit_batch()
    paid = batch._replace(rewards=(batch.actions == 1).astype(jnp.float32))
    start = agent.init(KEY)
    state, info = jax.jit(agent.update)(start, paid, KEY)
    kl = start.policy(BANDIT).kl(state.policy(BANDIT))
    np.testing.assert_allclose(kl, bound, rtol=0.1)
    np.testing.assert_allclose(info["kl"], bound, rtol=0.1)
    assert info["multiplier"] > 0.5


def test_padding_changes_nothing():
    agent = agent_of(minibatches=1)
    update, batch = jax.jit(agent.update), bandit_batch()
    lengths = np.random.default_rng(0).integers(2, 8, (16, 1))
    cut = batch._replace(mask=jnp.arange(8) < lengths)
    hidden = cut._replace(
        rewards=jnp.where(cut.mask, cut.rewards, 77.0),
        actions=jnp.where(cut.mask, cut.actions, 1 - cut.actions),
    )
    found, other = (update(agent.init(KEY), x, KEY)[0].policy for x in (cut, hidden))
    np.testing.assert_allclose(ravel_pytree(found)[0], ravel_pytree(other)[0])


@pytest.mark.parametrize("reward", [0.0, 1e6])
@pytest.mark.parametrize("eta", [1e-8, 1.0])
def test_nothing_becomes_nan(eta, reward):
    agent = agent_of(
        policy=gaussian_policy(2, 1, hidden=()),
        optimizer=optax.adam(0.3),
        temperature=scheduled_dual(lambda k: eta),
    )

    def push(observations, key):
        return jax.random.normal(key, (observations.shape[0], 1))

    batch = random_batch(point_env(), act=push)[1]
    batch = batch._replace(rewards=jnp.full_like(batch.rewards, reward))
    state, update = agent.init(KEY), jax.jit(agent.update)
    for key in jax.random.split(KEY, 3):
        state, info = update(state, batch, key)
        for leaf in jax.tree.leaves((state, info)):
            assert np.all(np.isfinite(np.asarray(leaf, float)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kl_bound": 0.0}, "`kl_bound` is 0.0"),
        ({"improvement_kl_bound": -1.0}, "`improvement_kl_bound` is -1.0"),
        ({"temperature_steps": 0}, "`temperature_steps` is 0"),
    ],
)
def test_what_cannot_be_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        agent_of(**options)
