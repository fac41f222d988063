"""Constraint learning, with a forward agent that only listens to what it is told."""

import functools
import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import (
    Agent,
    binary_classifier,
    gail_constraint,
    icrl,
    sac,
    sac_lagrangian,
)
from reins.agents.agent import act_by_policy
from reins.agents.icrl import LOG_ZETA_FLOOR, BackwardStep
from reins.constraints import (
    InputSpec,
    StopRule,
    classifier_loss,
    constraint_likelihood_loss,
    constraint_network,
    regulariser_loss,
)
from reins.critics import action_value_critic
from reins.data import whole_episodes
from reins.duals import log_dual, projected_dual
from reins.errors import CapabilityError, ConfigError
from reins.policies import Policy, categorical_policy
from reins.types import Pairs, Trajectory
from tests.toys import scripted_batch, scripted_env, slow_whole_episodes

KEY = jax.random.key(1)
HORIZON, LEARNING_RATE, TEMPERATURE, STEPS = 4, 8.0, 0.5, 3
ANY_MOVE = StopRule(kl_new_old=1e-7, min_ess_fraction=0.0)
"""Stops as soon as the constraint has moved at all."""


class Heard(NamedTuple):
    """A listener's state: what it heard last, and how often."""

    policy: Policy
    batch: Trajectory
    updates: jax.Array


def listener() -> Agent:
    """A forward agent that learns nothing and remembers the batch that it was given."""

    def init(key):
        silence = jax.tree.map(jnp.zeros_like, scripted_batch()[1])
        policy = categorical_policy(2, 2, hidden=())(key)
        return Heard(policy, silence, jnp.zeros((), jnp.int32))

    def update(state, batch, key):
        del key
        return Heard(state.policy, batch, state.updates + 1), {}

    return Agent(init, act_by_policy, update)


def some_expert() -> Pairs:
    """Three episodes of 4, 2 and 3 steps, near the scripted observations."""
    rng = np.random.default_rng(2)
    return Pairs(
        jnp.asarray(rng.random((3, HORIZON, 2)), jnp.float32),
        jnp.asarray(rng.integers(0, 2, (3, HORIZON))),
        jnp.arange(HORIZON) < jnp.array([[4], [2], [3]]),
        jnp.array([2.0, 1.0, 1.5]),
    )


EXPERT = some_expert()
PARTS = (
    listener(),
    constraint_network(InputSpec(2, 2, True, (0, 1), (0, 1)), hidden=(3,)),
    optax.sgd(LEARNING_RATE),
    EXPERT,
)


class Learner(NamedTuple):
    agent: Agent
    update: object


def learner(method, *, told=None, **backward) -> Learner:
    backward = BackwardStep(**{"steps": STEPS, "stop": None, **backward})
    scripted_batch()  # compiled here, and known when the shapes of states are asked for
    agent = method(*PARTS, horizon=HORIZON, backward=backward, **(told or {}))
    return Learner(agent, jax.jit(agent.update))


@pytest.fixture(scope="module")
def once() -> Learner:
    """Three steps of ζ, weighted, before every third update of the agent."""
    return learner(icrl, forward_updates=3)


@pytest.fixture(scope="module")
def plain() -> Learner:
    """The ablation, with a regulariser; ζ is improved at every batch."""
    return learner(icrl, forward_updates=1, weighting="none", regulariser=0.3)


@pytest.fixture(scope="module")
def afresh() -> Learner:
    return learner(icrl, nominal="afresh", forward_updates=2)


@pytest.fixture(scope="module")
def stopping() -> Learner:
    return learner(icrl, forward_updates=1, stop=ANY_MOVE)


@pytest.fixture(scope="module")
def classifier() -> Learner:
    return learner(binary_classifier, forward_updates=1, stop=ANY_MOVE)


@pytest.fixture(scope="module")
def gail() -> Learner:
    told = {"temperature": TEMPERATURE}
    return learner(gail_constraint, told=told, forward_updates=5)


@pytest.fixture(scope="module")
def log_reward() -> Learner:
    told = {"forward": "log-reward", "temperature": TEMPERATURE}
    return learner(icrl, told=told, forward_updates=1, stop=ANY_MOVE)


@pytest.fixture(scope="module")
def by_return() -> Learner:
    told = {"forward": "relative-cost", "temperature": TEMPERATURE}
    changed = {"weighting": "return", "stop": ANY_MOVE}
    return learner(icrl, told=told, forward_updates=1, **changed)


