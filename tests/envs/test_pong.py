"""Pong from pixels: batched and alone it shows the same, and only what moved."""

import gymnasium
import numpy as np
import pytest

from reins.data import host_rollout, start_host_rollout
from reins.envs import HostOptions, make_env, providers, single_env
from reins.envs.atari import import_ale
from reins.envs.pong import PONG, PongVector, field, pong_env
from reins.errors import ConfigError

STEPS, COPIES = 160, 2
ACTIONS = np.random.default_rng(0).integers(2, size=(STEPS, COPIES))


@pytest.fixture(scope="module")
def batch():
    """Games cut after 70 steps, some points in each."""
    env = make_env(PONG, HostOptions(horizon=70))
    vector = env.make(COPIES, 1)  # pyright: ignore
    assert isinstance(vector, PongVector)
    standing = start_host_rollout(env, vector, np.asarray([5, 6]))  # pyright: ignore
    standing, batch, _ = host_rollout(
        env,  # pyright: ignore
        vector,
        lambda _, t: ACTIONS[t],
        standing,
        steps=STEPS,
    )
    vector.close()
    return batch


def frames_of(seed: int, actions: np.ndarray) -> list[np.ndarray]:
    """The grey screens of ALE's single environment, after as long a wait."""
    waits = import_ale("Pong").AtariVectorEnv(
        "pong", 1, noop_max=30, use_fire_reset=False
    )
    wait = int(waits.reset(seed=np.asarray([seed]))[1]["episode_frame_number"][0])
    game = gymnasium.make(
        "ALE/Pong-v5",
        obs_type="grayscale",
        frameskip=1,
        repeat_action_probability=0.0,
    )
    frame, _ = game.reset(seed=0)
    for _ in range(wait):
        frame, *_ = game.step(0)
    frames = [frame]
    for action in actions:
        for _ in range(4):
            frame, *_ = game.step([2, 3][action])
        frames.append(frame)
    game.close()
    return frames


def small(frame: np.ndarray) -> np.ndarray:
    """The well-known preparation, a pixel at a time."""
    return np.asarray(
        [
            int(frame[row, column] != 87)
            for row in range(35, 195, 2)
            for column in range(0, 160, 2)
        ]
    )


@pytest.mark.parametrize("copy", range(COPIES))
def test_an_observation_is_this_frame_less_the_one_before(batch, copy):
    frames = frames_of(5 + copy, ACTIONS[:70, copy])
    before = small(frames[0])
    np.testing.assert_array_equal(batch.observations[copy, 0], 0)
    moved = 0
    for t in range(70):
        now = small(frames[t + 1])
        shown = batch.next_observations[copy, t]
        np.testing.assert_array_equal(shown, now - before, err_msg=str(t))
        moved, before = moved + np.abs(now - before).sum(), now
    assert moved > 70


def test_every_game_begins_with_nothing_moved(batch):
    assert batch.observations.dtype == np.int8
    assert np.isin(batch.observations, [-1, 0, 1]).all()
    ends = batch.truncated[0]
    np.testing.assert_array_equal(np.nonzero(ends)[0], [69, 139])
    assert batch.mask.all()
    assert not batch.terminated.any()
    for t in (69, 139):
        assert batch.next_observations[:, t].any()
        assert not batch.observations[:, t + 1].any()
    goes_on = ~ends[:-1]
    np.testing.assert_array_equal(
        batch.next_observations[:, :-1][:, goes_on],
        batch.observations[:, 1:][:, goes_on],
    )
    assert set(np.unique(batch.rewards)) <= {-1.0, 0.0, 1.0}
    assert (batch.rewards == -1).any()


def test_one_game_shows_what_the_batched_ones_do_and_is_drawn_in_colour(batch):
    env = single_env(PONG, render_mode="rgb_array")
    assert env.observation_space == pong_env().observation_space
    assert env.metadata["render_fps"] == 15
    seen, _ = env.reset(seed=6)
    before = picture = np.asarray(env.render())
    for t in range(70):
        np.testing.assert_array_equal(seen, batch.observations[1, t])
        seen, reward, terminated, _, _ = env.step(ACTIONS[t, 1])
        assert reward == batch.rewards[1, t]
        assert not terminated
        picture = np.asarray(env.render())
        moved = (picture != before).any(axis=-1)[35:195:2, ::2]
        # What is drawn moves where something is seen to have moved.
        np.testing.assert_array_equal(moved.ravel()[seen != 0], True)
        before = picture
    assert picture.shape == (210, 160, 3)
    env.close()


def test_up_is_up():
    def height(action: int) -> float:
        env = single_env(PONG, render_mode="rgb_array")
        env.reset(seed=0)
        for _ in range(8):
            env.step(action)
        picture = np.asarray(env.render())
        env.close()
        paddle = (picture == (92, 186, 92)).all(axis=-1)[34:194]
        return float(np.nonzero(paddle)[0].mean())

    assert height(0) < height(1)


def test_a_game_lasts_to_21():
    vector = pong_env().make(1, 1)
    vector.reset([0])
    up, steps = np.asarray([0]), []
    while not steps or not steps[-1].terminated[0]:
        steps.append(vector.step(up))
    assert sum(step.rewards[0] for step in steps) == -21
    assert 700 < len(steps) < 1100
    assert not steps[-1].following.any()
    vector.close()


def test_the_field_is_cut_out_and_halved():
    frame = np.full((1, 210, 160, 1), 87, np.uint8)
    frame[0, :35] = frame[0, 195:] = 236
    assert not field(frame).any()
    frame[0, 35, 0], frame[0, 193, 158], frame[0, 36, 0] = 147, 148, 236
    found = np.nonzero(field(frame)[0])[0]
    np.testing.assert_array_equal(found, [0, 6399])


def test_gymnasium_knows_it_and_it_takes_no_arguments():
    env = gymnasium.make(PONG)
    observation, _ = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    assert env.spec.max_episode_steps == 27_000  # pyright: ignore
    env.close()
    assert "ale-py" in providers(PONG)
    with pytest.raises(ConfigError, match="stack_num"):
        make_env(PONG, HostOptions({"stack_num": 2}))
