"""The one transition contract, on episodes that follow a script (tests/toys.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reins.data import (
    Episodes,
    rollout,
    run_episodes,
    split_episodes,
    start_rollout,
    whole_episodes,
)
from reins.types import Trajectory
from tests.toys import (
    LABELS,
    STEPS,
    act_at_random,
    script_ending,
    script_length,
    script_reward,
    scripted_batch,
    scripted_env,
    slow_whole_episodes,
)

HORIZON = 5
KEY = jax.random.key(5)


class Script:
    """The batch as whole numbers: which label, which step, and what the script says."""

    def __init__(self, batch: Trajectory):
        batch = jax.tree.map(np.asarray, batch)
        self.batch = batch
        self.label, self.step = self.numbers(batch.observations)
        self.next_label, self.next_step = self.numbers(batch.next_observations)
        over = self.step + 1 >= script_length(self.label)
        out_of_time = self.step + 1 == HORIZON
        ending = script_ending(self.label)
        self.terminated = over & ((ending == 0) | (ending == 2))
        self.truncated = ((over & (ending == 1)) | out_of_time) & ~self.terminated
        self.ends = self.terminated | self.truncated

    @staticmethod
    def numbers(observations):
        scaled = observations * np.array([LABELS, STEPS])
        assert np.all(scaled == np.round(scaled))
        return np.moveaxis(scaled.astype(int), -1, 0)


@pytest.fixture(scope="module")
def script() -> Script:
    return Script(scripted_batch()[1])


def test_the_script_has_every_kind_of_end(script):
    """Or the tests below would show less than they seem to."""
    over = script.step + 1 >= script_length(script.label)
    endings = script_ending(script.label)[over]
    assert set(endings) == {0, 1, 2, 3}
    at_the_limit = script.step + 1 == HORIZON
    assert np.any(script.terminated & at_the_limit)
    assert np.any(at_the_limit & ~over)
    assert not np.all(script.ends[:, -1])


def test_shapes(script):
    n, t = script.label.shape
    assert (n, t) == (4, 16)
    for name, array in script.batch._asdict().items():
        assert array.shape[:2] == (n, t), name


def test_ends_are_where_the_script_says(script):
    np.testing.assert_array_equal(script.batch.terminated, script.terminated)
    np.testing.assert_array_equal(script.batch.truncated, script.truncated)
    np.testing.assert_array_equal(scripted_batch()[1].ends, script.ends)


def test_truncated_is_never_true_with_terminated(script):
    assert not np.any(script.batch.truncated & script.batch.terminated)


def test_the_horizon_truncates(script):
    assert script.step.max() == HORIZON - 1
    assert np.all(scripted_batch()[1].ends[script.step == HORIZON - 1])


def test_next_observations_are_the_ones_before_any_reset(script):
    np.testing.assert_array_equal(script.next_label, script.label)
    np.testing.assert_array_equal(script.next_step, script.step + 1)


def test_no_reset_observation_is_ever_a_next_observation(script):
    assert np.all(script.next_step > 0)


def test_after_an_end_comes_the_reset_observation_and_else_the_next_one(script):
    followed = script.ends[:, :-1]
    np.testing.assert_array_equal(script.step[:, 1:] == 0, followed)
    changed = script.label[:, 1:] != script.next_label[:, :-1]
    np.testing.assert_array_equal(changed, followed)
    np.testing.assert_array_equal(
        script.batch.observations[:, 1:][~followed],
        script.batch.next_observations[:, :-1][~followed],
    )


def test_every_reset_draws_its_own_episode(script):
    starts = script.label[script.step == 0]
    assert len(starts) > 12
    assert len(set(starts)) == len(starts)


def test_times_count_the_steps_of_each_episode(script):
    np.testing.assert_array_equal(script.batch.times, script.step)


def test_rewards_and_costs_belong_to_the_pair_of_their_step(script):
    batch = script.batch
    expected = script_reward(script.label, script.step, batch.actions)
    np.testing.assert_array_equal(batch.rewards, expected)
    np.testing.assert_array_equal(batch.costs, 0.5 * expected)
    assert len(np.unique(batch.rewards)) == batch.rewards.size


def test_all_steps_of_a_rollout_are_real(script):
    assert np.all(script.batch.mask)


def test_actions_are_chosen_on_seeing_the_observation_of_their_step():
    def act(observations, key):
        del key
        label, step = jnp.round(observations * jnp.array([LABELS, STEPS])).T
        return ((label + 3 * step) % 2).astype(jnp.int32)

    env = scripted_env()

    @jax.jit
    def run(key):
        return rollout(env, act, start_rollout(env, key, 3), key, steps=9)[1]

    script = Script(run(KEY))
    expected = (script.label + 3 * script.step) % 2
    np.testing.assert_array_equal(script.batch.actions, expected)
    assert 0 < expected.mean() < 1


def test_the_state_goes_on_where_the_batch_stopped(script):
    state, _ = scripted_batch()
    ended = script.ends[:, -1]
    expected = np.where(ended, 0, script.step[:, -1] + 1)
    np.testing.assert_array_equal(state.times, expected)
    np.testing.assert_array_equal(
        np.asarray(state.observations)[~ended],
        script.batch.next_observations[:, -1][~ended],
    )
    label, step = Script.numbers(np.asarray(state.observations))
    np.testing.assert_array_equal(step, expected)
    np.testing.assert_array_equal(state.env_state.label, label)
    assert np.all(label[ended] != script.label[:, -1][ended])


def test_two_rollouts_in_a_row_are_one_long_one():
    """Where neither the environment nor the policy draws anything."""
    env = scripted_env(label=3)  # 4 steps, then it terminates

    def act(observations, key):
        del key
        return (observations[:, 1] * STEPS).astype(jnp.int32) % 2

    @jax.jit
    def run(state, key):
        return rollout(env, act, state, key, steps=6)

    @jax.jit
    def run_twice_as_long(state, key):
        return rollout(env, act, state, key, steps=12)

    start = start_rollout(env, KEY, 2)
    middle, first = run(start, jax.random.key(1))
    end, second = run(middle, jax.random.key(2))
    long_end, long = run_twice_as_long(start, jax.random.key(3))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), first, second)
    jax.tree.map(np.testing.assert_array_equal, joined, long)
    jax.tree.map(np.testing.assert_array_equal, end, long_end)
    np.testing.assert_array_equal(middle.times, [2, 2])
    assert long.terminated.sum() == 2 * 3


def test_the_same_key_gives_the_same_numbers_and_another_one_others(script):
    """Resets, steps and actions draw from different keys."""
    again = scripted_batch.__wrapped__()[1]
    jax.tree.map(np.testing.assert_array_equal, again, script.batch)
    noise = np.asarray(script.batch.actions)
    assert len({tuple(row) for row in noise}) == len(noise)


@pytest.fixture(scope="module")
def episodes() -> Episodes:
    env = scripted_env()
    return jax.jit(lambda key: run_episodes(env, act_at_random, key, 12))(KEY)


def test_run_episodes_masks_what_comes_after_the_first_end(episodes):
    script = Script(episodes.trajectory)
    assert script.label.shape == (12, HORIZON)
    for row, mask in enumerate(np.asarray(script.batch.mask)):
        length = np.flatnonzero(script.ends[row])[0] + 1
        np.testing.assert_array_equal(mask, np.arange(HORIZON) < length)
    assert set(np.asarray(episodes.lengths).tolist()) == {2, 4, 5}


def test_run_episodes_totals_one_episode_each(episodes):
    batch = jax.tree.map(np.asarray, episodes.trajectory)
    for row, mask in enumerate(batch.mask):
        length = mask.sum()
        assert episodes.lengths[row] == length
        assert len(set(batch.observations[row, :length, 0])) == 1
        expected = sum(batch.rewards[row, :length], np.float32(0))
        np.testing.assert_allclose(episodes.returns[row], expected, rtol=1e-6)
        np.testing.assert_allclose(episodes.costs[row], expected / 2, rtol=1e-6)
    expected = batch.costs[batch.mask].sum() / batch.mask.sum()
    np.testing.assert_allclose(episodes.totals.violation_rate, expected, rtol=1e-6)


# Whole episodes, on rows made by hand.

ROWS, COLUMNS = 2, 11


def rows_of_episodes(starts, lengths, endings, mask=None) -> Trajectory:
    """Rows of episodes one after another; `starts` is the first step's time."""
    times = np.zeros((ROWS, COLUMNS), int)
    terminated = np.zeros((ROWS, COLUMNS), bool)
    truncated = np.zeros((ROWS, COLUMNS), bool)
    for row in range(ROWS):
        time, episode = int(starts[row]), 0
        for column in range(COLUMNS):
            times[row, column] = time
            time += 1
            if time >= lengths[row, episode]:
                kind = truncated if endings[row, episode] else terminated
                kind[row, column] = True
                time, episode = 0, episode + 1
    pair = np.arange(ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    return Trajectory(
        observations=jnp.asarray(pair[..., None]),
        actions=jnp.asarray(pair + 0.5),
        rewards=jnp.zeros((ROWS, COLUMNS)),
        costs=jnp.zeros((ROWS, COLUMNS)),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        next_observations=jnp.asarray(pair[..., None] + 1),
        mask=jnp.ones((ROWS, COLUMNS), bool),
        times=jnp.asarray(times),
    )


def fast_whole_episodes(trajectory, horizon):
    """The same as the slow loop's answer, from indices and mask."""
    index, mask = map(np.asarray, SPLIT[horizon](trajectory))
    assert index.shape == mask.shape == (ROWS * (COLUMNS // horizon), horizon)
    found = []
    for steps, real in zip(index, mask, strict=True):
        n = real.sum()
        assert real[:n].all()
        if n:
            row, first = divmod(int(steps[0]), COLUMNS)
            np.testing.assert_array_equal(steps[:n], steps[0] + np.arange(n))
            found.append((row, first, first + int(n)))
    return found


SPLIT = {
    horizon: jax.jit(
        lambda trajectory, horizon=horizon: split_episodes(trajectory, horizon=horizon)
    )
    for horizon in (1, 3, 11)
}


@pytest.mark.parametrize("horizon", SPLIT)
@given(
    starts=hnp.arrays(int, (ROWS,), elements=st.integers(0, 4)),
    lengths=hnp.arrays(int, (ROWS, COLUMNS), elements=st.integers(1, 6)),
    endings=hnp.arrays(bool, (ROWS, COLUMNS)),
)
def test_split_episodes_agrees_with_a_slow_loop(horizon, starts, lengths, endings):
    trajectory = rows_of_episodes(starts, lengths, endings)
    expected = slow_whole_episodes(trajectory, horizon)
    assert fast_whole_episodes(trajectory, horizon) == expected


def split_row(start: int, lengths: list[int], horizon: int = 3):
    """The whole episodes of one row; the other one holds none that started in it."""
    table = np.full((ROWS, COLUMNS), 99)
    table[0, : len(lengths)] = lengths
    trajectory = rows_of_episodes([start, 1], table, np.zeros((ROWS, COLUMNS), bool))
    return fast_whole_episodes(trajectory, horizon)


def test_a_stretch_that_began_before_the_row_is_no_episode():
    assert split_row(2, [5, 2, 99]) == [(0, 3, 5), (0, 5, 8)]


def test_a_stretch_cut_by_the_edge_of_the_row_is_no_episode():
    assert split_row(0, [9, 4]) == [(0, 0, 3)]
    assert split_row(0, [9, 2]) == [(0, 0, 3), (0, 9, 11)]


def test_longer_episodes_are_cut_and_shorter_ones_kept_whole():
    assert split_row(0, [2, 6, 99]) == [(0, 0, 2), (0, 2, 5), (0, 8, 11)]


def test_there_is_room_for_as_many_as_fit_at_full_length():
    assert split_row(0, [1] * 11) == [(0, 0, 1), (0, 1, 2), (0, 2, 3)]


def test_the_last_step_of_an_episode_is_not_the_next_reset():
    """2021 paired the last action of each episode with the next one's first
    observation, as in the 2021 code."""
    table = np.full((ROWS, COLUMNS), 3)
    trajectory = rows_of_episodes([0, 0], table, np.zeros((ROWS, COLUMNS), bool))
    pairs = jax.jit(lambda x: whole_episodes(x, horizon=3))(trajectory)
    assert np.all(pairs.mask)
    np.testing.assert_array_equal(pairs.actions - pairs.observations[..., 0], 0.5)
    expected = [
        np.arange(3) + 3 * i + COLUMNS * row for row in (0, 1) for i in range(3)
    ]
    np.testing.assert_array_equal(pairs.observations[..., 0], expected)


def test_padding_is_in_no_episode():
    table = np.full((ROWS, COLUMNS), 3)
    trajectory = rows_of_episodes([0, 0], table, np.ones((ROWS, COLUMNS), bool))
    mask = jnp.asarray(np.arange(COLUMNS) < np.array([[3], [8]]))
    found = fast_whole_episodes(trajectory._replace(mask=mask), 3)
    assert found == [(0, 0, 3), (1, 0, 3), (1, 3, 6)]


def test_whole_episodes_of_a_rollout(script):
    _, batch = scripted_batch()
    pairs = jax.jit(lambda x: whole_episodes(x, horizon=4))(batch)
    found = []
    for observations, actions, mask, total in zip(*map(np.asarray, pairs), strict=True):
        if mask.any():
            found.append((observations[mask], actions[mask], total))
    expected = slow_whole_episodes(script.batch, 4)
    assert len(found) == len(expected) > 8
    for (observations, actions, total), (row, first, stop) in zip(
        found, expected, strict=True
    ):
        batch = script.batch
        np.testing.assert_allclose(total, batch.rewards[row, first:stop].sum(), 1e-5)
        np.testing.assert_array_equal(observations, batch.observations[row, first:stop])
        np.testing.assert_array_equal(actions, batch.actions[row, first:stop])
        label, step = Script.numbers(observations)
        assert len(set(label)) == 1
        np.testing.assert_array_equal(step, np.arange(stop - first))
