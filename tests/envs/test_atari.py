"""Atari by ALE's vector environment: the games that its single environment plays."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from reins.data import host_rollout, start_host_rollout
from reins.envs import HostOptions, host_env, is_image, make_env, single_env
from reins.envs.atari import AtariVector, atari_settings, import_ale
from reins.envs.host import find_spec
from reins.errors import ConfigError

PLAIN = {
    "repeat_action_probability": 0.0,
    "noop_max": 0,
    "use_fire_reset": False,
    "maxpool": False,
    "stack_num": 1,
    "img_height": 210,
    "img_width": 160,
}
"""Shows what ALE's single environment shows, frame by frame."""


def actions_of(steps: int, copies: int, n: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(n, size=(steps, copies))


def rolled(env_id: str, arguments: dict, actions: np.ndarray, horizon=None):
    env = make_env(env_id, HostOptions(arguments, horizon=horizon))
    steps, copies = actions.shape
    vector = env.make(copies, 2)  # pyright: ignore
    standing = start_host_rollout(env, vector, np.arange(copies))  # pyright: ignore
    standing, batch, finished = host_rollout(
        env,  # pyright: ignore
        vector,
        lambda _, t: actions[t],
        standing,
        steps=steps,
    )
    vector.close()
    return batch, finished


def test_ids_of_ale_are_stepped_by_its_own_vector_environment():
    env = host_env("ALE/Breakout-v5")
    made = env.make(2, 1)
    assert isinstance(made, AtariVector)
    assert type(made.inner).__name__ == "AtariVectorEnv"
    assert made.mode is AutoresetMode.SAME_STEP
    assert env.observation_space.shape == (84, 84, 4)
    assert is_image(env.observation_space)
    assert made.reset([1, 2]).shape == (2, 84, 84, 4)
    assert env.action_space.n == 4  # pyright: ignore
    assert env.horizon == 27_000
    made.close()


def test_a_row_is_a_step_of_the_single_environment_truncated_games_included():
    """Games of 100 steps: the row's end shows what was seen before the reset."""
    actions = actions_of(250, 3)
    batch, finished = rolled("ALE/Pong-v5", PLAIN, actions, horizon=100)
    for copy in range(3):
        played = gymnasium.make(
            "ALE/Pong-v5",
            obs_type="grayscale",
            repeat_action_probability=0.0,
            max_episode_steps=100,
        )
        seen, _ = played.reset(seed=copy)
        for t, action in enumerate(actions[:, copy]):
            np.testing.assert_array_equal(batch.observations[copy, t, ..., 0], seen)
            seen, reward, terminated, truncated, _ = played.step(action)
            shown = batch.next_observations[copy, t, ..., 0]
            np.testing.assert_array_equal(shown, seen)
            told = [batch.rewards, batch.terminated, batch.truncated]
            assert [x[copy, t] for x in told] == [reward, terminated, truncated]
            assert batch.times[copy, t] == t % 100
            if terminated or truncated:
                seen, _ = played.reset()
        played.close()
    assert batch.mask.all()
    np.testing.assert_array_equal(np.nonzero(batch.truncated[0])[0], [99, 199])
    np.testing.assert_array_equal(finished.lengths, 100)


def test_a_game_that_is_lost_has_terminated_and_the_next_begins_where_it_would():
    actions = actions_of(1000, 1)
    batch, finished = rolled("ALE/Pong-v5", PLAIN, actions)
    played = gymnasium.make(
        "ALE/Pong-v5", obs_type="grayscale", repeat_action_probability=0.0
    )
    played.reset(seed=0)
    rewards, lost = [], False
    while not lost:
        _, reward, lost, _, _ = played.step(actions[len(rewards), 0])
        rewards.append(reward)
    n = len(rewards)
    np.testing.assert_array_equal(batch.rewards[0, :n], rewards)
    np.testing.assert_array_equal(np.nonzero(batch.terminated[0])[0], [n - 1])
    assert not batch.truncated.any()
    np.testing.assert_array_equal(finished.returns, [sum(rewards)])
    seen, _ = played.reset()
    np.testing.assert_array_equal(batch.observations[0, n, ..., 0], seen)
    played.close()


def test_next_observations_are_those_before_the_reset_with_stacks_too():
    """ALE's own games without a limit, each set back by hand after 25 steps."""
    actions = actions_of(60, 4)
    arguments = {"img_height": 42, "img_width": 42}
    batch, _ = rolled("ALE/Pong-v5", arguments, actions, horizon=25)
    settings = atari_settings(find_spec("ALE/Pong-v5"), arguments)
    games = import_ale("Pong").AtariVectorEnv(num_envs=4, **(settings or {}))
    seen, _ = games.reset(seed=np.arange(4))
    for t in range(60):
        shown = batch.observations[:, t]
        np.testing.assert_array_equal(shown, np.moveaxis(seen, 1, -1))
        seen, *_ = games.step(actions[t])
        shown = batch.next_observations[:, t]
        np.testing.assert_array_equal(shown, np.moveaxis(seen, 1, -1))
        assert (batch.truncated[:, t] == (t % 25 == 24)).all()
        if t % 25 == 24:
            seen, _ = games.reset()


def test_games_that_end_apart_are_set_back_apart():
    """Breakout, over when the first life is lost, and cut after 33 steps."""
    actions = actions_of(120, 4, n=4)
    arguments = {"episodic_life": True, "img_height": 42, "img_width": 42}
    batch, finished = rolled("ALE/Breakout-v5", arguments, actions, horizon=33)
    assert batch.terminated.any()
    assert batch.truncated.any()
    assert not (batch.terminated & batch.truncated).any()
    np.testing.assert_array_equal(batch.times[batch.truncated], 32)
    assert finished.lengths.max() == 33
    for copy in range(4):
        ends = (batch.terminated | batch.truncated)[copy, :-1]
        same = (batch.next_observations[copy, :-1] == batch.observations[copy, 1:]).all(
            axis=(1, 2, 3)
        )
        np.testing.assert_array_equal(same, ~ends)
        # A stack begins with empty pictures.
        first = batch.observations[copy, 1:][ends]
        assert not first[..., :3].any()
        assert first[..., 3].any()


def test_seeds_make_the_games():
    vector = host_env("ALE/Pong-v5").make(3, 2)
    nothing = np.zeros(3, int)

    def later(seeds):
        vector.reset(seeds)
        return [vector.step(nothing) for _ in range(25)][-1].observations

    first, again = later([7, 8, 7]), later([8, 2**31 + 7, 9])
    np.testing.assert_array_equal(first[0], first[2])
    assert (first[0] != first[1]).any()
    np.testing.assert_array_equal(again[:2], first[[1, 0]])
    vector.close()


def test_pictures_in_colour_have_three_channels_each():
    env = host_env("ALE/Pong-v5", HostOptions({"grayscale": False, "stack_num": 2}))
    vector = env.make(1, 1)
    seen = vector.reset([0])
    assert env.observation_space.shape == seen.shape[1:] == (84, 84, 6)
    frames, _ = vector.inner.reset(seed=np.asarray([0]))  # pyright: ignore
    np.testing.assert_array_equal(seen[0, ..., :3], frames[0, 0])
    np.testing.assert_array_equal(seen[0, ..., 3:], frames[0, 1])
    vector.close()


def test_returns_are_the_score_of_the_game():
    def paid(arguments):
        batch, _ = rolled("ALE/SpaceInvaders-v5", arguments, actions_of(150, 2))
        return batch.rewards

    assert paid({}).max() >= 5
    assert paid({"reward_clipping": True}).max() == 1


def test_one_game_is_shown_as_training_sees_it_and_drawn_in_colour():
    actions = actions_of(150, 1)
    batch, _ = rolled("ALE/Pong-v5", {}, actions, horizon=120)
    env = single_env("ALE/Pong-v5", render_mode="rgb_array", horizon=120)
    seen, _ = env.reset(seed=0)
    for t in range(120):
        np.testing.assert_array_equal(seen, batch.observations[0, t])
        assert env.observation_space.contains(seen)
        seen, reward, *ends, _ = env.step(actions[t, 0])
        assert reward == batch.rewards[0, t]
        assert ends == [batch.terminated[0, t], batch.truncated[0, t]]
    np.testing.assert_array_equal(seen, batch.next_observations[0, 119])
    picture = env.render()
    assert picture.shape == (210, 160, 3)  # pyright: ignore
    assert picture.dtype == np.uint8  # pyright: ignore
    env.reset()
    assert not np.array_equal(env.render(), picture)  # pyright: ignore
    env.close()


def test_what_is_drawn_is_the_game_that_is_seen():
    """Sticky actions and waiting are the same chance in both."""
    full = {"img_height": 210, "img_width": 160, "stack_num": 1, "grayscale": False}
    env = single_env("ALE/Pong-v5", full, render_mode="rgb_array")
    seen, _ = env.reset(seed=3)
    for action in actions_of(100, 1)[:, 0]:
        np.testing.assert_array_equal(env.render(), seen)
        seen, *_ = env.step(action)
    seen, _ = env.reset()
    np.testing.assert_array_equal(env.render(), seen)
    assert env.metadata["render_fps"] == 15
    with pytest.raises(ConfigError, match=r"drawn as 'human'.*'rgb_array' only"):
        single_env("ALE/Pong-v5", render_mode="human")
    env.close()


def test_what_the_vector_environment_has_not_is_left_to_gymnasium():
    memory = {"obs_type": "ram"}
    assert host_env("ALE/Pong-v5", HostOptions(memory)).observation_space.shape == (
        128,
    )
    assert single_env("ALE/Pong-v5", memory).observation_space.shape == (128,)
    with pytest.raises(ConfigError, match="img_height"):
        host_env("ALE/Pong-v5", HostOptions({"img_height": -1}))


def test_without_ale_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    for env_id in ("ALE/Breakout-v5", "reins/PongFromPixels-v0"):
        with pytest.raises(ConfigError, match=r"pip install reins\[atari\]"):
            host_env(env_id)


def test_ale_is_not_imported_before_it_is_asked_for():
    code = (
        "import sys, reins, reins.cli; from reins.envs import make_env;"
        "make_env('CartPole-v1'); sys.exit('ale_py' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
