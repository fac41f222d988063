import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from reins.agents import Agent
from reins.agents.soft_losses import permitted_by
from reins.constraints import InputSpec
from reins.errors import CapabilityError, ConfigError, DataError
from reins.experiments.build import build, normalised_by
from reins.experiments.build.imitation import build_gail
from reins.experiments.config import (
    AGENTS,
    IMITATORS,
    USED,
    CostConfig,
    EnvConfig,
    ForwardAgentConfig,
    GradientConfig,
    ImitationConfig,
    LearnConfig,
    OffPolicyConfig,
    PPOConfig,
    RegionConfig,
    RunConfig,
    SACConfig,
    TrainConfig,
)
from reins.types import Pairs, Trajectory
from tests.toys import scripted_env

LAP = "reins/LapGridWorld-v0"


def test_normalisation_is_by_what_the_demonstrator_saw():
    observations = jnp.asarray([[[1.0, 7.0], [3.0, 7.0], [999.0, 999.0]]])
    mask = jnp.asarray([[True, True, False]])
    expert = Pairs(observations, jnp.zeros((1, 3), int), mask)
    found = normalised_by(InputSpec(2, 2, True, (1, 0), (0, 1)), expert)
    np.testing.assert_allclose(found.offset, [7.0, 2.0])
    np.testing.assert_allclose(found.scale, [1.0, 1.0])
    wider = normalised_by(InputSpec(2, 2, True, (0,), (), clip=2.0), expert)
    np.testing.assert_allclose((wider.offset, wider.scale), [[1.5], [0.5]])


def test_training_is_judged_where_it_was_named_and_violations_where_they_can_be():
    task = build(TrainConfig("ppo", "reins/LapGridWorldConstrained-v0"))
    assert task.env.name == task.return_env.name == "reins/LapGridWorldConstrained-v0"
    assert task.violation_env.name == LAP


@pytest.mark.parametrize("method", ["icrl", "classifier", "gail-constraint"])
def test_learning_happens_in_the_nominal_twin_and_is_judged_in_the_other(method):
    task = build(LearnConfig(LAP, "lapgridworld", method))
    assert task.env.name == task.violation_env.name == LAP
    assert task.return_env.name == "reins/LapGridWorldConstrained-v0"


@pytest.mark.parametrize("dual", ["projected", "softplus", "pid"])
def test_every_multiplier_can_be_chosen(dual):
    task = build(TrainConfig("ppo-lagrangian", LAP, cost=CostConfig(dual=dual)))
    assert task.agent.init is not None


@pytest.mark.parametrize("scale", ["free", "fixed", "state"])
def test_the_scale_of_a_gaussian_is_chosen(scale):
    settings = PPOConfig(policy_scale=scale, hidden=(4,), log_std=-1.0)
    task = build(TrainConfig("ppo", "reins/Pendulum-v1", ppo=settings))
    policy = task.agent.init(jax.random.key(0)).policy
    assert (policy.log_std is None) == (scale != "free")
    outputs = policy.network.biases[-1].shape
    assert outputs == ((2,) if scale == "state" else (1,))


@pytest.mark.parametrize("agent", ["ppo", "a2c"])
def test_a_shared_trunk_leaves_the_critic_one_layer(agent):
    settings = PPOConfig(shared_trunk=True, hidden=(6, 5))
    task = build(TrainConfig(agent, "reins/CartPole-v1", ppo=settings))
    state = task.agent.init(jax.random.key(0))
    critic = state.critic if agent == "a2c" else state.critics[0]
    assert [w.shape for w in critic.network.weights] == [(5, 1)]


SMALL = RunConfig(seeds=1, steps=4000, environments=2, rollout_steps=1000)


@pytest.mark.parametrize("agent", [name for name in AGENTS if name != "gail"])
def test_every_agent_is_built_from_its_name(agent):
    task = build(TrainConfig(agent, "reins/CartPole-v1", run=SMALL))
    state = jax.eval_shape(task.agent.init, jax.random.key(0))
    actions = jax.eval_shape(
        task.agent.act, state, jnp.zeros((2, 4)), jax.random.key(0)
    )
    assert actions.shape == (2,)
    assert not task.violation_env.costs


