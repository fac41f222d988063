"""What the documents show runs as it is shown."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]

pytestmark = pytest.mark.docs


def _the_rule_is_told(said):
    return "the true rule says 0" in said


def _allowed_and_forbidden_are_told_apart(said):
    allowed, forbidden = (float(x.split()[-1]) for x in said.splitlines()[-2:])
    return forbidden < 0.5 < allowed


def _clipping_is_a_bias_that_pays_with_few_samples(said):
    mse = dict(re.findall(r"^(.+): mse (\S+)$", said, re.MULTILINE))
    clipped, plain = (
        {n: float(mse[f"{name}, {n}"]) for n in (4, 1024)}
        for name in ("clipped returns", "reward to go")
    )
    pays = clipped[4] < plain[4] and clipped[1024] > plain[1024]
    return pays and "exact bias 0.1043" in said


def _the_wall_ends_it(said):
    return said == "ended at the wall, at a cost of 1\n"


def _all_nine_rules_are_found(said):
    return said.startswith("['blue', 'up-right', 'cell 31'") and said.count(",") == 8


SHOWN = {
    "README.md": _the_rule_is_told,
    "environments.md": _the_wall_ends_it,
    "hard-rules-on-grids.md": _all_nine_rules_are_found,
    "learn-a-constraint.md": _allowed_and_forbidden_are_told_apart,
    "measure-an-estimator.md": _clipping_is_a_bias_that_pays_with_few_samples,
}
"""What a page's examples must print; a page with examples has a line here."""


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_examples_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    space: dict = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(example, str(page), "exec"), space)
    assert SHOWN[page.name](capsys.readouterr().out)


def test_short_pages_are_short():
    limits = {"README.md": 150, "CONTRIBUTING.md": 100}
    for name, limit in limits.items():
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= limit


def test_every_command_in_the_readme_is_one():
    from typing import get_args

    from reins.cli import Command

    known = {get_args(kind)[1].name for kind in get_args(Command)}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = set(re.findall(r"^    reins ([\w-]+)", text, re.MULTILINE))
    assert found | {"demo"} == known  # make demo
