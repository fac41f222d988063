"""Reverse against forward KL: which runs they are, and what is made of them."""

import dataclasses
import json

import numpy as np
import pytest

from reins.cli import main
from reins.experiments.record import Curves, load_curves
from reins.experiments.report import Terminal
from reins.experiments.reproduce import REPRODUCTIONS, ReproduceConfig, queue
from reins.experiments.reproduce.cell import Asked
from reins.experiments.reproduce.divergences import compare, endings, page_of
from reins.experiments.reproduce.draw_divergences import draw_humanoid, draw_robots
from reins.experiments.reproduce.rl_as_inference import rl_as_inference, scaled
from reins.experiments.statistics import bootstrap_interval, probability_of_improvement

ASKED = Asked("reins reproduce rl-as-inference --scale 0.1", 0.1)


# ----------------------------------------------------------------- which runs they are


def test_both_losses_of_a_task_and_a_replay_follow_each_other_cheap_tasks_first():
    cells = rl_as_inference()
    assert len(cells) == 20
    for reverse, forward in zip(cells[::2], cells[1::2], strict=True):
        assert reverse.table == forward.table
        assert reverse.name.endswith("reverse-kl")
        assert forward.name == reverse.name.replace("reverse", "forward")
        assert reverse.config.soft.critic_for("reverse-kl") == "soft"
        assert forward.config.soft.critic_for("forward-kl") == "classic"
        assert reverse.config.soft.samples_for("reverse-kl") == 1
        assert forward.config.soft.samples_for("forward-kl") == 16
    sizes = [cell.config.soft.buffer_size for cell in cells[:4]]
    assert sizes == [50_000, 50_000, 1_000_000, 1_000_000]
    tasks = list(dict.fromkeys(cell.table for cell in cells))
    assert (tasks[0], tasks[-1]) == ("Hopper-v5", "Humanoid-v5")


def test_steps_and_replay_shrink_together():
    cell = next(c for c in rl_as_inference() if c.name == "50K, forward-kl")
    small = scaled(cell, 0.1).config
    assert (small.run.steps, small.soft.buffer_size) == (100_000, 5_000)
    assert small.run.evaluation_interval == 1_000
    assert small.soft.learning_starts == 1_000
    tiny = scaled(cell, 0.005).config
    assert (tiny.run.steps, tiny.soft.learning_starts) == (5_000, 500)
    assert scaled(cell, 1.0) == cell


def test_scores_of_a_million_steps_stand_beside_a_million_steps_only():
    published = {c.name for c in rl_as_inference() if c.published}
    assert published == {"1M, reverse-kl"}
    assert not any(scaled(c, 0.5).published for c in rl_as_inference())


# -------------------------------------------------------------------------- run, small


def small():
    """Two cells that differ as the large ones do."""
    cells = []
    for cell in rl_as_inference()[:2]:
        config = cell.config
        cut = dataclasses.replace(
            config,
            run=dataclasses.replace(config.run, steps=60, evaluation_episodes=1),
            ppo=dataclasses.replace(config.ppo, hidden=(8,)),
            soft=dataclasses.replace(
                config.soft, buffer_size=20, batch_size=8, action_samples=2
            ),
        )
        cells.append(cell._replace(config=cut))
    return cells


@pytest.fixture(scope="module", autouse=True)
def table():
    with pytest.MonkeyPatch.context() as patch:
        whole = REPRODUCTIONS["rl-as-inference"]
        patch.setitem(REPRODUCTIONS, "rl-as-inference", whole._replace(cells=small))
        yield


COMMAND = ["reproduce", "rl-as-inference", "--scale", "0.5", "--seeds", "1", "--quiet"]