SHOWN = OffPolicyConfig(demonstrations="lapgridworld")


@pytest.mark.parametrize("imitator", IMITATORS)
def test_every_imitator_is_driven_by_the_discriminator(imitator):
    imitation = ImitationConfig(imitator, "log-odds", discriminator_hidden=(5,))
    config = TrainConfig("gail", LAP, run=SMALL, off_policy=SHOWN, imitation=imitation)
    task = build(config)
    state = jax.eval_shape(task.agent.init, jax.random.key(0))
    assert [w.shape for w in state.discriminator.network.weights] == [(3, 5), (5, 1)]
    plain = build(TrainConfig(imitator, LAP, run=SMALL)).agent
    inner = jax.eval_shape(plain.init, jax.random.key(0))
    assert jax.tree.structure(state.agent) == jax.tree.structure(inner)


def test_an_imitator_takes_its_own_settings_and_no_others():
    region = RegionConfig(kl_bound=0.02)
    told = {"off_policy": SHOWN, "region": region}
    TrainConfig("gail", LAP, imitation=ImitationConfig("trpo"), **told)
    with pytest.raises(ConfigError, match="--kl-bound was given to `gail`"):
        TrainConfig("gail", LAP, **told)
    with pytest.raises(ConfigError, match="--imitator was given to `ppo`"):
        TrainConfig("ppo", LAP, imitation=ImitationConfig("trpo"))


def test_imitation_needs_an_imitator_demonstrations_and_vectors():
    with pytest.raises(ConfigError, match="no imitator `sac`"):
        ImitationConfig("sac")
    with pytest.raises(ConfigError, match="nothing to imitate"):
        build(TrainConfig("gail", LAP))
    with pytest.raises(DataError, match="LapGridWorld"):
        build(TrainConfig("gail", "reins/CartPole-v1", off_policy=SHOWN))
    pictures = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    env = scripted_env()._replace(observation_space=pictures)
    with pytest.raises(CapabilityError, match="its discriminator sees vectors"):
        build_gail(env, TrainConfig("gail", LAP, off_policy=SHOWN), {})


def test_sac_has_the_reverse_kl_as_its_policy_permits_it():
    assert permitted_by(frozenset({"log_prob", "enumerable"})) == "exact-reverse"
    assert permitted_by(frozenset({"log_prob", "reparameterised"})) == "reverse-kl"
    assert permitted_by(frozenset({"log_prob"})) == "reverse-kl-score"

    def built(**settings):
        soft = SACConfig(policy_kind="mixture", **settings)
        return build(TrainConfig("sac", "reins/Pendulum-v1", run=SMALL, soft=soft))

    assert built().agent
    with pytest.raises(CapabilityError, match="reparameterised"):
        built(policy_loss="reverse-kl")


@pytest.mark.parametrize("method", ["icrl", "classifier"])
def test_a_constraint_can_be_learned_by_an_agent_that_remembers(method):
    soft = ForwardAgentConfig("sac", buffer_size=3000, learning_starts=10)
    config = LearnConfig(LAP, "lapgridworld", method, run=SMALL, learner=soft)
    state = jax.eval_shape(build(config).agent.init, jax.random.key(0))
    rows = state.agent.replay.rows
    assert rows.costs.shape == (3000,)
    assert state.agent.critics is not None


def test_who_remembers_cannot_be_told_by_the_reward():
    soft = ForwardAgentConfig("sac", learning_starts=10)
    with pytest.raises(CapabilityError, match="constraints long gone"):
        build(
            LearnConfig(LAP, "lapgridworld", "gail-constraint", run=SMALL, learner=soft)
        )


@pytest.mark.parametrize(
    ("agent", "parts", "option"),
    [
        ("ppo", {"region": RegionConfig(kl_bound=0.1)}, "--kl-bound"),
        ("trpo", {"ppo": PPOConfig(clip_epsilon=0.1)}, "--clip-epsilon"),
        ("trpo", {"ppo": PPOConfig(learning_rate=0.1)}, "--learning-rate"),
        ("a2c", {"gradient": GradientConfig(baseline="none")}, "--baseline"),
        ("kl-dual", {"cost": CostConfig(budget=1.0)}, "--budget"),
        ("reinforce", {"region": RegionConfig(damping=1.0)}, "--damping"),
    ],
)
def test_an_option_that_an_agent_would_ignore_is_refused(agent, parts, option):
    with pytest.raises(ConfigError, match=f"{option} was given to `{agent}`"):
        TrainConfig(agent, "reins/CartPole-v1", run=SMALL, **parts)


