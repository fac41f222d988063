"""Any agent behind statistics: what it sees, what it keeps, and what that buys."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from reins.agents import Agent, icrl, normalised, ppo, ppo_lagrangian
from reins.agents.agent import act_by_policy
from reins.agents.icrl import BackwardStep
from reins.constraints import InputSpec, constraint_network
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.duals import projected_dual
from reins.envs import Env, Step
from reins.errors import CapabilityError, ConfigError
from reins.experiments.checkpoint import load_checkpoint, save_checkpoint
from reins.policies import NormalisedPolicy, Policy, categorical_policy
from reins.types import Pairs, Trajectory
from tests.toys import scripted_batch

KEY = jax.random.key(1)
N, HORIZON, DISCOUNT, CLIP = 4, 4, 0.9, 1.5
TOLD = {"environments": N, "discount": DISCOUNT}


class Heard(NamedTuple):
    """A listener's state: what it heard last."""

    policy: Policy
    batch: Trajectory


def listener() -> Agent:
    """An agent that learns nothing and remembers the batch that it was given."""

    silence = jax.tree.map(jnp.zeros_like, scripted_batch()[1])

    def init(key):
        return Heard(categorical_policy(2, 2, hidden=())(key), silence)

    def update(state, batch, key):
        del key
        return Heard(state.policy, batch), {"heard": jnp.ones(())}

    return Agent(init, act_by_policy, update)


def batches() -> list[Trajectory]:
    """Three of other sizes, of dimensions of other sizes; parts are padding."""
    _, batch = scripted_batch()
    found = []
    for i in range(3):
        units = jnp.array([30.0, 0.1]) * (i + 1)
        found.append(
            batch._replace(
                observations=batch.observations * units + jnp.array([5.0, -2.0]),
                next_observations=batch.next_observations * units,
                rewards=(batch.rewards - 0.2) * 1e3,
                mask=jnp.arange(16) < jnp.array([[16], [9], [12], [16 - i]]),
            )
        )
    return found


def told(agent: Agent, given: list[Trajectory]):
    """The states from the start on, and the infos."""
    update, states, infos = jax.jit(agent.update), [agent.init(KEY)], []
    for batch in given:
        state, info = update(states[-1], batch, KEY)
        states.append(state)
        infos.append(info)
    return states, infos


@pytest.fixture(scope="module")
def both():
    return told(normalised(listener(), 2, clip=CLIP, **TOLD), batches())


def by_hand(observations, before: list[Trajectory]) -> np.ndarray:
    """Normalised by the valid steps of the batches before."""
    seen = np.concatenate([np.asarray(b.observations)[b.mask] for b in before])
    found = (np.asarray(observations) - seen.mean(axis=0)) / seen.std(axis=0)
    return np.clip(found, -CLIP, CLIP)


def test_observations_are_in_the_units_of_the_batches_before(both):
    states, _ = both
    given = batches()
    for i in (1, 2):
        heard = states[i + 1].agent.batch
        for name in ("observations", "next_observations"):
            expected = by_hand(getattr(given[i], name), given[:i])
            np.testing.assert_allclose(getattr(heard, name), expected, atol=1e-4)
            assert np.any(np.abs(expected) == CLIP)
            assert np.any(np.abs(expected) < CLIP)


def test_the_first_batch_is_as_it_was_but_for_the_clip(both):
    states, _ = both
    for name in ("observations", "next_observations"):
        expected = np.clip(getattr(batches()[0], name), -CLIP, CLIP)
        found = getattr(states[1].agent.batch, name)
        np.testing.assert_array_equal(found, expected)


def test_the_agent_learns_from_what_its_policy_saw(both):
    """The log-probabilities that actions were drawn with are those in the update."""
    states, _ = both
    for before, after, batch in zip(states[:-1], states[1:], batches(), strict=True):
        drawn_with = before.policy(batch.observations).log_prob(batch.actions)
        heard = after.agent.batch
        old = before.agent.policy(heard.observations).log_prob(heard.actions)
        np.testing.assert_allclose(old, drawn_with, rtol=1e-6)
        now = after.policy(batch.observations).log_prob(batch.actions)
        assert np.abs(now - drawn_with).max() > 1e-3


def slow_returns(given: list[Trajectory]) -> np.ndarray:
    """R of every valid step; rows go on from batch to batch."""
    found = []
    for row in range(N):
        running = 0.0
        for batch in given:
            for t in np.flatnonzero(batch.mask[row]):
                first = batch.times[row, t] == 0
                running = float(batch.rewards[row, t]) + (
                    0.0 if first else DISCOUNT * running
                )
                found.append(running)
                running = 0.0 if batch.ends[row, t] else running
    return np.asarray(found)