@pytest.fixture(scope="module")
def out(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rlai")
    assert main([*COMMAND, "--out", str(folder)]) == 0
    return folder


def read(path):
    return json.loads(path.read_text())


def test_cells_leave_curves_pictures_and_a_comparison(out):
    kept = out / "results"
    rows = read(kept / "summary.json")["tables"]["Hopper-v5"]
    assert [rows[name]["steps"] for name in rows] == [30, 30]
    finals = {}
    for name, loss in (("50k-reverse-kl", "reverse"), ("50k-forward-kl", "forward")):
        seeds, curves = load_curves(kept / "Hopper-v5" / f"{name}.csv")
        assert (seeds, len(curves.steps), curves.steps[-1]) == ([0], 31, 30)
        finals[loss] = curves.values["return"][-1]
        assert curves.values["replay_size"][-1].tolist() == [10.0]
        np.testing.assert_allclose(
            finals[loss], rows[f"50K, {loss}-kl"]["final_return"], rtol=1e-12
        )
    expected = probability_of_improvement([(finals["forward"], finals["reverse"])])
    numbers = read(kept / "summary.json")["forward_above_reverse"]
    assert numbers["Hopper-v5/50K"] == expected._asdict()
    for picture in ("figure-2", "figure-3", "endings", "Hopper-v5/curves"):
        assert (kept / f"{picture}.png").read_bytes()[1:4] == b"PNG"
    assert "| Hopper-v5, 50K | " in (kept / "tables.md").read_text()


def test_results_kept_elsewhere_count_as_done(out, tmp_path):
    there = tmp_path / "new"
    for kept in (out / "results", there / "results"):
        assert main([*COMMAND, "--kept", str(kept), "--out", str(there)]) == 0
    assert not (there / "Hopper-v5").exists()
    for name in ("tables.md", "summary.json", "Hopper-v5/50k-forward-kl.csv"):
        assert (there / "results" / name).read_text() == (
            out / "results" / name
        ).read_text()


def test_kept_results_of_another_size_do_not(out, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(queue, "start", lambda config, *_: begun.append(config))
    settings = ReproduceConfig(scale=0.25, seeds=1, kept=(out / "results",))
    quiet = Terminal(quiet=True)
    summary = queue.reproduce("rl-as-inference", settings, tmp_path / "new", quiet)
    assert [config.run.steps for config in begun] == [15, 15]
    assert summary["tables"] == {}


def test_what_is_finished_is_kept_before_the_next_cell_begins(
    out, tmp_path, monkeypatch
):
    def start(config, folder, terminal):
        if config.soft.policy_loss == "forward-kl":
            raise KeyboardInterrupt
        folder.parent.mkdir(parents=True)
        (out / "Hopper-v5/50K, reverse-kl").rename(folder)

    monkeypatch.setattr(queue, "start", start)
    there = tmp_path / "new"
    try:
        assert main([*COMMAND, "--out", str(there)]) == 130
        page = (there / "results/tables.md").read_text()
        assert "| Hopper-v5, 50K | " in page
        assert "not run yet" in page.splitlines()[8]
    finally:
        (there / "Hopper-v5/50K, reverse-kl").rename(out / "Hopper-v5/50K, reverse-kl")


def test_a_cell_that_was_cut_off_goes_on_and_the_others_are_told_again(out):
    cell = out / "Hopper-v5/50K, reverse-kl"
    curves, summary = (cell / "curves.csv").read_text(), read(cell / "summary.json")
    (cell / "curves.csv").unlink()
    (cell / "summary.json").unlink()
    only = ["--only", "50K, reverse", "--out", str(out)]
    assert main([*COMMAND, *only]) == 0
    assert (cell / "curves.csv").read_text() == curves
    assert read(cell / "summary.json")["final_return"] == summary["final_return"]
    told = read(out / "summary.json")["tables"]["Hopper-v5"]
    assert list(told) == ["50K, reverse-kl", "50K, forward-kl"]


# ---------------------------------------------------------------- what is made of them


def curves(seed, seeds=4, points=6):
    generator = np.random.default_rng(seed)
    steps = 1_000 * np.arange(points)
    return Curves(steps, {"return": generator.normal(100, 30, (points, seeds))})


RESULTS = {
    "Hopper-v5": {
        "50K, reverse-kl": curves(0),
        "50K, forward-kl": curves(1),
        "1M, reverse-kl": curves(2),
    },
    "Humanoid-v5": {
        "50K, reverse-kl": curves(3),
        "50K, forward-kl": curves(4, seeds=3),
    },
}


def last(task, name):
    return RESULTS[task][name].values["return"][-1]


def test_endings_are_intervals_of_the_last_evaluation():
    found = endings(RESULTS)
    assert len(found.means) == 5
    assert found.means["Hopper-v5", "1M", "reverse-kl"] == bootstrap_interval(
        last("Hopper-v5", "1M, reverse-kl")
    )
    pairs = [
        (last(task, "50K, forward-kl"), last(task, "50K, reverse-kl"))
        for task in ("Hopper-v5", "Humanoid-v5")
    ]
    assert list(found.better) == [("Hopper-v5", "50K"), ("Humanoid-v5", "50K")]
    alone = probability_of_improvement(pairs[:1])
    assert found.better["Hopper-v5", "50K"] == alone
    together = probability_of_improvement(pairs)
    assert found.over_tasks == {"50K": (2, together)}
    page = page_of(found).splitlines()
    assert page[2].endswith(f"{alone.value:.2f} [{alone.low:.2f}, {alone.high:.2f}] |")
    assert page[3].endswith("| not run yet | not run yet |")
    assert page[-1].startswith("| 2 of 5 tasks, 50K | | | ")


def slowly(values, weight=0.9):
    smooth = [values[0]]
    for value in values[1:]:
        smooth.append(weight * smooth[-1] + (1 - weight) * value)
    return smooth


def test_a_panel_has_the_mean_of_smoothed_seeds_and_a_band_of_what_it_says():
    axes = draw_robots(RESULTS, ASKED).axes[0]
    returns = RESULTS["Hopper-v5"]["50K, forward-kl"].values["return"]
    seeds = np.asarray([slowly(seed) for seed in returns.T])
    line = next(x for x in axes.lines if str(x.get_label()).startswith("forward KL"))
    np.testing.assert_allclose(line.get_ydata(), seeds.mean(axis=0))
    outline = axes.collections[1].get_paths()[0].vertices
    quarter = 0.25 * seeds.std(axis=0, ddof=1)
    at = outline[outline[:, 0] == 3_000.0][:, 1]
    assert at.max() - at.min() == pytest.approx(2 * quarter[3])


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_a_panel_without_a_run_says_how_to_run_it():
    figure = draw_robots(RESULTS, ASKED)
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles[0] == "Hopper-v5"
    assert titles[-1] == "Humanoid-v5"
    assert words(figure.axes[0]) == []
    assert words(figure.axes[5]) == ["forward KL: not run yet"]
    (said,) = words(figure.axes[9])
    assert said.startswith("not run yet")
    command = " ".join(said.removeprefix("not run yet").split())
    assert command == f"{ASKED.command} --only Humanoid-v5/1M"
    (said,) = words(draw_humanoid(RESULTS, ASKED).axes[0])
    assert said.endswith("--only Humanoid-v5/1M")


def test_pictures_say_what_their_bands_are_and_what_was_scaled():
    quarter, one = (
        draw(RESULTS, ASKED).get_suptitle() for draw in (draw_robots, draw_humanoid)
    )
    assert "band: a quarter of a standard deviation over seeds" in quarter
    assert "band: one standard deviation over seeds" in one
    assert "(steps and replay x 0.1)" in one
    whole = draw_humanoid(RESULTS, Asked("reins reproduce rl-as-inference", 1.0))
    assert "replay x" not in whole.get_suptitle()


def test_nothing_finished_is_nothing_wrong(tmp_path):
    found = compare({}, tmp_path, ASKED)
    assert found.numbers == {"forward_above_reverse": {}}
    assert (tmp_path / "endings.png").exists()
