"""What is kept of a table: curves as CSV, a page of tables, pictures, versions."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reins.experiments import plot
from reins.experiments.files import read_json, write_json, write_whole
from reins.experiments.record import SUMMARY_FILE, read_curves
from reins.experiments.reproduce.cell import Cell

RESULTS = "results"
"""The folder, in that of the whole, whose small files are worth keeping."""
PAGE = "tables.md"
_MEASURED = (
    *("agent", "env", "seeds", "steps", "evaluation_episodes", "wall_seconds"),
    *("final_return", "final_return_interval"),
)

Finished = dict[str, dict[str, dict[str, Any]]]
"""Summaries of finished cells, by table and name."""


def finished(cells: Iterable[Cell], out: Path) -> Finished:
    """The summaries of the cells that are done."""
    tables: Finished = {}
    for cell in cells:
        summary = cell.folder(out) / SUMMARY_FILE
        if summary.exists():
            rows = tables.setdefault(cell.table, {})
            rows[cell.name] = read_json(summary, "the summary of a cell")
    return tables


def keep(
    cells: Iterable[Cell], tables: Finished, summary: Mapping[str, Any], out: Path
) -> None:
    """Write what is worth keeping of the finished cells into `out / RESULTS`."""
    kept = out / RESULTS
    done = [cell for cell in cells if cell.name in tables.get(cell.table, {})]
    for cell in done:
        (kept / cell.table).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cell.folder(out) / "curves.csv", kept / cell.table / cell.file)
    for table, rows in tables.items():
        curves = {row: read_curves(out / table / row)[1] for row in rows}
        plot.draw_curves(kept / table / "curves.png", curves)
    page = page_of(done, tables).encode()
    write_whole(kept / PAGE, lambda stream: stream.write(page))
    measured = {
        table: {
            name: {k: row[k] for k in _MEASURED if k in row}
            for name, row in rows.items()
        }
        for table, rows in tables.items()
    }
    write_json(kept / SUMMARY_FILE, {**summary, "tables": measured})


def page_of(cells: Iterable[Cell], tables: Finished) -> str:
    """The tables in Markdown: every seed, interquartile mean, what others report."""
    sections = []
    for table, rows in tables.items():
        lines = [_HEAD.format(table)]
        for cell in (cell for cell in cells if cell.table == table):
            lines.append(_row(cell, rows[cell.name]))
        sections.append("\n".join(lines) + "\n")
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