def test_rewards_are_in_units_of_the_returns_so_far(both):
    states, infos = both
    given = batches()
    for i, info in enumerate(infos):
        deviation = slow_returns(given[: i + 1]).std()
        expected = np.clip(np.asarray(given[i].rewards) / deviation, -CLIP, CLIP)
        found = states[i + 1].agent.batch.rewards
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        np.testing.assert_allclose(info["return_deviation"], deviation, rtol=1e-4)
        assert info["heard"] == 1.0


def test_all_else_is_heard_as_it_is(both):
    states, _ = both
    for state, batch in zip(states[1:], batches(), strict=True):
        heard = state.agent.batch
        for name in (
            "actions",
            "costs",
            "terminated",
            "truncated",
            "mask",
            "times",
        ):
            np.testing.assert_array_equal(getattr(heard, name), getattr(batch, name))


def test_either_can_be_left_as_it_is():
    given = batches()[:2]
    (*_, state), (*_, info) = told(
        normalised(listener(), 2, rewards=False, clip=CLIP, **TOLD), given
    )
    expected = by_hand(given[1].observations, given[:1])
    heard = state.agent.batch
    np.testing.assert_allclose(heard.observations, expected, atol=1e-4)
    np.testing.assert_array_equal(heard.rewards, given[1].rewards)
    assert "return_deviation" not in info

    (*_, state), _ = told(
        normalised(listener(), 2, observations=False, clip=CLIP, **TOLD), given
    )
    heard = state.agent.batch
    np.testing.assert_array_equal(heard.observations, given[1].observations)
    np.testing.assert_array_equal(heard.next_observations, given[1].next_observations)
    assert np.abs(heard.rewards).max() <= CLIP
    assert state.policy is state.agent.policy


def test_with_neither_it_is_the_agent_itself():
    agent = listener()
    found = normalised(agent, 2, observations=False, rewards=False, **TOLD)
    assert found is agent


# Acting.


def test_it_acts_by_its_policy_on_the_statistics_of_training(both):
    """Those of the observations acted on do not count, here or later."""
    states, _ = both
    agent, state = normalised(listener(), 2, clip=CLIP, **TOLD), states[-1]
    assert agent.act is act_by_policy
    assert isinstance(state.policy, NormalisedPolicy)
    others = jnp.array([[70.0, 0.1], [20.0, -1.9], [1e6, -1e6]])
    inner = state.agent.policy(jnp.asarray(by_hand(others, batches())))
    found = state.policy(others)
    np.testing.assert_allclose(found.log_probs, inner.log_probs, rtol=1e-4)
    keys = jax.random.split(KEY, 20)
    actions = jax.vmap(lambda key: agent.act(state, others, key))(keys)
    np.testing.assert_array_equal(actions, jax.vmap(inner.sample)(keys))


