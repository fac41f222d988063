"""inverse-constrained-rl: what its cells need, and what their pictures and page say."""

import dataclasses

import numpy as np
import pytest

from reins.cli import main
from reins.errors import ConfigError, RunError
from reins.experiments.config import LearnConfig, TrainConfig, command_line
from reins.experiments.record import Curves
from reins.experiments.report import Terminal
from reins.experiments.reproduce import ReproduceConfig, queue
from reins.experiments.reproduce.cell import Asked
from reins.experiments.reproduce.draw_rules import draw_ablation, draw_methods
from reins.experiments.reproduce.inverse_constrained_rl import (
    ABLATION,
    ANT,
    BACKWARD_STEPS,
    BROKEN,
    CHEETAH,
    METHODS,
    NO_RULE,
    POINT,
    ROBOTS,
    TRUE_RULE,
    ablation_name,
    inverse_constrained_rl,
    scaled,
)
from reins.experiments.reproduce.needs import learning_from
from reins.experiments.reproduce.rules import LEARNING, TRANSFER, compare

QUIET = Terminal(quiet=True)
NAME = "inverse-constrained-rl"
ASKED = Asked(f"reins reproduce {NAME}", 1.0)
CELLS = {cell.label: cell for cell in inverse_constrained_rl()}


@pytest.fixture
def begun(monkeypatch):
    """What would be run, without running it; a learner leaves a constraint."""
    configs = []

    def start(config, folder, terminal):
        configs.append(config)
        folder.mkdir(parents=True)
        if isinstance(config, LearnConfig):
            (folder / "constraint-seed-0.safetensors").touch()

    monkeypatch.setattr(queue, "start", start)
    return configs


@pytest.fixture
def ants(tmp_path):
    file = tmp_path / "ants.npz"
    file.touch()
    return (f"{ANT}={file}",)


def test_all_of_s2_is_there():
    learned = {f"{robot}/{method}" for robot in ROBOTS for method in METHODS}
    judged = {f"{robot}/{name}" for robot in ROBOTS for name in (NO_RULE, TRUE_RULE)}
    ablated = {
        f"{ABLATION}/{ablation_name(b, w, s)}"
        for b in BACKWARD_STEPS
        for w in ("weights", "no weights")
        for s in ("early stop", "no early stop")
    }
    assert learned | judged | ablated <= CELLS.keys()
    assert len(ablated) == 16


def test_what_is_needed_is_a_cell_and_comes_before():
    order = list(CELLS)
    needing = [cell for cell in CELLS.values() if cell.needs]
    assert {cell.table for cell in needing} == {POINT, BROKEN}
    for cell in needing:
        assert order.index(cell.needs) < order.index(cell.label)
        assert cell.config.constraint == cell.needs
        source = CELLS[cell.needs].config
        assert source.method == cell.name
        assert source.constraint.observation_dims == (0, 1)
        assert source.constraint.action_dims == ()


def test_baselines_that_are_carried_keep_the_reward_of_the_task():
    for robot in (POINT, BROKEN):
        paid = CELLS[f"{robot}/gail-constraint"].config
        assert (paid.agent, paid.forward) == ("ppo", "log-reward")
        for name in ("icrl", "classifier"):
            config = CELLS[f"{robot}/{name}"].config
            assert (config.agent, config.forward) == ("ppo-lagrangian", "relative-cost")


def test_agents_that_train_are_judged_in_the_constrained_twin():
    for cell in CELLS.values():
        if isinstance(cell.config, TrainConfig):
            assert cell.config.return_env == f"reins/{cell.table}Constrained-v0"


def test_the_ablation_differs_in_three_settings_and_nothing_else():
    cells = [cell for cell in CELLS.values() if cell.table == ABLATION]
    three = ("backward_steps", "weighting", "early_stop")
    told = [tuple(getattr(c.config.constraint, name) for name in three) for c in cells]
    assert len(set(told)) == 16
    base = LearnConfig("reins/HalfCheetahWall-v0", "x").constraint
    plain = {name: getattr(base, name) for name in three}
    same = {
        dataclasses.replace(
            c.config, constraint=dataclasses.replace(c.config.constraint, **plain)
        )
        for c in cells
    }
    assert len(same) == 1


def test_a_share_has_as_many_evaluations_and_nothing_published():
    cell = scaled(CELLS[f"{CHEETAH}/icrl"], 0.1)
    run = cell.config.run
    assert (run.steps, run.evaluation_interval, cell.published) == (200_000, 10_000, "")
    least = scaled(CELLS[f"{CHEETAH}/icrl"], 1e-9).config.run
    assert least.steps == least.batch_steps
    assert scaled(CELLS[f"{CHEETAH}/icrl"], 1.0) == CELLS[f"{CHEETAH}/icrl"]


def test_what_a_chosen_cell_needs_is_run_before_it(begun, ants, tmp_path):
    settings = ReproduceConfig(only=(f"{POINT}/icrl",), demonstrations=ants)
    summary = queue.reproduce(NAME, settings, tmp_path / "out", QUIET)
    assert summary["failures"] == {}
    learner, carrier = begun
    assert learner.demonstrations == ants[0].partition("=")[2]
    assert learner.run.seed_list == carrier.run.seed_list == [0, 1, 2, 3, 4]
    assert carrier.constraint == str(tmp_path / "out" / ANT / "icrl, x and y")


def test_a_run_is_known_wherever_what_it_needs_lies(tmp_path):
    cell = CELLS[f"{POINT}/icrl"]
    assert cell.is_of(cell.placed(tmp_path))
    assert not CELLS[f"{POINT}/classifier"].is_of(cell.placed(tmp_path))
    assert f"--constraint '{cell.needs}'" in command_line(cell.config)


