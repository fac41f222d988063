"""Run a study: its table on the terminal; its rows, summary and picture as files."""

import csv
import dataclasses
import importlib
import io
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reins.errors import ConfigError
from reins.experiments.files import check_out, write_json, write_whole
from reins.experiments.lab.studies import STUDIES, kind_of
from reins.experiments.record import SUMMARY_FILE, SUMMARY_SCHEMA, versions
from reins.experiments.report import Terminal, sheet_table
from reins.experiments.summary import Summary
from reins.lab.comparison import EstimatorsConfig
from reins.lab.study import Study

ROWS_FILE, PICTURE_FILE = "lab.csv", "lab.png"


def run_study(config: Any, out: Path, terminal: Terminal) -> Summary:
    """Run a study and write it down; `config` says which.

    Raises: ConfigError when the folder cannot be written.
    """
    check_out(out)
    name, kind = kind_of(config)
    began = time.monotonic()
    with terminal.progress(100, unit="", patience=5.0) as bar:
        lock, done = threading.Lock(), [0.0]

        def advance(share: float, doing: str) -> None:
            with lock:
                before = int(100 * done[0] + 1e-6)
                done[0] += share
                bar.advance(int(100 * done[0] + 1e-6) - before, doing)

        if isinstance(config, EstimatorsConfig):
            study = _in_threads(kind.make, config, advance)
        else:
            study = kind.make(config, advance)
    settings = {
        "config": dataclasses.asdict(config),
        "wall_seconds": time.monotonic() - began,
    }
    summary = write_study(study, out, settings)
    terminal.show(*map(sheet_table, study.sheets))
    for text in _remarks(study):
        terminal.say(text)
    terminal.say(f"{name}: {', '.join(summary['files'])} in {out}")
    return summary


def write_study(
    study: Study, out: str | Path, settings: dict[str, Any] | None = None
) -> Summary:
    """Write a study's rows, summary and picture into a folder.

    Args:
      study: from any function of `reins.lab` that returns one.
      out: folder, made when it is not there.
      settings: more for the summary.
    Raises: ConfigError when the folder cannot be written.
    """
    out = Path(out)
    check_out(out)
    figure = STUDIES[study.name].draw(study)
    write_whole(out / ROWS_FILE, lambda stream: stream.write(_as_csv(study)))
    write_whole(
        out / PICTURE_FILE,
        lambda stream: figure.savefig(stream, format="png", dpi=200),
    )
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": f"lab {study.name}",
        **(settings or {}),
        "rows": len(study.rows),
        "files": [ROWS_FILE, PICTURE_FILE],
        **study.findings,
        "versions": versions(),
    }
    write_json(out / SUMMARY_FILE, summary)
    return summary


def _in_threads(
    make: Callable[..., Study], config: EstimatorsConfig, advance: Callable
) -> Study:
    """One estimator compiles while another is measured."""
    own = {name: own_function(name) for name in config.only if ":" in name}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return make(config, advance, own=own, run=pool.map)


def own_function(path: str) -> Callable:
    """The user's own estimator, from module:function.

    Raises: ConfigError when there is no such thing.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the estimator {path} was asked for; it cannot be found ({error}). Write "
            "module:function, for a module that Python finds from this folder."
        ) from None
    if not callable(found):
        raise ConfigError(
            f"the estimator {path} was asked for; it is {found!r}, and cannot be "
            "called. Name a function of arrays that returns a loss."
        )
    return found


def _remarks(study: Study) -> list[str]:
    wrong = study.findings.get("contradictions", [])
    left_out = study.findings.get("not_measured", [])
    remarks = [f"WRONG: {pair} is biased, against its claim." for pair in wrong]
    if left_out:
        remarks.append(
            f"{len(left_out)} pairs of estimator and problem do not go together; "
            f"{SUMMARY_FILE} says why (not_measured)."
        )
    return remarks


def _as_csv(study: Study) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(study.rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(study.rows)
    return text.getvalue().encode()
