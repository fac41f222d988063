"""The agents that imitate their own improvement, from a configuration."""

import optax

from reins.agents import Agent, awr, mpo, v_mpo
from reins.critics import value_critic
from reins.duals import Dual, log_dual, projected_dual, scheduled_dual
from reins.envs import Env, HostEnv
from reins.experiments.build.parts import agent_parts, in_deviations
from reins.experiments.build.soft import q_critic, replay_capacity, soft_policy
from reins.experiments.config import TrainConfig
from reins.policies.policy import observation_shape


def build_mpo(env: Env | HostEnv, config: TrainConfig) -> Agent:
    """Maximum a posteriori policy optimisation, as the command line asks for it.

    Raises: ConfigError for settings that cannot be used.
    """
    settings = config.soft
    return mpo(
        soft_policy(env, config),
        q_critic(env, config),
        optax.adam(config.ppo.learning_rate),
        *improvement_duals(config),
        observation_space=env.observation_space,
        action_space=env.action_space,
        improvement_kl_bound=config.improvement.improvement_kl,
        kl_bound=config.region.kl_bound,
        action_samples=settings.action_samples or 16,
        state_samples=settings.state_samples,
        target_period=config.improvement.target_period,
        discount=config.ppo.discount,
        polyak=settings.polyak,
        batch_size=settings.batch_size,
        buffer_size=replay_capacity(env, config),
        learning_starts=settings.learning_starts,
        updates_per_step=settings.updates_per_step,
    )


def build_v_mpo(env: Env | HostEnv, config: TrainConfig) -> Agent:
    """The on-policy form, of the same parts as `kl-dual`.

    Raises: ConfigError for settings that cannot be used.
    """
    agent = v_mpo(
        *agent_parts(env, config),
        *improvement_duals(config),
        improvement_kl_bound=config.improvement.improvement_kl,
        kl_bound=config.region.kl_bound,
        discount=config.ppo.discount,
        gae_lambda=config.ppo.gae_lambda,
        value_weight=config.ppo.value_weight,
        temperature_steps=config.improvement.temperature_steps,
        epochs=config.ppo.epochs,
        minibatches=config.ppo.minibatches,
    )
    return in_deviations(agent, env, config)


def build_awr(env: Env | HostEnv, config: TrainConfig) -> Agent:
    """Advantage-weighted regression, from a replay buffer.

    Raises: ConfigError for settings that cannot be used.
    """
    settings, run = config.soft, config.run
    updates = run.updates * run.batch_steps * settings.updates_per_step
    first, last = settings.temperatures() or (1.0, 1.0)
    seen = observation_shape(env.observation_space)
    return awr(
        soft_policy(env, config),
        value_critic(seen, hidden=config.ppo.hidden, activation="relu"),
        optax.adam(config.ppo.learning_rate),
        scheduled_dual(optax.linear_schedule(first, last, updates)),  # pyright: ignore
        observation_space=env.observation_space,
        action_space=env.action_space,
        weight_maximum=config.improvement.weight_maximum,
        discount=config.ppo.discount,
        polyak=settings.polyak,
        batch_size=settings.batch_size,
        buffer_size=replay_capacity(env, config),
        learning_starts=settings.learning_starts,
        updates_per_step=settings.updates_per_step,
    )


def improvement_duals(config: TrainConfig) -> tuple[Dual, Dual]:
    """The temperature of the weights, and the multiplier of the policy's KL."""
    temperature = log_dual(
        initial=config.soft.temperature_initial,
        learning_rate=config.soft.temperature_learning_rate,
        minimum=1e-4 * config.soft.temperature_initial,
    )
    multiplier = projected_dual(
        initial=config.region.kl_multiplier,
        learning_rate=config.region.kl_dual_learning_rate,
    )
    return temperature, multiplier