def batches() -> list[Trajectory]:
    """Two of the same episodes, in which other actions were done."""
    _, batch = scripted_batch()
    return [batch, batch._replace(actions=1 - batch.actions)]


def run(learner: Learner, updates: int):
    """The states from the start on, on alternating batches, and the infos."""
    states, infos = [learner.agent.init(KEY)], []
    for i in range(updates):
        state, info = learner.update(states[-1], batches()[i % 2], KEY)
        states.append(state)
        infos.append(info)
    return states, infos


def same(a, b) -> bool:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y) for x, y in leaves)


def apart(a, b) -> float:
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(x - y).max()) for x, y in leaves)


def close(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
        found,
        expected,
    )


# ζ improved by hand, on pairs that a slow loop found.


def slow_pairs(batch: Trajectory) -> Pairs:
    """(s_t, a_t) of the whole episodes, one to a row; no row is empty."""
    batch = jax.tree.map(np.asarray, batch)
    whole = slow_whole_episodes(batch, HORIZON)
    observations = np.zeros((len(whole), HORIZON, 2), np.float32)
    actions = np.zeros((len(whole), HORIZON), np.int32)
    mask = np.zeros((len(whole), HORIZON), bool)
    for i, (row, first, stop) in enumerate(whole):
        for t in range(stop - first):
            observations[i, t] = batch.observations[row, first + t]
            actions[i, t] = batch.actions[row, first + t]
            mask[i, t] = True
    return Pairs(jnp.asarray(observations), jnp.asarray(actions), jnp.asarray(mask))


@functools.cache
def likelihood(weighting: str, regulariser: float = 0.0):
    def loss(zeta, sampled, nominal: Pairs):
        expert_terms = (zeta.log_zeta(*EXPERT[:2]), EXPERT.mask)
        nominal_terms = (zeta.log_zeta(*nominal[:2]), nominal.mask)
        value, _ = constraint_likelihood_loss(
            *expert_terms,
            *nominal_terms,
            sampled.log_zeta(*nominal[:2]),
            horizon=HORIZON,
            weighting=weighting,
        )
        return value + regulariser * regulariser_loss(*expert_terms, *nominal_terms)

    return loss


def cross_entropy(zeta, sampled, nominal: Pairs):
    del sampled
    return classifier_loss(
        zeta.logits(*EXPERT[:2]),
        EXPERT.mask,
        zeta.logits(*nominal[:2]),
        nominal.mask,
    )


@functools.cache
def slope_of(loss):
    return jax.jit(jax.grad(loss))


def by_hand(loss, zeta, sampled, batch: Trajectory, steps: int = STEPS):
    """`steps` of gradient descent on `loss`."""
    nominal = slow_pairs(batch)
    for _ in range(steps):
        slope = slope_of(loss)(zeta, sampled, nominal)
        zeta = jax.tree.map(lambda x, g: x - LEARNING_RATE * g, zeta, slope)
    return zeta


def test_the_phase_is_gradient_descent_on_aligned_weighted_pairs(once):
    states, infos = run(once, 3)
    before, after = states[2].constraint, states[3].constraint
    batch = batches()[0]
    close(after, by_hand(likelihood("trajectory"), before, before, batch))
    assert infos[2]["constraint/constraint_steps"] == STEPS
    unweighted = by_hand(likelihood("none"), before, before, batch)
    assert apart(after, unweighted) > 1e-2


def test_without_weights_and_with_a_regulariser_it_is_what_that_says(plain):
    states, _ = run(plain, 1)
    before, after = states[0].constraint, states[1].constraint
    close(after, by_hand(likelihood("none", 0.3), before, before, batches()[0]))


def test_the_classifier_descends_the_cross_entropy_and_never_stops(classifier):
    states, infos = run(classifier, 2)
    for i in (0, 1):
        before, after = states[i].constraint, states[i + 1].constraint
        close(after, by_hand(cross_entropy, before, before, batches()[i]))
        assert infos[i]["constraint/constraint_steps"] == STEPS


def test_it_stops_before_the_step_that_would_go_too_far(stopping):
    """Any move is too far: of three steps the first is made, and no other."""
    states, infos = run(stopping, 2)
    for i in (0, 1):
        before, after = states[i].constraint, states[i + 1].constraint
        loss = likelihood("trajectory")
        close(after, by_hand(loss, before, before, batches()[i], steps=1))
        assert infos[i]["constraint/constraint_steps"] == 1
        assert infos[i]["constraint/kl_new_old"] > 1e-7
        assert bool(states[i + 1].stopped)
        assert same(states[i + 1].sampled, before)


