"""The terminal: progress while something takes long, tables when it is done."""

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from reins.envs.check import Finding
from reins.experiments import loops
from reins.lab.study import Sheet


class Terminal:
    """Where a command speaks: text for people, or silence when only JSON is wanted."""

    def __init__(self, *, quiet: bool = False):
        self.console = Console(quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """One line, or a few."""
        whole = not self.console.is_terminal  # who reads a log breaks lines there
        self.console.print(text, markup=False, soft_wrap=whole)

    def show(self, *tables: Table) -> None:
        """Tables, one below the other."""
        for table in tables:
            self.console.print(table)

    @contextmanager
    def progress(
        self, total: int, *, patience: float = 0.0, unit: str = "steps"
    ) -> Iterator["ProgressBar"]:
        """A bar over this many environment steps; plain lines without a terminal.

        Args:
          patience: seconds of which no plain line is printed.
          unit: what is counted, if not steps; empty for a share without a rate.
        """
        if self.console.quiet or not self.console.is_terminal:
            yield ProgressLines(self, total, patience, unit)
            return
        whole = Column(no_wrap=True, min_width=4)
        columns = [
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f} %", table_column=whole),
            *([_Rate(unit, whole)] if unit else []),
            TimeRemainingColumn(compact=True, table_column=whole),
            TextColumn("left", table_column=whole),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        ]
        with Progress(*columns, console=self.console) as bars:
            yield ProgressBar(bars, total)


class ProgressBar:
    """One bar for all groups of seeds."""

    def __init__(self, bars: Progress, total: int):
        self.bars = bars
        self.task = bars.add_task("compiling", total=total)
        self.latest: dict[loops.Group, dict[str, Any]] = {}

    def __call__(self, progress: loops.Progress) -> None:
        self.advance(progress.steps, self.tell(progress))
        if progress.news is not None:
            self.bars.console.print(progress.news, markup=False)

    def advance(self, steps: int, told: str = "") -> None:
        """So many steps further; `told`, unless empty, says how it goes."""
        self.bars.advance(self.task, steps)
        if told:
            self.bars.update(self.task, description=told)

    def shorten(self, steps: int) -> None:
        """So many steps will not be needed after all."""
        total = self.bars.tasks[self.task].total or 0
        self.bars.update(self.task, total=total - steps)

    def tell(self, progress: loops.Progress) -> str:
        """How the group that reports is doing, in a line; empty when nothing is new."""
        known = self.latest.setdefault(progress.group, {})
        known |= (progress.info or {}) | (progress.row or {})
        if progress.info is None and progress.row is None:
            return ""
        group = progress.group
        found = [
            f"{label} {known[name][0]:{form}}"
            for name, label, form in QUANTITIES
            if name in known
        ]
        return f"{group.name} {group.seeds[0]}: {', '.join(found)}"


QUANTITIES = [
    ("return", "return", ".1f"),
    ("train/episode_return", "return (train)", ".1f"),
    ("violation_rate", "viol.", ".3f"),
    ("multiplier", "mult.", ".2f"),
    ("kl_old_new", "kl", ".4f"),
    ("entropy", "entropy", ".2f"),
    ("constraint/ess_fraction", "ess", ".2f"),
]
"""What the progress shows of a seed, if its agent reports it: name, label, form."""


SILENCE = 60.0
"""Seconds after which a log gets a line, though no tenth of the way is done."""


