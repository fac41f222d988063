"""Lines of the study's file: one number each, so that all parts share one form."""

from collections.abc import Iterable
from typing import Any, SupportsFloat

Row = dict[str, Any]


def row(
    part: str,
    name: str,
    quantity: str,
    value: SupportsFloat,
    *,
    by: str = "",
    at: SupportsFloat | None = None,
    samples: int | None = None,
) -> Row:
    """One number of a part, of something named, at a place on an axis.

    Args: `samples` is M of what is estimated; none is exact.
    """
    return {
        "part": part,
        "name": name,
        "by": by,
        "at": None if at is None else float(at),
        "samples": samples,
        "quantity": quantity,
        "value": float(value),
    }


def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """The rows that have these values."""
    return [r for r in rows if all(r[key] == value for key, value in wanted.items())]


def only(rows: Iterable[Row], **wanted: Any) -> float:
    """The value of the one row that has these values."""
    (found,) = select(rows, **wanted)
    return found["value"]
