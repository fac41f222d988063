"""Progress in a log: a line at each tenth, and none for what is over soon."""

import io

import pytest
from rich.console import Console

from reins.experiments import report
from reins.experiments.report import Terminal


@pytest.fixture
def terminal():
    found = Terminal()
    found.console = Console(file=io.StringIO(), width=40, highlight=False)
    return found


def said(terminal):
    return terminal.console.file.getvalue().splitlines()


def test_a_line_at_each_tenth_is_not_broken_however_long(terminal):
    with terminal.progress(40) as bar:
        for step in range(40):
            bar.advance(1, f"at {step} with much to be told of all this")
    assert len(said(terminal)) == 10
    assert said(terminal)[1].startswith(" 20 %  8 of 40 steps")
    assert said(terminal)[1].endswith("at 7 with much to be told of all this")


def test_steps_that_are_not_needed_shorten_the_way(terminal):
    with terminal.progress(40) as bar:
        bar.advance(10)
        bar.shorten(20)
        bar.advance(10)
    assert [line[:20] for line in said(terminal)] == [
        " 25 %  10 of 40 step"[:20],
        "100 %  20 of 20 step",
    ]


def test_a_log_hears_of_a_long_run_every_minute(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    with terminal.progress(1000) as bar:
        for _ in range(90):
            bar.advance(1)
            now[0] += 2.0
    assert [line[:4] for line in said(terminal)] == ["  3 ", "  6 "]


def test_what_is_over_soon_needs_no_line(terminal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    with terminal.progress(10, patience=5.0) as bar:
        for _ in range(10):
            bar.advance(1)
            now[0] += 1.0
    assert [line[:4] for line in said(terminal)] == [
        " 60 ",
        " 70 ",
        " 80 ",
        " 90 ",
        "100 ",
    ]


def test_a_bar_advances_and_is_shortened():
    terminal = Terminal()
    terminal.console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with terminal.progress(40) as bar:
        bar.advance(10, "well on the way")
        bar.shorten(20)
        task = bar.bars.tasks[bar.task]
        assert (task.completed, task.total) == (10, 20)
        assert task.description == "well on the way"
        bar.advance(5)
        assert task.description == "well on the way"
