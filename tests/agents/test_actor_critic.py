"""Actor-critic: what the critic is fitted to, and the step that follows, by hand."""

import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from reins.agents import actor_critic
from reins.agents.actor_critic import action_advantages
from reins.critics import action_value_critic, value_critic
from reins.data import rollout, start_rollout
from reins.errors import CapabilityError, ConfigError
from reins.policies import categorical_policy, gaussian_policy
from tests.agents.by_hand import (
    KEY,
    LINEAR,
    by_logits,
    entropy_gradient,
    moved,
    probabilities,
    returns_and_values,
    score,
    set_linear,
    skewed_policy,
)
from tests.toys import delayed_bandit, linear_critic, scripted_batch

DISCOUNT, ENTROPY_WEIGHT = 0.9, 0.1
Q_WEIGHTS, Q_BIASES = np.array([[2.0, 0.5], [-1.0, 1.5]]), np.array([0.25, -0.5])


def judge_v(key):
    del key
    return linear_critic([2.0, -1.0], 0.25)


def judge_q(key):
    return set_linear(action_value_critic(2, 2, hidden=())(key), Q_WEIGHTS, Q_BIASES)


JUDGES = {"v": judge_v, "q": judge_q}


def action_values(observation):
    return np.asarray(observation, np.float64) @ Q_WEIGHTS + Q_BIASES


VALUES = {
    "v": lambda s: 2.0 * s[0] - s[1] + 0.25,
    "q": lambda s: probabilities(s) @ action_values(s),
}


def small(kind, optimizer, critic_optimizer, **options):
    return actor_critic(
        skewed_policy,
        JUDGES[kind],
        optimizer,
        critic_optimizer,
        critic_kind=kind,
        discount=DISCOUNT,
        **options,
    )


def each_step(batch):
    for i, t in np.ndindex(*batch.rewards.shape):
        yield i, t, batch.observations[i, t], int(batch.actions[i, t])


@functools.cache
def seen():
    """The scripted batch as numpy arrays: truncations, terminations and cut rows."""
    _, batch = scripted_batch()
    batch = jax.tree.map(np.asarray, batch)
    assert batch.truncated.any()
    assert batch.terminated.any()
    assert not (batch.terminated | batch.truncated)[:, -1].all()
    return batch


@pytest.mark.parametrize("target", ["mc", "td"])
@pytest.mark.parametrize("kind", ["v", "q"])
def test_the_critic_is_fitted_to_returns_or_one_step(kind, target):
    """One step of descent on half the mean squared error, cut ends bootstrapped."""
    agent = small(
        kind, optax.sgd(0.0), optax.sgd(1.0), critic_target=target, critic_epochs=1
    )
    batch, state = seen(), agent.init(KEY)
    after, info = jax.jit(agent.update)(state, scripted_batch()[1], KEY)
    targets = returns_and_values(batch, VALUES[kind], discount=DISCOUNT)[target]
    steps, errors = [], []
    for i, t, observation, action in each_step(batch):
        if kind == "v":
            error = targets[i, t] - VALUES["v"](observation)
            steps.append(np.append(error * observation, error))
        else:
            error = targets[i, t] - action_values(observation)[action]
            steps.append(by_logits(observation, error * np.eye(2)[action]))
        errors.append(error)
    expected = np.mean(steps, axis=0)
    np.testing.assert_allclose(moved(state.critic, after.critic), expected, atol=1e-5)
    loss = 0.5 * np.mean(np.square(errors))
    np.testing.assert_allclose(info["value_loss"], loss, rtol=1e-5)


@pytest.mark.parametrize(("kind", "advantage"), [("v", "mc"), ("v", "td"), ("q", None)])
def test_the_policy_steps_along_the_advantages(kind, advantage):
    agent = small(
        kind,
        optax.sgd(1.0),
        optax.sgd(0.0),
        advantage=advantage,
        entropy_weight=ENTROPY_WEIGHT,
    )
    batch, state = seen(), agent.init(KEY)
    after, info = jax.jit(agent.update)(state, scripted_batch()[1], KEY)
    returns = returns_and_values(batch, VALUES[kind], discount=DISCOUNT)
    steps = []
    for i, t, observation, action in each_step(batch):
        value = VALUES[kind](observation)
        if kind == "v":
            estimate = returns[advantage][i, t]
        else:
            estimate = action_values(observation)[action]
        step = (estimate - value) * score(observation, action)
        steps.append(step + ENTROPY_WEIGHT * entropy_gradient(observation))
    expected = np.mean(steps, axis=0)
    np.testing.assert_allclose(moved(state.policy, after.policy), expected, atol=1e-5)
    np.testing.assert_allclose(
        info["gradient_norm"], np.linalg.norm(expected), rtol=1e-4
    )


def test_the_policy_follows_the_critic_that_was_just_fitted():
    """Each half of the update alone, joined by hand."""
    _, batch = scripted_batch()
    both = small("v", optax.sgd(1.0), optax.sgd(0.5))
    critic_only = small("v", optax.sgd(0.0), optax.sgd(0.5))
    policy_only = small("v", optax.sgd(1.0), optax.sgd(0.0))
    state = both.init(KEY)
    fitted, _ = jax.jit(critic_only.update)(state, batch, KEY)
    expected, _ = jax.jit(policy_only.update)(fitted, batch, KEY)
    found, _ = jax.jit(both.update)(state, batch, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected
    )
    assert np.abs(moved(state.critic, found.critic)).max() > 0.1


