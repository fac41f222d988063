"""One run of a table, and what makes cells a table."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reins.experiments.config import LearnConfig, RunConfig, TrainConfig
from reins.experiments.record import Curves


class Cell(NamedTuple):
    """One run of the queue: a row of a table of its environment.

    Attributes:
      table: the environment, by the name that tables are known by.
      name: the agent and what is particular about it.
      config: the run.
      published: what others report of the same, with their names; empty when nothing.
      needs: the label of the cell whose constraints the agent obeys, each seed that of
        the same seed; it stands in the place of their folder in `config`.
    """

    table: str
    name: str
    config: TrainConfig | LearnConfig
    published: str = ""
    needs: str = ""

    @property
    def label(self) -> str:
        """What `--only` looks into."""
        return f"{self.table}/{self.name}"

    def folder(self, out: Path) -> Path:
        """Where it is, in the folder of the whole."""
        return out / self.table / self.name

    def placed(self, out: Path) -> TrainConfig | LearnConfig:
        """The run, with what it needs where it is in the folder of the whole."""
        if not self.needs:
            return self.config
        return dataclasses.replace(
            self.config, constraint=str((out / self.needs).absolute())
        )

    def is_of(self, found: TrainConfig | LearnConfig) -> bool:
        """Whether a run was told the same, wherever what it needs lay."""
        if self.needs and isinstance(found, TrainConfig):
            if not Path(found.constraint or "").match(self.needs):
                return False
            found = dataclasses.replace(found, constraint=self.needs)
        return found == self.config

    @property
    def file(self) -> str:
        """The name of its curves where results are kept."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") + ".csv"


def share_of_steps(run: RunConfig, scale: float) -> int:
    """So many of its steps, at least one batch."""
    return max(run.batch_steps, round(scale * run.steps))


def fewer_steps(cell: Cell, scale: float) -> Cell:
    """The cell with a share of its steps, at least one batch.

    Of those that go by before an agent learns from memory it is the same share.
    """
    config = cell.config
    run = dataclasses.replace(config.run, steps=share_of_steps(config.run, scale))
    config = dataclasses.replace(config, run=run)
    remembers = isinstance(config, TrainConfig) and "learning_starts" in config.used
    if remembers and scale < 1:
        starts = round(scale * config.soft.learning_starts)
        soft = dataclasses.replace(config.soft, learning_starts=starts)
        config = dataclasses.replace(config, soft=soft)
    return cell._replace(config=config)


Results = Mapping[str, Mapping[str, Curves]]
"""Curves of the finished cells, by table and name."""


class Asked(NamedTuple):
    """The whole of a table at some size: its command, and its share of the steps."""

    command: str
    scale: float
    scaled: str = "steps and replay"

    @property
    def caption(self) -> str:
        """The command, and what it has scaled."""
        size = "" if self.scale == 1 else f" ({self.scaled} x {self.scale:g})"
        return self.command + size


class Comparison(NamedTuple):
    """What is said of the cells together.

    Attributes:
      page: in Markdown, for the end of the page of tables.
      numbers: by name, for `summary.json`.
    """

    page: str = ""
    numbers: Mapping[str, Any] = {}


class Table(NamedTuple):
    """What is to be reproduced.

    Attributes:
      cells: its runs, in their order.
      seeds: how many of each.
      scaled: (cell, scale) -> the same at a share of its size.
      compare: (results, folder for pictures, what was asked) -> what the cells say
        together.
    """

    cells: Callable[[], list[Cell]]
    seeds: int
    scaled: Callable[[Cell, float], Cell] = fewer_steps
    compare: Callable[[Results, Path, Asked], Comparison] | None = None
