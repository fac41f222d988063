"""The commands about demonstrations: what they print, write and answer."""

import json
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest

import reins
from reins.cli import main
from reins.constraints import InputSpec, constraint_network
from reins.data import Demonstrations
from reins.experiments.constraint_file import save_constraint

LAP = "reins/LapGridWorld-v0"


def laps(folder: Path, *, against: int = 0, env_id: str = LAP, episodes=12) -> Path:
    """Random drives of 30 steps; so many steps of the first run anti-clockwise."""
    rng = np.random.default_rng(0)
    observations, actions = [], []
    for i in range(episodes):
        done = np.zeros(30, int)
        if i == 0:
            done[5 : 5 + against] = 1
        start = rng.integers(40)
        cells = (start + np.concatenate([[0], np.cumsum(1 - 2 * done)])) % 40
        observations.append((cells / 20 - 1.0).astype(np.float32)[:, None])
        actions.append(done)
    rewards = [np.full(30, float(i)) for i in range(episodes)]
    made = Demonstrations(observations, actions, rewards, env_id, "by hand")
    return reins.save_demonstrations(folder / "laps.npz", made)


def asked(*arguments: object) -> int:
    return main(["demonstrations", *map(str, arguments)])


def told(capsys: pytest.CaptureFixture, *arguments: object, status: int = 0) -> dict:
    assert asked(*arguments, "--json") == status
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert asked(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def subjects(summary: dict, level: str) -> list[str]:
    return [f["subject"] for f in summary["findings"] if f["level"] == level]


def test_what_ships_can_be_learned_from_and_is_uniform(capsys, tmp_path):
    summary = told(capsys, "check", "lapgridworld", "--out", tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"] == "demonstrations check"
    assert (summary["env"], summary["errors"], summary["warnings"]) == (LAP, 0, 2)
    assert subjects(summary, "warning") == ["episodes", "actions"]


def test_warnings_are_printed_and_do_no_harm(capsys, tmp_path):
    assert asked("check", laps(tmp_path, episodes=3)) == 0
    out = capsys.readouterr().out
    assert "warning: number of episodes" in out
    assert f"can be learned from in {LAP}: no errors, 4 warnings." in out


def test_what_the_environment_would_not_have_done_is_told(capsys, tmp_path):
    """Its laps are cut after 30 of 200 steps, and pay i in episode i."""
    summary = told(capsys, "check", laps(tmp_path, against=3))
    findings = {f["subject"]: f for f in summary["findings"]}
    assert findings["horizon"]["found"] == "12 of 12 that end after 30 steps"
    assert "of 256 steps pay otherwise" in findings["rewards"]["found"]
    assert "dynamics" not in findings
    point = "reins/PointCircleWall-v0"
    walk = np.zeros((151, 9), np.float32)
    walk[:, 0] = walk[:, 6] = np.linspace(5.0, -1.0, 151)
    made = Demonstrations(
        [walk] * 10, [np.zeros((150, 2), np.float32)] * 10, [np.zeros(150)] * 10, point
    )
    file = reins.save_demonstrations(tmp_path / "walk.npz", made)
    findings = {f["subject"]: f for f in told(capsys, "check", file)["findings"]}
    assert findings["boundary"]["found"] == "the nearest is 2 away"
    assert "lead elsewhere; entry" in findings["dynamics"]["found"]
    assert "horizon" not in findings


def test_steps_outside_of_what_a_constraint_has_seen_are_told(capsys, tmp_path):
    inputs = InputSpec(1, 2, True, (0,), (), seen_low=(-1.0,), seen_high=(0.0,))
    zeta = constraint_network(inputs, hidden=())(jax.random.key(0))
    path = tmp_path / "half.safetensors"
    save_constraint(path, zeta, {})
    summary = told(capsys, "check", "lapgridworld", "--constraint", path)
    (finding,) = [f for f in summary["findings"] if f["subject"] == "constraint"]
    # 200 steps are five laps of 40 cells, of which 19 lie above 0.
    assert "an extrapolation in 48 % of the steps" in finding["found"]
    assert "cell / 20 − 1 was -1 to 0.95, and -1 to 0 in the data" in finding["found"]


def test_learning_begins_with_what_is_suspicious(capsys, tmp_path):
    """And its summary says it; the rest of the run is as short as can be."""
    arguments = ["--steps", 800, "--environments", 2, "--seeds", 1, "--hidden", 4]
    arguments += ["--evaluation-episodes", 1, "--epochs", 1, "--minibatches", 1]
    arguments += ["--demonstrations", laps(tmp_path, episodes=3), "--clip", 0.5]
    out = tmp_path / "run"
    command = ["learn-constraint", "--env", LAP, "--out", out, *arguments]
    assert main(list(map(str, command))) == 0
    printed = capsys.readouterr().out
    assert "warning: number of episodes" in printed
    assert "warning: clip" in printed
    summary = json.loads((out / "summary.json").read_text())
    findings = summary["expert"]["findings"]
    wanted = ["number of episodes", "actions", "horizon", "rewards", "clip"]
    assert [finding["subject"] for finding in findings] == wanted


def test_steps_against_the_rule_are_counted(capsys, tmp_path):
    summary = told(capsys, "check", laps(tmp_path, against=3))
    (finding,) = [f for f in summary["findings"] if f["subject"] == "violations"]
    assert finding["expected"] == f"no step that the rule of {LAP} forbids"
    assert finding["found"] == "3 of 360 (0.83 %)"


def constraint(folder: Path, observations: int = 1) -> Path:
    """One that forbids observations above 1/2 of the last dimension."""
    inputs = InputSpec(observations, 2, True, (observations - 1,), ())
    build = constraint_network(inputs, hidden=())
    made = build(jax.random.key(0))
    network = made.network
    steep = jax.tree.map(lambda x: x * 0 + (-100.0 if x.ndim == 2 else 50.0), network)
    path = folder / f"learned-{observations}.safetensors"
    save_constraint(path, type(made)(steep, inputs), {})
    return path


def test_steps_that_a_learned_constraint_forbids_are_counted(capsys, tmp_path):
    file = laps(tmp_path)
    found = reins.load_demonstrations(file)
    above = sum(int((o[:-1] > 0.5).sum()) for o in found.observations)
    assert 0 < above < 360
    summary = told(capsys, "check", file, "--constraint", constraint(tmp_path))
    (finding,) = [f for f in summary["findings"] if f["subject"] == "violations"]
    assert finding["found"].startswith(f"{above} of 360")
    assert "ζ < 1/2" in finding["expected"]


def test_everything_that_is_wrong_is_told_at_once(capsys, tmp_path):
    file = laps(tmp_path, env_id="Pendulum-v1")
    other = constraint(tmp_path, observations=4)
    summary = told(capsys, "check", file, "--env", LAP, "--constraint", other, status=2)
    assert subjects(summary, "error") == ["constraint", "env"]
    warned = ["episodes", "actions", "horizon", "rewards"]
    assert subjects(summary, "warning") == warned
    assert summary["errors"] == 2
    assert asked("check", file, "--env", LAP) == 2
    assert f"cannot be learned from in {LAP}: 1 error, " in capsys.readouterr().out


def test_an_environment_that_nobody_knows_is_one_error_among_others(capsys, tmp_path):
    file = laps(tmp_path, env_id="reins/Lap-v0", episodes=3)
    summary = told(capsys, "check", file, status=2)
    assert subjects(summary, "error") == ["environment"]
    assert "no environment `reins/Lap-v0`" in summary["findings"][0]["found"]
    assert "number of episodes" in subjects(summary, "warning")


def test_broken_episodes_are_errors_and_no_traceback(capsys, tmp_path):
    file = laps(tmp_path)
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["rewards"][7] = np.nan
    np.savez(file, **arrays)
    summary = told(capsys, "check", file, status=2)
    assert subjects(summary, "error") == ["episodes"]
    assert "not finite" in complaint(capsys, "show", file)


def test_gymnasium_environments_are_checked_too(capsys, tmp_path):
    rng = np.random.default_rng(0)
    made = Demonstrations(
        [rng.uniform(-1, 1, (31, 4)).astype(np.float32) for _ in range(12)],
        [rng.integers(3, size=30) for _ in range(12)],
        [np.ones(30)] * 12,
        "CartPole-v1",
    )
    file = reins.save_demonstrations(tmp_path / "cart.npz", made)
    summary = told(capsys, "check", file, status=2)
    assert subjects(summary, "error") == ["spaces"]
    assert "outside Discrete(2)" in summary["findings"][0]["found"]


def test_show_says_what_there_is_and_draws_it(capsys, tmp_path):
    summary = told(capsys, "show", laps(tmp_path, against=3), "--out", tmp_path / "out")
    assert summary == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["episodes"], summary["steps"]) == (12, 360)
    assert summary["lengths"] == [30] * 12
    assert summary["return"] == [30.0 * i for i in range(12)]
    assert summary["made_by"] == "by hand"
    (action,) = summary["actions"]
    assert (action["min"], action["max"]) == (0.0, 1.0)
    assert action["mean"] == pytest.approx(3 / 360)
    picture = matplotlib.image.imread(tmp_path / "out" / "demonstrations.png")
    assert picture.shape[:2] == (780, 1500)
    assert picture[..., :3].std() > 0.1


def test_show_prints_ranges_and_joins_what_never_changes(capsys, tmp_path):
    rng = np.random.default_rng(0)
    wide = [rng.normal(size=(6, 30)) for _ in range(2)]
    for o in wide:
        o[:, 3:28] = 0.0
    made = Demonstrations(
        wide, [rng.normal(size=(5, 2)) for _ in wide], [np.ones(5)] * 2, "Some-v0"
    )
    about = {"imported": {"format": "icrl-2021", "published_returns": [1.5, 2.5]}}
    file = reins.save_demonstrations(tmp_path / "wide.npz", made, about=about)
    assert asked("show", file, "--out", tmp_path) == 0
    out = capsys.readouterr().out
    assert "3-27 never change" in out
    assert "published returns  1.5, 2.5" in out
    assert "nobody says" in out
    lines = [line.split() for line in out.splitlines()]
    assert sum(bool(line) and line[0] in ("0", "1", "2") for line in lines) == 5
    picture = matplotlib.image.imread(tmp_path / "demonstrations.png")
    assert picture.shape[:2] == (1080, 1500)


def test_import_of_an_archive_is_checked_and_shown(capsys, tmp_path):
    cells = (np.arange(31)[1:] % 40) / 20 - 1.0
    archive = {
        "observations": np.tile(cells.astype(np.float32), (3, 1))[..., None],
        "actions": np.zeros((3, 30, 1), np.int64),
        "rewards": np.ones((3, 30), np.float32),
        "reward_known": np.ones((3, 30), bool),
        "lengths": np.full(3, 30),
        "returns": np.full(3, 30.5),
        "last_row_is_reset": np.ones(3, bool),
    }
    np.savez(tmp_path / "old.npz", **archive)
    form = ["--format", "icrl-2021"]
    source, file = tmp_path / "old.npz", tmp_path / "new.npz"
    summary = told(capsys, "import", source, file, *form, "--env", LAP)
    assert (summary["command"], summary["env"]) == ("demonstrations import", LAP)
    assert (summary["episodes"], summary["steps"]) == (3, 84)
    assert summary["source"]["published_returns"] == [30.5] * 3
    assert reins.load_demonstrations(file).lengths.tolist() == [28] * 3
    shown = told(capsys, "show", file)
    assert shown["source"]["imported"] == summary["source"]
    kept = told(capsys, "import", source, file, *form, "--env", LAP, "--keep-pairs")
    assert kept["steps"] == 87
    assert "Name the one" in complaint(capsys, "import", source, file, *form)


def test_import_and_export_of_minari_datasets(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    file = laps(tmp_path)
    summary = told(capsys, "export", file, "laps-v0")
    assert summary["dataset"] == "laps-v0"
    assert Path(summary["folder"]) == tmp_path / "store" / "laps-v0"
    back = tmp_path / "back.npz"
    form = ["--format", "minari"]
    assert asked("import", "laps-v0", back, *form) == 0
    assert "12 episodes" in capsys.readouterr().out
    made, found = (reins.load_demonstrations(f) for f in (file, back))
    assert (found.env_id, found.made_by) == (made.env_id, made.made_by)
    np.testing.assert_array_equal(found.observations, made.observations)
    assert asked("import", "laps-v0", back, *form, "--env", "Other-v0") == 0
    assert reins.load_demonstrations(back).env_id == "Other-v0"
    capsys.readouterr()
    error = complaint(capsys, "import", "laps-v0", back, *form, "--keep-pairs")
    assert "those of Minari are aligned" in error


def test_demonstrations_of_a_trained_agent(capsys, tmp_path, trained):
    file = tmp_path / "made.npz"
    arguments = ["make", file, "--agent", trained.folder, "--episodes", 3]
    summary = told(capsys, *arguments, "--key", 4, "--out", tmp_path)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"] == "demonstrations make"
    assert len(summary["return"]) == summary["episodes"] == 3
    assert "--episodes 3 --seed 0 --key 4" in summary["made_by"]
    found = reins.load_demonstrations(file)
    assert found.returns.tolist() == summary["return"]


@pytest.mark.parametrize("action", ["make", "check", "show", "import", "export"])
def test_every_action_has_its_own_help(capsys, action):
    with pytest.raises(SystemExit) as stop:
        main(["demonstrations", action, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"reins demonstrations {action}" in out
    assert ("--keep-pairs" in out) == (action == "import")
    assert ("--agent" in out) == (action == "make")


def test_an_environment_is_checked_with_its_arguments(capsys, tmp_path):
    numbers = np.random.default_rng(0)
    swimmer = reins.Demonstrations(
        [numbers.normal(size=(21, 10)) for _ in range(10)],
        [numbers.uniform(-1, 1, (20, 2)) for _ in range(10)],
        [np.ones(20)] * 10,
        "Swimmer-v5",
    )
    file = reins.save_demonstrations(tmp_path / "swims", swimmer)
    summary = told(capsys, "check", file, status=2)
    assert subjects(summary, "error") == ["spaces"]
    placed = '{"exclude_current_positions_from_observation": false}'
    summary = told(capsys, "check", file, "--env-args", placed)
    assert subjects(summary, "error") == []
    error = complaint(capsys, "check", file, "--env-args", "{place")
    assert "expected a JSON object" in error
