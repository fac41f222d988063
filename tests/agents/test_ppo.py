"""PPO and the pieces it shares: what is trained on, and that it learns."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import ppo
from reins.agents.agent import cheap_permutation, standardise
from reins.agents.ppo import advantages_and_targets
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.policies import categorical_policy
from tests.toys import (
    delayed_bandit,
    linear_critic,
    scripted_batch,
)

KEY = jax.random.key(0)
N, T, PASSES, MINIBATCHES = 16, 8, 4, 4
PARTS = (categorical_policy(2, 2, hidden=()), value_critic(2, hidden=()))


def small_ppo(**options):
    return ppo(
        *PARTS, optax.adam(0.05), epochs=PASSES, minibatches=MINIBATCHES, **options
    )


# Credit: what the critic is asked, and where it is not.

DISCOUNT, LAMBDA = 0.9, 0.7
CRITIC = linear_critic([2.0, -1.0], 0.25)


def slow_advantages(batch, rewards):
    """Sums of TD errors up to the episode's end; V(s) = 2 label − step + 1/4."""

    def value(observation):
        return 2.0 * observation[0] - observation[1] + 0.25

    n, t = rewards.shape
    found = np.zeros((n, t))
    for i in range(n):
        for first in range(t):
            for k in range(first, t):
                bootstrap = DISCOUNT * value(batch.next_observations[i, k])
                if batch.terminated[i, k]:
                    bootstrap = 0.0
                delta = rewards[i, k] + bootstrap - value(batch.observations[i, k])
                found[i, first] += (DISCOUNT * LAMBDA) ** (k - first) * delta
                if batch.terminated[i, k] or batch.truncated[i, k]:
                    break
    return found


def credit(batch, rewards):
    return advantages_and_targets(
        CRITIC, batch, rewards, discount=DISCOUNT, gae_lambda=LAMBDA
    )


def test_truncation_bootstraps_and_termination_does_not():
    _, batch = scripted_batch()
    for amounts in (batch.rewards, batch.costs):
        advantages, targets = credit(batch, amounts)
        slow = jax.tree.map(np.asarray, batch)
        expected = slow_advantages(slow, np.asarray(amounts))
        np.testing.assert_allclose(advantages, expected, atol=1e-5)
        values = 2.0 * slow.observations[..., 0] - slow.observations[..., 1] + 0.25
        np.testing.assert_allclose(targets, expected + values, atol=1e-5)


def test_a_truncated_and_a_terminated_end_differ_by_the_bootstrap():
    _, batch = scripted_batch()
    advantages, _ = credit(batch, batch.rewards)
    swapped = batch._replace(terminated=batch.truncated, truncated=batch.terminated)
    others, _ = credit(swapped, batch.rewards)
    bootstrap = DISCOUNT * CRITIC(batch.next_observations)
    for ends, sign in ((batch.terminated, 1.0), (batch.truncated, -1.0)):
        assert np.any(ends)
        np.testing.assert_allclose(
            (others - advantages)[ends], sign * bootstrap[ends], atol=1e-5
        )


def test_no_credit_crosses_a_reset():
    """Whatever the reset shows and pays, the episode before it does not change."""
    _, batch = scripted_batch()
    first = np.asarray(batch.times == 0) & (np.arange(16) > 0)
    strange = batch._replace(
        observations=jnp.where(first[..., None], 1e6, batch.observations),
        rewards=jnp.where(first, -1e6, batch.rewards),
    )
    advantages, targets = credit(batch, batch.rewards)
    others, other_targets = credit(strange, strange.rewards)
    np.testing.assert_array_equal(others[~first], advantages[~first])
    np.testing.assert_array_equal(other_targets[~first], targets[~first])
    assert np.all(others[first] != advantages[first])


# The pieces.


@pytest.mark.parametrize("n", [1, 2, 3, 6, 97, 1024, 131072])
def test_cheap_permutation_is_a_permutation(n):
    keys = jax.random.split(KEY, 3)
    orders = jax.jit(jax.vmap(lambda key: cheap_permutation(key, n)))(keys)
    for order in np.asarray(orders):
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
    if n > 6:
        assert not np.array_equal(orders[0], orders[1])


def test_every_element_is_equally_likely_in_every_place():
    n, draws = 7, 7000
    keys = jax.random.split(KEY, draws)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: cheap_permutation(key, n)))(keys))
    share = np.stack([np.mean(orders == element, axis=0) for element in range(n)])
    error = np.sqrt((1 / n) * (1 - 1 / n) / draws)
    assert np.abs(share - 1 / n).max() < 5 * error


def test_neighbours_are_torn_apart():
    """In either direction around the ring: a stride of −1 is no shuffle either."""
    n = 1024
    keys = jax.random.split(KEY, 500)
    orders = np.asarray(jax.jit(jax.vmap(lambda key: cheap_permutation(key, n)))(keys))
    stride = (orders[:, 1] - orders[:, 0]) % n
    assert np.minimum(stride, n - stride).min() > 32
    assert len(np.unique(stride)) > 100


def test_standardise_counts_valid_steps_only():
    values = jnp.array([[1.0, 2.0, 6.0], [4.0, 7.0, 1e6]])
    mask = jnp.array([[True, True, True], [True, True, False]])
    found = np.asarray(standardise(values, mask))[np.asarray(mask)]
    np.testing.assert_allclose(found, (np.array([1, 2, 6, 4, 7]) - 4) / np.sqrt(5.2))


@pytest.mark.parametrize("constant", [0.0, 0.1, -1234.567, 3e5])
def test_standardise_makes_constants_0(constant):
    """Rounding in their mean must not be blown up to size 1."""
    found = standardise(jnp.full((3, 7), constant), jnp.ones((3, 7), bool))
    np.testing.assert_allclose(found, 0.0, atol=1e-3)


