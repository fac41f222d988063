"""Presets: what they say can be said, gives way to what is said, and is recorded."""

import dataclasses
import json
import shlex

import pytest

from reins import cli
from reins.cli import main
from reins.errors import ConfigError
from reins.experiments.config import (
    AGENTS,
    METHODS,
    PRESETS,
    LearnConfig,
    TrainConfig,
    command_line,
    from_record,
    gathered,
    to_record,
)
from reins.experiments.config.presets import ANYWHERE, settings_of

CHEETAH, ANT = "reins/HalfCheetahWall-v0", "reins/AntWall-v0"
LEARN = ["learn-constraint", "--env", CHEETAH, "--demonstrations", "x"]
EVERY = [
    (name, agent, env_id or ANT)
    for name, preset in PRESETS.items()
    for agent, by_env in preset.settings.items()
    for env_id in by_env
]


def made(name, agent, env_id, **more):
    told = {"preset": name, "env": env_id, **more}
    if agent in METHODS:
        return gathered(LearnConfig, {"method": agent, "demonstrations": "x", **told})
    return gathered(TrainConfig, {"agent": agent, **told})


@pytest.mark.parametrize(("name", "agent", "env_id"), EVERY)
def test_a_preset_can_be_said_in_options_and_is(name, agent, env_id):
    assert agent in {*AGENTS, *METHODS}
    config = made(name, agent, env_id)
    assert config.preset == name
    words = shlex.split(command_line(config))[1:]
    assert "--preset" not in words
    said = cli._parsed(words).config
    assert dataclasses.replace(said, preset=name) == config


def test_what_is_said_of_an_environment_stands_before_what_holds_anywhere():
    anywhere = PRESETS["robots"].settings["icrl"][ANYWHERE]["steps"]
    ants = PRESETS["robots"].settings["icrl"][ANT]["steps"]
    assert anywhere != ants
    assert settings_of("robots", "icrl", "reins/AntWallConstrained-v0")["steps"] == ants
    assert settings_of("robots", "icrl", "reins/SwimmerWall-v0")["steps"] == anywhere


def test_what_is_said_beside_a_preset_stands_though_it_be_the_default():
    default = LearnConfig(CHEETAH, "x").constraint.weighting
    words = [*LEARN, "--preset", "robots", "--weighting", default, "--cooling", "0"]
    config = cli._parsed(words).config
    assert (config.constraint.weighting, config.constraint.cooling) == (default, 0)
    assert config.constraint.forward == "relative-cost"
    assert config.ppo.minibatches == 40
    same = made("robots", "icrl", CHEETAH, weighting=default, cooling=0)
    assert config == same


def test_a_preset_takes_the_place_of_an_option_with_none():
    assert made("icrl-2021", "icrl", ANT).ppo.kl_stop == 0.03
    words = [*LEARN, "--preset=icrl-2021", "--kl-stop", "None"]
    assert cli._parsed(words).config.ppo.kl_stop is None


def test_a_record_keeps_what_a_preset_said_when_it_was_asked(monkeypatch):
    config = made("robots", "icrl", CHEETAH, minibatches=8)
    record = json.loads(json.dumps(to_record(config)))
    assert record["preset"] == "robots"
    assert record["constraint"]["temperature"] == 100.0
    other = PRESETS["robots"]._replace(settings={"icrl": {ANYWHERE: {"steps": 1}}})
    monkeypatch.setitem(PRESETS, "robots", other)
    assert from_record(LearnConfig, record) == config


def test_the_multiplier_of_2021_moves_by_the_cost_of_a_step():
    cost = made("icrl-2021", "icrl", CHEETAH).cost
    assert cost.dual_learning_rate * 1000 == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([*LEARN, "--preset", "robot"], "Did you mean `robots`? Known: icrl-2021, rob"),
        (
            ["learn-constraint", "--env", "reins/SwimmerWall-v0"]
            + ["--demonstrations", "x", "--preset", "icrl-2021"],
            "`icrl` in reins/SwimmerWall-v0, of which it says nothing. It has settings",
        ),
        (
            ["train", "sac", "--env", CHEETAH, "--preset", "robots"],
            "says nothing. It has settings for ppo in any; ppo-lagrangian in any",
        ),
        (
            [*LEARN, "--preset", "robots", "--minibatches", "7"],
            "10 environments x 1000 steps = 10000",
        ),
    ],
)
def test_what_a_preset_cannot_do_is_said(words, text, capsys, tmp_path):
    assert main([*words, "--out", str(tmp_path / "x")]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_python_takes_presets_too():
    with pytest.raises(ConfigError, match="no preset `robot`"):
        made("robot", "icrl", CHEETAH)


def test_the_list_names_presets(capsys):
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["presets"].keys() == PRESETS.keys()
