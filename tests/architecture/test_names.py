"""What is public is documented, and what is documented is there."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import reins
from reins import estimators, policies
from reins.estimators import ESTIMATORS, Estimator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "reins"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def public_definitions() -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Every public function and class at the top of a module, with where it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                yield f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}", node


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_says_what_it_is(name: str) -> None:
    """Each record names its loss, needs, source, target and bias."""
    record = ESTIMATORS[name]
    given = [getattr(policies, policy) for policy in policies.__all__]
    named = [getattr(policy, "gives", None) for policy in given]
    known = frozenset().union(*(gives for gives in named if type(gives) is frozenset))
    assert record.loss is getattr(estimators, f"{name}_loss")
    assert f"{name}_loss" in estimators.__all__
    only_run = record.loss.__module__ == "reins.estimators.evolution"
    assert bool(record.needs) != only_run, "say what it asks of a policy"
    assert record.needs <= known, f"no policy gives {record.needs - known}"
    assert re.match(r"S[1-4]\b", record.source), "begin with the source document"
    assert record.target, "say what it is the gradient of"
    assert record.unbiased in get_args(get_type_hints(Estimator)["unbiased"])


def test_everything_public_has_a_docstring() -> None:
    """Modules, and the functions and classes at their top."""
    silent = [
        where for where, node in public_definitions() if not ast.get_docstring(node)
    ]
    for path in SOURCE.rglob("*.py"):
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))):
            silent.append(str(path.relative_to(SOURCE)))
    assert not silent, "without a docstring:\n" + "\n".join(silent)


def test_every_loss_names_its_source() -> None:
    """`Source:` stands in the docstring of every `..._loss`."""
    silent = [
        where
        for where, node in public_definitions()
        if node.name.endswith("_loss")
        and "Source:" not in (ast.get_docstring(node) or "")
    ]
    assert not silent, "without a `Source:`:\n" + "\n".join(silent)


def test_every_package_has_what_it_promises() -> None:
    """All names in `__all__` are there, and their functions have docstrings."""
    names = [m.name for m in pkgutil.walk_packages(reins.__path__, "reins.") if m.ispkg]
    assert "reins.estimators" in names
    for name in ["reins", *names]:
        package = importlib.import_module(name)
        for public in getattr(package, "__all__", ()):
            value = getattr(package, public)
            assert not inspect.isfunction(value) or value.__doc__, f"{name}.{public}"


@pytest.mark.docs
def test_links_lead_somewhere() -> None:
    """Every relative link of a page, and every page named in the code, is a file."""
    dead = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in link and not (page.parent / link).exists():
                dead.append(f"{page.relative_to(ROOT)}: {link}")
    for path in [*SOURCE.rglob("*.py"), *PAGES]:
        for page in re.findall(
            r"\bdocs/[\w./-]+\.md", path.read_text(encoding="utf-8")
        ):
            if not (ROOT / page).exists():
                dead.append(f"{path.relative_to(ROOT)}: {page}")
    assert not dead, "not there:\n" + "\n".join(dead)
