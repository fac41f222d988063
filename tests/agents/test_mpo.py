"""MPO against a loop by hand, and against the exact improvement of a policy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from gymnasium import spaces

from reins.agents import mpo
from reins.critics import action_value_critic, state_action_critic
from reins.data import add_to_replay, sample_replay
from reins.duals import log_dual, projected_dual, scheduled_dual
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
    _classic_q,
    every_step,
    logits_of,
    softmax,
)


def tabular_agent(*, temperature=None, multiplier=None, optimizer=None, **options):
    settings = {"discount": DISCOUNT, "batch_size": 12, "buffer_size": S * A}
    return mpo(
        categorical_policy(S, A, hidden=()),
        action_value_critic(S, A, hidden=()),
        optimizer or optax.sgd(0.1),
        temperature or log_dual(initial=0.5, learning_rate=0.1),
        multiplier or projected_dual(initial=0.3, learning_rate=2.0),
        observation_space=SEEN,
        action_space=DONE,
        **(settings | {"learning_starts": 1} | options),
    )


def test_an_update_is_what_its_box_says():
    rate, polyak, period = 0.05, 0.3, 4
    bounds = {"improvement_kl_bound": 0.07, "kl_bound": 0.001}
    agent = tabular_agent(
        optimizer=optax.sgd(rate), polyak=polyak, target_period=period, **bounds
    )
    state, batch = agent.init(KEY), every_step()
    # A second update, so that policies, targets and multipliers have come apart.
    state, _ = jax.jit(agent.update)(state, batch, KEY)
    assert state.updates == S * A
    key = jax.random.key(7)
    after, info = jax.jit(agent.update)(state, batch, key)

    replay = add_to_replay(state.replay, batch)
    policy, old = logits_of(state.policy.network), logits_of(state.old.network)
    assert np.abs(policy - old).max() > 1e-3
    critics = [logits_of(c.network) for c in state.critics]
    targets = [logits_of(c.network) for c in state.targets]
    eta, price = (float(d.multiplier) for d in (state.temperature, state.multiplier))
    for i, step_key in enumerate(jax.random.split(key, S * A)):
        steps = sample_replay(replay, jax.random.split(step_key, 3)[0], 12)
        s = np.argmax(steps.observations, 1)
        s2 = np.argmax(steps.next_observations, 1)
        a, r = np.asarray(steps.actions), np.asarray(steps.rewards)
        value = np.sum(softmax(old) * np.minimum(*targets), 1)
        y = r + DISCOUNT * ~np.asarray(steps.terminated) * value[s2]
        for q in critics:
            gradient = np.zeros((S, A))
            np.add.at(gradient, (s, a), (q[s, a] - y) / 12)
            q -= rate * (gradient + gradient.sum(0))
        targets = [t + polyak * (q - t) for t, q in zip(targets, critics, strict=True)]
        least, before, share = np.minimum(*targets), softmax(old), softmax(policy)
        wanted = softmax(least / eta + np.log(before))
        gained = np.sum(wanted * np.log(wanted / before), 1)[s].mean()
        kl = np.sum(before * np.log(before / share), 1)[s].mean()
        gradient = np.zeros((S, A))
        for j in s:
            gradient[j] += (share[j] - wanted[j] + price * (share[j] - before[j])) / 12
        policy = policy - rate * (gradient + gradient.sum(0))
        eta *= np.exp(0.1 * np.clip(gained - 0.07, -1, 1))
        price = max(0.0, price + 2.0 * (kl - 0.001))
        if (S * A + i + 1) % period == 0:
            old = policy

    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    close(logits_of(after.policy.network), policy)
    close(logits_of(after.old.network), old)
    for found, expected in zip(after.critics, critics, strict=True):
        close(logits_of(found.network), expected)
    for found, expected in zip(after.targets, targets, strict=True):
        close(logits_of(found.network), expected)
    close(after.temperature.multiplier, eta)
    close(after.multiplier.multiplier, price)
    assert info["replay_size"] == S * A


def trained(*, calls=20, **options):
    agent = tabular_agent(
        optimizer=optax.adam(optax.exponential_decay(0.03, 3000, 0.2)),
        polyak=0.05,
        batch_size=24,
        updates_per_step=100,
        **options,
    )
    state, batch = agent.init(KEY), every_step()
    update, info = jax.jit(agent.update), {}
    for key in jax.random.split(KEY, calls):
        state, info = update(state, batch, key)
    return state, softmax(logits_of(state.policy.network)), info


NEVER = 10**9
FREE = projected_dual(initial=0.0, learning_rate=1e-9)


def test_one_improvement_is_the_boltzmann_policy_at_the_temperature_of_its_bound():
    bound = 0.08
    state, policy, info = trained(
        target_period=NEVER,
        improvement_kl_bound=bound,
        multiplier=FREE,
        temperature=log_dual(initial=1.0, learning_rate=0.02),
    )
    old = softmax(logits_of(state.old.network))
    q = _classic_q(old)

    def violation(log_eta):
        wanted = softmax(q / np.exp(log_eta) + np.log(old))
        return np.mean(np.sum(wanted * np.log(wanted / old), 1)) - bound

    eta = np.exp(float(scipy.optimize.brentq(violation, -5, 5)))  # pyright: ignore
    exact = softmax(q / eta + np.log(old))
    np.testing.assert_allclose(float(state.temperature.multiplier), eta, rtol=0.1)
    assert np.abs(policy - exact).max() < 0.02
    assert np.abs(old - exact).max() > 0.1
    assert abs(float(info["improvement_kl"]) - bound) < 0.02


def test_the_policy_stays_within_its_bound_of_the_old_one():
    bound = 0.01
    state, policy, info = trained(
        target_period=NEVER,
        kl_bound=bound,
        improvement_kl_bound=0.3,
        multiplier=projected_dual(initial=1.0, learning_rate=0.2),
    )
    old = softmax(logits_of(state.old.network))
    kl = np.sum(old * np.log(old / policy), 1).mean()
    assert abs(kl - bound) < 0.3 * bound
    assert abs(float(info["kl"]) - bound) < 0.3 * bound
    assert float(state.multiplier.multiplier) > 0.1


def test_in_turns_it_finds_the_best_policy():
    state, policy, _ = trained(target_period=50, kl_bound=0.05, calls=30)
    q = np.zeros((S, A))
    for _ in range(200):
        q = REWARDS + DISCOUNT * np.where(ENDS, 0.0, q.max(1)[FOLLOWING])
    best = q.argmax(1)
    assert np.all(policy[np.arange(S), best] > 0.9)
    # A policy that has made up its mind is near all there is to improve: η falls.
    assert float(state.temperature.multiplier) < 1e-6


BOX = spaces.Box(-2.0, 1.0, (2,), np.float32)
SHAPED = {"hidden": (8,), "centre": (-0.5, -0.5), "half_width": (1.5, 1.5)}


@pytest.mark.parametrize("eta", [1e-8, 1.0])
@pytest.mark.parametrize("kind", [squashed_gaussian_policy, mixture_policy])
def test_nothing_becomes_nan(kind, eta):
    agent = mpo(
        kind(3, 2, **SHAPED),
        state_action_critic(3, 2, hidden=(8,)),
        optax.adam(0.3),
        scheduled_dual(lambda k: eta),
        projected_dual(initial=1.0, learning_rate=1.0),
        observation_space=SEEN,
        action_space=BOX,
        action_samples=4,
        batch_size=16,
        buffer_size=64,
        learning_starts=1,
        target_period=3,
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
        ({"state_samples": 13}, "13 states of minibatches of 12"),
        ({"action_samples": 0}, "`mpo` needs action_samples of at least 1"),
        ({"target_period": 0}, "`mpo` needs target_period of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        tabular_agent(**options)
