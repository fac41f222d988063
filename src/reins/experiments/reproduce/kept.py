"""What is kept of a table: curves as CSV, a page of tables, pictures, versions."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reins.errors import ReinsError
from reins.experiments import plot
from reins.experiments.config import command_line, config_of
from reins.experiments.files import read_json, write_json, write_whole
from reins.experiments.record import SUMMARY_FILE, load_curves, read_folder
from reins.experiments.reproduce.cell import Asked, Cell, Comparison, Table

RESULTS = "results"
"""The folder, in that of the whole, whose small files are worth keeping."""
PAGE = "tables.md"
_MEASURED = (
    *("agent", "env", "seeds", "steps", "evaluation_episodes", "wall_seconds"),
    *("final_return", "final_return_interval"),
    *("final_violation_rate", "final_violation_rate_interval", "versions"),
)


class Done(NamedTuple):
    """A finished cell: what its run amounts to, and the file of its curves."""

    cell: Cell
    summary: dict[str, Any]
    curves: Path


def find(cell: Cell, out: Path, kept: Iterable[Path]) -> Done | None:
    """The cell with these very settings, if it is finished, here or in kept results.

    Raises: DataError when a folder of kept results holds none.
    """
    folder = cell.folder(out)
    if _is_done(folder, cell):
        summary = read_json(folder / SUMMARY_FILE, "the summary of a cell")
        (row,) = summary.get("methods", {"": summary}).values()
        return Done(cell, row, folder / "curves.csv")
    for place in kept:
        tables = read_json(place / SUMMARY_FILE, "kept results").get("tables", {})
        row = tables.get(cell.table, {}).get(cell.name, {})
        curves = place / cell.table / cell.file
        if row.get("command") == command_line(cell.config) and curves.exists():
            return Done(cell, row, curves)
    return None


def _is_done(folder: Path, cell: Cell) -> bool:
    if not (folder / SUMMARY_FILE).exists():
        return False
    try:
        # Built from its record: settings which came later stand at their defaults.
        return cell.is_of(config_of(read_folder(folder)))
    except ReinsError:
        return False  # told when it is to be run


def by_table(done: Iterable[Done]) -> dict[str, dict[str, Any]]:
    """Their summaries, by table and name."""
    tables: dict[str, dict[str, Any]] = {}
    for cell, summary, _ in done:
        tables.setdefault(cell.table, {})[cell.name] = summary
    return tables


def keep(
    table: Table,
    done: Sequence[Done],
    summary: Mapping[str, Any],
    out: Path,
    asked: Asked,
) -> None:
    """Write what is worth keeping of the finished cells into `out / RESULTS`.

    Args:
      summary: what else `summary.json` is to say.
      asked: the whole, for what is not there yet.
    """
    kept = out / RESULTS
    for cell, _, curves in done:
        (kept / cell.table).mkdir(parents=True, exist_ok=True)
        place = kept / cell.table / cell.file
        if curves.resolve() != place.resolve():
            shutil.copyfile(curves, place)
    tables = by_table(done)
    results = {
        environment: {
            cell.name: load_curves(kept / cell.table / cell.file)[1]
            for cell, _, _ in done
            if cell.table == environment
        }
        for environment in tables
    }
    for environment, curves in results.items():
        plot.draw_curves(kept / environment / "curves.png", curves)
    compared = Comparison()
    if table.compare is not None:
        compared = table.compare(results, kept, asked)
    page = "\n".join(filter(None, [page_of(done), compared.page])).encode()
    write_whole(kept / PAGE, lambda stream: stream.write(page))
    numbers = {**summary, **compared.numbers, "tables": by_table(map(_measured, done))}
    write_json(kept / SUMMARY_FILE, numbers)


def _measured(done: Done) -> Done:
    """What is kept of its summary, with the command that makes it."""
    told = {name: done.summary[name] for name in _MEASURED if name in done.summary}
    told["command"] = command_line(done.cell.config)
    return done._replace(summary=told)


def page_of(done: Sequence[Done]) -> str:
    """The tables in Markdown: every seed, interquartile mean, what others report."""
    sections = []
    for table in by_table(done):
        rows = [_row(cell, row) for cell, row, _ in done if cell.table == table]
        sections.append("\n".join([_HEAD.format(table), *rows]) + "\n")
    return "\n".join(sections)


_HEAD = (
    "| {} | return of each seed | interquartile mean [95 %] | steps | published |\n"
    "|---|---|---|---:|---|"
)


def _row(cell: Cell, summary: Mapping[str, Any]) -> str:
    seeds = ", ".join(f"{value:.0f}" for value in summary["final_return"])
    interval = summary["final_return_interval"]
    iqm, low, high = (f"{interval[k]:.0f}" for k in ("iqm", "low", "high"))
    cut = (cell.name, seeds, f"{iqm} [{low}, {high}]", f"{summary['steps']:,}")
    return f"| {' | '.join(cut)} | {cell.published} |"