def shown(*sets: Pairs) -> np.ndarray:
    """Least and largest input in all valid steps of these, one step after another."""
    rows = [
        [*np.asarray(o), *np.eye(2)[int(a)]]
        for pairs in sets
        for o, a, m in zip(
            np.asarray(pairs.observations).reshape(-1, 2),
            np.asarray(pairs.actions).ravel(),
            np.asarray(pairs.mask).ravel(),
            strict=True,
        )
        if m
    ]
    return np.asarray([np.min(rows, axis=0), np.max(rows, axis=0)])


def test_the_ranges_are_of_demonstrations_and_of_nominal_episodes_learned_from(once):
    """Of the two batches in turn the third is the first that ζ learns from."""
    states, _ = run(once, 6)
    first, second = (whole_episodes(b, horizon=HORIZON) for b in batches())
    for i in (0, 1, 2):
        np.testing.assert_allclose(states[i].seen, shown(EXPERT))
    for i in (3, 4, 5):
        np.testing.assert_allclose(states[i].seen, shown(EXPERT, first))
    np.testing.assert_allclose(states[6].seen, shown(EXPERT, first, second))
    assert not np.allclose(shown(EXPERT), shown(EXPERT, first))


def test_afresh_the_ranges_are_of_what_the_agent_does_not_learn_from(afresh):
    states, _ = run(afresh, 3)
    third = whole_episodes(batches()[0], horizon=HORIZON)
    np.testing.assert_allclose(states[2].seen, shown(EXPERT))
    np.testing.assert_allclose(states[3].seen, shown(EXPERT, third))


# When ζ is improved, and when the agent learns.


def test_the_phase_comes_every_forward_updates_batches(once):
    states, _ = run(once, 7)
    moved = [
        not same(a.constraint, b.constraint) for a, b in itertools.pairwise(states)
    ]
    assert moved == [False, False, True] * 2 + [False]
    assert [int(state.agent.updates) for state in states] == list(range(8))
    assert [int(state.batches) for state in states] == list(range(8))


def test_afresh_makes_one_step_per_batch_while_the_agent_waits(afresh):
    states, infos = run(afresh, 8)
    pairs = list(itertools.pairwise(states))
    moved = [not same(a.constraint, b.constraint) for a, b in pairs]
    assert moved == [False] * 2 + [True] * 3 + [False] * 2 + [True]
    learned = [int(b.agent.updates - a.agent.updates) for a, b in pairs]
    assert learned == [1, 1, 0, 0, 0, 1, 1, 0]
    steps = [int(info["constraint/constraint_steps"]) for info in infos]
    assert steps == [0, 0, 1, 2, 3, 3, 3, 1]
    assert int(states[-1].batches) == 8


def test_afresh_weighs_by_the_constraint_that_the_agent_was_trained_for(afresh):
    states, _ = run(afresh, 5)
    start = states[2].constraint
    loss = likelihood("trajectory")
    for i in (2, 3, 4):
        assert same(states[i + 1].sampled, start)
        expected = by_hand(loss, states[i].constraint, start, batches()[i % 2], steps=1)
        close(states[i + 1].constraint, expected)


@pytest.mark.parametrize("name", ["gail", "classifier", "stopping"])
def test_the_constraint_is_improved_at_every_batch(request, name):
    """GAIL's even where the others' would wait for five updates."""
    states, _ = run(request.getfixturevalue(name), 3)
    for before, after in itertools.pairwise(states):
        assert not same(before.constraint, after.constraint)


def test_gail_descends_the_cross_entropy(gail):
    states, _ = run(gail, 1)
    before, after = states[0].constraint, states[1].constraint
    close(after, by_hand(cross_entropy, before, before, batches()[0]))


# What the agent is told.


@pytest.mark.parametrize("name", ["once", "plain", "classifier"])
def test_the_agent_hears_the_cost_of_each_pair_under_the_new_constraint(request, name):
    learner = request.getfixturevalue(name)
    states, infos = run(learner, 3)
    batch, state = batches()[0], states[-1]
    expected = 1.0 - state.constraint.zeta(batch.observations, batch.actions)
    heard = state.agent.batch
    np.testing.assert_allclose(heard.costs, expected, rtol=1e-4, atol=1e-6)
    old = 1.0 - states[2].constraint.zeta(batch.observations, batch.actions)
    assert np.abs(heard.costs - old).max() > 1e-2
    assert same(heard._replace(costs=batch.costs), batch)
    np.testing.assert_allclose(infos[-1]["learned_cost"], expected.mean(), rtol=1e-4)


