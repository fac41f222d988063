"""Configurations from settings by name, as Python and presets give them."""

import dataclasses
import typing
from typing import Any

from reins.errors import ConfigError, unknown_name
from reins.experiments.config.commands import USED
from reins.experiments.config.constraint import FORWARD_AGENTS
from reins.experiments.config.presets import settings_of


def gathered(kind: type, settings: dict[str, Any]) -> Any:
    """A configuration from settings by name, whichever part of it they belong to.

    Where `preset` is among them, its settings stand behind those that are given; what
    it says of PPO alone is left out where another agent learns under the constraint.

    Raises: ConfigError for a name that belongs to none, with the nearest one that does;
      as `settings_of`.
    """
    learner = settings.get("forward_agent", "ppo")
    if learner not in FORWARD_AGENTS:
        raise ConfigError(unknown_name("forward agent", learner, FORWARD_AGENTS))
    if (preset := settings.get("preset")) is not None:
        agent = settings.get("agent") or settings.get("method", "icrl")
        told = settings_of(preset, agent, settings["env"])
        if learner != "ppo":
            unheard = USED["ppo-lagrangian"] - USED[f"{learner}-lagrangian"]
            told = {name: told[name] for name in told if name not in unheard}
        settings = {**told, **settings}
    home = _homes(kind)
    for name in settings:
        if name not in home:
            raise ConfigError(unknown_name("setting", name, home))
    parts: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        parts.setdefault(home[name], {})[name] = value
    hints = typing.get_type_hints(kind)
    own = parts.pop("", {})
    return kind(**own, **{part: hints[part](**given) for part, given in parts.items()})


def _homes(kind: type) -> dict[str, str]:
    """Which part of a configuration each setting lies in; '' for none of them."""
    hints = typing.get_type_hints(kind)
    homes = {}
    for field in dataclasses.fields(kind):
        part = hints[field.name]
        if dataclasses.is_dataclass(part):
            homes |= {inner.name: field.name for inner in dataclasses.fields(part)}
        else:
            homes[field.name] = ""
    return homes
