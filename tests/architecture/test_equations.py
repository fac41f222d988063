"""docs/equations.md is true: functions import, cite what it says, and are tested."""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from reins.estimators import ESTIMATORS

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "equations.md"


class Row(NamedTuple):
    """One line of the index."""

    equation: str
    words: str
    function: str
    tests: list[str]


def rows() -> list[Row]:
    """The lines of every four-column table of the page, headings left out."""
    found = []
    for line in INDEX.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[2].startswith("`reins."):
            tests = re.findall(r"`(tests/[^`]+)`", cells[3])
            found.append(Row(cells[0], cells[1], cells[2].strip("`"), tests))
    return found


ROWS = rows()


def find(dotted: str) -> object:
    """The object of a dotted name: what a package exports comes before a module.

    So `reins.agents.ppo` is the builder, as it is for whoever imports it.
    """
    first, *names = dotted.split(".")
    found: object = importlib.import_module(first)
    for name in names:
        if not hasattr(found, name):
            assert inspect.ismodule(found), f"{found} has no {name}"
            importlib.import_module(f"{found.__name__}.{name}")
        found = getattr(found, name)
    return found


def test_the_index_is_not_empty() -> None:
    """The table is read at all."""
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.equation} {row.function}")
def test_a_row_is_true(row: Row) -> None:
    """The function is there and cites the equation, and its tests are there."""
    cited = re.findall(r"\bS[1-4]\b|\(\d+\)", row.equation)
    docstring = find(row.function).__doc__ or ""
    assert cited, "the first column names a source"
    assert [name for name in cited if name not in docstring] == []
    assert row.tests, "name a test"
    for test in row.tests:
        path, _, function = test.partition("::")
        assert (ROOT / path).is_file(), f"{path} is not there"
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not function or function in names, f"no {function} in {path}"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_is_in_the_index(name: str) -> None:
    """Adding an estimator adds a line to the page."""
    assert f"reins.estimators.{name}_loss" in {row.function for row in ROWS}
