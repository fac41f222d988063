"""The agents that imitate their own improvement, from a configuration."""

import optax

from reins.agents import Agent, mpo
from reins.duals import Dual, log_dual, projected_dual
from reins.envs import Env, HostEnv
from reins.experiments.build.soft import q_critic, replay_capacity, soft_policy
from reins.experiments.config import TrainConfig


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
