"""Imports go down one list; files, drawing and engines live in experiments/ alone.

Every module is read, not run: imports inside functions and under TYPE_CHECKING count.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "reins"

# A line may use the lines above it; on one line a name may use the names to its left,
# and never across "|". Within a package siblings are free. CONTRIBUTING.md has it too.
IMPORT_LIST = """\
types, errors, networks
divergences, weights, credit, duals, trust_region, improvement
envs, policies  |  estimators, critics, constraints
data, tabular
agents  |  lab
experiments
cli
"""
ARRAYS_ONLY = (
    *("divergences", "weights", "credit", "duals"),
    *("trust_region", "improvement"),
)
ARRAY_LIBRARIES = {"jax", "jaxtyping", "numpy", *sys.stdlib_module_names}

FACE = ""
"""`reins` itself, `__init__.py`: it may use all but cli, and only cli may use it."""

OUTSIDE_WORLD = ("experiments", "cli")
"""The parts that may draw, print, read and write files, and start processes."""

OUTSIDE_LIBRARIES = {
    "matplotlib": "draws",
    "rich": "draws on the terminal",
    "tyro": "reads the command line",
    "safetensors": "reads and writes files",
    "tensorboardX": "writes files",
    "minari": "reads and writes files",
    "h5py": "reads and writes files",
    "shutil": "changes files",
    "tempfile": "makes files",
    "subprocess": "starts processes",
    "multiprocessing": "starts processes",
    "concurrent": "starts threads or processes",
    "threading": "starts threads",
}
FILE_METHODS = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text"),
    *("mkdir", "rmdir", "touch", "unlink"),
    *("tree_serialise_leaves", "tree_deserialise_leaves"),
}
ARRAY_FILE_FUNCTIONS = {
    *("fromfile", "genfromtxt", "load", "loadtxt", "memmap"),
    *("save", "savetxt", "savez", "savez_compressed"),
}
CODE_RUNNERS = {
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "pickle",
    "shelve",
}
MODULE_OF_THE_USER = "importlib.import_module(module)"
"""The one import by name: the user's module, of `module:Name-v0` or an estimator."""
NAMES_THAT_SAY_NOTHING = {"_src", "common", "helpers", "misc", "util", "utils"}


def places() -> dict[str, tuple[int, int, int]]:
    """Line, side of the bar, and place on that side, of every name of the list."""
    return {
        name: (line, side, place)
        for line, text in enumerate(IMPORT_LIST.splitlines())
        for side, half in enumerate(text.split("|"))
        for place, name in enumerate(part.strip() for part in half.split(","))
    }


PLACES = places()


def may_use(user: str, used: str) -> bool:
    """Whether a module of one part of the library may import from another."""
    if user in (used, "cli"):
        return True
    if user == FACE:
        return used != "cli"
    if used == FACE:
        return False
    (line, side, place), (used_line, used_side, used_place) = PLACES[user], PLACES[used]
    if line != used_line:
        return used_line < line
    return side == used_side and used_place < place


def part_of(module: str) -> str:
    """`envs` of `reins.envs.walls`; the face of `reins`."""
    return module.split(".")[1] if "." in module else FACE


def faults_in(module: str, source: str) -> list[str]:
    """Everything in one module that breaks a rule of this file, with its line."""
    part = part_of(module)
    if part != FACE and part not in PLACES:
        return [f"{module}: `{part}` is not in the import list"]
    faults = [
        f"{module}: a module named `{name}` says nothing about what is in it"
        for name in module.split(".")
        if name in NAMES_THAT_SAY_NOTHING
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt | ast.expr):
            found = [*_faults_of_import(part, node), *_faults_of_call(part, node)]
            faults += [f"{module}:{node.lineno}: {fault}" for fault in found]
    return faults


def _imported(node: ast.AST) -> Iterator[str]:
    """What a statement imports; `from reins import envs` is `reins.envs`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module == "reins":
        for alias in node.names:
            yield f"reins.{alias.name}" if alias.name in PLACES else "reins"
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""


def _faults_of_import(part: str, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom) and node.level:
        yield "a relative import; write it in full, so that the list can be read"
        return
    for name in _imported(node):
        library = name.split(".")[0]
        if library == "reins":
            used = part_of(name)
            if used != FACE and used not in PLACES:
                yield f"imports {name}, which is not in the import list"
            elif not may_use(part, used):
                yield f"{part or 'reins'} may not use {used or 'reins'}: {name}"
        elif library in CODE_RUNNERS:
            yield f"imports {library}, whose files can run code when they are loaded"
        elif library in OUTSIDE_LIBRARIES and part not in OUTSIDE_WORLD:
            why = OUTSIDE_LIBRARIES[library]
            yield f"imports {library}, which {why}; that belongs in experiments/"
        elif part in ARRAYS_ONLY and library not in ARRAY_LIBRARIES:
            yield f"imports {library}; {part} is about arrays and pytrees only"


def _faults_of_call(part: str, node: ast.AST) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
            yield "allow_pickle: loading such a file can run code"
    called = ast.unparse(node.func)
    owner, _, name = called.rpartition(".")
    may = part in ("envs", "experiments")
    of_the_user = may and ast.unparse(node) == MODULE_OF_THE_USER
    if name in ("__import__", "import_module") and not of_the_user:
        yield f"{called}() hides an import from this test"
    if part in OUTSIDE_WORLD:
        return
    if called == "print":
        yield "print(); only experiments/ and cli speak to people"
    of_arrays = owner in ("np", "numpy", "jnp") and name in ARRAY_FILE_FUNCTIONS
    if called == "open" or (owner and name in FILE_METHODS) or of_arrays:
        yield f"{called}(); files live in experiments/"


def modules() -> Iterator[tuple[str, str]]:
    """Name and source of every module of the library."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, path.read_text(encoding="utf-8")


