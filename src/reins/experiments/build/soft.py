"""Soft actor-critic from a configuration: policy, critics, temperature, prior."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from gymnasium import spaces

from reins.agents import (
    Agent,
    Prior,
    behaviour_prior,
    policy_prior,
    sac,
    sac_lagrangian,
    uniform_prior,
)
from reins.agents.soft_losses import permitted_by
from reins.critics import action_value_critic, state_action_critic
from reins.data import replay_bytes
from reins.duals import Dual, log_dual, scheduled_dual
from reins.envs import Env, HostEnv, hybrid_space, kept_actions
from reins.errors import ConfigError
from reins.experiments.build.parts import cost_dual
from reins.experiments.config import LearnConfig, TrainConfig
from reins.policies import Policy, PolicyInit, soft_policy_for
from reins.policies.policy import action_range, flat_size, observation_shape


def build_sac(env: Env | HostEnv, config: TrainConfig) -> Agent:
    """Soft actor-critic, as the command line asks for it.

    Raises: CapabilityError where policy and loss do not go together; ConfigError for
      settings that cannot be used.
    """
    parts, options = _soft_parts(env, config)
    return sac(*parts, **options)


def build_sac_lagrangian(
    env: Env | HostEnv, config: TrainConfig | LearnConfig
) -> Agent:
    """The same under a budget of cost, as both commands use it.

    Raises: as `build_sac`.
    """
    parts, options = _soft_parts(env, config, costs=True)
    return sac_lagrangian(
        *parts,
        cost_dual(config.cost),
        environments=config.run.environments,
        budget=config.cost.budget,
        cost_critics=config.soft.cost_critics,
        **options,
    )


def _soft_parts(
    env: Env | HostEnv, config: TrainConfig | LearnConfig, *, costs: bool = False
) -> tuple[tuple[Any, Any, Any, Any], dict[str, Any]]:
    """What every soft actor-critic is made of, and its settings."""
    settings = config.soft
    policy = soft_policy(env, config)
    floor = None if settings.prior_kl is not None else _entropy_floor(env, config)
    fixed = settings.temperatures() is not None
    made: Policy = jax.eval_shape(policy, jax.random.key(0))
    loss = settings.policy_loss or permitted_by(made.gives)
    optimizer = optax.adam(config.ppo.learning_rate)
    parts = policy, q_critic(env, config), optimizer, _temperature(config)
    return parts, {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "policy_loss": loss,
        "action_samples": settings.samples_for(loss),
        "state_samples": settings.state_samples,
        "critic_target": settings.critic_for(loss),
        "policy_critic": settings.policy_critic,
        "prior": _prior(env, config, policy),
        "entropy_floor": None if fixed else floor,
        "kl_ceiling": None if fixed else settings.prior_kl,
        "discount": config.ppo.discount,
        "polyak": settings.polyak,
        "batch_size": settings.batch_size,
        "buffer_size": replay_capacity(env, config, costs=costs),
        "learning_starts": settings.learning_starts,
        "updates_per_step": settings.updates_per_step,
    }


def replay_capacity(
    env: Env | HostEnv, config: TrainConfig | LearnConfig, *, costs: bool = False
) -> int:
    """Steps that are remembered, with their costs or without: all of a run at most.

    Raises: ConfigError where nothing would be learned, or the buffer has no room.
    """
    settings, run = config.soft, config.run
    steps = run.updates * run.batch_steps
    if settings.learning_starts >= steps:
        raise ConfigError(
            f"`{config.agent}` was asked to gather {settings.learning_starts} steps "
            f"before it learns, in a run of {steps}; it would learn nothing. Use more "
            "--steps, or a smaller --learning-starts."
        )
    capacity = min(settings.buffer_size, steps)
    if capacity < run.batch_steps:
        raise ConfigError(
            f"batches of {run.batch_steps} steps were to go into a replay buffer of "
            f"{capacity}; a batch would write over itself. Use a larger --buffer-size."
        )
    needed = replay_bytes(
        capacity, env.observation_space, env.action_space, costs=costs
    )
    _check_memory(capacity, config.run.seeds, needed)
    return capacity


def _check_memory(capacity: int, seeds: int, of_one: int) -> None:
    """Refuse a buffer that this machine cannot hold, before it has begun to fill."""
    needed = seeds * of_one
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > 0.9 * there:
        raise ConfigError(
            f"replay buffers of {capacity:,} steps for {seeds} seeds take "
            f"{needed / 2**30:.1f} GiB; this machine has {there / 2**30:.1f}. Use a "
            "smaller --buffer-size, or fewer --seeds."
        )


def soft_policy(env: Env | HostEnv, config: TrainConfig | LearnConfig) -> PolicyInit:
    """The policy of an agent with a replay buffer."""
    return soft_policy_for(
        env.observation_space,
        env.action_space,
        kind=config.soft.policy_kind,
        hidden=config.ppo.hidden,
        branches=config.soft.branches,
    )


def q_critic(
    env: Env | HostEnv, config: TrainConfig | LearnConfig
) -> Callable[..., Any]:
    """One Q: of every action of a finite set, or of an action with it."""
    space, hidden = env.action_space, config.ppo.hidden
    if isinstance(space, spaces.Discrete):
        seen = observation_shape(env.observation_space)
        return action_value_critic(seen, int(space.n), hidden=hidden, activation="relu")
    hybrid = hybrid_space(space)
    return state_action_critic(
        flat_size(env.observation_space),
        flat_size(kept_actions(space)),
        choices=0 if hybrid is None else hybrid.choices,
        hidden=hidden,
    )


def _temperature(config: TrainConfig | LearnConfig) -> Dual:
    settings, run = config.soft, config.run
    ends = settings.temperatures()
    if ends is None:
        return log_dual(
            initial=settings.temperature_initial,
            learning_rate=settings.temperature_learning_rate,
        )
    updates = run.updates * run.batch_steps * settings.updates_per_step
    schedule: Any = optax.linear_schedule(*ends, updates)
    return scheduled_dual(schedule)


def _entropy_floor(env: Env | HostEnv, config: TrainConfig | LearnConfig) -> float:
    """-1 nat for each action dimension, in units of half the bounds; half of log A.

    Of hybrid actions the sum of the two.
    """
    if config.soft.target_entropy is not None:
        return config.soft.target_entropy
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return 0.5 * float(np.log(space.n))
    hybrid = hybrid_space(space)
    box = space if hybrid is None else hybrid.box
    assert isinstance(box, spaces.Box)  # noqa: S101
    _, half_width = action_range(box)
    floor = float(np.sum(np.log(half_width) - 1.0))
    return floor if hybrid is None else floor + 0.5 * float(np.log(hybrid.choices))


def _prior(
    env: Env | HostEnv, config: TrainConfig | LearnConfig, policy: PolicyInit
) -> Prior:
    name = config.soft.prior
    if name == "uniform":
        return uniform_prior(env.action_space)
    if name == "behaviour":
        return behaviour_prior(policy, optax.adam(config.ppo.learning_rate))
    if not Path(name).is_dir():
        raise ConfigError(
            f"--prior was given {name!r}, which is no folder; expected uniform, "
            "behaviour, or the folder of a trained agent. Check the path."
        )
    from reins.experiments.load import load  # which builds what it loads, as we do

    found = load(name).policy
    _check_prior(found, policy, env, name)
    return policy_prior(found)


def _check_prior(
    found: Policy, policy: PolicyInit, env: Env | HostEnv, name: str
) -> None:
    """Ask it, in shapes only, for what it will be asked for."""
    key = jax.random.key(0)
    seen = env.observation_space
    probe = jax.ShapeDtypeStruct((1, *(seen.shape or ())), np.float32)
    try:
        actions = jax.eval_shape(lambda k, o: policy(k)(o).sample(k), key, probe)
        jax.eval_shape(lambda o, a: found(o).log_prob(a), probe, actions)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"--prior was given {name}, whose agent sees or does something else than "
            f"{env.name} shows and takes ({error}). Name an agent that was trained in "
            "the same spaces."
        ) from None
