"""Off-policy policy gradient: what it weighs, what it uses again, and when it stops.

Its mean step is compared with exact gradients in tests/exactness/test_off_policy_pg.py.
"""

import functools
from typing import Any, get_args

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from reins.agents import reinforce
from reins.agents.demonstrator import as_episodes
from reins.agents.episode_memory import empty_memory, recall, remember
from reins.agents.off_policy_pg import off_policy_pg
from reins.agents.off_policy_weights import (
    Form,
    credited,
    ess_fraction,
    log_weights,
    mean_of_others,
    self_normalised,
    usable_fraction,
)
from reins.agents.policy_gradient import episodes_with_room
from reins.credit import time_baseline
from reins.data import Demonstrations, rollout, run_episodes, start_rollout
from reins.errors import ConfigError, DataError
from reins.estimators import ESTIMATORS
from reins.policies import categorical_policy, policy_for
from tests.agents.by_hand import KEY, LINEAR, moved, set_linear, skewed_policy
from tests.toys import (
    delayed_bandit,
    point_env,
    random_batch,
    scripted_batch,
    scripted_env,
)

HORIZON, DISCOUNT = 5, 0.8
ENV = scripted_env(horizon=HORIZON)
FORMS: tuple[Form, ...] = get_args(Form)


def agent_for(env=ENV, policy=skewed_policy, optimizer=None, **options: Any):
    given: dict[str, Any] = {
        "environments": 4,
        "rollout_steps": 16,
        "horizon": env.horizon,
    }
    return off_policy_pg(
        policy,
        optimizer or optax.sgd(1.0),
        observation_space=env.observation_space,
        action_space=env.action_space,
        **(given | options),
    )


def ragged_batch():
    """Rows that begin within an episode; one that shows no beginning at all."""
    _, batch = scripted_batch()
    return batch._replace(times=batch.times.at[3].add(1))


def far_policy(certainty: float):
    """Prefers action 0 by so many nats, whatever is seen."""
    return set_linear(LINEAR(KEY), np.zeros((2, 2)), [certainty, 0.0])


# One batch, one pass.


@pytest.mark.parametrize(
    ("form", "baseline", "denominator"),
    [(form, "time", "mixture") for form in FORMS]
    + [("per-decision", "none", "own"), ("trajectory-ratio", "time", "own")],
)
def test_on_its_own_data_it_is_reinforce(form, baseline, denominator):
    credit = "total-return" if form == "trajectory-ratio" else "reward-to-go"
    told = {"horizon": HORIZON, "discount": DISCOUNT, "baseline": baseline}
    plain = reinforce(skewed_policy, optax.sgd(1.0), credit=credit, **told)
    agent = agent_for(
        form=form,
        denominator=denominator,
        memory=1,
        passes=1,
        measure_variance=True,
        **told,
    )
    states = plain.init(KEY), agent.init(KEY)
    jax.tree.map(np.testing.assert_array_equal, states[0].policy, states[1].policy)
    batch = ragged_batch()
    expected, known = jax.jit(plain.update)(states[0], batch, KEY)
    found, info = jax.jit(agent.update)(states[1], batch, KEY)
    steps = [moved(states[0].policy, x.policy) for x in (expected, found)]
    assert np.linalg.norm(steps[0]) > 0.1
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-6)
    for name in ("episodes", "entropy", "gradient_norm", "gradient_variance"):
        np.testing.assert_allclose(info[name], known[name], rtol=1e-4)
    assert info["passes"] == info["batches_used"] == 1
    for name in ("ess_fraction", "ess_fraction_last", "max_weight"):
        np.testing.assert_allclose(info[name], 1.0, rtol=1e-5)


# Weights.


def some_arrays():
    log_ratios = 0.5 * jax.random.normal(KEY, (6, 4))
    rewards = jax.random.normal(jax.random.key(1), (6, 4))
    mask = jnp.arange(4) < jnp.array([4, 2, 3, 4, 1, 4])[:, None]
    return log_ratios, rewards, mask


