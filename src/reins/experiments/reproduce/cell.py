"""One run of a table."""

import re
from pathlib import Path
from typing import NamedTuple

from reins.experiments.config import TrainConfig


class Cell(NamedTuple):
    """One run of the queue: a row of a table of its environment.

    Attributes:
      table: the environment, by the name that tables are known by.
      name: the agent and what is particular about it.
      config: the run.
      published: what others report of the same, with their names; empty when nothing.
    """

    table: str
    name: str
    config: TrainConfig
    published: str = ""

    def folder(self, out: Path) -> Path:
        """Where it is, in the folder of the whole."""
        return out / self.table / self.name

    @property
    def file(self) -> str:
        """The name of its curves where results are kept."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") + ".csv"
