"""What agents are made of: networks, optimisers, multipliers, normalisation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
from gymnasium import spaces

from reins.agents import Agent, normalised
from reins.critics import value_critic
from reins.duals import Dual, pid_dual, projected_dual, softplus_dual
from reins.envs import Env, HostEnv, is_image
from reins.experiments.config import CostConfig, LearnConfig, PPOConfig, TrainConfig
from reins.policies import policy_for, trunk_width
from reins.policies.policy import flat_size, observation_shape


def critic_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The optimiser of a critic that is fitted on its own."""
    return optax.adam(config.gradient.critic_learning_rate, eps=1e-5)


def in_deviations(
    agent: Agent, env: Env | HostEnv, config: TrainConfig | LearnConfig
) -> Agent:
    """The agent in units of running deviations, where that is asked for."""
    host = isinstance(env, HostEnv)
    observations, rewards = (
        asked == "on" or (asked == "auto" and host)
        for asked in (config.ppo.normalise_observations, config.ppo.normalise_rewards)
    )
    observations = observations and not _has_units(env.observation_space)
    if not observations and not rewards:
        return agent
    return normalised(
        agent,
        flat_size(env.observation_space) if observations else 1,
        environments=config.run.environments,
        discount=config.ppo.discount,
        observations=observations,
        rewards=rewards,
    )


def _has_units(space: spaces.Space) -> bool:
    """Whether observations are pictures, or what is left of pictures: signed bytes."""
    return is_image(space) or space.dtype == np.int8


def steps_of_passes(config: TrainConfig | LearnConfig) -> int:
    """Steps of the optimiser in a whole run of several passes over each batch."""
    return config.run.updates * config.ppo.epochs * config.ppo.minibatches


def agent_parts(
    env: Env | HostEnv,
    config: TrainConfig | LearnConfig,
    *,
    steps: int | None = None,
    scaled: Callable[[Any], optax.GradientTransformation] | None = None,
) -> tuple[Any, Any, Any]:
    """Policy, critic and optimiser; `steps` of it in the run, for its decay.

    Args:
      scaled: the optimiser of a step size, behind the bound on the gradient; Adam
        when not said.
    """
    settings = config.ppo
    rate: Any = settings.learning_rate
    if settings.learning_rate_decay == "linear":
        rate = optax.linear_schedule(rate, 0.0, steps or steps_of_passes(config))
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adam(rate, eps=1e-5) if scaled is None else scaled(rate),
    )
    space, hidden = env.observation_space, settings.hidden
    policy = policy_for(
        space,
        env.action_space,
        hidden=hidden,
        log_std=settings.log_std,
        scale=settings.policy_scale,
    )
    if settings.shared_trunk:
        return policy, value_critic(trunk_width(policy), hidden=()), optimizer
    return policy, value_critic(observation_shape(space), hidden=hidden), optimizer


def pass_settings(settings: PPOConfig) -> dict[str, Any]:
    """What PPO is told of its passes over a batch."""
    names = [
        "discount",
        "gae_lambda",
        "clip_epsilon",
        "entropy_weight",
        "value_weight",
        "epochs",
        "minibatches",
        "kl_stop",
    ]
    return {name: getattr(settings, name) for name in names}


def cost_dual(cost: CostConfig) -> Dual:
    """The multiplier of the cost's budget."""
    maximum = float("inf") if cost.dual_maximum is None else cost.dual_maximum
    if cost.dual == "pid":
        return pid_dual(
            initial=cost.dual_initial,
            integral=cost.dual_learning_rate,
            proportional=5 * cost.dual_learning_rate,
            derivative=cost.dual_learning_rate,
            maximum=maximum,
        )
    form = projected_dual if cost.dual == "projected" else softplus_dual
    return form(
        initial=cost.dual_initial,
        learning_rate=cost.dual_learning_rate,
        maximum=maximum,
    )