@pytest.mark.parametrize("form", FORMS)
def test_the_credit_of_a_form_is_that_of_its_estimator(form):
    log_ratios, rewards, mask = some_arrays()
    log_probs = -jnp.ones_like(log_ratios)
    logs = log_weights(form, log_ratios, mask)
    options = {"discount": DISCOUNT, "discount_states": True}
    found, _ = credited(form, logs, rewards, mask, **options)
    loss = ESTIMATORS[form.replace("-", "_")].loss

    def value(log_probs):
        terms = (log_probs, jax.lax.stop_gradient(log_probs) - log_ratios)
        return loss(*terms, rewards, mask, discount=DISCOUNT)[0]

    expected = -jax.grad(value)(log_probs) * len(rewards)
    np.testing.assert_allclose(jnp.where(mask, found, 0.0), expected, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_self_normalised_weights_have_the_mean_1(form):
    log_ratios, _, mask = some_arrays()
    logs = self_normalised(form, log_weights(form, log_ratios + 2.0, mask), mask)
    running = mask if form == "per-step-ratio" else jnp.ones_like(mask)
    means = [np.mean(np.exp(x)[m]) for x, m in zip(logs.T, running.T, strict=True)]
    np.testing.assert_allclose(means, 1.0, rtol=1e-5)


def test_the_baseline_is_of_others_behaviour_by_behaviour():
    _, earned, mask = some_arrays()
    whole = mean_of_others(earned, mask, jnp.ones((1, 6), bool))
    np.testing.assert_allclose(whole, time_baseline(earned, mask), atol=1e-6)
    members = jnp.array([[1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 0]], bool)  # row 5: none
    found = mean_of_others(earned, mask, members)
    x = np.where(mask, earned, 0.0)
    for i, own, rest in ((0, [1, 4], [2, 3]), (3, [2], [0, 1, 4])):
        weights = (0.6, 0.4) if i == 0 else (0.4, 0.6)
        expected = weights[0] * x[own].mean(axis=0) + weights[1] * x[rest].mean(axis=0)
        np.testing.assert_allclose(found[i], expected, atol=1e-6)
    lone = mean_of_others(earned, mask, members.at[1, 2].set(False))
    np.testing.assert_array_equal(lone, 0.0)


def test_equal_weights_far_from_1_are_worth_nothing():
    """The effective sample size does not see them."""
    counted = jnp.array([[True]] * 4 + [[False]])
    for log_weight in (-14.0, 14.0):
        logs = jnp.full((5, 1), log_weight)
        np.testing.assert_allclose(ess_fraction(logs, counted), 1.0, rtol=1e-6)
        assert usable_fraction(logs, counted) < 1e-5
    assert usable_fraction(logs, counted, bounded_above=False) == 1.0
    one = jnp.array([[0.0], [-500.0], [-500.0], [-500.0], [900.0]])
    np.testing.assert_allclose(ess_fraction(one, counted), 0.25)
    assert ess_fraction(logs, counted & False) == 0.0


# Memory.


def test_the_oldest_batch_is_forgotten():
    policies = [far_policy(x) for x in (0.0, 1.0, 2.0)]
    memory = empty_memory(
        policies[0],
        2,
        4 * 3,
        HORIZON,
        ENV.observation_space,
        ENV.action_space,
        keep_policies=True,
    )
    batches = [
        ragged_batch()._replace(rewards=jnp.full((4, 16), float(k))) for k in range(3)
    ]
    assert not jnp.any(recall(memory).members)
    for policy, batch in zip(policies, batches, strict=True):
        memory = remember(memory, policy, episodes_with_room(batch, horizon=HORIZON))
    assert memory.rewards[:, 0, 0].tolist() == [2.0, 1.0]
    data = recall(memory)
    assert data.by_all is not None
    for k in (0, 1):
        rows = data.members[k]
        assert 0 < jnp.sum(rows) < 12
        mask = data.episodes.mask & rows[:, None]
        expected = jax.nn.log_softmax(jnp.array([2.0 - k, 0.0]))[data.episodes.actions]
        for found in (data.log_probs, data.by_all[k]):
            np.testing.assert_allclose(found[mask], expected[mask], rtol=1e-5)


def updated_after(older, remembered=None, *, policy=skewed_policy, **options):
    """An update when a batch of `older` is in memory, and what it began with."""
    agent = agent_for(discount=DISCOUNT, policy=policy, **options)
    state = agent.init(KEY)
    batch = ragged_batch()
    episodes = episodes_with_room(remembered or batch, horizon=HORIZON)
    state = state._replace(memory=remember(state.memory, older, episodes))
    return state, *jax.jit(agent.update)(state, batch, KEY)


@pytest.mark.parametrize(
    ("certainty", "shown_action", "denominator"),
    [(12.0, 0, "mixture"), (5000.0, 0, "mixture"), (5000.0, 0, "own")]
    + [(12.0, 1, "own"), (5000.0, 1, "own")],
)
def test_collapsed_data_are_left_out(certainty, shown_action, denominator):
    """The older policy is as sure of 0 as the present one of 1; weights are e^-12 and
    e^-5000 a step for its own actions, and e^12 and e^5000 for such as it never took.
    """
    options = {"memory": 2, "passes": 1, "denominator": denominator}
    present = far_policy(-certainty)
    remembered = ragged_batch()
    actions = jnp.full_like(remembered.actions, shown_action)
    state, after, info = updated_after(
        far_policy(certainty),
        remembered._replace(actions=actions),
        policy=lambda key: present,
        **options,
    )
    assert info["batches_used"] == info["passes"] == 1
    np.testing.assert_allclose(info["ess_fraction_last"], 1.0, rtol=1e-5)
    np.testing.assert_allclose(info["max_weight"], 1.0, rtol=1e-5)
    for leaf in jax.tree.leaves((after, info)):
        assert np.all(np.isfinite(leaf))

    # The step is that of the new episodes alone.
    plain = reinforce(
        lambda key: present, optax.sgd(1.0), horizon=HORIZON, discount=DISCOUNT
    )
    expected, _ = jax.jit(plain.update)(plain.init(KEY), ragged_batch(), KEY)
    steps = [moved(state.policy, x.policy) for x in (after, expected)]
    assert np.linalg.norm(steps[1]) > 0.1
    np.testing.assert_allclose(steps[0], steps[1], atol=1e-5)


@pytest.mark.parametrize("denominator", ["own", "mixture"])
def test_data_of_a_policy_near_by_are_used(denominator):
    near = jax.tree.map(lambda x: 1.05 * x, skewed_policy(KEY))
    options = {"memory": 2, "passes": 1, "denominator": denominator}
    _, _, info = updated_after(near, **options)
    assert info["batches_used"] == 2
    assert 0.9 < info["ess_fraction"] < 1.0
    _, _, info = updated_after(near, min_ess_fraction=1.0, **options)
    assert info["batches_used"] == 1


@pytest.mark.parametrize("form", ["per-decision", "per-step-ratio"])
def test_passes_end_when_the_present_data_have_collapsed(form):
    found = []
    for rate in (1e-4, 5.0):
        agent = agent_for(form=form, optimizer=optax.sgd(rate), memory=1, passes=3)
        state = agent.init(KEY)
        found.append(jax.jit(agent.update)(state, ragged_batch(), KEY)[1])
    assert [info["passes"] for info in found] == [3, 1]
    assert 0.99 < found[0]["ess_fraction_last"] < 1.0
    np.testing.assert_allclose(found[1]["ess_fraction_last"], 1.0, rtol=1e-5)


def test_without_a_whole_episode_nothing_changes():
    _, batch = scripted_batch()
    agent = agent_for(optimizer=optax.adam(0.1))
    update = jax.jit(agent.update)
    moving, _ = update(agent.init(KEY), batch, KEY)
    after, info = update(moving, batch._replace(times=batch.times + 1), KEY)
    assert info["episodes"] == info["passes"] == 0
    jax.tree.map(np.testing.assert_array_equal, after, moving)
    assert all(np.isfinite(value) for value in info.values())


# What it learns.


@functools.cache
def bandit():
    env = delayed_bandit(delay=1)

    @jax.jit
    def collect(policy, key):
        start = start_rollout(env, key, 4)
        return rollout(env, lambda o, k: policy(o).sample(k), start, key, steps=8)[1]

    return env, collect


@pytest.mark.parametrize("form", ["per-decision", "per-step-ratio"])
def test_it_learns_what_pays_later_from_fewer_batches_than_reinforce(form):
    env, collect = bandit()
    policy = categorical_policy(2, 2, hidden=())
    options = {"memory": 3, "passes": 4, "rollout_steps": 8}
    agents = (
        agent_for(env, policy, optax.adam(0.05), form=form, **options),
        reinforce(policy, optax.adam(0.05), horizon=2),
    )
    chances = []
    for agent in agents:
        update, state = jax.jit(agent.update), agent.init(KEY)
        for key in jax.random.split(KEY, 8):
            state, _ = update(state, collect(state.policy, key), key)
        log_probs = state.policy(jnp.array([1.0, 0.0])).log_probs
        chances.append(float(jnp.exp(log_probs[1])))
    assert chances[0] > 0.92
    assert chances[1] < 0.87


# Demonstrations.


def point_policy(key):
    return policy_for(POINT.observation_space, POINT.action_space, hidden=())(key)


POINT = point_env()


@functools.cache
def shown() -> Demonstrations:
    """Episodes of the start's own policy: what is cloned is then known."""
    teller = point_policy(KEY)

    @jax.jit
    def run(key):
        return run_episodes(POINT, lambda o, k: teller(o).sample(k), key, 40)

    found = run(KEY).trajectory
    episodes = []
    for i, n in enumerate(np.sum(found.mask, axis=1)):
        last = found.next_observations[i, n - 1 : n]
        observations = np.concatenate([found.observations[i, :n], last])
        row = (observations, np.clip(found.actions[i, :n], -1, 1), found.rewards[i, :n])
        episodes.append(tuple(np.asarray(x) for x in row))
    return Demonstrations(*zip(*episodes, strict=True), env_id="point")


def of_point(**options):
    return agent_for(POINT, point_policy, optax.adam(1e-2), **options)


@functools.cache
def told(denominator):
    agent = of_point(
        denominator=denominator,
        memory=2,
        demonstrations=shown(),
        behaviour="cloned",
        clone_steps=300,
    )
    policy = point_policy(KEY)
    batch = random_batch(POINT, act=lambda o, k: policy(o).sample(k))[1]
    return agent, jax.jit(agent.init), jax.jit(agent.update), batch


@pytest.mark.parametrize("denominator", ["own", "mixture"])
def test_demonstrations_are_one_more_behaviour(denominator):
    """Of continuous actions; the state keeps its kind, for checkpoints."""
    _, init, update, batch = told(denominator)
    state = init(KEY)
    after, info = update(state, batch, KEY)
    before, later = (
        jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), s)
        for s in (state, after)
    )
    assert before == later
    assert all(np.isfinite(x) and np.shape(x) == () for x in info.values())
    assert info["demonstrations_used"] == info["batches_used"] == 1

    # What was shown is at least as likely as under the policy that showed it.
    shapes = POINT.observation_space, POINT.action_space
    episodes = as_episodes(shown(), POINT.horizon, *shapes)
    steps = point_policy(KEY)(episodes.observations).log_prob(episodes.actions)
    assert info["clone_log_likelihood"] > np.mean(steps[episodes.mask])


