"""`reins constraint show`: what it prints, draws and answers."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest

import reins
from reins.cli import main
from reins.constraints import Constraint, InputSpec, constraint_network
from reins.data import Demonstrations
from reins.experiments.checkpoint import load_record, save_checkpoint
from reins.experiments.constraint_file import save_constraint

LAP, POINT = "reins/LapGridWorld-v0", "reins/PointCircleWall-v0"


def told(capsys: pytest.CaptureFixture, *arguments: object, status: int = 0) -> dict:
    assert main(["constraint", "show", *map(str, arguments), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert main(["constraint", "show", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def walled(folder: Path, **ranges) -> Path:
    """cost = sigmoid(-2 (x + 2)) of the point's x and y: 1/2 at x = -2."""
    inputs = InputSpec(9, 2, False, (0, 1), (), **ranges)
    made = constraint_network(inputs, hidden=())(jax.random.key(0))
    network = jax.tree.map(
        lambda x: jnp.asarray([[2.0], [0.0]]) if x.ndim == 2 else jnp.full(1, 4.0),
        made.network,
    )
    path = folder / "constraint-seed-3.safetensors"
    about = {"seed": 3, "config": {"env": POINT, "demonstrations": None}}
    save_constraint(path, Constraint(network, inputs), about)
    return path


def walks(folder: Path, *, left: float = -2.5) -> Path:
    """Ten straight walks of 50 steps from x = 10 to the left."""
    x = np.linspace(10.0, left, 51)
    observations = np.zeros((51, 9), np.float32)
    observations[:, 0] = x
    made = Demonstrations(
        [observations] * 10, [np.zeros((50, 2))] * 10, [np.zeros(50)] * 10, POINT
    )
    return reins.save_demonstrations(folder / "walks.npz", made)


def test_a_learned_run_is_drawn_with_its_data_and_its_true_rule(capsys, learned):
    file = learned.folder / "constraint-seed-1.safetensors"
    summary = told(capsys, file, "--episodes", 2)
    folder = learned.folder / "shown"
    assert summary == json.loads((folder / "summary.json").read_text())
    assert summary["command"] == "constraint show"
    assert (summary["env"], summary["seed"], summary["notes"]) == (LAP, 1, [])
    assert summary["episodes"]["demonstrations"]["episodes"] == 20
    assert summary["episodes"]["agent"]["episodes"] == 2
    zeta = learned.constraint(1)
    shown = reins.load_demonstrations("lapgridworld")
    costs = zeta.cost(shown.observations[0][:-1], shown.actions[0])
    mean = summary["episodes"]["demonstrations"]["mean_cost"]
    assert mean == pytest.approx(float(costs.mean()), abs=1e-6)
    assert summary["inputs"][0] == {
        "name": "cell / 20 − 1",
        "low": -1.0,
        "high": pytest.approx(0.95),
    }
    assert [i["high"] for i in summary["inputs"][1:]] == [1.0, 1.0]
    picture = matplotlib.image.imread(folder / "constraint-seed-1.png")
    assert picture.shape[1] == 1695
    assert picture[..., :3].std() > 0.1


def test_the_wall_and_where_the_cost_crosses_a_half_are_told(capsys, tmp_path):
    file = walled(tmp_path)
    out = tmp_path / "map.png"
    summary = told(capsys, file, "--demonstrations", walks(tmp_path), "--out", out)
    x, y = summary["axes"]
    assert (x["name"], x["boundary"]) == ("x (m)", -3.0)
    assert x["crossings"][""] == pytest.approx([-2.0], abs=0.01)
    assert (y["boundary"], y["crossings"][""]) == (None, [])
    found = summary["episodes"]["demonstrations"]
    assert found["forbidden_steps"] == pytest.approx(1 / 50)
    assert found["outside"] is None
    assert [i["low"] for i in summary["inputs"]] == [None, None]
    assert summary["picture"] == str(out)
    assert matplotlib.image.imread(out)[..., :3].std() > 0.1
    assert {p.suffix for p in tmp_path.iterdir()} == {
        *(".safetensors", ".npz", ".json", ".png")
    }


