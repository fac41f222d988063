"""A fault of an environment, told to whoever can mend it."""

import traceback
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from reins.errors import ReinsError

RAISED = object()
"""In the place of what a call would have returned."""


class Finding(NamedTuple):
    """One fault: what was expected, what was found, what to do.

    Attributes:
      level: `error` for what breaks training or Gymnasium's contract, `warning` for
        what works and may not be meant.
      subject: what is wrong: `observation`, `reward`, `step`.
      where: the first place that it was seen at; empty where there is none.
      expected, found: what should be, and what is, with numbers.
      remedy: what to do.
      times: how often it was found.
    """

    level: Literal["error", "warning"]
    subject: str
    where: str
    expected: str
    found: str
    remedy: str
    times: int = 1


def error(subject: str, expected: str, found: str, remedy: str) -> Finding:
    """A fault that breaks training or Gymnasium's contract."""
    return Finding("error", subject, "", expected, found, remedy)


def warning(subject: str, expected: str, found: str, remedy: str) -> Finding:
    """Something that works, and may not be meant."""
    return Finding("warning", subject, "", expected, found, remedy)


def placed(findings: Iterable[Finding], where: str) -> list[Finding]:
    """The same findings, with the place that they were seen at."""
    return [finding._replace(where=where) for finding in findings]


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first; what was expected of the same subject in vain stands there once.

    The first of its kind is kept, with the number of times that it was found.
    """
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in findings:
        kind = (finding.level, finding.subject, finding.expected)
        first = kept.setdefault(kind, finding._replace(times=0))
        kept[kind] = first._replace(times=first.times + finding.times)
    return tuple(sorted(kept.values(), key=lambda finding: finding.level != "error"))


def attempt(
    subject: str, where: str, call: Callable, *args: Any, **kwargs: Any
) -> tuple[Any, list[Finding]]:
    """What a call of the environment returns, or `RAISED` and what it raised."""
    try:
        return call(*args, **kwargs), []
    except Exception as fault:
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        found = f"{type(fault).__name__}: {fault}".rstrip(": ")
        remedy = f"It was raised in {frame.filename}, line {frame.lineno}."
        if isinstance(fault, ReinsError):
            remedy = "The sentence above says it."
        return RAISED, placed([error(subject, "no exception", found, remedy)], where)