class ProgressLines(ProgressBar):
    """A line at every tenth of the way, and every minute, for logs."""

    def __init__(
        self,
        terminal: Terminal,
        total: int,
        patience: float = 0.0,
        unit: str = "steps",
    ):
        self.unit = unit
        self.terminal = terminal
        self.total = total
        self.patience = patience
        self.steps = 0
        self.lock = threading.Lock()
        self.latest = {}
        self.began: tuple[float, int] | None = None
        self.said = 0.0

    def __call__(self, progress: loops.Progress) -> None:
        with self.lock:
            told = self.tell(progress)
            begun = progress.info is not None
            self.advance(progress.steps, told, begun=begun)
            if progress.news is not None:
                self.terminal.say(progress.news)

    def advance(self, steps: int, told: str = "", *, begun: bool = True) -> None:
        before = self.steps
        self.steps += steps
        now = time.monotonic()
        if self.began is None and begun:
            self.began, self.said = (now, self.steps), now
        if self.began is None or now - self.began[0] < self.patience:
            return
        tenths = [10 * done // self.total for done in (before, self.steps)]
        if tenths[1] == tenths[0] and now - self.said < SILENCE:
            return
        self.said, share = now, 100 * self.steps // self.total
        self.terminal.say(
            f"{share:3d} %{self._count()}{self._pace(*self.began)}  {told}"
        )

    def shorten(self, steps: int) -> None:
        self.total -= steps

    def _count(self) -> str:
        count = f"  {self.steps:,} of {self.total:,} {self.unit}"
        return count if self.unit else ""

    def _pace(self, since: float, steps: int) -> str:
        taken, seconds = self.steps - steps, time.monotonic() - since
        if taken == 0 or seconds == 0.0:
            return ""
        left = (self.total - self.steps) * seconds / taken
        rate = f"{taken / seconds:,.0f} {self.unit}/s, " if self.unit else ""
        return f"  {rate}{left:.0f} s left"


class _Rate(ProgressColumn):
    def __init__(self, unit: str, column: Column):
        super().__init__(table_column=column)
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{'-' if speed is None else f'{speed:,.0f}'} {self.unit}/s")


def sheet_table(sheet: Sheet) -> Table:
    """A sheet of the lab as a table: names to the left, numbers to the right."""
    table = Table(
        title=sheet.title,
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=0,
    )
    shown = [[_cell(x) for x in row] for row in sheet.rows]
    for i, heading in enumerate(sheet.columns):
        cells = [row[i] for row in shown]
        words = any(cell.strip()[:1].isalpha() for cell in cells)
        # Headings may break into lines, and cells may not.
        widest = max(map(len, cells), default=0)
        justify = "left" if words else "right"
        table.add_column(heading, justify=justify, min_width=widest)
    for row in shown:
        table.add_row(*row)
    return table


def _cell(value: Any) -> str:
    """A number in four digits, without what is only rounding."""
    if isinstance(value, str):
        return value
    return f"{0 if abs(value) < 1e-12 else value:.4g}"


def result_tables(
    methods: Mapping[str, Mapping[str, Any]], expert: Mapping[str, Any] | None
) -> list[Table]:
    """Return and violation rate of each method: every seed, and interquartile mean."""
    measures = [
        ("Return per episode", "final_return", ".1f"),
        ("Violations per step", "final_violation_rate", ".4f"),
    ]
    return [
        _measure_table(title, name, form, methods, expert)
        for title, name, form in measures
        if all(name in summary for summary in methods.values())
    ]


def _measure_table(
    title: str,
    name: str,
    form: str,
    methods: Mapping[str, Mapping[str, Any]],
    expert: Mapping[str, Any] | None,
) -> Table:
    seeds = next(iter(methods.values()))["seeds"]
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE, show_edge=False, padding=0
    )
    for heading in ["", *[f"seed {seed}" for seed in seeds], "IQM [95 %]"]:
        justify = "right" if heading else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    for method, summary in methods.items():
        values = [format(value, form) for value in summary[name]]
        interval = summary[f"{name}_interval"]
        iqm, low, high = (format(interval[k], form) for k in ("iqm", "low", "high"))
        table.add_row(method, *values, f"{iqm} [{low}, {high}]")
    measured = None if expert is None else expert[name.removeprefix("final_")]
    if measured is not None:
        table.add_section()
        table.add_row(
            "expert", *[""] * len(seeds), format(float(np.mean(measured)), form)
        )
    return table


def finding_table(finding: Finding) -> Table:
    """A finding as a small table: where, and expected against found."""
    seen = f", {finding.where}" if finding.where else ""
    often = f" ({finding.times} times)" if finding.times > 1 else ""
    table = Table(
        title=f"{finding.level}: {finding.subject}{seen}{often}",
        title_justify="left",
        show_header=False,
        box=None,
    )
    for name in ("expected", "found", "remedy"):
        table.add_row(f"  {name}", getattr(finding, name))
    return table


def names_table(title: str, names: dict[str, str]) -> Table:
    """Names with one line each."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for name, summary in names.items():
        table.add_row(name, summary)
    return table


def complain(text: str) -> None:
    """An error, on the error stream."""
    print(f"reins: {text}", file=sys.stderr)