# The update.


@pytest.fixture(scope="module")
def learner():
    agent = small_ppo()
    return agent, jax.jit(agent.update)


@functools.cache
def collector(delay: int):
    """(state, key) -> a batch of the bandit that pays so many steps later."""
    env = delayed_bandit(delay=delay)

    @jax.jit
    def collect(state, key):
        start = start_rollout(env, key, N)
        return rollout(
            env, lambda o, k: state.policy(o).sample(k), start, key, steps=T
        )[1]

    return collect


def learn(learner, delay: int, updates: int):
    """The probability of action 1 at the start, before and after."""
    agent, update = learner
    collect = collector(delay)
    state = agent.init(KEY)
    start = jnp.array([1.0, 0.0])

    def probability():
        return float(jnp.exp(state.policy(start).log_probs[1]))

    before = probability()
    for key in jax.random.split(KEY, updates):
        state, info = update(state, collect(state, key), key)
        assert all(np.isfinite(value) for value in info.values())
    return before, probability()


@pytest.mark.parametrize("delay", [0, 1])
def test_it_learns_what_pays(learner, delay):
    """One step, and two: then the payment comes when the choice is no longer seen."""
    before, after = learn(learner, delay, 25)
    assert before == pytest.approx(0.5, abs=0.05)
    assert after > 0.95


@pytest.fixture(scope="module")
def skewed():
    """A policy that prefers action 1, and a batch of its own."""
    state = small_ppo().init(KEY)
    policy = eqx.tree_at(
        lambda p: p.network.biases[0], state.policy, jnp.array([0.0, 1.5])
    )
    state = state._replace(policy=policy)
    return state, collector(0)(state, KEY)


def steps_taken(state) -> int:
    return int(optax.tree.get(state.optimizer, "count"))


def test_one_update_improves_the_better_action(learner, skewed):
    _, update = learner
    start, batch = skewed
    observation = jnp.array([1.0, 0.0])
    before = start.policy(observation).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        after = update(start, paid, KEY)[0].policy(observation).log_probs
        assert after[better] > before[better] + 0.05


def test_it_makes_every_step_of_every_pass(learner, skewed):
    state, info = learner[1](*skewed, KEY)
    assert info["passes"] == PASSES
    assert steps_taken(state) == PASSES * MINIBATCHES


@pytest.fixture(scope="module")
def careful():
    """Stops its passes early, and looks two steps ahead."""
    return jax.jit(small_ppo(kl_stop=0.02, discount=0.5).update)


def test_kl_stop_ends_the_passes(careful, skewed):
    state, info = careful(*skewed, KEY)
    passes = int(info["passes"])
    assert 1 <= passes < PASSES
    assert steps_taken(state) == passes * MINIBATCHES
    assert info["kl_old_new"] > 0.02


def test_kl_stop_leaves_small_steps_alone(careful, skewed):
    start, batch = skewed
    nothing_to_learn = batch._replace(rewards=jnp.ones_like(batch.rewards))
    state, info = careful(start, nothing_to_learn, KEY)
    assert info["passes"] == PASSES
    assert steps_taken(state) == PASSES * MINIBATCHES
    assert info["kl_old_new"] < 0.02


def test_padding_changes_nothing(careful, skewed):
    """Neither the step nor whether the KL stops the passes."""
    start, batch = skewed
    mask = jnp.asarray(np.arange(T) < np.random.default_rng(0).integers(2, T, (N, 1)))

    def padded(junk):
        def fill(x):
            there = mask.reshape(mask.shape + (1,) * (x.ndim - 2))
            return jnp.where(there, x, jnp.asarray(junk, x.dtype))

        return jax.tree.map(fill, batch)._replace(mask=mask)

    zeros, junk = padded(0), padded(1)
    junk = junk._replace(
        observations=jnp.where(mask[..., None], batch.observations, 50.0),
        next_observations=jnp.where(mask[..., None], batch.next_observations, -9.0),
        rewards=jnp.where(mask, batch.rewards, 1e3),
    )
    expected, expected_info = careful(start, zeros, KEY)
    found, info = careful(start, junk, KEY)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    jax.tree.map(np.testing.assert_array_equal, info, expected_info)


def test_an_entropy_weight_raises_the_entropy(learner, skewed):
    start, batch = skewed
    nothing_to_learn = batch._replace(rewards=jnp.ones_like(batch.rewards))
    observation = jnp.array([1.0, 0.0])
    before = start.policy(observation).entropy()
    curious, info = jax.jit(small_ppo(entropy_weight=0.5).update)(
        start, nothing_to_learn, KEY
    )
    assert curious.policy(observation).entropy() > before + 0.02
    assert info["entropy"] > before
    same, _ = learner[1](start, nothing_to_learn, KEY)
    np.testing.assert_allclose(same.policy(observation).entropy(), before, atol=1e-3)


def test_the_critic_learns_what_a_cut_leaves_out(careful, skewed):
    """Reward 1 for ever, γ = 1/2, every step cut: V is 1 if the world ends, else 2."""
    start, batch = skewed
    batch = batch._replace(
        rewards=jnp.ones_like(batch.rewards), next_observations=batch.observations
    )
    for terminated, expected in ((True, 1.0), (False, 2.0)):
        ends = jnp.full_like(batch.terminated, terminated)
        state, cut = start, batch._replace(terminated=ends, truncated=~ends)
        for key in jax.random.split(KEY, 25):
            state, _ = careful(state, cut, key)
        value = state.critics[0](jnp.array([1.0, 0.0]))
        np.testing.assert_allclose(value, expected, atol=0.05)
