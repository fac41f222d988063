"""GAIL, with an agent inside that only listens to what it is told."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import Agent, gail, normalised, ppo
from reins.agents.agent import act_by_policy
from reins.agents.gail import IMITATION_REWARDS, LOGIT_BOUND, imitation_reward
from reins.constraints import InputSpec, classifier_loss, constraint_network
from reins.critics import value_critic
from reins.errors import CapabilityError, ConfigError, DataError
from reins.policies import Policy, categorical_policy
from reins.types import Pairs, Trajectory
from tests.toys import scripted_batch

KEY = jax.random.key(1)
LEARNING_RATE, STEPS = 0.5, 3


class Heard(NamedTuple):
    """A listener's state: what it heard last."""

    policy: Policy
    batch: Trajectory


def listener() -> Agent:
    """An agent that learns nothing and remembers the batch that it was given."""

    def init(key):
        silence = jax.tree.map(jnp.zeros_like, scripted_batch()[1])
        return Heard(categorical_policy(2, 2, hidden=())(key), silence)

    def update(state, batch, key):
        del key
        return Heard(state.policy, batch), {}

    return Agent(init, act_by_policy, update)


def some_expert() -> Pairs:
    """Three episodes of 4, 2 and 3 steps, near the scripted observations."""
    rng = np.random.default_rng(2)
    return Pairs(
        jnp.asarray(rng.random((3, 4, 2)), jnp.float32),
        jnp.asarray(rng.integers(0, 2, (3, 4))),
        jnp.arange(4) < jnp.array([[4], [2], [3]]),
    )


EXPERT = some_expert()
JUDGE = constraint_network(InputSpec(2, 2, True, (0, 1), (0, 1)), hidden=(3,))


@functools.cache
def learner(**told):
    agent = gail(listener(), JUDGE, optax.sgd(LEARNING_RATE), EXPERT, **told)
    return agent, jax.jit(agent.update)


def cross_entropy(judge, batch):
    return classifier_loss(
        judge.logits(*EXPERT[:2]),
        EXPERT.mask,
        judge.logits(batch.observations, batch.actions),
        batch.mask,
    )


def close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
        found,
        expected,
    )


def by_hand(judge, batch, steps):
    """Gradient descent on the cross-entropy."""
    for _ in range(steps):
        slope = jax.jit(jax.grad(cross_entropy))(judge, batch)
        judge = jax.tree.map(lambda x, g: x - LEARNING_RATE * g, judge, slope)
    return judge


def test_the_rewards_by_hand():
    d = np.array([0.01, 0.3, 0.5, 0.9])
    logits = jnp.asarray(np.log(d / (1 - d)))
    close(imitation_reward(logits, "positive"), -np.log(1 - d))
    close(imitation_reward(logits, "negative"), np.log(d))
    close(imitation_reward(logits, "log-odds"), np.log(d) - np.log(1 - d))
    assert float(imitation_reward(jnp.asarray(0.0), "log-odds")) == 0.0


@pytest.mark.parametrize("form", IMITATION_REWARDS)
def test_a_reward_grows_with_d_and_stays_finite(form):
    logits = jnp.array([-jnp.inf, -100.0, -2.0, 0.0, 3.0, 100.0, jnp.inf])
    rewards = np.asarray(imitation_reward(logits, form))
    assert np.all(np.isfinite(rewards))
    assert np.all(np.diff(rewards[1:-1]) > 0)
    assert np.max(np.abs(rewards)) <= LOGIT_BOUND + 1e-4


def test_with_the_best_discriminator_log_odds_are_the_log_ratio_of_visits():
    """And their mean under the agent is minus the KL of its visits to the expert's."""
    expert, agent = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])

    def loss(logits):
        said = jnp.sum(expert * jax.nn.log_sigmoid(logits))
        return -said - jnp.sum(agent * jax.nn.log_sigmoid(-logits))

    logits = jnp.asarray(np.log(expert / agent))
    assert float(jnp.max(jnp.abs(jax.grad(loss)(logits)))) < 1e-6
    rewards = imitation_reward(logits, "log-odds")
    kl = np.sum(agent * np.log(agent / expert))
    assert abs(float(jnp.sum(agent * rewards)) + kl) < 1e-6


