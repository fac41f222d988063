"""What a study of the lab returns: data for a table, a file and a picture."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

Advance = Callable[[float, str], None]
"""Told the share of the work just done (all calls add up to 1), and what comes next."""


def ignore(share: float, doing: str) -> None:
    """Nobody watches."""


QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""Compiler options for what takes longer to compile well than to run."""


class Sheet(NamedTuple):
    """A table for people: as many cells in a row as there are columns."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


class Study(NamedTuple):
    """What was found out.

    Attributes:
      name: of the study, as on the command line.
      rows: the lines of its CSV file, all with the same keys.
      sheets: what is printed.
      findings: what its summary says: numbers, strings, and lists of them.
      fields: arrays that the picture needs beside the rows.
    """

    name: str
    rows: list[dict[str, Any]]
    sheets: list[Sheet]
    findings: dict[str, Any]
    fields: dict[str, np.ndarray]


def in_float64(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, run with 64-bit floats: exact answers deserve them."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return run
