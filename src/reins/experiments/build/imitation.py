"""GAIL from a configuration: demonstrations, discriminator, and the agent it drives."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import optax

from reins.agents import Agent, gail
from reins.constraints import constraint_network
from reins.envs import Env, HostEnv
from reins.errors import CapabilityError, ConfigError
from reins.experiments.build.inputs import (
    check_demonstrations,
    input_spec,
    normalised_by,
)
from reins.experiments.config import (
    ConstraintConfig,
    ImitationConfig,
    OffPolicyConfig,
    TrainConfig,
)
from reins.experiments.files import load_demonstrations


def build_gail(
    env: Env | HostEnv,
    config: TrainConfig,
    builders: Mapping[str, Callable[[Env | HostEnv, TrainConfig], Any]],
) -> Agent:
    """The imitator that was asked for, on the reward of a discriminator.

    D sees the whole observation and action, in units of the demonstrations' deviations.

    Raises: ConfigError without demonstrations; DataError when they do not fit;
      CapabilityError for pictures.
    """
    name, settings = config.off_policy.demonstrations, config.imitation
    if name is None:
        raise ConfigError(
            "`gail` was asked for without demonstrations, and has nothing to imitate. "
            "Use --demonstrations FILE (`reins demonstrations make` records one)."
        )
    shape = env.observation_space.shape
    if shape is None or len(shape) != 1:
        raise CapabilityError(
            f"`gail` was asked for in {env.name}, whose observations are "
            f"{env.observation_space}; its discriminator sees vectors. Use an "
            "environment of those, or wrap this one."
        )
    shown = load_demonstrations(name)
    check_demonstrations(shown, config.env, env)
    expert = shown.pairs()
    inputs = normalised_by(input_spec(env, ConstraintConfig(clip=float("inf"))), expert)
    imitator = dataclasses.replace(
        config,
        agent=settings.imitator,
        imitation=ImitationConfig(),
        off_policy=OffPolicyConfig(),
    )
    return gail(
        builders[settings.imitator](env, imitator),
        constraint_network(inputs, hidden=settings.discriminator_hidden),
        optax.adamw(
            settings.discriminator_learning_rate,
            eps=1e-5,
            weight_decay=settings.discriminator_decay,
        ),
        expert,
        reward=settings.imitation_reward,
        steps=settings.discriminator_steps,
    )