@pytest.mark.parametrize("steps", [1, STEPS])
def test_the_discriminator_descends_the_cross_entropy_on_the_whole_batch(steps):
    agent, update = learner(steps=steps)
    _, batch = scripted_batch()
    states = [agent.init(KEY)]
    for actions in (batch.actions, 1 - batch.actions):
        seen = batch._replace(actions=actions)
        state, info = update(states[-1], seen, KEY)
        expected = by_hand(states[-1].discriminator, seen, steps)
        close(state.discriminator, expected)
        loss = cross_entropy(states[-1].discriminator, seen)
        np.testing.assert_allclose(info["discriminator_loss"], loss, rtol=1e-4)
        states.append(state)


@pytest.mark.parametrize("form", IMITATION_REWARDS)
def test_the_agent_hears_the_reward_of_the_new_discriminator_and_no_other(form):
    agent, update = learner(reward=form)
    _, batch = scripted_batch()
    batch = batch._replace(mask=batch.mask.at[0, -3:].set(False))
    state, info = update(agent.init(KEY), batch, KEY)
    logits = state.discriminator.logits(batch.observations, batch.actions)
    expected = np.where(batch.mask, imitation_reward(logits, form), 0.0)
    heard = state.agent.batch
    np.testing.assert_allclose(heard.rewards, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected - np.asarray(batch.rewards)).max() > 0.1
    close(heard._replace(rewards=batch.rewards), batch)
    mean = expected.sum() / np.asarray(batch.mask).sum()
    np.testing.assert_allclose(info["imitation_reward"], mean, rtol=1e-4)


def test_what_is_recognised_is_reported_as_shares():
    agent, update = learner()
    _, batch = scripted_batch()
    state = agent.init(KEY)
    _, info = update(state, batch, KEY)
    logits = np.asarray(state.discriminator.logits(batch.observations, batch.actions))
    share = np.mean(logits[np.asarray(batch.mask)] < 0)
    np.testing.assert_allclose(info["agent_recognised"], share, rtol=1e-5)
    shown = np.asarray(state.discriminator.logits(*EXPERT[:2]))
    share = np.mean(shown[np.asarray(EXPERT.mask)] > 0)
    np.testing.assert_allclose(info["expert_recognised"], share, rtol=1e-5)


def test_ppo_moves_towards_what_the_expert_does():
    """One state; the expert always does 1, and nothing else is ever rewarded."""
    parts = (
        categorical_policy(2, 2, hidden=()),
        value_critic(2, hidden=()),
        optax.adam(3e-2),
    )
    expert = EXPERT._replace(
        observations=jnp.ones_like(EXPERT.observations),
        actions=jnp.ones_like(EXPERT.actions),
    )
    inner = ppo(*parts, epochs=2, minibatches=2, discount=0.0)
    agent = gail(inner, JUDGE, optax.adam(3e-2), expert)
    update = jax.jit(agent.update)
    _, batch = scripted_batch()
    ones = jnp.ones_like(batch.observations)
    batch = batch._replace(
        observations=ones, next_observations=ones, rewards=0.0 * batch.rewards
    )
    state = agent.init(KEY)
    chances = []
    for key in jax.random.split(KEY, 30):
        actions = agent.act(state, batch.observations, key)
        state, _ = update(state, batch._replace(actions=actions), key)
        one = jnp.ones((), jnp.int32)
        chances.append(float(jnp.exp(state.policy(ones[0, 0]).log_prob(one))))
    assert chances[-1] > 0.85
    assert chances[0] < 0.7


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ConfigError, match="0 steps of the discriminator"):
        gail(listener(), JUDGE, optax.sgd(1.0), EXPERT, steps=0)
    nobody = EXPERT._replace(mask=jnp.zeros_like(EXPERT.mask))
    with pytest.raises(DataError, match="of no step"):
        gail(listener(), JUDGE, optax.sgd(1.0), nobody)


def test_it_is_not_normalised_from_outside():
    agent, _ = learner()
    with pytest.raises(CapabilityError, match="or a discriminator"):
        normalised(agent, 2, environments=4, discount=0.9)
