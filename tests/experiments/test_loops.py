"""The loop around an agent: its groups, its histories, its failures."""

import numpy as np
import pytest

from reins.errors import RunError
from reins.experiments.build import build
from reins.experiments.checkpoint import load_record
from reins.experiments.config import PPOConfig, RunConfig, TrainConfig
from reins.experiments.engines.local import run_groups
from reins.experiments.loops import Group
from reins.experiments.program import compiled_program

SETTINGS = RunConfig(
    seeds=3,
    steps=1_600,
    environments=2,
    evaluation_interval=800,
    evaluation_episodes=2,
)
CONFIG = TrainConfig(
    "ppo",
    "reins/LapGridWorld-v0",
    run=SETTINGS,
    ppo=PPOConfig(hidden=(8,), epochs=1, minibatches=2),
)


def train(folder, grouped, program):
    groups = [
        Group(
            "ppo",
            CONFIG.env,
            seeds,
            compiled,
            SETTINGS,
            folder / f"{seeds[0]}.safetensors",
        )
        for seeds in grouped
        for compiled in [program[len(seeds)]]
    ]
    return groups, run_groups(groups, lambda progress: None)


@pytest.fixture(scope="module")
def programs():
    task = build(CONFIG)
    return {n: compiled_program(task, SETTINGS, n) for n in (1, 3)}


def test_seeds_under_vmap_are_the_seeds_one_by_one(tmp_path, programs):
    one_by_one, failures = train(tmp_path / "a", [(0,), (1,), (2,)], programs)
    together, more = train(tmp_path / "b", [(0, 1, 2)], programs)
    assert not failures
    assert not more
    rows = load_record(together[0].checkpoint)["history"]
    singles = [load_record(g.checkpoint)["history"] for g in one_by_one]
    for name in ("return", "violation_rate", "train/reward_per_step"):
        expected = [[s[-1][name][0] for s in singles]]
        np.testing.assert_allclose([rows[-1][name]], expected, rtol=0.05, atol=0.02)


def test_a_seed_does_not_depend_on_the_others(tmp_path, programs):
    many, _ = train(tmp_path / "a", [(0,), (1,)], programs)
    alone, _ = train(tmp_path / "b", [(1,)], programs)
    found = load_record(many[1].checkpoint)["history"]
    assert found == load_record(alone[0].checkpoint)["history"]
    assert found != load_record(many[0].checkpoint)["history"]


def test_history_has_a_row_at_the_start_at_every_interval_and_at_the_end(
    tmp_path, programs
):
    groups, _ = train(tmp_path, [(0,)], programs)
    record = load_record(groups[0].checkpoint)
    assert [row["steps"] for row in record["history"]] == [0, 800, 1600]
    assert record["pending"] == []
    assert "entropy" in record["history"][-1]


def test_evaluating_more_often_changes_no_number_of_the_training(tmp_path, programs):
    often = SETTINGS.__class__(**{**vars(SETTINGS), "evaluation_interval": 400})
    groups, _ = train(tmp_path / "a", [(0,)], programs)
    other = groups[0]._replace(run=often, checkpoint=tmp_path / "b.safetensors")
    run_groups([other], lambda progress: None)
    last = [load_record(g.checkpoint)["history"][-1] for g in (groups[0], other)]
    assert last[0]["return"] == last[1]["return"]
    assert len(load_record(other.checkpoint)["history"]) == 5


def test_what_is_not_finite_ends_its_own_group_and_keeps_its_checkpoint(
    tmp_path, programs
):
    calls = []

    def poisoned(state, most):
        state, info, _ = programs[1].advance(state, 1)
        calls.append(1)
        if len(calls) == 3:
            info = info | {"entropy": info["entropy"] * np.nan}
        return state, info, 1

    bad = programs[1]._replace(advance=poisoned)
    groups = [
        Group("bad", CONFIG.env, (0,), bad, SETTINGS, tmp_path / "bad.safetensors"),
        Group(
            "good",
            CONFIG.env,
            (1,),
            programs[1],
            SETTINGS,
            tmp_path / "good.safetensors",
        ),
    ]
    failures = run_groups(groups, lambda progress: None)
    assert list(failures) == [groups[0]]
    error = failures[groups[0]]
    assert isinstance(error, RunError)
    assert "bad, seed 0, update 3: `entropy` became nan" in str(error)
    assert load_record(groups[0].checkpoint)["updates"] == 2
    assert load_record(groups[1].checkpoint)["updates"] == SETTINGS.updates
