"""A run that dies resumes from its last checkpoint, and equals one that never died.

The runs compared here are different processes: the same seed gives the same numbers.
`REINS_KILLS=long` kills them more often.
"""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.numpy import load_file

from reins.experiments.checkpoint import load_record


class Case(NamedTuple):
    """A run, and when it is killed.

    Attributes:
      command: what is run; it ends in a `summary.json`.
      updates: how many it makes, of which each seed's checkpoints count.
      kills: how often it is killed; `REINS_KILLS=long` makes it as often as `most`.
    """

    command: list[str]
    updates: int
    kills: int
    most: int


SAC = [
    *("--buffer-size", "700", "--batch-size", "16", "--hidden", "16"),
    *("--learning-starts", "100"),
]
CASES = {
    "icrl": Case(
        [
            *("learn-constraint", "--env", "reins/LapGridWorld-v0"),
            *("--demonstrations", "lapgridworld", "--seeds", "2", "--steps", "80000"),
            *("--environments", "2", "--evaluation-interval", "2000"),
            *("--evaluation-episodes", "5", "--hidden", "16", "--epochs", "2"),
        ],
        updates=200,
        kills=3,
        most=20,
    ),
    # A ring that is written over, a prior that is fitted, and several actions a state.
    "sac": Case(
        [
            *("train", "sac", "--env", "reins/Pendulum-v1", "--seeds", "1", *SAC),
            *("--steps", "6000", "--evaluation-interval", "150"),
            *("--evaluation-episodes", "2", "--policy-loss", "forward-kl"),
            *("--prior", "behaviour"),
        ],
        updates=6000,
        kills=1,
        most=20,
    ),
    # Two critics more, a multiplier with a memory, and episodes half paid.
    "sac-lagrangian": Case(
        [
            *("train", "sac-lagrangian", "--env", "reins/PointCircleWall-v0", *SAC),
            *("--seeds", "1", "--steps", "6000", "--evaluation-interval", "140"),
            *("--evaluation-episodes", "2", "--dual", "pid", "--environments", "2"),
        ],
        updates=3000,
        kills=1,
        most=10,
    ),
    "sac outside JAX": Case(
        [
            *("train", "sac", "--env", "Hopper-v5", "--seeds", "1", *SAC),
            *("--steps", "2000", "--evaluation-interval", "100"),
            *("--evaluation-episodes", "1"),
        ],
        updates=2000,
        kills=1,
        most=5,
    ),
}
LONG = os.environ.get("REINS_KILLS") == "long"


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "reins.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


def numbers(folder: Path) -> tuple[dict, dict, str]:
    """Everything a run leaves that must not depend on how it was carried out."""
    summary = json.loads((folder / "summary.json").read_text())
    for method in summary.get("methods", {"": summary}).values():
        for clock in ("wall_seconds", "steps_per_second"):
            del method[clock]
    arrays = {
        f"{file.name}{name}": array
        for file in folder.rglob("*.safetensors")
        for name, array in load_file(file).items()
    }
    return summary, arrays, (folder / "curves.csv").read_text()


def assert_same(folder: Path, reference: Path) -> None:
    summary, arrays, curves = numbers(folder)
    expected_summary, expected_arrays, expected_curves = numbers(reference)
    assert summary == expected_summary
    assert curves == expected_curves
    assert arrays.keys() == expected_arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected_arrays[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of each case's run that nothing happened to."""

    @functools.cache
    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp("whole") / "run"
        finish(start([*CASES[name].command, "--out", str(folder)]))
        return folder

    return run


@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_moments_a_run_equals_the_uninterrupted_one(
    tmp_path, whole, name
):
    case, moments = CASES[name], random.Random(20261120)
    folder = tmp_path / "killed"
    process = start([*case.command, "--out", str(folder)])
    wait_for(lambda: (folder / "config.json").exists(), process)
    few, many = case.updates // 40, case.updates * 4 // 5
    kills = case.most if LONG else case.kills
    for target in sorted(moments.sample(range(few, many), kills)):
        # Somewhere after the first checkpoint past this update.
        wait_for(lambda past=target: saved_updates(folder) >= past, process)
        time.sleep(moments.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (folder / "summary.json").exists()
        process = start(["resume", str(folder)])
    finish(process)
    assert_same(folder, whole(name))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_stops_with_a_checkpoint_and_resumes(tmp_path, whole, how):
    folder = tmp_path / "interrupted"
    process = start([*CASES["icrl"].command, "--out", str(folder)])
    wait_for(lambda: saved_updates(folder) > 0, process)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"reins resume" in errors
    finish(start(["resume", str(folder)]))
    assert_same(folder, whole("icrl"))


def saved_updates(folder: Path) -> int:
    """The furthest that any seed's checkpoint has come."""
    files = (folder / "checkpoints").glob("seed-*.safetensors")
    return max((load_record(file)["updates"] for file in files), default=0)


def wait_for(happened, process: subprocess.Popen, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1].decode())
        if time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"nothing happened in {seconds} s")
        time.sleep(0.01)
