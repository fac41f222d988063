"""The command line: what it refuses, in which words, and what it prints."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import reins
from reins.cli import main
from reins.constraints import InputSpec, constraint_network
from reins.data import Demonstrations
from reins.experiments.constraint_file import save_constraint

LAP = "reins/LapGridWorld-v0"
LEARN = ["learn-constraint", "--env", LAP, "--demonstrations"]


def complaint(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_list_names_everything_as_json(capsys, tmp_path):
    assert main(["list", "--json", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "summary.json").read_text())
    assert {"ppo", "ppo-lagrangian"} <= printed["agents"].keys()
    assert LAP in printed["environments"]
    assert "demo" in printed["experiments"]


def test_who_has_read_enough_breaks_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        printed = subprocess.run(
            [sys.executable, "-m", "reins.cli", "train", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert printed.stderr == b""
    assert printed.returncode == 141


def test_list_prints_a_line_for_each(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "icrl" in out
    assert "lapgridworld" in out


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["train", "pppo", "--env", LAP], ["no agent `pppo`", "Did you mean `ppo`"]),
        (["train", "ppo", "--env", "reins/Lap-v0"], ["no environment", "Near to it"]),
        ([*LEARN, "nothing.npz"], ["there is no such file", "Check the path"]),
        ([*LEARN, "lapgridworld", "--method", "irl"], ["Did you mean `icrl`"]),
        (
            [*LEARN, "lapgridworld", "--preset", "robots", "--forward-agent", "ddpg"],
            ["no forward agent `ddpg`"],
        ),
        ([*LEARN, "lapgridworld", "--rollout-steps", "100"], ["last up to 200"]),
        ([*LEARN, "lapgridworld", "--kl-new-old", "2.5"], ["log 10 = 2.30"]),
        (["train", "ppo", "--env", LAP, "--seeds", "0"], ["seeds must be positive"]),
        (["resume", "nowhere"], ["no config.json"]),
        (["evaluate", "nowhere"], ["no config.json"]),
        (["plot", "nowhere"], ["no config.json"]),
        (["plot"], ["of no run", "reins plot runs/a"]),
        (["train", "ppo", "--env", LAP, "--hidden", "0"], ["units of `hidden`"]),
        ([*LEARN, "lapgridworld", "--constraint-hidden", "4", "0"], ["found 0"]),
        ([*LEARN, "lapgridworld", "--observation-dims", "7"], ["there are 0..0"]),
        (
            ["demonstrations", "make", "x.npz", "--agent", ".", "--episodes", "0"],
            ["at least 1 episode"],
        ),
    ],
)
def test_what_cannot_be_is_refused_at_the_door(arguments, texts, capsys, tmp_path):
    if arguments[0] in ("train", "learn-constraint"):
        arguments = [*arguments, "--out", str(tmp_path / "run")]
    error = complaint(arguments, capsys)
    for text in texts:
        assert text in error
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written_is_refused(capsys, tmp_path):
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "run")
    error = complaint(["train", "ppo", "--env", LAP, "--out", out], capsys)
    assert "cannot be written" in error


def test_what_is_no_archive_is_refused(capsys, tmp_path):
    good = reins.load_demonstrations("lapgridworld")
    file = reins.save_demonstrations(tmp_path / "bad.npz", good)
    whole = file.read_bytes()
    spoilt = whole[:300] + b"spoilt" + whole[306:]
    np.save(tmp_path / "lone.npy", np.zeros(3))
    lone = (tmp_path / "lone.npy").read_bytes()
    for content in (b"", b"# text", b"\x80\x04.", whole[:700], spoilt, lone):
        file.write_bytes(content)
        error = complaint([*LEARN, str(file)], capsys)
        assert "not a NumPy archive of plain arrays" in error


def test_demonstrations_of_another_environment_are_refused(capsys, tmp_path):
    other = Demonstrations(
        [np.zeros((4, 3))], [np.zeros((3, 1))], [np.zeros(3)], "Pendulum-v1"
    )
    reins.save_demonstrations(tmp_path / "other.npz", other)
    error = complaint([*LEARN, str(tmp_path / "other.npz")], capsys)
    assert "3 faults" in error
    assert f"recorded in Pendulum-v1; this is {LAP}" in error
    assert "observations have shape (3,); the environment's have (1,)" in error


def test_actions_that_are_not_numbers_are_refused(capsys, tmp_path):
    good = reins.load_demonstrations("lapgridworld")
    reins.save_demonstrations(tmp_path / "bad.npz", good)
    with np.load(tmp_path / "bad.npz") as stored:
        arrays = dict(stored)
    arrays["actions"] = np.where(np.arange(4000) % 1000 == 7, np.nan, arrays["actions"])
    np.savez(tmp_path / "bad.npz", **arrays)
    error = complaint([*LEARN, str(tmp_path / "bad.npz")], capsys)
    assert "4 values of actions are not finite" in error
    assert "first in episode 0" in error


def test_a_constraint_for_other_dimensions_is_refused(capsys, tmp_path):
    import jax

    inputs = InputSpec(5, 3, False, (0, 1), (0,))
    constraint = constraint_network(inputs)(jax.random.key(0))
    save_constraint(tmp_path / "other.safetensors", constraint, {})
    path = str(tmp_path / "other.safetensors")
    error = complaint(
        ["train", "ppo-lagrangian", "--env", LAP, "--constraint", path], capsys
    )
    assert "observations of 5 dimensions" in error
    assert "3 action dimensions" in error
    assert "2 discrete actions" in error


def test_a_folder_with_a_run_is_refused(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"command": "train"}')
    error = complaint(["train", "ppo", "--env", LAP, "--out", str(tmp_path)], capsys)
    assert "already holds one (`train`)" in error
    assert "reins resume" in error


def test_train_evaluate_plot_demonstrate_and_resume(capsys, tmp_path):
    run = str(tmp_path / "run")
    small = ["--seeds", "2", "--steps", "800", "--environments", "2", "--epochs", "1"]
    small += ["--evaluation-episodes", "2", "--hidden", "8"]
    assert main(["train", "ppo", "--env", LAP, *small, "--out", run, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["agent"] == "ppo"
    assert main(["resume", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert main(["evaluate", run, "--episodes", "3", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["evaluation_episodes"] == 3
    assert evaluated["horizon"] == 200
    error = complaint(["evaluate", run, "--horizon", "50"], capsys)
    assert "horizon" in error
    assert evaluated["steps"] == 800
    assert main(["plot", run, "--out", str(tmp_path / "plots")]) == 0
    assert (tmp_path / "plots" / "curves.png").stat().st_size > 10_000
    file = str(tmp_path / "made.npz")
    made = ["demonstrations", "make", file, "--agent", run, "--episodes", "3"]
    assert main(made) == 0
    assert len(reins.load_demonstrations(file).actions) == 3
    assert "3 episodes" in capsys.readouterr().out
    assert main([*made, "--each-seed"]) == 0
    assert "6 episodes" in capsys.readouterr().out
    found = reins.load_demonstrations(file)
    assert len(found.actions) == 6
    assert "--episodes 3 --each-seed --key 0" in found.made_by
    assert not np.array_equal(found.actions[0], found.actions[3])
    error = complaint([*made, "--each-seed", "--seed", "1"], capsys)
    assert "one of the two" in error


def test_an_agent_is_judged_over_another_horizon(capsys, tmp_path):
    run = str(tmp_path / "run")
    small = ["--seeds", "1", "--steps", "40", "--environments", "2", "--epochs", "1"]
    small += ["--rollout-steps", "20", "--evaluation-episodes", "2", "--hidden", "8"]
    small += ["--minibatches", "2", "--horizon", "20", "--out", run, "--json"]
    assert main(["train", "ppo", "--env", "Pendulum-v1", *small]) == 0
    per_step = json.loads(capsys.readouterr().out)["final_return"][0] / 20
    asked = ["evaluate", run, "--episodes", "4", "--horizon", "60", "--json"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["horizon"], found["steps"]) == (60, 40)
    assert found["final_return"][0] < 40 * per_step  # three times as many steps


def test_help_states_units_and_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["learn-constraint", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "in nats" in text
    assert "default: 120000" in text