def test_seeds_at_once_are_seeds_one_by_one():
    agent, init, update, batch = told("mixture")
    keys = jax.random.split(KEY, 2)
    seeds = [init(key) for key in keys]
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    together = jax.jit(jax.vmap(agent.update, in_axes=(0, None, 0)))
    found = together(states, batch, keys)
    alone = update(seeds[1], batch, keys[1])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-5),
        found,
        alone,
    )


def test_demonstrations_keep_their_rewards_and_lengths():
    found = as_episodes(shown(), 7, POINT.observation_space, POINT.action_space)
    assert found.rewards.shape[1] == 7
    np.testing.assert_array_equal(np.sum(found.mask, axis=1), shown().lengths)
    totals = np.sum(found.rewards, axis=1)
    np.testing.assert_allclose(totals, shown().returns, rtol=1e-5)


def test_demonstrations_that_do_not_fit_are_refused():
    parts = {"demonstrations": shown(), "behaviour": "cloned"}
    with pytest.raises(DataError, match=r"up to 5 steps.*most 4 \(`horizon`\)"):
        of_point(horizon=4, **parts)
    with pytest.raises(DataError, match="actions have shape"):
        agent_for(**parts)


# What is refused.


def test_a_batch_of_another_size_is_refused():
    agent = agent_for(environments=3)
    with pytest.raises(ConfigError, match=r"12 rows.*has 9.*3 environments"):
        agent.update(agent.init(KEY), ragged_batch(), KEY)


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
        ({"form": "per-decisions"}, "`per-decision`"),
        ({"denominator": "all"}, "own, mixture|mixture, own"),
        ({"weights": "normal"}, "self-normalised"),
        ({"baseline": "state"}, "none, time"),
        ({"memory": 0}, "`memory` is 0"),
        ({"passes": 0}, "`passes` is 0"),
        ({"min_ess_fraction": 0.0}, r"in \(0, 1\]"),
        ({"rollout_steps": 4}, "rollouts of 4 steps.*5"),
        ({"behaviour": "cloned"}, "without `demonstrations`"),
        ({"demonstrations": shown}, "without `behaviour`.*`behaviour='cloned'`"),
        ({"demonstrations": shown, "behaviour": "known"}, "cloned"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, told):
    made: dict[str, Any] = {k: v() if callable(v) else v for k, v in options.items()}
    with pytest.raises(ConfigError, match=told):
        agent_for(**made)