def test_the_library_keeps_to_the_rules() -> None:
    """No module imports upwards; only experiments/ and cli touch the outside world."""
    found = list(modules())
    assert len(found) > 30, f"expected the library in {SOURCE}"
    faults = [fault for module, source in found for fault in faults_in(module, source)]
    assert not faults, "\n".join(["", *faults])


@pytest.mark.docs
def test_contributors_are_shown_the_same_list() -> None:
    """CONTRIBUTING.md has the list line for line, with remarks after "#"."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = [line.split("#")[0].strip() for line in text.splitlines()]
    first, *_ = wanted = IMPORT_LIST.splitlines()
    start = shown.index(first)
    assert shown[start : start + len(wanted)] == wanted


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("reins.weights", "from reins.agents import ppo", "weights may not use agents"),
        ("reins.types", "import reins.errors", "types may not use errors"),
        (
            "reins.envs.walls",
            "from reins.policies import Policy",
            "may not use policies",
        ),
        (
            "reins.estimators.a",
            "from reins.policies import Policy",
            "may not use polic",
        ),
        ("reins.policies.a", "from reins.critics import V", "may not use critics"),
        ("reins.agents.ppo", "from reins.lab import measure", "may not use lab"),
        (
            "reins.agents.ppo",
            "import reins.experiments.record as r",
            "may not use exper",
        ),
        (
            "reins.agents.ppo",
            "from reins import experiments",
            "may not use experiments",
        ),
        ("reins.experiments.a", "from reins import train", "may not use reins"),
        ("reins.experiments.a", "from reins.cli import main", "may not use cli"),
        ("reins", "from reins.cli import main", "reins may not use cli"),
        (
            "reins.data.a",
            "def f():\n  from reins.agents import ppo",
            "a:2: data may not",
        ),
        (
            "reins.credit.returns",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import reins.envs",
            "returns:3: credit may not use envs",
        ),
        ("reins.envs.walls", "from .env import Env", "a relative import"),
        ("reins.envs.walls", "from reins.cloud import a", "not in the import list"),
        ("reins.cloud.walls", "", "`cloud` is not in the import list"),
        ("reins.envs.utils", "", "`utils` says nothing"),
        ("reins.weights", "import equinox", "arrays and pytrees only"),
        ("reins.agents.ppo", "import matplotlib.pyplot as plt", "imports matplotlib"),
        ("reins.agents.ppo", "from rich.progress import track", "imports rich"),
        ("reins.data.a", "from safetensors.numpy import load_file", "safetensors"),
        ("reins.agents.ppo", "from tensorboardX import SummaryWriter", "tensorboardX"),
        ("reins.agents.a3c", "import multiprocessing.pool", "multiprocessing"),
        ("reins.data.a", "open('a')", "open(); files live"),
        ("reins.data.a", "Path('a').write_text('b')", "write_text(); files live"),
        ("reins.data.a", "np.savez('a', b=c)", "np.savez(); files live"),
        ("reins.agents.ppo", "print(1)", "print()"),
        ("reins.experiments.a", "import pickle", "imports pickle"),
        ("reins.experiments.a", "from joblib import load", "imports joblib"),
        ("reins.experiments.a", "np.load('a', allow_pickle=True)", "allow_pickle"),
        ("reins.experiments.a", "np.load('a', allow_pickle=flag)", "allow_pickle"),
        ("reins.experiments.a", "importlib.import_module('reins.cli')", "hides"),
    ],
)
def test_the_checker_finds(module: str, source: str, fault: str) -> None:
    """One made-up module for each rule; without these a blind checker would pass."""
    faults = faults_in(module, source)
    assert len(faults) == 1
    assert fault in faults[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("reins.errors", "from reins.types import Key"),
        ("reins.policies.gaussian", "from reins.policies.policy import Policy"),
        ("reins.policies.policy", "from reins.envs.env import Env"),
        ("reins.constraints.a", "from reins.estimators import ESTIMATORS"),
        ("reins.agents.ppo", "from reins import envs, estimators"),
        ("reins.lab.measure", "from reins.estimators import ESTIMATORS"),
        ("reins.weights", "import dataclasses, jax.numpy as jnp"),
        ("reins.data.a", "text.replace('a', 'b')\nagent.load(state)"),
        ("reins.experiments.a", "print(np.load('a', allow_pickle=False))"),
        ("reins.cli", "import rich, tyro, reins\nfrom reins.experiments import run"),
        ("reins", "from reins.experiments import train"),
    ],
)
def test_the_checker_passes(module: str, source: str) -> None:
    """What the rules allow."""
    assert faults_in(module, source) == []
