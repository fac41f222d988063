"""What the terminal shows while something runs."""

import io

from rich.console import Console

from reins.experiments.loops import Group, Progress
from reins.experiments.report import ProgressLines, Terminal

GROUP = Group("ppo", "CartPole-v1", (3,), None, None, None)  # pyright: ignore


def written(quiet: bool = False) -> tuple[Terminal, io.StringIO]:
    terminal, text = Terminal(quiet=quiet), io.StringIO()
    terminal.console = Console(file=text, width=80, quiet=quiet, highlight=False)
    return terminal, text


def run_through(terminal: Terminal) -> None:
    info = {"kl_old_new": [0.0123], "multiplier": [1.5], "train/reward_per_step": [9.0]}
    row = {"return": [12.34], "violation_rate": [0.25], "updates": 1, "steps": 50}
    with terminal.progress(100) as show:
        assert isinstance(show, ProgressLines)
        show(Progress(GROUP, 0, row={"return": [1.0]}))
        show(Progress(GROUP, 5, info=info))
        show(Progress(GROUP, 45, info=info))
        show(Progress(GROUP, 0, row=row))
        show(Progress(GROUP, 50, info=info))


def test_without_a_terminal_there_is_a_whole_line_for_every_tenth_reached():
    terminal, text = written()
    run_through(terminal)
    lines = text.getvalue().splitlines()
    assert [line[:5] for line in lines] == [" 50 %", "100 %"]
    assert "50 of 100 steps" in lines[0]
    assert "steps/s" in lines[0]
    assert "s left" in lines[0]
    assert "ppo 3: return 1.0, mult. 1.50, kl 0.0123" in lines[0]
    assert "return 12.3, viol. 0.250" in lines[1]
    assert "reward_per_step" not in text.getvalue()


def test_quiet_prints_nothing():
    terminal, text = written(quiet=True)
    run_through(terminal)
    terminal.say("hello")
    assert text.getvalue() == ""