def test_every_setting_has_an_agent_that_listens_to_it():
    known = {
        field.name
        for part in TrainConfig("ppo", LAP).parts()
        for field in dataclasses.fields(part)
    }
    assert set().union(*USED.values()) == known
    assert set(USED) == set(AGENTS)


def test_both_mpos_start_their_multipliers_elsewhere_unless_told():
    def started(agent, **given):
        config = TrainConfig(agent, LAP, region=RegionConfig(**given))
        return config.region.kl_multiplier, config.soft.temperature_learning_rate

    assert started("kl-dual") == (7.0, 3e-4)
    assert started("mpo") == (1.0, 0.01)
    assert started("v-mpo") == (1.0, 0.1)
    assert started("mpo", kl_multiplier=3.0) == (3.0, 0.01)


def test_the_temperature_of_awr_follows_its_schedule():
    run = RunConfig(seeds=1, steps=40, environments=1, rollout_steps=4)
    settings = SACConfig(
        temperature="2:0.5", batch_size=4, learning_starts=1, updates_per_step=2
    )
    small = PPOConfig(hidden=(4,))
    config = TrainConfig("awr", "reins/CartPole-v1", run=run, soft=settings, ppo=small)
    agent = build(config).agent
    assert isinstance(agent, Agent)
    state = agent.init(jax.random.key(0))
    assert float(state.temperature.multiplier) == 2.0
    steps = jnp.zeros((1, 4))
    batch = Trajectory(
        *(jnp.zeros((1, 4, 4)), jnp.zeros((1, 4), int), steps, steps),
        *(steps > 0, steps > 0, jnp.ones((1, 4, 4)), steps == 0, steps.astype(int)),
    )
    state, _ = jax.jit(agent.update)(state, batch, jax.random.key(0))
    # 8 of the 80 updates that 40 steps will make.
    np.testing.assert_allclose(state.temperature.multiplier, 1.85, rtol=1e-5)


def test_reinforce_needs_whole_episodes():
    short = RunConfig(seeds=1, environments=2, rollout_steps=200)
    with pytest.raises(ConfigError, match=r"up to 500.*--rollout-steps 1000"):
        build(TrainConfig("reinforce", "reins/CartPole-v1", run=short))


@pytest.mark.parametrize("agent", ["es", "hill-climbing", "genetic"])
def test_a_population_needs_environments_that_act_each_for_itself(agent):
    with pytest.raises(CapabilityError, match="a population needs one each"):
        build(TrainConfig(agent, "CartPole-v1", run=SMALL))


def test_a_q_critic_needs_discrete_actions():
    config = TrainConfig(
        "actor-critic",
        "reins/Pendulum-v1",
        run=SMALL,
        gradient=GradientConfig(critic_kind="q"),
    )
    with pytest.raises(CapabilityError, match="--critic-kind v"):
        build(config)


@pytest.mark.parametrize("settings", [{"kl_bound": 0.0}, {"kl_bound": -1.0}])
def test_a_bound_that_leaves_no_room_is_refused(settings):
    with pytest.raises(ConfigError, match="kl_bound must be positive"):
        RegionConfig(**settings)


def test_a_twin_has_the_arguments_of_the_environment_that_was_named():
    host = EnvConfig('{"contact_forces": "absent", "wall": -5}')
    constrained = "reins/AntWallConstrained-v0"
    told = {"return_env": constrained, "host": host}
    task = build(TrainConfig("ppo", "reins/AntWall-v0", **told))
    assert task.return_env.name == constrained
    assert task.violation_env.name == task.env.name == "reins/AntWall-v0"
    task = build(TrainConfig("ppo", constrained, host=host))
    assert task.violation_env.name == "reins/AntWall-v0"
    for env in (task.env, task.return_env, task.violation_env):
        assert env.observation_space.shape == (29,)
        assert env.make(1, 1)._settings["wall"] == -5
