"""Every environment, by the id under which Gymnasium knows it too."""

from collections.abc import Callable
from typing import NamedTuple

import gymnasium

from reins.envs.env import Env, Rule
from reins.envs.gridworld import (
    lap_gridworld,
    lap_gridworld_constrained,
    lap_rule,
)
from reins.envs.gymnasium import CompiledEnv
from reins.errors import ConfigError, unknown_name


class EnvEntry(NamedTuple):
    """A registered environment and its twins.

    Attributes:
      build: makes the compiled environment.
      nominal, constrained: ids of the twins (its own id for the one that it is).
      summary: one line for `reins list`.
      rule: the true rule as a table, where there is one; it judges, and never selects.
    """

    build: Callable[[], Env]
    nominal: str
    constrained: str
    summary: str
    rule: Callable[[], Rule] | None = None


_LAP, _LAP_CONSTRAINED = "reins/LapGridWorld-v0", "reins/LapGridWorldConstrained-v0"

ENVS: dict[str, EnvEntry] = {
    _LAP: EnvEntry(
        lap_gridworld,
        nominal=_LAP,
        constrained=_LAP_CONSTRAINED,
        summary="A lap of 40 cells with coins; driving anti-clockwise is possible.",
        rule=lap_rule,
    ),
    _LAP_CONSTRAINED: EnvEntry(
        lap_gridworld_constrained,
        nominal=_LAP,
        constrained=_LAP_CONSTRAINED,
        summary="The same lap; driving anti-clockwise ends the episode.",
        rule=lap_rule,
    ),
}


def env_entry(env_id: str) -> EnvEntry:
    """The registration of an id.

    Raises: ConfigError with the nearest name when there is none.
    """
    if env_id not in ENVS:
        raise ConfigError(unknown_name("environment", env_id, ENVS))
    return ENVS[env_id]


def make_env(env_id: str) -> Env:
    """Build a compiled environment by its id."""
    return env_entry(env_id).build()


def constrained_twin(env_id: str) -> Env:
    """The environment in which breaking the true rule ends the episode."""
    return make_env(env_entry(env_id).constrained)


def nominal_twin(env_id: str) -> Env:
    """The environment in which the true rule can be broken, and is counted."""
    return make_env(env_entry(env_id).nominal)


def gymnasium_env(env_id: str) -> CompiledEnv:
    """A registered environment as a `gymnasium.Env`, without its time limit."""
    return CompiledEnv(make_env(env_id))


def register() -> None:
    """Make every environment known to Gymnasium, as `gymnasium.make(id)`."""
    for env_id, entry in ENVS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="reins.envs:gymnasium_env",
                max_episode_steps=entry.build().horizon,
                kwargs={"env_id": env_id},
            )
