"""Configurations as JSON and as command lines, and back."""

import dataclasses
import shlex
import typing
from typing import Any

from reins.errors import ConfigError
from reins.experiments.config.commands import (
    LearnConfig,
    TrainConfig,
    option,
)

COMMANDS: dict[type, str] = {TrainConfig: "train", LearnConfig: "learn-constraint"}


def to_record(config: Any) -> dict[str, Any]:
    """A configuration as JSON."""
    return dataclasses.asdict(config)


def from_record(kind: type, record: dict[str, Any]) -> Any:
    """A configuration from JSON, checked again as it is built."""
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    surplus = sorted(record.keys() - known)
    if surplus:
        raise ConfigError(
            f"a stored {kind.__name__} has settings that this version does not know: "
            f"{', '.join(surplus)}. It was written by another version of reins."
        )
    return kind(**{k: _restore(hints[k], value) for k, value in record.items()})


def command_line(config: TrainConfig | LearnConfig) -> str:
    """The command that asks for this configuration, without what is at its default.

    A preset is not named: what it said is told, and stands whatever it says later.
    """
    words = ["reins", COMMANDS[type(config)]]
    own = config.usual
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "agent":
            words.append(value)
        elif dataclasses.is_dataclass(value):
            words += _options(value, own)
        elif value != field.default and field.name != "preset":
            words += [option(field.name), str(value)]
    return shlex.join(words)


def _options(part: Any, own: dict[str, Any]) -> list[str]:
    words = []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value == own.get(field.name, field.default):
            continue
        if isinstance(value, bool):
            words.append(option(field.name if value else f"no_{field.name}"))
        else:
            values = value if isinstance(value, tuple) else (value,)
            words += [option(field.name), *map(str, values)]
    return words


def config_of(record: dict[str, Any]) -> TrainConfig | LearnConfig:
    """The configuration in a run's record."""
    kinds = {name: kind for kind, name in COMMANDS.items()}
    return from_record(kinds[record["command"]], record["config"])


def _restore(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_record(hint, value)
    return tuple(value) if isinstance(value, list) else value
