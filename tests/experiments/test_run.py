"""What runs leave behind, and what becomes of it."""

import csv
import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

import reins
from reins.errors import ConfigError, DataError
from reins.experiments.summary import occupancy, violation_rate
from tests.experiments.conftest import LAP, SMALL

PROMISED = [
    *("agent", "env", "seeds", "steps", "final_return", "final_violation_rate"),
    *("evaluation_episodes", "steps_per_second", "wall_seconds", "versions"),
]


def test_the_summary_of_training_keeps_its_contract(trained):
    summary = json.loads((trained.folder / "summary.json").read_text())
    assert summary == trained.summary
    assert summary["schema"] == "reins.summary/1"
    assert set(PROMISED) <= summary.keys()
    assert summary["seeds"] == [0, 1]
    assert len(summary["final_return"]) == len(summary["final_violation_rate"]) == 2
    assert summary["steps"] == SMALL["steps"]
    assert summary["versions"]["reins"]


def test_the_summary_of_learning_keeps_its_contract(learned):
    summary = learned.summary
    assert summary["expert"]["return"] == [60.0] * 20
    assert summary["expert"]["violation_rate"] == 0.0
    method = summary["methods"]["icrl"]
    assert set(PROMISED) <= method.keys()
    assert method["return_env"] == "reins/LapGridWorldConstrained-v0"
    assert method["violation_env"] == LAP
    assert len(method["constraint"]["rule_recovered"]) == 2


def test_everything_promised_lies_in_the_folder(learned):
    for name in ("config.json", "curves.csv", "curves.png", "constraint.png"):
        assert (learned.folder / name).stat().st_size > 0
    assert list((learned.folder / "tensorboard" / "seed-1").glob("events*"))
    rows = list(
        csv.DictReader((learned.folder / "curves.csv").read_text().splitlines())
    )
    assert [row["steps"] for row in rows if row["seed"] == "1"] == ["0", "800", "1600"]
    assert (
        float(rows[-1]["return"])
        == learned.summary["methods"]["icrl"]["final_return"][1]
    )


def test_a_folder_that_holds_a_run_is_refused(trained):
    with pytest.raises(ConfigError, match="already holds one"):
        reins.train("ppo", LAP, out=trained.folder, quiet=True, **SMALL)


