"""A run with hybrid actions from the command line to Gymnasium, and what it refuses."""

import json

import gymnasium
import numpy as np
import pytest

import reins
from reins.cli import main
from reins.experiments.files import load_demonstrations

GOLF = "reins/Golf-v0"
SMALL = (
    *("--env", GOLF, "--seeds", "1", "--steps", "60", "--hidden", "8"),
    *("--batch-size", "8", "--learning-starts", "20", "--evaluation-episodes", "2"),
    *("--evaluation-interval", "60"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("golf") / "run"
    told = ("--policy-loss", "forward-kl", "--out", str(out), "--quiet")
    assert main(["train", "sac", *SMALL, *told]) == 0
    return out


def test_a_loaded_agent_plays_in_gymnasium(folder):
    agent, env = reins.load(folder), gymnasium.make(GOLF)
    observation, _ = env.reset(seed=0)
    for deterministic in (False, True):
        action, _ = agent.predict(observation, deterministic=deterministic)
        assert env.action_space.contains(action)
        observation, reward, *_ = env.step(action)
        assert reward == -1
    (which, how), _ = agent.predict(np.zeros((3, 2), np.float32))
    assert (which.shape, how.shape) == ((3,), (3, 1))


def test_its_episodes_are_demonstrations_that_fit(folder, tmp_path):
    file = tmp_path / "golf.npz"
    made = ("demonstrations", "make", str(file), "--agent", str(folder), "--quiet")
    assert main([*made, "--episodes", "2"]) == 0
    shown = load_demonstrations(file)
    assert {episode.shape[1] for episode in shown.actions} == {2}
    assert main(["demonstrations", "check", str(file), "--env", GOLF, "--quiet"]) != 2


def test_it_can_be_watched(folder, tmp_path):
    film = tmp_path / "golf.gif"
    told = ("--video", str(film), "--steps", "3", "--quiet")
    assert main(["watch", str(folder), *told]) == 0
    assert film.stat().st_size > 0


@pytest.mark.parametrize("agent", ["mpo", "awr"])
def test_other_agents_with_a_replay_take_it(agent, tmp_path):
    out = tmp_path / agent
    assert main(["train", agent, *SMALL, "--out", str(out), "--quiet"]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert -20 <= summary["final_return"][0] <= -1


def test_outside_jax_it_is_the_same(tmp_path):
    gymnasium.register(
        "GolfOutside-v0",
        entry_point="reins.envs:gymnasium_env",
        max_episode_steps=20,
        kwargs={"env_id": GOLF},
    )
    told = ("--env", "GolfOutside-v0", "--environments", "2", "--out", str(tmp_path))
    assert main(["train", "sac", *SMALL, *told, "--quiet"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert -20 <= summary["final_return"][0] <= -1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "ppo", "--env", GOLF], "For both at once, use `sac`"),
        (
            ["train", "sac", *SMALL, "--policy-loss", "reverse-kl"],
            "needs reparameterised",
        ),
        (
            ["learn-constraint", "--env", GOLF, "--demonstrations", "lapgridworld"],
            "do not fit",
        ),
    ],
)
def test_what_cannot_serve_it_says_so(arguments, text, tmp_path, capsys):
    assert main([*arguments, "--out", str(tmp_path / "x")]) == 2
    assert text in capsys.readouterr().err