def test_a_relative_cost_is_less_what_it_is_in_the_demonstrations(by_return):
    states, infos = run(by_return, 1)
    batch, state = batches()[0], states[-1]
    shown = 1.0 - state.constraint.zeta(EXPERT.observations, EXPERT.actions)
    shown = np.mean(shown, where=np.asarray(EXPERT.mask))
    costs = 1.0 - state.constraint.zeta(batch.observations, batch.actions)
    np.testing.assert_allclose(state.agent.batch.costs, costs - shown, atol=1e-5)
    np.testing.assert_allclose(infos[-1]["demonstrated_cost"], shown, rtol=1e-4)


def test_weights_by_return_need_no_stop_and_know_returns(by_return):
    states, infos = run(by_return, 1)
    batch = batches()[0]
    earned = {key: batch._replace(rewards=batch.rewards + key) for key in (-1e3, 1e3)}
    weights = {
        key: by_return.update(states[0], b, KEY)[1]["constraint/nominal_weight"]
        for key, b in earned.items()
    }
    assert infos[-1]["constraint/constraint_steps"] == STEPS
    assert weights[-1e3] == 0.0
    assert weights[1e3] == 1.0


def test_what_was_below_the_floor_gains_no_weight_by_being_cut_there():
    told = {"temperature": 0.1}  # and so the agent's episodes have little weight
    by_return = learner(icrl, told=told, forward_updates=1, weighting="return", steps=1)
    _, batch = scripted_batch()
    batch = jax.tree.map(jnp.asarray, batch)._replace(
        rewards=jnp.full(batch.rewards.shape, -1.0)
    )
    state = by_return.agent.init(KEY)
    far = eqx.tree_at(
        lambda zeta: zeta.network.biases[-1],
        state.constraint,
        replace_fn=lambda b: b - 50,
    )
    log_zeta = far.log_zeta(batch.observations, batch.actions)
    assert float(jnp.max(log_zeta)) < LOG_ZETA_FLOOR - 10
    state, info = by_return.update(state._replace(constraint=far), batch, KEY)
    assert float(info["constraint/nominal_weight"]) < 1e-6


def test_weights_by_return_without_returns_are_refused():
    told = {"horizon": HORIZON, "backward": BackwardStep(weighting="return", stop=None)}
    agent = icrl(*PARTS[:3], EXPERT._replace(returns=None), **told)
    with pytest.raises(ConfigError, match="without their returns"):
        agent.update(agent.init(KEY), batches()[0], KEY)


@pytest.mark.parametrize("name", ["gail", "log_reward"])
def test_the_agent_hears_reward_and_log_zeta(request, name):
    states, _ = run(request.getfixturevalue(name), 1)
    batch, state = batches()[0], states[-1]
    log_zeta = jnp.log(state.constraint.zeta(batch.observations, batch.actions))
    heard = state.agent.batch
    expected = batch.rewards + TEMPERATURE * log_zeta
    np.testing.assert_allclose(heard.rewards, expected, rtol=1e-4, atol=1e-5)
    kept = heard._replace(rewards=batch.rewards, costs=batch.costs)
    assert same(kept, batch)


@pytest.mark.parametrize("name", ["gail", "log_reward"])
def test_log_zeta_in_a_reward_has_a_floor(request, name):
    learner = request.getfixturevalue(name)
    state = learner.agent.init(KEY)
    forbidding = eqx.tree_at(
        lambda zeta: zeta.network.biases[-1], state.constraint, jnp.array([-1e8])
    )
    batch = batches()[0]
    state, _ = learner.update(state._replace(constraint=forbidding), batch, KEY)
    expected = batch.rewards + TEMPERATURE * LOG_ZETA_FLOOR
    np.testing.assert_allclose(state.agent.batch.rewards, expected, rtol=1e-5)


def every_kind(test):
    kinds = ["once", "plain", "afresh", "stopping", "classifier", "gail", "log_reward"]
    kinds += ["by_return"]
    return pytest.mark.parametrize("name", kinds)(test)


