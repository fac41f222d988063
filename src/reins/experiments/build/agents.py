"""The agent of each name, from a configuration."""

from collections.abc import Callable
from typing import Any

import optax
from gymnasium import spaces

from reins.agents import (
    Agent,
    AsynchronousAgent,
    a2c,
    a3c,
    actor_critic,
    es,
    genetic,
    hill_climbing,
    kl_dual,
    npg,
    off_policy_pg,
    ppo,
    ppo_lagrangian,
    reinforce,
    trpo,
)
from reins.critics import action_value_critic
from reins.duals import projected_dual
from reins.envs import Env, HostEnv
from reins.errors import CapabilityError, ConfigError
from reins.experiments.build.imitation import build_gail
from reins.experiments.build.improvement import build_awr, build_mpo, build_v_mpo
from reins.experiments.build.inputs import check_demonstrations
from reins.experiments.build.parts import (
    agent_parts,
    cost_dual,
    critic_optimizer,
    in_deviations,
    pass_settings,
    steps_of_passes,
)
from reins.experiments.build.soft import build_sac, build_sac_lagrangian
from reins.experiments.config import LearnConfig, TrainConfig
from reins.experiments.files import load_demonstrations
from reins.policies.policy import observation_shape


def build_ppo(env: Env | HostEnv, config: TrainConfig | LearnConfig) -> Agent:
    """PPO, as both commands use it."""
    shared = config.ppo.shared_trunk
    agent = ppo(
        *agent_parts(env, config), shared_trunk=shared, **pass_settings(config.ppo)
    )
    return in_deviations(agent, env, config)


def build_ppo_lagrangian(
    env: Env | HostEnv, config: TrainConfig | LearnConfig
) -> Agent:
    """PPO under a budget of cost, as both commands use it."""
    agent = ppo_lagrangian(
        *agent_parts(env, config),
        cost_dual(config.cost),
        horizon=env.horizon,
        budget=config.cost.budget,
        cost_gae_lambda=config.cost.cost_gae_lambda,
        **pass_settings(config.ppo),
    )
    return in_deviations(agent, env, config)


def _check_whole_episodes(env: Env | HostEnv, config: TrainConfig) -> None:
    if config.run.rollout_steps < env.horizon:
        raise ConfigError(
            f"`{config.agent}` was asked to learn from {config.run.rollout_steps} "
            f"steps of each environment at a time; episodes of {env.name} last up to "
            f"{env.horizon}, and it needs whole ones. Use --rollout-steps "
            f"{2 * env.horizon}, say."
        )


def _reinforce(env: Env | HostEnv, config: TrainConfig) -> Agent:
    _check_whole_episodes(env, config)
    policy, critic, optimizer = agent_parts(env, config, steps=config.run.updates)
    settings = config.gradient
    by_state = settings.baseline == "state"
    agent = reinforce(
        policy,
        optimizer,
        horizon=env.horizon,
        baseline=settings.baseline,
        critic=critic if by_state else None,
        critic_optimizer=critic_optimizer(config) if by_state else None,
        critic_epochs=settings.critic_epochs,
        credit=settings.credit,
        discount=config.ppo.discount,
        discount_states=settings.discount_states,
        entropy_weight=config.ppo.entropy_weight,
    )
    return in_deviations(agent, env, config)


def _actor_critic(env: Env | HostEnv, config: TrainConfig) -> Agent:
    policy, critic, optimizer = agent_parts(env, config, steps=config.run.updates)
    settings, space = config.gradient, env.action_space
    if settings.critic_kind == "q":
        if not isinstance(space, spaces.Discrete):
            raise CapabilityError(
                f"a Q critic was asked for in {env.name}, whose actions are {space}; "
                "actor-critic sums over finitely many. Use --critic-kind v."
            )
        seen = observation_shape(env.observation_space)
        critic = action_value_critic(seen, int(space.n), hidden=config.ppo.hidden)
    agent = actor_critic(
        policy,
        critic,
        optimizer,
        critic_optimizer(config),
        critic_kind=settings.critic_kind,
        critic_target=settings.critic_target,
        critic_epochs=settings.critic_epochs,
        advantage=settings.advantage,
        discount=config.ppo.discount,
        entropy_weight=config.ppo.entropy_weight,
    )
    return in_deviations(agent, env, config)


def _a2c(env: Env | HostEnv, config: TrainConfig) -> Agent:
    parts = agent_parts(env, config, steps=config.run.updates)
    agent = a2c(*parts, **_joint_settings(config))
    return in_deviations(agent, env, config)


def _joint_settings(config: TrainConfig) -> dict[str, Any]:
    """What a2c and a3c are told of the one loss of policy and critic."""
    names = (
        *("discount", "gae_lambda", "entropy_weight", "value_weight"),
        "shared_trunk",
    )
    return {name: getattr(config.ppo, name) for name in names}