def test_advantages_of_actions_average_to_0_under_the_policy():
    _, batch = scripted_batch()
    policy, critic = skewed_policy(KEY), judge_q(KEY)
    probability = jnp.exp(policy(batch.observations).log_probs)
    each = [
        action_advantages(
            critic, policy, batch._replace(actions=jnp.full_like(batch.actions, a))
        )
        for a in (0, 1)
    ]
    mean = sum(probability[..., a] * each[a] for a in (0, 1))
    np.testing.assert_allclose(mean, 0.0, atol=1e-6)
    assert np.abs(each[0]).mean() > 0.1


# What it learns.

N, T = 16, 8
START = jnp.array([1.0, 0.0])
OPTIONS = [
    {},
    {"critic_target": "mc", "advantage": "mc"},
    {"critic_kind": "q"},
    {"critic_kind": "q", "critic_target": "mc"},
]


def learner(options):
    judge = action_value_critic(2, 2, hidden=(8,))
    if options.get("critic_kind", "v") == "v":
        judge = value_critic(2, hidden=(8,))
    return actor_critic(LINEAR, judge, optax.adam(0.1), optax.adam(0.05), **options)


@functools.cache
def collector(delay: int):
    env = delayed_bandit(delay=delay)

    @jax.jit
    def collect(policy, key):
        start = start_rollout(env, key, N)
        return rollout(env, lambda o, k: policy(o).sample(k), start, key, steps=T)[1]

    return collect


@pytest.mark.parametrize("options", OPTIONS)
def test_one_update_improves_the_better_action(options):
    agent = learner(options)
    update = jax.jit(agent.update)
    start = agent.init(KEY)
    batch = collector(0)(start.policy, KEY)
    before = start.policy(START).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        state, _ = update(start, paid, KEY)
        assert state.policy(START).log_probs[better] > before[better] + 0.02


@pytest.mark.parametrize("options", OPTIONS[1::2])
def test_it_learns_what_pays_later(options):
    """From returns: one step of TD cannot tell the choices of a hidden past apart."""
    agent = learner(options)
    update, collect = jax.jit(agent.update), collector(1)
    state = agent.init(KEY)
    assert jnp.exp(state.policy(START).log_probs[1]) < 0.6
    for key in jax.random.split(KEY, 40):
        state, _ = update(state, collect(state.policy, key), key)
    assert jnp.exp(state.policy(START).log_probs[1]) > 0.95


@pytest.mark.parametrize("kind", ["v", "q"])
def test_a_time_limit_keeps_its_bootstrap(kind):
    """Reward 1 for ever, γ = 1/2, every step cut: 1 if the world ends there, else 2."""
    judge = {"v": value_critic, "q": functools.partial(action_value_critic, actions=2)}
    agent = actor_critic(
        skewed_policy,
        judge[kind](2, hidden=()),
        optax.sgd(0.0),
        optax.adam(0.1),
        critic_kind=kind,
        critic_epochs=20,
        discount=0.5,
    )
    update = jax.jit(agent.update)
    start = agent.init(KEY)
    batch = collector(0)(start.policy, KEY)
    batch = batch._replace(
        rewards=jnp.ones_like(batch.rewards), next_observations=batch.observations
    )
    for terminated, expected in ((True, 1.0), (False, 2.0)):
        ends = jnp.full_like(batch.terminated, terminated)
        state, cut = start, batch._replace(terminated=ends, truncated=~ends)
        for key in jax.random.split(KEY, 20):
            state, _ = update(state, cut, key)
        np.testing.assert_allclose(state.critic(START), expected, atol=0.05)


# What is refused.


def build(policy, critic, **options):
    return actor_critic(policy, critic, optax.sgd(1.0), optax.sgd(1.0), **options)


def test_a_critic_of_actions_wants_finitely_many():
    with pytest.raises(CapabilityError, match="`GaussianPolicy` gives"):
        build(gaussian_policy(2, 1), action_value_critic(2, 2), critic_kind="q")


@pytest.mark.parametrize(
    ("kind", "critic", "told"),
    [
        ("v", action_value_critic(2, 2), "needs a `ValueCritic`"),
        ("q", value_critic(2), "needs a `ActionValueCritic`"),
    ],
)
def test_a_critic_is_of_its_kind(kind, critic, told):
    with pytest.raises(CapabilityError, match=told):
        build(categorical_policy(2, 2), critic, critic_kind=kind)


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(ConfigError, match="Leave `advantage` out"):
        build(LINEAR, judge_q, critic_kind="q", advantage="td")
    with pytest.raises(ConfigError, match="at least 1"):
        build(LINEAR, judge_v, critic_epochs=0)


@pytest.fixture
def unchecked():
    """Annotations are not executed: the builder alone looks at the names."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"critic_kind": "qq"}, "`qq`.*Known: q, v"),
        ({"critic_target": "tdd"}, "Did you mean `td`.*Known: mc, td"),
        ({"advantage": "gae"}, "`gae`.*Known: mc, td"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(options, told):
    with pytest.raises(ConfigError, match=told):
        build(LINEAR, judge_v, **options)