@every_kind
def test_the_true_cost_never_reaches_the_learner(request, name):
    learner = request.getfixturevalue(name)
    state = other = learner.agent.init(KEY)
    for batch in batches() * 2:
        blind = batch._replace(costs=jnp.full_like(batch.costs, 777.0))
        state, info = learner.update(state, batch, KEY)
        other, other_info = learner.update(other, blind, KEY)
        assert same(info, other_info)
        # Outside the constraint's own batches `afresh` keeps what it heard before.
        assert same(state, other)


def without_whole_episodes(batch: Trajectory) -> Trajectory:
    """The middle of one long episode in every row."""
    none = jnp.zeros_like(batch.terminated)
    times = jnp.arange(1, 17) + 0 * batch.times
    return batch._replace(times=times, terminated=none, truncated=none)


@every_kind
def test_without_a_whole_episode_the_constraint_stays_and_all_is_finite(request, name):
    learner = request.getfixturevalue(name)
    state = learner.agent.init(KEY)
    batch = without_whole_episodes(batches()[0])
    for _ in range(3):
        after, info = learner.update(state, batch, KEY)
        assert same(after.constraint, state.constraint)
        assert info["constraint/constraint_steps"] == 0
        for leaf in jax.tree.leaves((after.report, info)):
            assert np.all(np.isfinite(leaf))
        state = after


def test_afresh_waits_out_a_batch_without_whole_episodes(afresh):
    """Such a batch is no early stop: the next one is learned from."""
    states, _ = run(afresh, 2)
    state = states[-1]
    for batch, steps in (
        (without_whole_episodes(batches()[0]), 0),
        (batches()[0], 1),
        (batches()[1], 2),
    ):
        state, info = afresh.update(state, batch, KEY)
        assert info["constraint/constraint_steps"] == steps
        assert not bool(state.stopped)


@every_kind
def test_the_policy_is_the_agents(request, name):
    learner = request.getfixturevalue(name)
    state = learner.agent.init(KEY)
    assert state.policy is state.agent.policy
    observations = jnp.zeros((3, 2))
    np.testing.assert_array_equal(
        learner.agent.act(state, observations, KEY),
        state.policy(observations).sample(KEY),
    )


# What is refused.


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"forward_updates": 0}, "found 0 and 10"),
        ({"steps": 0}, "found 10 and 0"),
        ({"regulariser": -0.5}, "found -0.5"),
        ({"cooling": -1}, "over -1 phases"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, found):
    with pytest.raises(ConfigError, match=found):
        BackwardStep(**wrong)


# An agent that remembers.


def soft_parts(env):
    return (
        categorical_policy(2, 2, hidden=()),
        action_value_critic(2, 2, hidden=()),
        optax.adam(1e-3),
        log_dual(),
    ), {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "policy_loss": "exact-reverse",
        "batch_size": 8,
        "buffer_size": 150,
        "learning_starts": 10,
    }


@pytest.mark.parametrize("forward", ["cost", "relative-cost"])
def test_what_is_remembered_is_priced_by_the_present_constraint(forward):
    parts, options = soft_parts(scripted_env())
    inner = sac_lagrangian(*parts, projected_dual(), environments=4, **options)
    backward = BackwardStep(forward_updates=1, steps=2, stop=None)
    told = {"horizon": HORIZON, "backward": backward, "forward": forward}
    agent = icrl(inner, *PARTS[1:], **told)
    update = jax.jit(agent.update)
    batch = jax.tree.map(jnp.asarray, scripted_batch()[1])
    first, _ = update(agent.init(KEY), batch, KEY)
    state, _ = update(first, batch, KEY)
    rows = state.agent.replay.rows
    origin = 0.0
    if forward == "relative-cost":
        shown = state.constraint.cost(EXPERT.observations, EXPERT.actions)
        origin = jnp.mean(shown, where=EXPERT.mask)
    # 64 steps from before ζ moved, and 64 from after it.
    pairs = (rows.observations[:128], rows.actions[:128])
    now, before = (s.constraint.cost(*pairs) for s in (state, first))
    np.testing.assert_allclose(rows.costs[:128], now - origin, atol=1e-6)
    assert np.abs(np.asarray(now - before)).max() > 0.01


def test_rewards_that_would_be_remembered_are_not_changed():
    parts, options = soft_parts(scripted_env())
    backward = BackwardStep(forward_updates=1, steps=2)
    told = {"horizon": HORIZON, "backward": backward, "forward": "log-reward"}
    with pytest.raises(CapabilityError, match="constraints long gone"):
        icrl(sac(*parts, **options), *PARTS[1:], **told)