def test_steps_outside_of_what_was_seen_are_counted(capsys, tmp_path):
    ranges = {"seen_low": (0.0, -1.0), "seen_high": (8.0, 1.0)}
    file = walled(tmp_path, **ranges)
    arguments = ["--demonstrations", walks(tmp_path), "--out", tmp_path / "seen"]
    summary = told(capsys, file, *arguments, "--dims", 0)
    x = np.linspace(10.0, -2.5, 51)[:-1]
    share = float(np.mean((x < 0.0) | (x > 8.0)))
    found = summary["episodes"]["demonstrations"]
    assert found["outside"] == pytest.approx(share)
    assert summary["inputs"][0] == {"name": "x (m)", "low": 0.0, "high": 8.0}
    assert (tmp_path / "seen" / "constraint-seed-3.png").exists()
    assert main(["constraint", "show", str(file), *map(str, arguments)]) == 0
    out = capsys.readouterr().out
    assert f"{100 * share:.3g} %" in out
    assert "0 to 8" in out
    assert "-2" in out


def test_a_map_for_each_discrete_action(capsys, tmp_path):
    inputs = InputSpec(4, 2, True, (0, 1, 2), (0, 1))
    zeta = constraint_network(inputs)(jax.random.key(1))
    file = tmp_path / "mine.safetensors"
    save_constraint(file, zeta, {})
    rng = np.random.default_rng(0)
    made = Demonstrations(
        [rng.normal(size=(21, 4)) for _ in range(5)],
        [rng.integers(2, size=20) for _ in range(5)],
        [np.ones(20)] * 5,
        "Unknown-v0",
    )
    data = reins.save_demonstrations(tmp_path / "data.npz", made)
    summary = told(capsys, file, "--demonstrations", data, "--dims", 2, 0)
    assert summary["env"] is None
    assert [axis["name"] for axis in summary["axes"]] == [
        "observation 2",
        "observation 0",
    ]
    assert list(summary["axes"][0]["crossings"]) == ["action 0", "action 1"]
    assert (tmp_path / "shown" / "mine.png").exists()


def test_what_cannot_be_had_is_a_note_unless_it_was_named(capsys, tmp_path, learned):
    file = learned.folder / "constraint-seed-0.safetensors"
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(file.read_bytes())
    summary = told(capsys, alone)
    assert list(summary["episodes"]) == ["demonstrations"]
    assert "No such" not in "".join(summary["notes"])
    (tmp_path / "config.json").write_text("{}")
    notes = told(capsys, alone)["notes"]
    assert len(notes) == 1
    assert notes[0].startswith("Without agent: ")
    error = complaint(capsys, alone, "--agent", tmp_path / "nobody")
    assert "nobody" in error
    error = complaint(capsys, alone, "--demonstrations", walks(tmp_path))
    assert "actions that are vectors; the constraint was learned on choices" in error
    assert "dim" in complaint(capsys, alone, "--env", POINT)


def test_files_from_before_ranges_were_kept_load(tmp_path, constraint_path):
    record = load_record(constraint_path)
    assert len(record["inputs"]["seen_low"]) == 3
    zeta = reins.load_constraint(constraint_path)
    assert zeta.inputs.seen_high[0] == pytest.approx(0.95)
    assert not np.asarray(zeta.outside(np.zeros((1, 1)), np.zeros(1, int))).any()
    assert np.asarray(zeta.outside(np.full((1, 1), 1.5), np.zeros(1, int))).any()
    del record["inputs"]["seen_low"], record["inputs"]["seen_high"]
    old = tmp_path / "old.safetensors"
    save_checkpoint(old, zeta, record)
    assert reins.load_constraint(old).inputs.seen_low == ()
