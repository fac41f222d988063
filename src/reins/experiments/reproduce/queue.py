"""Tables as queues of runs: each cell is done once, resumes, and fails alone."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

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
from reins.experiments.reproduce.cell import Asked, Cell, Table
from reins.experiments.reproduce.divergences import compare
from reins.experiments.reproduce.inverse_constrained_rl import (
    inverse_constrained_rl,
)
from reins.experiments.reproduce.inverse_constrained_rl import scaled as scaled_rules
from reins.experiments.reproduce.kept import RESULTS, Done, by_table, find, keep
from reins.experiments.reproduce.lectures import lectures
from reins.experiments.reproduce.needs import check_needs, learning_from
from reins.experiments.reproduce.pong import pong_from_pixels
from reins.experiments.reproduce.rl_as_inference import rl_as_inference, scaled
from reins.experiments.reproduce.rules import compare as compare_rules
from reins.experiments.reproduce.soft_policies import compare as compare_policies
from reins.experiments.reproduce.soft_policies import soft_policies
from reins.experiments.run import resume, start
from reins.experiments.summary import Summary

REPRODUCTIONS: dict[str, Table] = {
    "lectures": Table(lectures, 5),
    "pong-from-pixels": Table(pong_from_pixels, 3),
    "rl-as-inference": Table(rl_as_inference, 5, scaled, compare),
    "soft-policies": Table(soft_policies, 5, compare=compare_policies),
    "inverse-constrained-rl": Table(
        inverse_constrained_rl, 5, scaled_rules, compare_rules
    ),
}


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """Which cells of a table to run, and how large."""

    scale: float = 1.0
    """Share of the table's own steps (of rl-as-inference: of its replay too)."""
    seeds: int | None = None
    """Seeds of each cell; None: as many as the table has."""
    first_seed: int = 0
    """The first seed; settings were chosen on seeds from 100."""
    only: tuple[str, ...] = ()
    """Tables or cells whose name contains one of these; none means all."""
    kept: tuple[Path, ...] = ()
    """Results kept elsewhere: their cells, if of the same settings, count as done."""
    demonstrations: tuple[str, ...] = ()
    """NAME=FILE: learn from this file where a table has the set that is called so."""

    def __post_init__(self) -> None:
        seeds = 1 if self.seeds is None else self.seeds
        if not self.scale > 0 or seeds < 1 or self.first_seed < 0:
            raise ConfigError(
                f"scale {self.scale}, {seeds} seeds from {self.first_seed}: the "
                "scale must be positive, with one seed or more, counted from 0."
            )

    def of(self, name: str) -> Asked:
        """The whole of a table at this size, by its command."""
        words = ["reins", "reproduce", name]
        for size in ("scale", "seeds", "first_seed"):
            value = getattr(self, size)
            if value != type(self).__dataclass_fields__[size].default:
                words += [f"--{size.replace('_', '-')}", str(value)]
        if self.demonstrations:
            words += ["--demonstrations", *self.demonstrations]
        return Asked(shlex.join(words), self.scale)


def reproduce(
    name: str, settings: ReproduceConfig, out: Path, terminal: Terminal
) -> Summary:
    """Work off the queue, and tell what is finished; call again to go on.

    A finished cell is not run again, one that was cut off resumes, and one that fails
    is reported while the others go on. What a chosen cell needs is run before it. What
    is worth keeping is written after every cell, of all that are finished, chosen this
    time or not.

    Raises: ConfigError when there is no such table, or nothing in it was chosen.
    """
    if name not in REPRODUCTIONS:
        raise ConfigError(unknown_name("table", name, REPRODUCTIONS))
    table = REPRODUCTIONS[name]
    cells = [_sized(cell, table, settings) for cell in table.cells()]
    cells = learning_from(cells, settings.demonstrations)
    only = settings.only or ("",)
    chosen = [cell for cell in cells if any(word in cell.label for word in only)]
    if not chosen:
        names = "; ".join(cell.label for cell in cells)
        raise ConfigError(
            f"--only {' '.join(only)} was given, and no cell of {name} has such a part "
            f"in its name. Choose among {names}."
        )
    needed = {cell.needs for cell in chosen}
    chosen = [cell for cell in cells if cell in chosen or cell.label in needed]
    check_out(out)
    failures: dict[str, str] = {}
    for i, cell in enumerate(chosen):
        terminal.say(f"{i + 1} of {len(chosen)}: {cell.table}, {cell.name}")
        if find(cell, out, settings.kept) is not None:
            terminal.say("done before")
            continue
        try:
            check_needs(cell, out, failures)
            _run(cell, out, terminal)
        except ReinsError as error:
            failures[cell.label] = str(error)
            terminal.say(f"failed: {error}")
        else:
            _keep(name, settings, _done(cells, settings, out), failures, out)
    done = _done(cells, settings, out)
    summary = _keep(name, settings, done, failures, out)
    return _tell(summary, done, out, terminal)


def _sized(cell: Cell, table: Table, settings: ReproduceConfig) -> Cell:
    cell = table.scaled(cell, settings.scale)
    run = dataclasses.replace(
        cell.config.run,
        seeds=settings.seeds or table.seeds,
        first_seed=settings.first_seed,
    )
    return cell._replace(config=dataclasses.replace(cell.config, run=run))


def _run(cell: Cell, out: Path, terminal: Terminal) -> None:
    folder = cell.folder(out)
    if not (folder / CONFIG_FILE).exists():
        start(cell.placed(out), folder, terminal)
        return
    if not cell.is_of(config_of(read_folder(folder))):
        raise ConfigError(
            f"{folder} holds a run of other settings (another scale, or other seeds). "
            "Choose another --out, or delete that folder."
        )
    resume(folder, terminal)


def _done(cells: Sequence[Cell], settings: ReproduceConfig, out: Path) -> list[Done]:
    found = [find(cell, out, settings.kept) for cell in cells]
    return [one for one in found if one is not None]


def _keep(
    name: str,
    settings: ReproduceConfig,
    done: Sequence[Done],
    failures: Mapping[str, str],
    out: Path,
) -> Summary:
    config = dataclasses.asdict(settings)
    del config["kept"]  # a place of this machine
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": f"reproduce {name}",
        "config": config,
        "failures": dict(failures),
        "versions": versions(),
    }
    keep(REPRODUCTIONS[name], done, summary, out, settings.of(name))
    return summary


def _tell(
    summary: Summary, done: Sequence[Done], out: Path, terminal: Terminal
) -> Summary:
    summary["tables"] = tables = by_table(done)
    for table, rows in tables.items():
        terminal.say(f"\n{table}")
        terminal.show(*result_tables(rows, None))
    write_json(out / SUMMARY_FILE, summary)
    terminal.say(f"Curves, pictures and a page of tables are in {out / RESULTS}.")
    return summary
