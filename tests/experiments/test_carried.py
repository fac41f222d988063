"""A learned constraint carried elsewhere: each seed its own, as cost or as reward."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.agents.icrl import LOG_ZETA_FLOOR
from reins.cli import main
from reins.constraints import InputSpec, constraint_network
from reins.envs import make_env
from reins.errors import ConfigError, DataError
from reins.experiments.build import build, check_constraint, each_its_own
from reins.experiments.config import RunConfig, TrainConfig
from reins.experiments.constraint_file import save_constraint
from reins.experiments.record import load_curves
from reins.experiments.summary import constraint_file

POINT, ANT = "reins/PointCircleWall-v0", "reins/AntWall-v0"
PLACE = InputSpec(
    113, 8, False, (0, 1), (), action_low=(-1.0,) * 8, action_high=(1,) * 8
)
COSTS = {0: 0.2, 3: 0.7}
SHOWN = 0.05


def constant(cost, inputs=PLACE):
    """A constraint that says the same everywhere."""
    made = constraint_network(inputs, hidden=(3,))(jax.random.key(0))
    logit = jnp.log1p(-cost) - jnp.log(cost)
    where = lambda c: (c.network.weights[-1], c.network.biases[-1])  # noqa: E731
    zero = jnp.zeros((3, 1)), jnp.full(1, logit)
    return eqx.tree_at(where, made, zero)


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    for seed, cost in COSTS.items():
        about = {"demonstrated_cost": SHOWN}
        save_constraint(constraint_file(folder, seed), constant(cost), about)
    return folder


def told(rules, agent="ppo-lagrangian", **more):
    run = RunConfig(first_seed=3)
    return TrainConfig(agent, POINT, constraint=str(rules), run=run, **more)


def stepped(task):
    state, _ = task.env.reset(jax.random.key(0))
    return task.env.step(state, jnp.array([0.2, 0.1]), jax.random.key(1))[1]


@pytest.mark.parametrize(("seed", "cost"), [(0, 0.2), (3, 0.7), (None, 0.7)])
def test_every_seed_obeys_what_the_same_seed_has_learned(rules, seed, cost):
    assert each_its_own(told(rules))
    np.testing.assert_allclose(stepped(build(told(rules), seed)).cost, cost, rtol=1e-5)


def test_a_file_is_for_all_seeds(rules):
    config = told(constraint_file(rules, 0))
    assert not each_its_own(config)
    np.testing.assert_allclose(stepped(build(config, 3)).cost, 0.2, rtol=1e-5)


def test_a_relative_cost_is_less_that_of_the_demonstrations(rules):
    found = stepped(build(told(rules, forward="relative-cost"), 0))
    np.testing.assert_allclose(found.cost, 0.2 - SHOWN, rtol=1e-5)


def test_a_reward_has_the_log_of_zeta_beside_it(rules):
    plain = stepped(build(TrainConfig("ppo", POINT)))
    config = told(rules, "ppo", forward="log-reward", forward_temperature=2.0)
    task = build(config, 3)
    more = stepped(task).reward - plain.reward
    np.testing.assert_allclose(more, 2.0 * np.log(0.3), rtol=1e-5)
    assert stepped(task).cost == plain.cost
    judged = task.return_env.step(
        task.return_env.reset(jax.random.key(0))[0],
        jnp.array([0.2, 0.1]),
        jax.random.key(1),
    )[1]
    assert judged.reward == plain.reward


def test_a_reward_has_a_floor(tmp_path):
    file = tmp_path / "c.safetensors"
    save_constraint(file, constant(1 - 1e-7), {})
    task = build(TrainConfig("ppo", POINT, constraint=str(file), forward="log-reward"))
    plain = stepped(build(TrainConfig("ppo", POINT)))
    more = stepped(task).reward - plain.reward
    np.testing.assert_allclose(more, LOG_ZETA_FLOOR, rtol=1e-5)


def test_a_run_of_several_seeds_takes_several_constraints(rules, tmp_path):
    (rules / "constraint-seed-1.safetensors").write_bytes(
        (rules / "constraint-seed-3.safetensors").read_bytes()
    )
    small = ["--environments", "2", "--rollout-steps", "10", "--steps", "20"]
    small += ["--minibatches", "2", "--epochs", "1", "--hidden", "4", "--quiet"]
    words = ["train", "ppo-lagrangian", "--env", POINT, "--constraint", str(rules)]
    words += [
        "--seeds",
        "2",
        "--evaluation-episodes",
        "1",
        "--out",
        str(tmp_path / "a"),
    ]
    assert main([*words, *small]) == 0
    _, curves = load_curves(tmp_path / "a" / "curves.csv")
    found = curves.values["train/cost_per_step"][-1]
    np.testing.assert_allclose(found, [0.2, 0.7], rtol=1e-5)
    record = json.loads((tmp_path / "a" / "config.json").read_text())
    assert record["config"]["constraint"] == str(rules)


def test_outside_jax_the_log_of_zeta_is_paid_too(tmp_path):
    swimmer = InputSpec(10, 2, False, (0, 1), ())
    file = tmp_path / "c.safetensors"
    save_constraint(file, constant(0.5, swimmer), {})
    small = ["--environments", "2", "--rollout-steps", "10", "--steps", "20"]
    small += ["--minibatches", "2", "--epochs", "1", "--hidden", "4", "--quiet"]
    small += ["--horizon", "10", "--evaluation-episodes", "1", "--seeds", "1"]
    words = ["train", "ppo", "--env", "reins/SwimmerWall-v0", *small]
    paid = ["--constraint", str(file), "--forward", "log-reward"]
    rewards = []
    for name, more in (("plain", []), ("paid", paid)):
        assert main([*words, *more, "--out", str(tmp_path / name)]) == 0
        _, curves = load_curves(tmp_path / name / "curves.csv")
        rewards.append(curves.values["train/reward_per_step"][-1, 0])
        assert curves.values["return"][0, 0] == pytest.approx(
            load_curves(tmp_path / "plain/curves.csv")[1].values["return"][0, 0]
        )
    assert rewards[1] - rewards[0] == pytest.approx(np.log(0.5), rel=1e-4)


def test_what_sees_the_place_carries_and_what_sees_all_does_not():
    for env_id in (POINT, ANT):
        check_constraint(constant(0.5), make_env(env_id), "c")
    everything = InputSpec(113, 8, False, tuple(range(113)), ())
    with pytest.raises(DataError, match="113 dimensions; those of"):
        check_constraint(constant(0.5, everything), make_env(POINT), "c")
    acting = InputSpec(9, 8, False, (0, 1), (0,))
    with pytest.raises(DataError, match="8 action dimensions;"):
        check_constraint(constant(0.5, acting), make_env(POINT), "c")
    beyond = InputSpec(113, 8, False, (9,), ())
    with pytest.raises(DataError, match="113 dimensions"):
        check_constraint(constant(0.5, beyond), make_env(POINT), "c")


def test_a_seed_without_a_constraint_is_told_which_there_are(rules):
    with pytest.raises(DataError, match=r"seed 7 was to obey .*seed-0, .*seed-3"):
        build(told(rules), 7)


def test_a_file_that_does_not_say_what_demonstrations_cost_is_refused(tmp_path):
    file = tmp_path / "c.safetensors"
    save_constraint(file, constant(0.5), {})
    with pytest.raises(DataError, match="does not say what theirs is"):
        build(told(file, forward="relative-cost"))


@pytest.mark.parametrize(
    ("agent", "settings", "text"),
    [
        ("ppo", {"forward": "log-reward"}, "without a constraint"),
        ("ppo", {"constraint": "c", "forward": "relative-cost"}, "has no cost"),
        (
            "ppo-lagrangian",
            {"constraint": "c", "forward": "log-reward"},
            "beside its own cost or reward",
        ),
        (
            "ppo",
            {"constraint": "c", "forward": "log-reward", "forward_temperature": 0.0},
            "forward_temperature must be positive",
        ),
    ],
)
def test_what_an_agent_cannot_hear_is_refused(agent, settings, text):
    with pytest.raises(ConfigError, match=text):
        TrainConfig(agent, POINT, **settings)
