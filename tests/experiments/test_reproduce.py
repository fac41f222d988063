"""A table's queue: cells are done once, resume, and fail alone."""

import json

import numpy as np
import pytest

from reins.cli import main
from reins.errors import DataError, RunError
from reins.experiments.config import AGENTS, METHODS, USED
from reins.experiments.record import load_curves, read_curves
from reins.experiments.report import Terminal
from reins.experiments.reproduce import REPRODUCTIONS, ReproduceConfig, queue

QUIET = Terminal(quiet=True)
ONE = ["reproduce", "lectures", "--only", "CartPole-v1/a2c", "--seeds", "1"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    assert main([*ONE, "--scale", "0.002", "--out", str(folder), "--quiet"]) == 0
    return folder


def read(path):
    return json.loads(path.read_text())


def test_a_cell_leaves_a_run_and_the_table_shows_it(out):
    summary = read(out / "summary.json")
    (row,) = summary["tables"]["CartPole-v1"].values()
    assert row["agent"] == "a2c"
    assert row["steps"] == 600 // 256 * 256 + 256
    assert (
        row["final_return"]
        == read(out / "CartPole-v1/a2c/summary.json")["final_return"]
    )
    assert summary["failures"] == {}
    kept = out / "results"
    assert (kept / "CartPole-v1" / "curves.png").exists()
    curves = (kept / "CartPole-v1" / "a2c.csv").read_text()
    assert curves == (out / "CartPole-v1/a2c/curves.csv").read_text()
    (line,) = (
        line
        for line in (kept / "tables.md").read_text().splitlines()
        if line.startswith("| a2c |")
    )
    assert f"| {row['final_return'][0]:.0f} |" in line
    assert line.endswith("| 768 | 500 at 500,000 (zoo) |")
    assert "final_violation_rate" not in (kept / "summary.json").read_text()


def test_a_setting_that_came_later_stands_at_its_default(out, tmp_path):
    record = read(out / "CartPole-v1/a2c/config.json")
    del record["config"]["population"]["std"]
    (out / "CartPole-v1/a2c/config.json").write_text(json.dumps(record))
    assert main([*ONE, "--scale", "0.002", "--out", str(out), "--quiet"]) == 0


def test_what_is_finished_is_not_run_again(out):
    checkpoint = next((out / "CartPole-v1/a2c/checkpoints").iterdir())
    before = checkpoint.read_bytes()
    assert main([*ONE, "--scale", "0.002", "--out", str(out), "--quiet"]) == 0
    assert checkpoint.read_bytes() == before


def test_other_settings_in_the_same_folder_are_refused(out, capsys):
    assert main([*ONE, "--scale", "0.01", "--out", str(out), "--quiet"]) == 2
    failures = read(out / "summary.json")["failures"]
    assert "a run of other settings" in failures["CartPole-v1/a2c"]


def test_a_cell_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    begun = []

    def start(config, folder, terminal):
        begun.append(config.agent)
        if config.agent == "npg":
            raise RunError("out of luck")

    monkeypatch.setattr(queue, "start", start)
    settings = ReproduceConfig(only=("CartPole-v1/npg", "CartPole-v1/trpo"))
    summary = queue.reproduce("lectures", settings, tmp_path, QUIET)
    assert begun == ["npg", "trpo"]
    assert summary["failures"] == {"CartPole-v1/npg": "out of luck"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lecture"], "Did you mean `lectures`?"),
        (["lectures", "--only", "Chess"], "no cell of lectures"),
        (["lectures", "--scale", "0"], "scale must be positive"),
    ],
)
def test_wrong_input_ends_with_a_sentence(arguments, message, tmp_path, capsys):
    assert main(["reproduce", *arguments, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_cells_have_names_of_their_own(name):
    cells = REPRODUCTIONS[name].cells()
    assert len({(c.table, c.file) for c in cells}) == len(cells)
    assert {c.config.agent for c in cells} <= {*USED, *METHODS}


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_every_cell_can_be_made_smaller(name):
    table = REPRODUCTIONS[name]
    for cell in table.cells():
        run = cell.config.run
        found = table.scaled(cell, 0.1).config.run.steps
        assert found == max(run.batch_steps, round(0.1 * run.steps))


def test_the_lectures_cover_every_agent():
    found = {cell.config.agent for cell in REPRODUCTIONS["lectures"].cells()}
    theirs = {name for name, told in AGENTS.items() if "(S3)" in told or "(S4)" in told}
    assert found == theirs | {"ppo"}


def test_a_table_has_its_own_number_of_seeds(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(queue, "start", lambda config, *_: begun.append(config.run))
    queue.reproduce("pong-from-pixels", ReproduceConfig(), tmp_path, QUIET)
    assert begun[0].seed_list == [0, 1, 2]


def test_curves_are_read_as_they_were_written(out):
    seeds, curves = load_curves(out / "results/CartPole-v1/a2c.csv")
    expected_seeds, expected = read_curves(out / "CartPole-v1/a2c")
    assert seeds == expected_seeds
    np.testing.assert_array_equal(curves.steps, expected.steps)
    assert curves.values.keys() == expected.values.keys()
    for name, values in curves.values.items():
        np.testing.assert_array_equal(values, expected.values[name])


@pytest.mark.parametrize("text", ["", "seed,steps,return\n", "seed,steps\n0,a\n"])
def test_what_is_not_curves_is_refused(text, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match="cannot be read as curves"):
        load_curves(tmp_path / "x.csv")


def test_kept_results_that_are_not_there_are_refused(tmp_path, capsys):
    there = [*ONE, "--kept", str(tmp_path / "none"), "--out", str(tmp_path / "x")]
    assert main(there) == 2
    assert "kept results: there is no file" in capsys.readouterr().err
