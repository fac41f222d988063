"""Simulated trajectories follow the tables."""

import jax
import jax.numpy as jnp
import numpy as np

from reins.tabular import enumerate_trajectories, random_mdp, trajectory_log_probs
from reins.tabular.sampling import pick, sample_trajectories

MDP = random_mdp(jax.random.key(1), 3, 2, horizon=2, terminal_states=1)
LOGITS = jax.random.normal(jax.random.key(2), (2, 3, 2))
LOG_SHARES = jnp.log(jnp.array([0.25, 0.75]))
N = 40_000


def code(states, actions):
    """A number for each sequence of states and actions."""
    digits = jnp.concatenate([states, actions], axis=1)
    return np.asarray(digits @ (3 ** jnp.arange(digits.shape[1])))


def test_every_trajectory_comes_as_often_as_its_probability_says():
    drawn = sample_trajectories(MDP, LOGITS, LOG_SHARES, jax.random.key(0), N)
    every = enumerate_trajectories(MDP)
    masses = sum(
        np.exp(np.asarray(trajectory_log_probs(every, logits))) * share
        for logits, share in zip(LOGITS, (0.25, 0.75), strict=True)
    )
    expected = dict(
        zip(code(every.states, every.actions).tolist(), masses, strict=True)
    )
    # What the policy does after the end is drawn, but is nobody's business.
    actions = jnp.where(drawn.mask, drawn.actions, 0)
    found, counts = np.unique(code(drawn.states, actions), return_counts=True)
    assert set(found.tolist()) <= set(expected)
    p = np.array([expected[x] for x in found.tolist()])
    errors = (counts / N - p) / np.sqrt(p * (1 - p) / N)
    assert np.max(np.abs(errors)) < 5
    assert sum(expected[x] for x in set(expected) - set(found.tolist())) < 1e-3


def test_rewards_are_those_of_the_table_and_end_with_the_episode():
    drawn = sample_trajectories(MDP, LOGITS, LOG_SHARES, jax.random.key(0), 200)
    ended = 0
    for row in range(200):
        states, actions = np.asarray(drawn.states[row]), np.asarray(drawn.actions[row])
        for t in range(MDP.horizon):
            s, a, s2 = states[t], actions[t], states[t + 1]
            over = bool(MDP.terminal[s])
            ended += over
            assert bool(drawn.mask[row, t]) is not over
            reward = 0.0 if over else float(MDP.rewards[s, a, s2])
            cost = 0.0 if over else float(MDP.costs[s, a])
            np.testing.assert_allclose(drawn.rewards[row, t], reward, rtol=1e-6)
            np.testing.assert_allclose(drawn.costs[row, t], cost, rtol=1e-6)
            assert not over or s2 == s
    assert ended > 10


def test_pick_by_hand():
    cumulative = jnp.array([0.2, 0.2, 0.7, 1.0])
    numbers = jnp.array([0.0, 0.1999, 0.2, 0.5, 0.69999, 0.7, 0.99999])
    assert pick(cumulative, numbers).tolist() == [0, 0, 2, 2, 2, 3, 3]


def test_a_sum_short_of_1_by_rounding_never_gives_an_outcome_without_mass():
    assert int(pick(jnp.array([0.5, 0.9999998, 0.9999998]), jnp.array(0.9999999))) == 1