def test_an_agent_that_acts_in_its_own_way_still_does(both):
    states, _ = both

    def show(state, observations, key):
        del state, key
        return observations

    others = jnp.array([[70.0, 0.1], [20.0, -1.9]])
    agent = normalised(listener()._replace(act=show), 2, clip=CLIP, **TOLD)
    expected = by_hand(others, batches())
    found = agent.act(states[-1], others, KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    blind = normalised(listener()._replace(act=show), 2, observations=False, **TOLD)
    np.testing.assert_array_equal(blind.act(blind.init(KEY), others, KEY), others)


# Inside PPO, and inside the learning of a constraint.

PARTS = (categorical_policy(2, 2, hidden=()), value_critic(2, hidden=()))


def test_the_first_minibatch_is_where_the_policy_is():
    """One minibatch in all: nothing has moved, so no ratio is other than 1."""
    agent = ppo(*PARTS, optax.adam(0.05), epochs=1, minibatches=1)
    _, infos = told(normalised(agent, 2, **TOLD), batches())
    for info in infos:
        assert info["kl_old_new"] == 0.0
        assert info["clip_fraction"] == 0.0


def some_expert() -> Pairs:
    _, batch = scripted_batch()
    mask = jnp.arange(HORIZON) < jnp.array([[4], [3], [4], [1]])
    return Pairs(batch.observations[:, 3:7], batch.actions[:, 3:7], mask)


def constraint_learner(agent: Agent) -> Agent:
    return icrl(
        agent,
        constraint_network(InputSpec(2, 2, True, (0, 1), (0, 1)), hidden=(3,)),
        optax.adam(1e-2),
        some_expert(),
        horizon=HORIZON,
        backward=BackwardStep(forward_updates=1, steps=2),
    )


def test_a_constraint_sees_raw_observations_and_its_agent_does_not():
    agent = constraint_learner(normalised(listener(), 2, clip=CLIP, **TOLD))
    assert agent.act is act_by_policy
    given = batches()
    states, _ = told(agent, given)
    for i, (state, batch) in enumerate(zip(states[1:], given, strict=True)):
        heard = state.agent.agent.batch
        costs = state.constraint.cost(batch.observations, batch.actions)
        np.testing.assert_allclose(heard.costs, costs, rtol=1e-5)
        if i:
            expected = by_hand(batch.observations, given[:i])
            np.testing.assert_allclose(heard.observations, expected, atol=1e-4)
    assert isinstance(states[-1].policy, NormalisedPolicy)


def test_icrl_over_it_is_saved_with_its_statistics_and_goes_on(tmp_path):
    inner = ppo_lagrangian(
        *PARTS,
        optax.adam(0.05),
        projected_dual(),
        horizon=HORIZON,
        epochs=2,
        minibatches=2,
    )
    agent = constraint_learner(normalised(inner, 2, **TOLD))
    update, given = jax.jit(agent.update), batches()
    state = agent.init(KEY)
    for batch in given[:2]:
        state, _ = update(state, batch, KEY)
    save_checkpoint(tmp_path / "state", state, {})
    loaded, _ = load_checkpoint(
        tmp_path / "state", jax.eval_shape(agent.init, jax.random.key(0))
    )
    assert int(loaded.agent.observations.count) == sum(b.mask.sum() for b in given[:2])
    observations = given[2].observations
    np.testing.assert_array_equal(
        loaded.policy(observations).logits, state.policy(observations).logits
    )
    expected, info = update(state, given[2], KEY)
    found, found_info = update(loaded, given[2], KEY)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    jax.tree.map(np.testing.assert_array_equal, found_info, info)
    assert all(np.isfinite(value) for value in info.values())
    assert "return_deviation" in info


# What it buys.

ROWS, STEPS = 16, 8


def far_bandit(pay: float) -> Env:
    """Two contexts a little apart and far from 0; the right action pays a lot."""

    def show(side):
        return jnp.stack([1000.0 + 5.0 * side, 2.0 * jnp.ones(())])

    def reset(key):
        side = jax.random.rademacher(key, (), jnp.float32)
        return side, show(side)

    def step(side, action, key):
        del key
        right = (action == 1) == (side > 0)
        return side, Step(
            observation=show(side),
            reward=jnp.where(right, pay, 0.0),
            cost=jnp.zeros(()),
            terminated=jnp.asarray(True),
            truncated=jnp.asarray(False),
        )

    return Env(
        name="far bandit",
        observation_space=spaces.Box(0.0, np.inf, (2,), np.float32),
        action_space=spaces.Discrete(2),
        horizon=1,
        reset=reset,
        step=step,
    )


@functools.cache
def share_of_right_actions(pay: float, observations: bool, rewards: bool) -> float:
    """In the last of 25 batches, with the usual optimiser."""
    env = far_bandit(pay)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.02, eps=1e-5))
    inner = ppo(
        categorical_policy(2, 2, hidden=(8,)),
        value_critic(2, hidden=(8,)),
        optimizer,
        epochs=4,
        minibatches=4,
    )
    agent = normalised(
        inner,
        2,
        environments=ROWS,
        discount=0.99,
        observations=observations,
        rewards=rewards,
    )

    @jax.jit
    def run(key):
        def one(carry, key):
            state, place = carry
            act_key, update_key = jax.random.split(key)
            place, batch = rollout(
                env,
                lambda o, k: agent.act(state, o, k),
                place,
                act_key,
                steps=STEPS,
            )
            state, _ = agent.update(state, batch, update_key)
            return (state, place), jnp.mean(batch.rewards > 0)

        start = agent.init(key), start_rollout(env, key, ROWS)
        return jax.lax.scan(one, start, jax.random.split(key, 25))[1]

    return float(run(KEY)[-1])


@pytest.mark.parametrize("pay", [1e4, 1e7])
def test_far_observations_and_large_rewards_are_learned_from(pay):
    assert share_of_right_actions(pay, True, True) > 0.95


@pytest.mark.parametrize(
    "left_out", [(1e4, False, False), (1e4, False, True), (1e7, True, False)]
)
def test_without_it_they_are_not(left_out):
    assert share_of_right_actions(*left_out) < 0.75


# What is refused.


def test_an_agent_that_learns_a_constraint_is_normalised_inside():
    with pytest.raises(CapabilityError, match=r"inside it: icrl\(normalised"):
        normalised(constraint_learner(listener()), 2, **TOLD)


def test_all_settings_that_cannot_be_used_are_listed():
    with pytest.raises(ConfigError) as caught:
        normalised(listener(), 0, environments=0, discount=1.1, clip=0.0)
    message = str(caught.value)
    for fault in ("0 dimensions", "0 environments", "of 1.1", "clip of 0.0"):
        assert fault in message
    for wrong in ({"discount": -0.1}, {"clip": float("nan")}):
        with pytest.raises(ConfigError):
            normalised(listener(), 2, **{**TOLD, **wrong})


def test_a_batch_of_another_number_of_environments_is_refused():
    agent = normalised(listener(), 2, environments=N + 1, discount=DISCOUNT)
    with pytest.raises(ConfigError, match="has 4 environments; the agent was built"):
        agent.update(agent.init(KEY), batches()[0], KEY)