def test_a_refused_run_leaves_no_folder(tmp_path):
    with pytest.raises(DataError):
        reins.learn_constraint(LAP, "nothing", out=tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()


def test_a_loaded_agent_predicts_like_stable_baselines(trained):
    agent = reins.load(trained.folder, seed=1)
    env = gymnasium.make(LAP)
    observation, _ = env.reset(seed=0)
    action, state = agent.predict(observation, deterministic=True)
    assert state is None
    assert action.shape == ()
    env.step(action)
    actions, _ = agent.predict(np.tile(observation, (100, 1)))
    assert set(actions.tolist()) == {0, 1}  # barely trained: it still explores
    same, _ = agent.predict(np.tile(observation, (100, 1)), deterministic=True)
    assert set(same.tolist()) == {int(action)}


def test_an_observation_of_another_shape_is_refused(trained):
    with pytest.raises(ConfigError, match=r"shape \(3,\)"):
        trained.predict(np.zeros(3))


def test_a_seed_that_was_not_trained_is_refused(trained):
    with pytest.raises(ConfigError, match=r"seed 7 .* has seeds 0, 1"):
        reins.load(trained.folder, seed=7)


def test_a_constraint_in_a_new_process_gives_the_same_costs(learned, constraint_path):
    rule = (np.linspace(-1, 1, 7, dtype=np.float32)[:, None], np.arange(7) % 2)
    expected = np.asarray(learned.constraint(0).cost(*rule))
    code = (
        "import sys, json, numpy as np, reins;"
        "c = reins.load_constraint(sys.argv[1]);"
        "o = np.linspace(-1, 1, 7, dtype=np.float32)[:, None];"
        "print(json.dumps(np.asarray(c.cost(o, np.arange(7) % 2)).tolist()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(constraint_path)],
        capture_output=True,
        check=True,
        text=True,
    )
    np.testing.assert_array_equal(np.asarray(json.loads(found.stdout)), expected)


def test_a_learned_constraint_wraps_a_gymnasium_environment(constraint_path):
    constraint = reins.load_constraint(constraint_path)
    env = reins.with_cost(gymnasium.make(LAP), constraint.cost)
    observation, _ = env.reset(seed=0)
    _, _, _, _, info = env.step(1)
    assert info["cost"] == pytest.approx(float(constraint.cost(observation, 1)))
    assert info["true_cost"] == 1.0


SMALL_SOFT = {
    **{k: v for k, v in SMALL.items() if k not in ("epochs", "minibatches")},
    "rollout_steps": 20,
    "batch_size": 8,
    "learning_starts": 100,
}


@pytest.mark.parametrize(
    ("agent", "settings"), [("ppo-lagrangian", SMALL), ("sac-lagrangian", SMALL_SOFT)]
)
def test_the_agent_obeys_the_cost_it_is_given(
    tmp_path, constraint_path, agent, settings
):
    run = reins.train(
        agent,
        LAP,
        constraint=str(constraint_path),
        out=tmp_path / "run",
        quiet=True,
        **settings,
    )
    rows = list(csv.DictReader((run.folder / "curves.csv").read_text().splitlines()))
    constraint = reins.load_constraint(constraint_path)
    cells = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    costs = [np.asarray(constraint.cost(cells, np.full(50, a))) for a in (0, 1)]
    per_step = float(rows[-1]["train/cost_per_step"])
    assert np.min(costs) <= per_step <= np.max(costs)
    # It is what the agent's budget counts.
    assert 200 * np.min(costs) <= float(rows[-1]["episode_cost"]) <= 200 * np.max(costs)


def test_what_is_no_constraint_is_refused(trained, learned, tmp_path):
    checkpoint = trained.folder / "checkpoints" / "seed-0.safetensors"
    with pytest.raises(DataError, match=r"reins\.checkpoint/1"):
        reins.load_constraint(checkpoint)
    with pytest.raises(DataError, match="constraint-seed-0"):
        reins.load_constraint(learned.folder)


def test_violations_of_demonstrations_are_counted():
    from reins.envs.gridworld import lap_rule

    demonstrations = reins.load_demonstrations("lapgridworld")
    assert violation_rate(demonstrations, lap_rule()) == 0.0
    wrong = [actions.copy() for actions in demonstrations.actions]
    wrong[3][:50] = 1
    broken = reins.Demonstrations(
        demonstrations.observations, wrong, demonstrations.rewards, LAP
    )
    assert violation_rate(broken, lap_rule()) == pytest.approx(50 / 4000)


def test_occupancy_is_counted_pair_by_pair():
    from reins.envs.gridworld import lap_rule

    rule = lap_rule()
    seen = rule.observations[[3, 3, 45, 79]] + 1e-3
    found = occupancy(rule, seen, rule.actions[[3, 3, 45, 79]])
    expected = np.zeros(80)
    expected[[3, 45, 79]] = [0.5, 0.25, 0.25]
    np.testing.assert_array_equal(found, expected)


def test_a_barely_trained_agent_is_far_from_the_expert(learned):
    # It still turns back on half of its steps, and the expert never does.
    for distance in learned.summary["methods"]["icrl"]["occupancy_distance"]:
        assert 0.3 < distance < 1.0


def test_the_demo_is_four_runs_and_is_told_again_when_finished(tmp_path, capsys):
    from reins.cli import main

    small = ["--seeds", "1", "--steps", "4000", "--environments", "2"]
    small += ["--evaluation-episodes", "2"]
    assert main(["demo", *small, "--out", str(tmp_path / "demo"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    names = {"icrl", "classifier", "gail-constraint", "nominal"}
    assert summary["methods"].keys() == names
    for method in summary["methods"].values():
        assert set(PROMISED) <= method.keys()
        assert method["return_env"] == "reins/LapGridWorldConstrained-v0"
        assert method["violation_env"] == LAP
    for file in summary["methods"]["icrl"]["constraint"]["files"]:
        assert reins.load_constraint(tmp_path / "demo" / file).inputs.size == 3
    for name in ("curves.png", "constraint.png", "summary.json"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    assert main(["resume", str(tmp_path / "demo"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert reins.load(tmp_path / "demo" / "nominal").predict(np.zeros(1))[1] is None
