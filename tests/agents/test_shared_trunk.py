"""Policy and critic on the same hidden layers: whose gradient, how many, what for."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import a2c, normalised, ppo
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.errors import CapabilityError
from reins.experiments.checkpoint import load_checkpoint, save_checkpoint
from reins.policies import (
    NormalisedPolicy,
    categorical_policy,
    tabular_policy,
    trunk_width,
)
from tests.agents.by_hand import returns_and_values
from tests.toys import delayed_bandit, scripted_batch

KEY = jax.random.key(0)
POLICY = categorical_policy(2, 2, hidden=(3,))
HEAD = value_critic(3, hidden=())
DISCOUNT, ENTROPY_WEIGHT, VALUE_WEIGHT = 0.9, 0.3, 0.25
WHOLE: Any = {"epochs": 1, "minibatches": 1}
BUILDERS = {"a2c": a2c, "ppo": functools.partial(ppo, **WHOLE)}


def shared(name, optimizer, policy=POLICY, critic=HEAD, **options):
    return BUILDERS[name](policy, critic, optimizer, shared_trunk=True, **options)


def critic_of(state):
    return state.critic if hasattr(state, "critic") else state.critics[0]


def parts_of(state) -> dict[str, Any]:
    """All numbers by name: trunk, the policy's head, the critic's head."""
    (w, policy_w), (b, policy_b) = (
        state.policy.network.weights,
        state.policy.network.biases,
    )
    network = critic_of(state).network
    return {
        "trunk": (w, b),
        "policy": (policy_w, policy_b),
        "critic": (network.weights[0], network.biases[0]),
    }


def layer(x, part):
    return x @ part[0] + part[1]


@pytest.mark.parametrize("name", BUILDERS)
def test_the_trunk_follows_the_sum_of_both_losses(name):
    """One step against autodiff of the two losses, written out."""
    agent = shared(
        name,
        optax.sgd(1.0),
        discount=DISCOUNT,
        gae_lambda=1.0,
        entropy_weight=ENTROPY_WEIGHT,
        value_weight=VALUE_WEIGHT,
    )
    state, (_, batch) = agent.init(KEY), scripted_batch()
    rng = np.random.default_rng(0)
    state = jax.tree.map(
        lambda x: x + jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), state
    )
    after, info = jax.jit(agent.update)(state, batch, KEY)
    parts = parts_of(state)

    def values(parts, observations):
        features = jnp.tanh(layer(observations, parts["trunk"]))
        return layer(features, parts["critic"])[..., 0]

    there = jax.tree.map(np.asarray, batch)
    returns = returns_and_values(
        there, lambda o: float(values(parts, jnp.asarray(o))), discount=DISCOUNT
    )["mc"]
    advantages = returns - np.asarray(values(parts, batch.observations))
    weights = advantages
    if name == "ppo":
        weights = (advantages - advantages.mean()) / advantages.std()

    def of_policy(parts):
        features = jnp.tanh(layer(batch.observations, parts["trunk"]))
        log_probs = jax.nn.log_softmax(layer(features, parts["policy"]))
        taken = jnp.where(batch.actions == 1, log_probs[..., 1], log_probs[..., 0])
        entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
        return -jnp.mean(taken * weights + ENTROPY_WEIGHT * entropy)

    def of_critic(parts):
        errors = values(parts, batch.observations) - returns
        return VALUE_WEIGHT * 0.5 * jnp.mean(errors**2)

    by_policy, by_critic = jax.grad(of_policy)(parts), jax.grad(of_critic)(parts)
    for gradient in (by_policy, by_critic):
        assert optax.tree.norm(gradient["trunk"]) > 1e-3
    gone = jax.tree.map(jnp.subtract, parts, parts_of(after))
    total = jax.tree.map(jnp.add, by_policy, by_critic)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gone, total
    )
    norm = optax.tree.norm(total)
    np.testing.assert_allclose(info["gradient_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize("name", BUILDERS)
def test_it_has_one_trunk_less(name):
    def size(agent):
        state = agent.init(KEY)
        return sum(x.size for x in jax.tree.leaves((state.policy, critic_of(state))))

    apart = BUILDERS[name](POLICY, value_critic(2, hidden=(3,)), optax.sgd(1.0))
    assert size(apart) - size(shared(name, optax.sgd(1.0))) == 2 * 3 + 3


# What it learns.

N, T = 16, 8
SEEN = jnp.array([[1.0, 0.0], [1.0, 1.0]])


@functools.cache
def learner(name):
    env = delayed_bandit(delay=1)
    agent = shared(name, optax.adam(0.03), discount=0.5)

    @jax.jit
    def step(state, key):
        start = start_rollout(env, key, N)
        act = functools.partial(agent.act, state)
        _, batch = rollout(env, act, start, key, steps=T)
        return agent.update(state, batch, key)[0]

    return agent, step


@pytest.mark.parametrize("name", BUILDERS)
def test_policy_and_critic_learn_on_one_trunk(name):
    """The first action pays 1 a step later: V is 1/2, then 1."""
    agent, step = learner(name)
    state = agent.init(KEY)
    assert jnp.exp(state.policy(SEEN[0]).log_probs[1]) < 0.6
    for key in jax.random.split(KEY, 150):
        state = step(state, key)
    assert jnp.exp(state.policy(SEEN[0]).log_probs[1]) > 0.9
    values = critic_of(state)(state.policy.network.features(SEEN))
    np.testing.assert_allclose(values, [0.5, 1.0], atol=0.1)


@pytest.mark.parametrize("name", BUILDERS)
def test_seeds_go_side_by_side_and_resume(name, tmp_path):
    agent, _ = learner(name)
    _, batch = scripted_batch()
    keys = jax.random.split(KEY, 2)
    update = jax.jit(jax.vmap(agent.update, (0, None, 0)))
    start = jax.vmap(agent.init)(keys)
    first, _ = update(start, batch, keys)
    save_checkpoint(tmp_path / "state.npz", first, {})
    read, _ = load_checkpoint(tmp_path / "state.npz", start)
    second, _ = update(first, batch, keys)
    resumed, _ = update(read, batch, keys)
    jax.tree.map(np.testing.assert_array_equal, resumed, second)
    alone = jax.tree.map(lambda x: x[1], start)
    one, _ = jax.jit(agent.update)(alone, batch, keys[1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-5),
        first,
        one,
    )


@pytest.mark.parametrize("name", BUILDERS)
def test_it_works_behind_statistics(name):
    """The trunk sees normalised observations, as the policy does when it acts."""
    inner = shared(name, optax.sgd(0.1))
    agent = normalised(inner, 2, environments=4, discount=0.9, rewards=False)
    state, (_, batch) = agent.init(KEY), scripted_batch()
    update = jax.jit(agent.update)
    state, _ = update(state, batch, KEY)
    after, _ = update(state, batch, KEY)
    assert isinstance(state.policy, NormalisedPolicy)
    seen = batch._replace(
        observations=state.policy.normalise(batch.observations),
        next_observations=state.policy.normalise(batch.next_observations),
    )
    expected, _ = jax.jit(inner.update)(state.agent, seen, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        after.agent,
        expected,
    )


@pytest.mark.parametrize("name", BUILDERS)
def test_what_cannot_be_shared_is_refused(name):
    table, linear = tabular_policy(4, 2), categorical_policy(2, 2, hidden=())
    for policy in (table, linear):
        with pytest.raises(CapabilityError, match="nothing to share"):
            shared(name, optax.sgd(0.1), policy=policy)
    for critic, found in (
        (value_critic(2, hidden=(3,)), "takes 2"),
        (value_critic((9, 9, 1)), "takes pictures"),
    ):
        with pytest.raises(CapabilityError, match=f"has 3 units.*{found}.*trunk_width"):
            shared(name, optax.sgd(0.1), critic=critic)
    shared(name, optax.sgd(0.1), critic=value_critic(trunk_width(POLICY), hidden=()))


def test_a_shared_trunk_of_pictures_learns():
    """Convolutions and all: both losses reach the first kernel."""
    shape = (5, 5, 1)
    policy = categorical_policy(shape, 2, hidden=(4,))
    agent = shared("ppo", optax.sgd(0.1), policy, value_critic(4, hidden=()))
    _, batch = scripted_batch()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, *batch.mask.shape, *shape)).astype(np.uint8)
    batch = batch._replace(
        observations=jnp.asarray(pictures[0]),
        next_observations=jnp.asarray(pictures[1]),
    )
    state = agent.init(KEY)
    after, info = jax.jit(agent.update)(state, batch, KEY)
    kernels = [s.policy.network.kernels[0] for s in (state, after)]
    assert np.all(np.any(kernels[0] != kernels[1], axis=(0, 1, 2)))
    assert np.isfinite(info["value_loss"])
