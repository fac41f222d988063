"""`reins lab`: rows, summary and picture of every study, as a user meets them."""

import csv
import json

import pytest
from matplotlib.figure import Figure

import reins
from reins.cli import main
from reins.experiments.lab.studies import STUDIES
from reins.lab import compare
from reins.lab.comparison import COLUMNS

FEW = ["--problem", "bandit", "--samples", "2", "8", "--repeats", "20"]


def read(folder):
    with (folder / "lab.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_estimators_leave_rows_a_summary_and_a_picture(tmp_path, capsys):
    out = tmp_path / "lab"
    names = ["score_total_return", "per_decision", "evolution"]
    assert main(["lab", "estimators", *FEW, "--only", *names, "--out", str(out)]) == 0
    rows = read(out)
    assert list(rows[0]) == COLUMNS
    assert [(r["estimator"], r["samples"]) for r in rows] == [
        (name, n) for name in names for n in ("2", "8")
    ]
    assert all(float(r["mse"]) > 0 and float(r["seconds"]) > 0 for r in rows)
    assert rows[0]["ess"] == ""
    assert 1 <= float(rows[2]["ess"]) <= 2
    assert (out / "lab.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["command"] == "lab estimators"
    assert summary["config"]["samples"] == [2, 8]
    assert summary["rows"] == 6
    assert "jax" in summary["versions"]
    said = capsys.readouterr().out
    assert "bandit: estimates from 8 samples" in said
    assert "per_decision" in said


def test_json_alone_is_printed_when_asked(tmp_path, capsys):
    arguments = ["lab", "estimators", *FEW, "--only", "score_td", "--json"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2


def test_a_users_own_estimator_by_its_module(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_estimators.py").write_text(
        "import jax.numpy as jnp\n"
        "def wrong(log_probs, rewards):\n"
        "    return jnp.mean(log_probs.sum(axis=1) * rewards.sum(axis=1))\n"
        "def vector(log_probs):\n"
        "    return log_probs.sum(axis=1)\n"
        "nothing = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(name):
        return main(["lab", "estimators", *FEW, "--only", name, "--out", "lab"])

    assert run("my_estimators:wrong") == 0
    rows = read(tmp_path / "lab")
    assert {r["estimator"] for r in rows} == {"my_estimators:wrong"}
    assert float(rows[1]["cosine"]) < -0.5
    capsys.readouterr()
    assert run("my_estimators:vector") == 2
    said = capsys.readouterr().err
    assert "`my_estimators:vector`" in said
    assert "scalar loss" in said
    for name in ("my_estimators:nowhere", "no_such_module:f", "my_estimators:nothing"):
        assert run(name) == 2
        assert f"the estimator {name} was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["estimators", "--problem", "bandot"], "Did you mean `bandit`?"),
        (["estimators", "--only", "scoretd"], "no estimator `scoretd`"),
        (["estimators", "--samples", "0"], "each at least 1"),
    ],
)
def test_wrong_input_ends_with_a_sentence(arguments, message, tmp_path, capsys):
    assert main(["lab", *arguments, "--out", str(tmp_path / "lab")]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said_first(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["lab", "fisher", "--out", str(tmp_path / "file")]) == 2
    assert "cannot be a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_configuration_with_help(name):
    kind = STUDIES[name]
    assert kind.config.__doc__.endswith(".")
    assert kind.config() == kind.config()


def test_a_study_made_in_python_is_written_the_same(tmp_path):
    import jax

    study = compare({"mine": "score_td"}, "bandit", key=jax.random.key(0), samples=(4,))
    summary = reins.write_study(study, tmp_path / "mine")
    assert summary["rows"] == 1
    assert read(tmp_path / "mine")[0]["estimator"] == "mine"
    assert isinstance(STUDIES["estimators"].draw(study), Figure)


@pytest.mark.parametrize("name", ["fisher", "kl-fit", "bound"])
def test_a_study_runs_from_the_command_line(name, tmp_path):
    assert main(["lab", name, "--out", str(tmp_path), "--quiet"]) == 0
    assert len(read(tmp_path)) > 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"] == f"lab {name}"
    assert (tmp_path / "lab.png").stat().st_size > 10_000