def test_demonstrations_that_do_not_ship_are_asked_for(begun, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "reins.experiments.files.shipped_demonstrations", lambda: {CHEETAH: "x"}
    )
    settings = ReproduceConfig(only=(f"{BROKEN}/icrl", f"{BROKEN}/{NO_RULE}"))
    failures = queue.reproduce(NAME, settings, tmp_path, QUIET)["failures"]
    learner = f"{ANT}/icrl, x and y"
    assert f"--demonstrations {ANT}=FILE" in failures[learner]
    assert (
        failures[f"{BROKEN}/icrl"] == f"it needs what {learner} learns, which failed."
    )
    assert [config.agent for config in begun] == ["ppo"]


def test_a_learner_that_fails_leaves_nothing_to_carry(tmp_path, ants, monkeypatch):
    def start(*_):
        raise RunError("out of luck")

    monkeypatch.setattr(queue, "start", start)
    settings = ReproduceConfig(only=(f"{POINT}/icrl",), demonstrations=ants)
    failures = queue.reproduce(NAME, settings, tmp_path, QUIET)["failures"]
    assert failures[f"{ANT}/icrl, x and y"] == "out of luck"
    assert "which failed" in failures[f"{POINT}/icrl"]


@pytest.mark.parametrize(
    ("table", "given", "text"),
    [
        (NAME, "AntWall", "expected NAME=FILE"),
        (NAME, "AntWal=x.npz", "Did you mean `AntWall`"),
        ("lectures", "AntWall=x.npz", "no set in this table `AntWall`"),
    ],
)
def test_demonstrations_for_nobody_are_refused(table, given, text, tmp_path, capsys):
    words = [
        "reproduce",
        table,
        "--demonstrations",
        given,
        "--out",
        str(tmp_path / "x"),
    ]
    assert main(words) == 2
    assert text in capsys.readouterr().err


def test_other_demonstrations_change_those_who_learn_from_them_alone():
    found = learning_from(list(CELLS.values()), ["AntWall=ants.npz"])
    for cell, before in zip(found, CELLS.values(), strict=True):
        learns = isinstance(cell.config, LearnConfig) and before.table == ANT
        assert (cell != before) == learns
        if learns:
            assert cell.config.demonstrations == "ants.npz"
    with pytest.raises(ConfigError, match="Known: HalfCheetahWall, ants"):
        learning_from(found, ["AntWall=x"])


def some_curves(returns, rates):
    first = [np.zeros(len(returns)), np.ones(len(rates))]
    values = {"return": np.stack([first[0], returns])}
    values["violation_rate"] = np.stack([first[1], rates])
    return Curves(np.array([0, 100]), values)


RESULTS = {
    CHEETAH: {
        "icrl": some_curves([3400.0, 3200.0, 9000.0], [0.0, 0.0, 0.5]),
        NO_RULE: some_curves([60.0, 50.0, 40.0], [1.0, 0.9, 1.0]),
    },
    POINT: {"icrl": some_curves([145.0, 142.0], [0.01, 0.0])},
    ABLATION: {
        ablation_name(5, "weights", "early stop"): some_curves([10.0, 30.0], [0.0, 0.2])
    },
}


def test_seeds_count_that_earn_enough_and_violate_little(tmp_path):
    found = compare(RESULTS, tmp_path, ASKED)
    marks = found.numbers["at_mark"]
    assert (marks[f"{CHEETAH}/icrl"]["seeds"], marks[f"{POINT}/icrl"]["seeds"]) == (
        1,
        2,
    )
    assert "| icrl | 0.000, 0.000, 0.500 | 0.167 [" in found.page
    assert "| 1 of 3 |" in found.page
    assert (
        "violations a step of each seed | IQM [95 %] | >= 3,300 at <= 0.01"
        in found.page
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"learning.png", "transfer.png", "ablation.png"}


def test_at_another_size_nobody_is_measured_against_the_marks(tmp_path):
    found = compare(RESULTS, tmp_path, ASKED._replace(scale=0.1))
    assert found.numbers == {}
    assert "3,300" not in found.page
    assert found.page.startswith(f"reins reproduce {NAME} (steps x 0.1):")


def texts_of(axes):
    return " ".join(text.get_text() for text in axes.texts)


def test_panels_say_what_is_missing_and_how_to_get_it():
    figure = draw_methods(LEARNING, RESULTS, ASKED, "x")
    cheetah, cheated, ant, *_ = figure.axes
    assert "not run yet: classifier, gail-constraint" in texts_of(cheetah)
    assert f"--only {ANT}" in texts_of(ant)
    thick = [line for line in cheetah.lines if line.get_linewidth() > 1.5]
    assert [line.get_label() for line in thick] == ["icrl (n = 3)"]
    # Half of what was before: 0 at first, then half of the mean.
    np.testing.assert_allclose(thick[0].get_ydata(), [0.0, 0.5 * 15600 / 3])
    labels = dict(zip(*cheated.get_legend_handles_labels()[::-1], strict=True))
    assert labels[NO_RULE].get_ydata()[0] == pytest.approx(2.9 / 3)


def test_carried_constraints_have_a_row_for_each_robot():
    figure = draw_methods(TRANSFER, RESULTS, ASKED, "x")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [POINT, POINT, BROKEN, BROKEN]


def test_the_ablation_stands_beside_weights_by_return():
    returns, _ = draw_ablation(RESULTS, ASKED).axes
    labels = dict(zip(*returns.get_legend_handles_labels()[::-1], strict=True))
    assert labels.keys() == {"weights, early stop", "weights by return, B = 10"}
    assert labels["weights by return, B = 10"].get_ydata()[0] == 5200
    assert texts_of(returns).count("not run yet") == 15
    empty, _ = draw_ablation({}, ASKED).axes
    assert f"--only {ABLATION}" in texts_of(empty)
