"""Tables as queues of runs: each cell is done once, resumes, and fails alone."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from reins.errors import ConfigError, ReinsError, unknown_name
from reins.experiments.config import config_of
from reins.experiments.files import check_out, write_json
from reins.experiments.record import (
    CONFIG_FILE,
    SUMMARY_FILE,
    SUMMARY_SCHEMA,
    read_folder,
    versions,
)
from reins.experiments.report import Terminal, result_tables
from reins.experiments.reproduce.cell import Cell
from reins.experiments.reproduce.kept import RESULTS, finished, keep
from reins.experiments.reproduce.lectures import lectures
from reins.experiments.reproduce.pong import pong_from_pixels
from reins.experiments.run import resume, start
from reins.experiments.summary import Summary


class Table(NamedTuple):
    """What is to be reproduced, and with how many seeds."""

    cells: Callable[[], list[Cell]]
    seeds: int


REPRODUCTIONS: dict[str, Table] = {
    "lectures": Table(lectures, 5),
    "pong-from-pixels": Table(pong_from_pixels, 3),
}


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """Which cells of a table to run, and how large."""

    scale: float = 1.0
    """Environment steps as a share of the table's own."""
    seeds: int | None = None
    """Seeds of each cell; None: as many as the table has."""
    first_seed: int = 0
    """The first seed; settings were chosen on seeds from 100."""
    only: tuple[str, ...] = ()
    """Tables or cells whose name contains one of these; none means all."""

    def __post_init__(self) -> None:
        seeds = 1 if self.seeds is None else self.seeds
        if not self.scale > 0 or seeds < 1 or self.first_seed < 0:
            raise ConfigError(
                f"scale {self.scale}, {seeds} seeds from {self.first_seed}: the "
                "scale must be positive, with one seed or more, counted from 0."
            )


def reproduce(
    name: str, settings: ReproduceConfig, out: Path, terminal: Terminal
) -> Summary:
    """Work off the queue, and tell what is finished; call again to go on.

    A finished cell is not run again, one that was cut off resumes, and one that fails
    is reported while the others go on.

    Raises: ConfigError when there is no such table, or nothing in it was chosen.
    """
    if name not in REPRODUCTIONS:
        raise ConfigError(unknown_name("table", name, REPRODUCTIONS))
    table = REPRODUCTIONS[name]
    cells = list(_chosen(table, settings))
    if not cells:
        names = ", ".join(f"{c.table}/{c.name}" for c in table.cells())
        raise ConfigError(f"no cell of {name} is called {settings.only}: {names}.")
    check_out(out)
    failures = {}
    for i, cell in enumerate(cells):
        terminal.say(f"{i + 1} of {len(cells)}: {cell.table}, {cell.name}")
        try:
            _run(cell, out, terminal)
        except ReinsError as error:
            failures[f"{cell.table}/{cell.name}"] = str(error)
            terminal.say(f"failed: {error}")
    return _tell(name, settings, cells, failures, out, terminal)


def _chosen(table: Table, settings: ReproduceConfig) -> Iterable[Cell]:
    for cell in table.cells():
        label = f"{cell.table}/{cell.name}"
        if settings.only and not any(word in label for word in settings.only):
            continue
        run = cell.config.run
        scaled = dataclasses.replace(
            run,
            steps=max(run.batch_steps, round(settings.scale * run.steps)),
            seeds=settings.seeds or table.seeds,
            first_seed=settings.first_seed,
        )
        yield cell._replace(config=dataclasses.replace(cell.config, run=scaled))


def _run(cell: Cell, out: Path, terminal: Terminal) -> None:
    folder, quiet = cell.folder(out), Terminal(quiet=True)
    if not (folder / CONFIG_FILE).exists():
        start(cell.config, folder, terminal)
        return
    # Built from its record, so that settings which came later stand at their defaults.
    if config_of(read_folder(folder)) != cell.config:
        raise ConfigError(
            f"{folder} holds a run of other settings (another scale, or other seeds). "
            "Choose another --out, or delete that folder."
        )
    done = (folder / SUMMARY_FILE).exists()
    resume(folder, quiet if done else terminal)


def _tell(
    name: str,
    settings: ReproduceConfig,
    cells: list[Cell],
    failures: Mapping[str, str],
    out: Path,
    terminal: Terminal,
) -> Summary:
    tables = finished(cells, out)
    for table, rows in tables.items():
        terminal.say(f"\n{table}")
        terminal.show(*result_tables(rows, None))
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": f"reproduce {name}",
        "config": dataclasses.asdict(settings),
        "failures": dict(failures),
        "versions": versions(),
    }
    keep(cells, tables, summary, out)
    summary["tables"] = tables
    write_json(out / SUMMARY_FILE, summary)
    terminal.say(f"Curves, pictures and a page of tables are in {out / RESULTS}.")
    return summary
