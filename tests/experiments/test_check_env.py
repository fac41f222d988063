"""The command that checks an environment: its words, its numbers, its exit status."""

import json

import pytest

from reins.cli import main
from reins.experiments import display

FAULTY = "tests.envs.check.faulty:FiveFaults-v0"
SOUND = "tests.envs.check.faulty:Sound-v0"


@pytest.fixture(autouse=True)
def nothing_chosen_stays(monkeypatch):
    for name in ("MUJOCO_GL", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def checked(capsys, *arguments):
    status = main(["check-env", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "observation", "action", "limit"),
    [
        ("CartPole-v1", "a vector of 4", "one of 2", 500),
        ("Pendulum-v1", "a vector of 3", "a vector of 1, clipped to its bounds", 200),
        ("HalfCheetah-v5", "a vector of 17", "a vector of 6, clipped", 1000),
        ("reins/LapGridWorld-v0", "a vector of 1", "one of 2", 200),
    ],
)
def test_sound_environments_are_found_sound(capsys, name, observation, action, limit):
    status, summary = checked(capsys, name, "--steps", "100")
    assert status == 0
    assert summary["errors"] == 0
    if summary["findings"]:  # a robot, where nothing draws it
        assert [f["subject"] for f in summary["findings"]] == ["rendering"]
        assert "EGL or OSMesa" in summary["findings"][0]["found"]
    assert summary["observation"] == observation
    assert summary["action"].startswith(action)
    assert summary["max_episode_steps"] == limit
    assert summary["steps_per_second"] > 0


def test_five_faults_are_all_reported(capsys, tmp_path):
    status, summary = checked(capsys, FAULTY, "--episodes", "2", "--out", str(tmp_path))
    assert status == 2
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert (summary["errors"], summary["warnings"]) == (5, 0)
    assert summary["schema"] == "reins.summary/1"
    assert (summary["command"], summary["env"]) == ("check-env", FAULTY)
    found = {finding["subject"]: finding for finding in summary["findings"]}
    assert found["reward"] == {
        "level": "error",
        "subject": "reward",
        "where": "episode 0, step 0",
        "expected": "a finite number",
        "found": "nan",
        "remedy": found["reward"]["remedy"],
        "times": 10,
    }
    assert summary["lengths"] == [5, 5]


def test_a_person_reads_expected_and_found(capsys):
    assert main(["check-env", FAULTY]) == 2
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        f"{FAULTY} observations a vector of 2; Box(",
        "time limit 50 steps lengths 5, 5, 5",
        "error: reward, episode 0, step 0 (15 times) expected a finite number found "
        "nan remedy One such number",
        f"{FAULTY} cannot be trained in as it is: 5 errors, no warnings.",
    ):
        assert text in said


def test_warnings_alone_are_no_failure(capsys):
    assert main(["check-env", "CliffWalking-v1", "--steps", "20"]) == 0
    said = capsys.readouterr().out
    assert "warning: time limit" in said
    assert "can be trained in as it is: no errors, 1 warning." in said


def test_arguments_reach_the_constructor(capsys):
    name = "CartPole-v1"
    _, plain = checked(capsys, name, "--episodes", "1")
    told = ["--env-args", '{"sutton_barto_reward": true}']
    _, other = checked(capsys, name, "--episodes", "1", *told)
    assert plain["rewards"] == [1, 1]
    assert other["rewards"][0] == -1
    status, summary = checked(capsys, name, "--env-args", '{"gravity": 1}')
    assert status == 2
    assert summary["findings"][0]["subject"] == "making it"
    assert "gravity" in summary["findings"][0]["found"]
    assert "lengths" not in summary


def test_arguments_reach_what_is_drawn_too(capsys):
    name = SOUND.replace("Sound", "Sized")
    status, summary = checked(capsys, name, "--env-args", '{"size": 3}')
    assert (status, summary["findings"]) == (0, [])
    assert checked(capsys, name)[0] == 2


def test_a_robot_that_nothing_can_draw_is_told_as_a_warning(capsys, monkeypatch):
    monkeypatch.setattr(display, "draw_without_display", lambda: {"egl": "no libEGL"})
    status, summary = checked(capsys, "InvertedPendulum-v5", "--episodes", "1")
    assert status == 0
    (finding,) = summary["findings"]
    assert (finding["level"], finding["subject"]) == ("warning", "rendering")
    assert "EGL or OSMesa, and here egl fails (no libEGL)" in finding["found"]


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["CartPol-v1"], ["no environment `CartPol-v1`", "CartPole-v1"]),
        (["nomodule:A-v0"], ["module 'nomodule' cannot be imported"]),
        ([SOUND, "--env-args", "[1]"], ["expected a JSON object"]),
        ([SOUND, "--episodes", "0"], ["episodes must be positive; found 0"]),
        ([SOUND, "--steps", "0"], ["steps must be positive; found 0"]),
    ],
)
def test_what_cannot_be_checked_is_refused(capsys, arguments, texts):
    assert main(["check-env", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    for text in texts:
        assert text in said.err
