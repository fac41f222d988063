"""The replay buffer beside a list that forgets its oldest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from reins.data import add_to_replay, init_replay, replay_bytes, sample_replay
from reins.errors import ConfigError
from reins.types import Trajectory

SEEN = spaces.Box(-np.inf, np.inf, (3,), np.float64)
DONE = spaces.Box(-1.0, 1.0, (2,), np.float32)
KEY = jax.random.key(0)


def numbered(first: int, n: int, t: int, mask=None) -> Trajectory:
    """Steps that know their number: environment i at step j is `first + j n + i`."""
    number = (first + jnp.arange(t)[None] * n + jnp.arange(n)[:, None]).astype(float)
    return Trajectory(
        observations=jnp.stack([number, 2 * number, 3 * number], -1),
        actions=jnp.stack([-number, number], -1),
        rewards=10 * number,
        costs=jnp.zeros_like(number),
        terminated=number % 3 == 0,
        truncated=number % 3 == 1,
        next_observations=number[..., None] + 0.5 + jnp.arange(3),
        mask=jnp.ones((n, t), bool) if mask is None else mask,
        times=jnp.zeros((n, t), jnp.int32),
    )


def kept(buffer) -> list[float]:
    """The numbers of the steps in the buffer, in the order of the ring."""
    size, place = int(buffer.size), int(buffer.place)
    rewards = np.asarray(buffer.rows.rewards)
    oldest = place if size == len(rewards) else 0
    return [r / 10 for r in np.roll(rewards, -oldest)[:size]]


def test_it_keeps_the_latest_in_the_order_of_time():
    buffer, reference, add = init_replay(7, SEEN, DONE), [], jax.jit(add_to_replay)
    for first in range(0, 40, 6):
        buffer = add(buffer, numbered(first, 2, 3))
        reference = [*reference, *range(first, first + 6)][-7:]
        assert kept(buffer) == reference


def test_a_row_is_one_step_whole():
    buffer = init_replay(20, SEEN, DONE)
    for first in range(0, 30, 6):
        buffer = add_to_replay(buffer, numbered(first, 3, 2))
    steps = sample_replay(buffer, KEY, 200)
    number = np.asarray(steps.rewards) / 10
    assert set(number) == set(range(10, 30))
    np.testing.assert_array_equal(steps.observations[:, 2], 3 * number)
    np.testing.assert_array_equal(steps.actions[:, 0], -number)
    np.testing.assert_array_equal(steps.next_observations[:, 0], number + 0.5)
    np.testing.assert_array_equal(steps.terminated, number % 3 == 0)


def test_a_time_limit_is_not_kept_as_an_end():
    buffer = add_to_replay(init_replay(6, SEEN, DONE), numbered(0, 1, 6))
    assert np.asarray(buffer.rows.terminated).tolist() == [1, 0, 0, 1, 0, 0]


def test_what_is_masked_is_never_kept():
    mask = jnp.array([[True, False, True], [False, False, True]])
    buffer = init_replay(4, SEEN, DONE)
    buffer = add_to_replay(buffer, numbered(0, 2, 3, mask))
    assert kept(buffer) == [0, 4, 5]
    buffer = add_to_replay(buffer, numbered(6, 2, 3, mask))
    assert kept(buffer) == [5, 6, 10, 11]


def test_only_what_is_there_is_drawn_and_all_of_it_alike():
    buffer = add_to_replay(init_replay(1000, SEEN, DONE), numbered(1, 2, 3))
    drawn = np.asarray(sample_replay(buffer, KEY, 6000).rewards) / 10
    numbers, counts = np.unique(drawn, return_counts=True)
    assert numbers.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(6000 * 5 / 36))


def test_numbers_are_kept_in_32_bits_and_pictures_as_bytes():
    pictures = spaces.Box(0, 255, (4, 5, 3), np.uint8)
    buffer = init_replay(11, pictures, spaces.Discrete(3))
    assert buffer.rows.observations.dtype == jnp.uint8
    assert buffer.rows.actions.dtype == jnp.int32
    assert init_replay(11, SEEN, DONE).rows.observations.dtype == jnp.float32
    assert replay_bytes(11, SEEN, DONE) == 11 * (4 * (3 + 2 + 1 + 3) + 1) + 8


def test_costs_are_kept_where_they_are_asked_for():
    steps = numbered(0, 1, 6)
    steps = steps._replace(costs=0.25 * steps.rewards + 1.0)
    assert add_to_replay(init_replay(6, SEEN, DONE), steps).rows.costs is None
    kept = add_to_replay(init_replay(6, SEEN, DONE, costs=True), steps).rows
    np.testing.assert_array_equal(kept.costs, 0.25 * kept.rewards + 1.0)
    without = replay_bytes(11, SEEN, DONE)
    assert replay_bytes(11, SEEN, DONE, costs=True) == without + 11 * 4


def test_a_buffer_without_room_is_refused():
    with pytest.raises(ConfigError, match="0 steps"):
        init_replay(0, SEEN, DONE)


def test_a_step_is_written_in_place_when_the_buffer_is_donated():
    room = 1_000_000
    add = jax.jit(add_to_replay, donate_argnums=0)
    buffer = init_replay(room, SEEN, DONE)
    before = buffer.rows.observations.unsafe_buffer_pointer()
    buffer = add(buffer, numbered(0, 1, 1))
    assert buffer.rows.observations.unsafe_buffer_pointer() == before
    copied = add.lower(buffer, numbered(0, 1, 1)).compile().memory_analysis()
    assert copied.temp_size_in_bytes < room
