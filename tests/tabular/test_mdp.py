"""Tables of an MDP: what is refused, what is random, and every trajectory of it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.tabular import (
    enumerate_trajectories,
    random_mdp,
    tabular_mdp,
    trajectory_log_probs,
)

# Two states, three actions; action 2 of state 0 stays, everything else is as it looks.
P = np.array(
    [
        [[0.3, 0.7], [0.9, 0.1], [1.0, 0.0]],
        [[0.5, 0.5], [0.2, 0.8], [0.0, 1.0]],
    ]
)
R = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
START = np.array([0.25, 0.75])


def build(**changes):
    tables = {"transitions": P, "rewards": R, "initial": START, "horizon": 2}
    return tabular_mdp(**(tables | changes))


def test_rewards_of_a_pair_are_rewards_of_a_transition():
    mdp = build(discount=0.9)
    assert mdp.rewards.shape == (2, 3, 2)
    np.testing.assert_array_equal(mdp.rewards, np.stack([R, R], axis=2))
    np.testing.assert_array_equal(mdp.costs, np.zeros((2, 3)))
    assert not mdp.terminal.any()
    assert (mdp.discount, mdp.horizon) == (0.9, 2)


def test_rewards_of_a_transition_are_kept():
    rewards = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(build(rewards=rewards).rewards, rewards)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"transitions": P[:, :, :1]}, r"transitions have shape \(2, 3, 1\)"),
        ({"rewards": R.T}, r"rewards have shape \(3, 2\).*\(2, 3\) or \(2, 3, 2\)"),
        ({"costs": np.zeros(2)}, r"costs have shape \(2,\).*2 states and 3 actions"),
        ({"initial": np.ones(3) / 3}, r"initial have shape \(3,\)"),
        ({"terminal": np.zeros(3, bool)}, r"terminal have shape \(3,\)"),
        ({"transitions": P * 0.5}, r"6 of 6 rows.*state 0, action 0 \(0.5\)"),
        ({"transitions": 2 * P - 0.5}, "4 of 12 transition probabilities are not ≥ 0"),
        ({"transitions": P * np.nan}, "12 of 12 transition probabilities"),
        ({"rewards": np.where(R > 0, R, np.inf)}, "3 of 6 rewards are not finite"),
        ({"costs": -R}, "3 of 6 costs are negative or not finite"),
        ({"initial": [0.5, 0.4]}, "initial probabilities sum to 0.9, the least.* 0.4"),
        ({"initial": [1.5, -0.5]}, "the least of them is -0.5"),
        ({"terminal": [False, True]}, "terminal state with probability 0.75"),
        ({"discount": 1.1}, "the discount is 1.1"),
        ({"horizon": 0}, "the horizon is 0 steps"),
    ],
)
def test_a_fault_is_named_with_its_numbers(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build(**changes)


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as error:
        build(transitions=P * 0.5, costs=-R, discount=-1.0, horizon=0)
    for word in ("4 faults", "sum to 1", "costs", "discount", "horizon"):
        assert word in str(error.value)


def test_a_random_mdp_passes_the_check_and_repeats_itself():
    mdp = random_mdp(jax.random.key(3), 4, 2, horizon=3, terminal_states=1)
    tabular_mdp(
        mdp.transitions,
        mdp.rewards,
        initial=mdp.initial,
        horizon=mdp.horizon,
        costs=mdp.costs,
        terminal=mdp.terminal,
    )
    again = random_mdp(jax.random.key(3), 4, 2, horizon=3, terminal_states=1)
    other = random_mdp(jax.random.key(4), 4, 2, horizon=3, terminal_states=1)
    np.testing.assert_array_equal(mdp.transitions, again.transitions)
    assert not jnp.allclose(mdp.transitions, other.transitions)
    assert mdp.terminal.tolist() == [False, False, False, True]


def test_random_mdps_compile_and_vmap():
    keys = jax.random.split(jax.random.key(0), 5)
    made = jax.jit(jax.vmap(lambda key: random_mdp(key, 3, 2, horizon=2)))(keys)
    assert made.transitions.shape == (5, 3, 2, 3)
    assert made.horizon == 2


def test_every_trajectory_is_there_once_with_its_probability():
    mdp = build(horizon=2)
    found = enumerate_trajectories(mdp)
    rows = zip(
        found.states.tolist(),
        found.actions.tolist(),
        found.log_dynamics.tolist(),
        strict=True,
    )
    by_path = {(tuple(s), tuple(a)): log_p for s, a, log_p in rows}
    assert len(by_path) == len(found.mask)
    expected = {}
    for s in itertools.product(range(2), repeat=3):
        for a in itertools.product(range(3), repeat=2):
            p = START[s[0]] * P[s[0], a[0], s[1]] * P[s[1], a[1], s[2]]
            if p > 0:
                expected[s, a] = np.log(p)
    assert by_path.keys() == expected.keys()
    for path, log_p in expected.items():
        assert by_path[path] == pytest.approx(log_p, abs=1e-12)
    rewards = R[np.asarray(found.states)[:, :-1], np.asarray(found.actions)]
    np.testing.assert_array_equal(found.rewards, rewards)
    assert found.mask.all()


@pytest.mark.parametrize(("terminal_states", "deterministic"), [(0, True), (2, False)])
def test_probabilities_of_all_trajectories_sum_to_1(terminal_states, deterministic):
    options = {"terminal_states": terminal_states, "deterministic": deterministic}
    mdp = random_mdp(jax.random.key(1), 4, 2, horizon=3, **options)
    trajectories = enumerate_trajectories(mdp)
    logits = jax.random.normal(jax.random.key(2), (4, 2))
    masses = jnp.exp(trajectory_log_probs(trajectories, logits))
    assert jnp.sum(masses) == pytest.approx(1.0, abs=1e-12)
    if deterministic:
        assert len(masses) == 4 * 2**3


def test_an_ended_episode_earns_nothing_and_goes_on_in_one_way():
    mdp = random_mdp(jax.random.key(1), 3, 2, horizon=3, terminal_states=1)
    found = enumerate_trajectories(mdp)
    ended = np.asarray(found.states[:, :-1] == 2)
    np.testing.assert_array_equal(found.mask, ~ended)
    assert ended.any()
    assert not ended[:, 0].any()
    for padding in (found.actions, found.rewards, found.costs):
        assert not np.asarray(padding)[ended].any()
    np.testing.assert_array_equal(np.asarray(found.states[:, 1:])[ended], 2)
    paths = np.hstack([found.states, found.actions])
    assert len(np.unique(paths, axis=0)) == len(paths)
    steps = (found.states[:, :-1], found.actions, found.states[:, 1:])
    valid = np.asarray(found.mask)
    expected = np.asarray(mdp.rewards[steps])[valid]
    np.testing.assert_array_equal(np.asarray(found.rewards)[valid], expected)
    costs = np.asarray(mdp.costs[steps[:2]])[valid]
    np.testing.assert_array_equal(np.asarray(found.costs)[valid], costs)


def test_too_many_trajectories_are_refused_with_both_numbers():
    mdp = random_mdp(jax.random.key(0), 3, 2, horizon=4)  # 3 · 6^4 = 3888
    assert len(enumerate_trajectories(mdp).mask) == 3888
    with pytest.raises(ConfigError, match=r"4 steps.*at least 3888.*limit of 3887"):
        enumerate_trajectories(mdp, limit=3887)
