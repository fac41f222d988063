"""What the documents show runs as it is shown."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]

pytestmark = pytest.mark.docs


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_examples_run_in_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    space: dict = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(example, str(page), "exec"), space)
    said = capsys.readouterr().out
    if page.name == "learn-a-constraint.md":
        allowed, forbidden = (float(x.split()[-1]) for x in said.splitlines()[-2:])
        assert forbidden < 0.5 < allowed
    else:
        assert "the true rule says 0" in said


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
