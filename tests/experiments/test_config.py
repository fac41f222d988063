import json

import pytest

from reins.errors import ConfigError
from reins.experiments.config import (
    ConstraintConfig,
    CostConfig,
    ForwardAgentConfig,
    LearnConfig,
    OffPolicyConfig,
    PopulationConfig,
    PPOConfig,
    RunConfig,
    TrainConfig,
    command_line,
    from_record,
    gathered,
    to_record,
)

LAP = "reins/LapGridWorld-v0"
BY_SAC = ForwardAgentConfig("sac", batch_size=32)


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig("ppo", LAP, ppo=PPOConfig(hidden=(3, 4), kl_stop=0.1)),
        LearnConfig(
            LAP,
            "lapgridworld",
            "classifier",
            constraint=ConstraintConfig(observation_dims=(0,), kl_new_old=None),
        ),
        LearnConfig(LAP, "lapgridworld", learner=BY_SAC),
    ],
)
def test_a_configuration_survives_json(config):
    record = json.loads(json.dumps(to_record(config)))
    assert from_record(type(config), record) == config


def test_a_record_of_another_version_is_refused():
    record = to_record(TrainConfig("ppo", LAP)) | {"colour": "red"}
    with pytest.raises(ConfigError, match="colour"):
        from_record(TrainConfig, record)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match="3 faults") as error:
        PPOConfig(learning_rate=-1.0, discount=1.5, epochs=0)
    for text in ("learning_rate must be positive; found -1.0", "discount", "epochs"):
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: TrainConfig("pppo", LAP), "Did you mean `ppo`"),
        (lambda: LearnConfig(LAP, "x", "ircl"), "Did you mean `icrl`"),
        (lambda: TrainConfig("ppo", LAP, "file"), "has no cost"),
        (
            lambda: TrainConfig("ppo", LAP, ppo=PPOConfig(minibatches=7)),
            "2000 was asked to be cut into 7",
        ),
        (
            lambda: TrainConfig("npg", LAP, ppo=PPOConfig(shared_trunk=True)),
            "--shared-trunk was given to `npg`, which would ignore it",
        ),
        (
            lambda: TrainConfig(
                "off-policy-pg", LAP, ppo=PPOConfig(normalise_rewards="on")
            ),
            "--normalise-rewards was given to `off-policy-pg`",
        ),
        (lambda: OffPolicyConfig(passes=0), "passes must be positive"),
        (
            lambda: LearnConfig(LAP, "x", ppo=PPOConfig(shared_trunk=True)),
            "critics of reward and of cost apart",
        ),
        (
            lambda: LearnConfig(LAP, "x", ppo=PPOConfig(epochs=3), learner=BY_SAC),
            "--epochs was given to --forward-agent sac, which would ignore it",
        ),
        (
            lambda: LearnConfig(LAP, "x", learner=ForwardAgentConfig(batch_size=32)),
            "--batch-size was given to --forward-agent ppo",
        ),
        (lambda: ForwardAgentConfig("sac", batch_size=0), "batch_size must be"),
        (lambda: CostConfig(budget=-1.0), "budget must not be negative"),
        (lambda: CostConfig(dual="softplus", dual_initial=0.0), "must be positive"),
        (lambda: ConstraintConfig(kl_new_old=-0.1), "never negative"),
        (lambda: ConstraintConfig(regulariser=-1.0), "reward forbidding"),
        (lambda: RunConfig(seeds=0), "seeds must be positive"),
    ],
)
def test_what_cannot_be_is_refused_when_built(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_who_learns_under_a_constraint_has_its_own_usual_networks():
    config = LearnConfig(LAP, "x", learner=BY_SAC)
    assert (config.ppo.hidden, config.ppo.learning_rate) == ((256, 256), 3e-4)
    assert LearnConfig(LAP, "x").ppo.hidden == (64, 64)
    assert config.soft.batch_size == 32
    assert command_line(config) == (
        f"reins learn-constraint --env {LAP} --demonstrations x "
        "--forward-agent sac --batch-size 32"
    )


def test_what_a_preset_says_of_ppo_alone_is_for_no_other():
    told = {"env": "reins/HalfCheetahWall-v0", "demonstrations": "x"}
    ppo = gathered(LearnConfig, {**told, "preset": "robots"})
    sac = gathered(LearnConfig, {**told, "preset": "robots", "forward_agent": "sac"})
    assert (sac.constraint, sac.cost) == (ppo.constraint, ppo.cost)
    assert (ppo.ppo.minibatches, sac.ppo.minibatches) == (40, PPOConfig().minibatches)


def test_steps_are_rounded_up_to_whole_batches():
    run = RunConfig(steps=4_001, environments=10, rollout_steps=200)
    assert run.updates == 3


def test_settings_find_their_part_by_name():
    config = gathered(
        TrainConfig, {"agent": "ppo", "env": LAP, "steps": 10, "learning_rate": 0.5}
    )
    assert (config.run.steps, config.ppo.learning_rate) == (10, 0.5)


def test_an_unknown_setting_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean `learning_rate`"):
        gathered(TrainConfig, {"agent": "ppo", "env": LAP, "learning_rat": 0.5})


def test_the_command_of_a_configuration_makes_it_again():
    config = TrainConfig(
        "ppo-lagrangian",
        LAP,
        run=RunConfig(seeds=1),
        ppo=PPOConfig(hidden=(3, 4)),
        cost=CostConfig(dual="pid"),
    )
    assert command_line(config) == (
        f"reins train ppo-lagrangian --env {LAP} --seeds 1 --hidden 3 4 --dual pid"
    )


def test_an_agents_own_defaults_stand_where_nobody_asked_otherwise():
    config = TrainConfig("sac", "reins/Pendulum-v1")
    own = (1, 1, 3e-4, (256, 256))
    assert own == (
        *(config.run.environments, config.run.rollout_steps),
        *(config.ppo.learning_rate, config.ppo.hidden),
    )
    asked = TrainConfig(
        "sac",
        "reins/Pendulum-v1",
        run=RunConfig(environments=10),
        ppo=PPOConfig(hidden=(64, 64), learning_rate=1e-3),
    )
    assert (asked.run.environments, asked.run.rollout_steps) == (10, 1)
    assert (asked.ppo.hidden, asked.ppo.learning_rate) == ((64, 64), 1e-3)
    assert command_line(config) == "reins train sac --env reins/Pendulum-v1"
    assert command_line(asked) == (
        "reins train sac --env reins/Pendulum-v1 --environments 10 "
        "--learning-rate 0.001 --hidden 64 64"
    )
    for one in (config, asked):
        assert from_record(TrainConfig, json.loads(json.dumps(to_record(one)))) == one


def test_a_command_switches_on_and_off():
    config = TrainConfig(
        "es",
        LAP,
        population=PopulationConfig(ranked=False),
    )
    assert command_line(config) == f"reins train es --env {LAP} --no-ranked"
    config = TrainConfig("a2c", LAP, ppo=PPOConfig(shared_trunk=True))
    assert command_line(config) == f"reins train a2c --env {LAP} --shared-trunk"