def _off_policy_pg(env: Env | HostEnv, config: TrainConfig) -> Agent:
    _check_whole_episodes(env, config)
    settings, run = config.off_policy, config.run
    policy, _, optimizer = agent_parts(env, config, steps=run.updates * settings.passes)
    shown = None
    if settings.demonstrations is not None:
        shown = load_demonstrations(settings.demonstrations)
        check_demonstrations(shown, config.env, env)
    return off_policy_pg(
        policy,
        optimizer,
        horizon=env.horizon,
        environments=run.environments,
        rollout_steps=run.rollout_steps,
        observation_space=env.observation_space,
        action_space=env.action_space,
        form=settings.form,
        denominator=settings.denominator,
        weights=settings.weights,
        baseline=config.gradient.baseline,  # pyright: ignore[reportArgumentType]
        memory=settings.memory,
        passes=settings.passes,
        min_ess_fraction=settings.min_ess_fraction,
        discount=config.ppo.discount,
        discount_states=config.gradient.discount_states,
        demonstrations=shown,
        behaviour=settings.behaviour,
        clone_steps=settings.clone_steps,
        measure_variance=True,
    )


def _a3c(env: Env | HostEnv, config: TrainConfig) -> AsynchronousAgent:
    parts = agent_parts(
        env,
        config,
        steps=config.run.updates,
        scaled=lambda rate: optax.rmsprop(rate, decay=0.99, eps=1e-5),
    )
    return a3c(
        *parts,
        **_joint_settings(config),
        workers=config.asynchronous.workers,
        exploration_spread=config.asynchronous.exploration_spread,
    )


def _natural(env: Env | HostEnv, config: TrainConfig) -> Agent:
    policy, critic, _ = agent_parts(env, config)
    build = trpo if config.agent == "trpo" else npg
    agent = build(
        policy,
        critic,
        critic_optimizer(config),
        discount=config.ppo.discount,
        gae_lambda=config.ppo.gae_lambda,
        kl_bound=config.region.kl_bound,
        kl_direction=config.region.kl_direction or "old-new",
        cg_iterations=config.region.cg_iterations,
        damping=config.region.damping,
        critic_epochs=config.gradient.critic_epochs,
        minibatches=config.ppo.minibatches,
    )
    return in_deviations(agent, env, config)


def _kl_dual(env: Env | HostEnv, config: TrainConfig) -> Agent:
    settings = config.region
    dual = projected_dual(
        initial=settings.kl_multiplier, learning_rate=settings.kl_dual_learning_rate
    )
    steps = steps_of_passes(config) * settings.dual_steps
    agent = kl_dual(
        *agent_parts(env, config, steps=steps),
        dual,
        discount=config.ppo.discount,
        gae_lambda=config.ppo.gae_lambda,
        kl_bound=settings.kl_bound,
        kl_direction=settings.kl_direction or "new-old",
        value_weight=config.ppo.value_weight,
        dual_steps=settings.dual_steps,
        epochs=config.ppo.epochs,
        minibatches=config.ppo.minibatches,
    )
    return in_deviations(agent, env, config)


def _population(env: Env | HostEnv, config: TrainConfig) -> Agent:
    if isinstance(env, HostEnv):
        raise CapabilityError(
            f"`{config.agent}` was asked for in {env.name}, which is stepped outside "
            "JAX; there all environments act by one policy, and a population needs one "
            "each. Use a compiled environment (`reins list`)."
        )
    _check_whole_episodes(env, config)
    policy, _, optimizer = agent_parts(env, config, steps=config.run.updates)
    settings = config.population
    told: dict[str, Any] = {
        "horizon": env.horizon,
        "environments": config.run.environments,
        "std": settings.std,
        "deterministic": settings.deterministic,
    }
    if config.agent == "es":
        shaping = {"ranked": settings.ranked, "weight_decay": settings.weight_decay}
        agent = es(policy, optimizer, **told, **shaping)
    elif config.agent == "genetic":
        agent = genetic(policy, **told, elite=settings.elite)
    else:
        agent = hill_climbing(policy, **told)
    return in_deviations(agent, env, config)


def _gail(env: Env | HostEnv, config: TrainConfig) -> Agent:
    return build_gail(env, config, BUILDERS)


Builder = Callable[[Env | HostEnv, TrainConfig], Agent | AsynchronousAgent]
BUILDERS: dict[str, Builder] = {
    "ppo": build_ppo,
    "ppo-lagrangian": build_ppo_lagrangian,
    "reinforce": _reinforce,
    "actor-critic": _actor_critic,
    "a2c": _a2c,
    "off-policy-pg": _off_policy_pg,
    "a3c": _a3c,
    "npg": _natural,
    "trpo": _natural,
    "kl-dual": _kl_dual,
    "sac": build_sac,
    "sac-lagrangian": build_sac_lagrangian,
    "mpo": build_mpo,
    "v-mpo": build_v_mpo,
    "awr": build_awr,
    "gail": _gail,
    "es": _population,
    "hill-climbing": _population,
    "genetic": _population,
}
