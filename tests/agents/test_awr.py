"""AWR against a loop by hand, and against its fixed point."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from reins.agents import awr
from reins.critics import value_critic
from reins.data import add_to_replay, sample_replay
from reins.duals import scheduled_dual
from reins.errors import ConfigError
from reins.policies import (
    categorical_policy,
    mixture_policy,
    squashed_gaussian_policy,
)
from reins.types import Trajectory
from tests.agents.test_sac import (
    DISCOUNT,
    DONE,
    ENDS,
    FOLLOWING,
    KEY,
    REWARDS,
    SEEN,
    A,
    S,
    every_step,
    logits_of,
    softmax,
)


def tabular_agent(*, beta=0.6, optimizer=None, rows=S * A, **options):
    settings = {"discount": DISCOUNT, "batch_size": 12, "buffer_size": rows}
    return awr(
        categorical_policy(S, A, hidden=()),
        value_critic(S, hidden=()),
        optimizer or optax.sgd(0.1),
        scheduled_dual(lambda k: beta),
        observation_space=SEEN,
        action_space=DONE,
        **(settings | {"learning_starts": 1} | options),
    )


@pytest.mark.parametrize("standardised", [True, False])
def test_an_update_is_what_its_box_says(standardised):
    rate, polyak, beta, most = 0.05, 0.3, 0.6, 1.5
    agent = tabular_agent(
        beta=beta,
        optimizer=optax.sgd(rate),
        polyak=polyak,
        weight_maximum=most,
        standardised=standardised,
    )
    state, batch = agent.init(KEY), every_step()
    state, _ = jax.jit(agent.update)(state, batch, KEY)
    key = jax.random.key(7)
    after, info = jax.jit(agent.update)(state, batch, key)

    replay = add_to_replay(state.replay, batch)
    policy = logits_of(state.policy.network)
    v, average = (logits_of(c.network)[:, 0] for c in (state.critic, state.target))
    clipped = []
    for step_key in jax.random.split(key, S * A):
        steps = sample_replay(replay, step_key, 12)
        s = np.argmax(steps.observations, 1)
        s2 = np.argmax(steps.next_observations, 1)
        a, r = np.asarray(steps.actions), np.asarray(steps.rewards)
        y = r + DISCOUNT * ~np.asarray(steps.terminated) * average[s2]
        advantage = y - v[s]
        if standardised:
            advantage = (advantage - advantage.mean()) / advantage.std()
        weights = np.minimum(np.exp(advantage / beta), most)
        clipped.append(np.mean(weights == most))
        gradient = np.zeros(S)
        np.add.at(gradient, s, (v[s] - y) / 12)
        v = v - rate * (gradient + gradient.sum())
        average = average + polyak * (v - average)
        gradient, share = np.zeros((S, A)), softmax(policy)
        for i, w in zip(range(12), weights, strict=True):
            gradient[s[i]] += w * (share[s[i]] - np.eye(A)[a[i]]) / 12
        policy = policy - rate * (gradient + gradient.sum(0))

    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    close(logits_of(after.policy.network), policy)
    close(logits_of(after.critic.network)[:, 0], v)
    close(logits_of(after.target.network)[:, 0], average)
    close(info["clip_fraction"], np.mean(clipped))
    assert 0.0 < np.mean(clipped) < 1.0


TIMES = np.array([[1, 3], [4, 1], [2, 2]])
"""How often each pair is in the replay: who acted preferred some."""


def test_it_comes_to_rest_at_the_boltzmann_policy_around_who_acted():
    beta = 0.6
    times = np.repeat(np.arange(S * A), TIMES.ravel())
    batch = jax.tree.map(lambda x: x[times], every_step())
    agent = tabular_agent(
        beta=beta,
        rows=len(times),
        standardised=False,
        weight_maximum=1e6,
        optimizer=optax.adam(optax.exponential_decay(0.03, 3000, 0.2)),
        polyak=0.05,
        batch_size=64,
        updates_per_step=60,
    )
    state, update = agent.init(KEY), jax.jit(agent.update)
    for key in jax.random.split(KEY, 12):
        state, _ = update(state, batch, key)

    acted = TIMES / TIMES.sum(1, keepdims=True)
    v = np.zeros(S)
    for _ in range(200):
        q = REWARDS + DISCOUNT * np.where(ENDS, 0.0, v[FOLLOWING])
        v = np.sum(acted * q, 1)
    np.testing.assert_allclose(logits_of(state.critic.network)[:, 0], v, atol=0.05)
    exact = softmax((q - v[:, None]) / beta + np.log(acted))
    policy = softmax(logits_of(state.policy.network))
    assert np.abs(policy - exact).max() < 0.03
    assert np.abs(acted - exact).max() > 0.1
    assert np.abs(softmax((q - v[:, None]) / beta) - exact).max() > 0.1


@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("kind", [squashed_gaussian_policy, mixture_policy])
def test_actions_at_the_bounds_make_nothing_nan(kind, standardised):
    shaped = {"hidden": (8,), "centre": (-0.5, -0.5), "half_width": (1.5, 1.5)}
    agent = awr(
        kind(3, 2, **shaped),
        value_critic(3, hidden=(8,)),
        optax.adam(0.3),
        scheduled_dual(lambda k: 1e-8),
        observation_space=SEEN,
        action_space=spaces.Box(-2.0, 1.0, (2,), np.float32),
        standardised=standardised,
        batch_size=16,
        buffer_size=64,
        learning_starts=1,
    )
    at_bounds = jnp.where(jax.random.bernoulli(KEY, shape=(4, 8, 2)), 1.0, -2.0)
    seen = jax.random.uniform(KEY, (4, 8, 3))
    none = jnp.zeros((4, 8), bool)
    batch = Trajectory(
        *(seen, at_bounds, jnp.zeros((4, 8)), jnp.zeros((4, 8)), none, none),
        *(1 - seen, ~none, jnp.zeros((4, 8), jnp.int32)),
    )
    update = jax.jit(agent.update)
    for reward in (0.0, 1e6, -1e6):
        paid, state = batch._replace(rewards=batch.rewards + reward), agent.init(KEY)
        for key in jax.random.split(KEY, 3):
            state, info = update(state, paid, key)
            for leaf in jax.tree.leaves((state, info)):
                assert np.all(np.isfinite(np.asarray(leaf, float)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "`awr` needs batch_size of at least 1"),
        ({"weight_maximum": 0.0}, "weight_maximum of 0.0"),
    ],
)
def test_what_cannot_be_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        tabular_agent(**options)
