"""Defaults that give way: where an agent has a usual setting of its own, that is taken.

A default is a value that knows that nobody asked for it. It equals the plain value, and
whoever gives the plain value has asked for it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


class _Unsaid:
    """Marks a value as a default."""


class _Int(int, _Unsaid):
    pass


class _Float(float, _Unsaid):
    pass


class _Tuple(tuple, _Unsaid):
    __slots__ = ()


def usual_count(value: int) -> int:
    """A whole number that stands until an agent has another."""
    return _Int(value)


def usual_number(value: float) -> float:
    """A number that stands until an agent has another."""
    return _Float(value)


def usual_sizes(*values: int) -> tuple[int, ...]:
    """A tuple that stands until an agent has another."""
    return _Tuple(values)


def with_usual(part: Any, own: Mapping[str, Any]) -> Any:
    """The settings, with an agent's own where nobody has said otherwise."""
    unsaid = {
        field.name: own[field.name]
        for field in dataclasses.fields(part)
        if field.name in own and isinstance(getattr(part, field.name), _Unsaid)
    }
    return dataclasses.replace(part, **unsaid) if unsaid else part
