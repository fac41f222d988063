"""What a run leaves behind: its folder, summary.json, curves, and TensorBoard logs."""

import csv
import importlib.metadata
import io
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tensorboardX import SummaryWriter

from reins.envs import providers
from reins.errors import ConfigError, DataError
from reins.experiments.checkpoint import load_record
from reins.experiments.files import read_json, write_json, write_whole
from reins.experiments.statistics import bootstrap_interval

RUN_SCHEMA = "reins.run/1"
SUMMARY_SCHEMA = "reins.summary/1"
CONFIG_FILE = "config.json"
SUMMARY_FILE = "summary.json"
PACKAGES = [
    *("reins", "jax", "jaxlib", "numpy", "gymnasium", "mujoco", "equinox", "optax")
]


class Curves(NamedTuple):
    """What was measured along a run, all seeds at the same steps.

    Attributes:
      steps: environment steps of one seed, shape (E,).
      values: by name, shape (E, seeds); `return` among them, and where
        a true cost is known `violation_rate`.
    """

    steps: np.ndarray
    values: dict[str, np.ndarray]


def versions(env_id: str | None = None) -> dict[str, str]:
    """Versions of everything that can change a number.

    Args:
      env_id: an environment whose package counts too, when it is somebody else's.
    """
    names = [*PACKAGES, *(() if env_id is None else providers(env_id))]
    found = {name: importlib.metadata.version(name) for name in names}
    return {"python": platform.python_version(), **found}


def default_folder(name: str) -> Path:
    """A folder for a run whose user named none."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def create_folder(folder: Path, command: str, config: dict[str, Any]) -> None:
    """Make a run's folder and write down what it is.

    Raises: ConfigError when the folder already holds a run, or cannot be one.
    """
    if (folder / CONFIG_FILE).exists():
        held = read_json(folder / CONFIG_FILE, "the run's configuration")
        raise ConfigError(
            f"a new run was to go to {folder}, which already holds one "
            f"(`{held.get('command')}`). Continue it with `reins resume {folder}`, or "
            "choose another --out."
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(
            f"a run was to go to {folder}, which is a file. Choose another --out."
        )
    record = {
        "schema": RUN_SCHEMA,
        "command": command,
        "config": config,
        "versions": versions(config.get("env")),
    }
    try:
        write_json(folder / CONFIG_FILE, record)
    except OSError as error:
        raise ConfigError(
            f"a run was to go to {folder}, which cannot be written ({error}). Choose "
            "another --out."
        ) from None


def read_folder(folder: Path) -> dict[str, Any]:
    """What a run's folder says of itself.

    Raises: DataError when it holds no run.
    """
    if not (folder / CONFIG_FILE).exists():
        inside = sorted(p.parent.name for p in folder.glob(f"*/{CONFIG_FILE}"))
        hint = f" It holds runs in {', '.join(inside)}." if inside else ""
        raise DataError(
            f"a run was asked for from {folder}; there is no {CONFIG_FILE} in it."
            f"{hint} Name a folder that a reins command wrote with --out."
        )
    record = read_json(folder / CONFIG_FILE, "the run's configuration")
    if record.get("schema") != RUN_SCHEMA:
        raise DataError(
            f"{folder} was written with schema {record.get('schema')!r}; this version "
            f"reads {RUN_SCHEMA!r}."
        )
    return record


def checkpoint_file(folder: Path, seeds: Sequence[int]) -> Path:
    """Where the checkpoint of a group of seeds is."""
    return folder / "checkpoints" / f"seed-{seeds[0]}.safetensors"


def read_curves(folder: Path) -> tuple[list[int], Curves]:
    """Seeds and curves of a run, from its checkpoints, up to where all have come.

    Raises: DataError when nothing has been measured yet.
    """
    records = [load_record(p) for p in (folder / "checkpoints").glob("*.safetensors")]
    records.sort(key=lambda record: record["seeds"][0])
    rows = min((len(record["history"]) for record in records), default=0)
    if rows == 0:
        raise DataError(
            f"{folder} has no evaluation to show yet. Start it with `reins resume "
            f"{folder}`, and look again."
        )
    histories = [record["history"][:rows] for record in records]
    named = dict.fromkeys(name for rows in histories for row in rows for name in row)
    names = [name for name in named if name not in ("updates", "steps")]

    def columns(record: dict[str, Any], name: str) -> list[list[float]]:
        # The first row was measured before any update, and some rows without the end
        # of an episode, and so they have fewer names.
        absent = [np.nan] * len(record["seeds"])
        return [row.get(name, absent) for row in record["history"][:rows]]

    values = {
        name: np.concatenate([columns(record, name) for record in records], axis=1)
        for name in names
    }
    steps = np.asarray([row["steps"] for row in histories[0]])
    return [s for record in records for s in record["seeds"]], Curves(steps, values)


def write_curves(path: Path, seeds: Sequence[int], curves: Curves) -> None:
    """Curves as CSV: one line per seed and evaluation."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", "steps", *curves.values])
    for column, seed in enumerate(seeds):
        for row, steps in enumerate(curves.steps):
            found = [values[row, column] for values in curves.values.values()]
            writer.writerow([seed, steps, *found])
    write_whole(path, lambda stream: stream.write(text.getvalue().encode()))


def load_curves(path: Path) -> tuple[list[int], Curves]:
    """Seeds and curves of what `write_curves` wrote.

    Raises: DataError when it is not that.
    """
    try:
        with path.open(newline="") as stream:
            names, *lines = csv.reader(stream)
        rows = np.asarray(lines, np.float64)
        seeds = list(dict.fromkeys(rows[:, 0].astype(int).tolist()))
        columns = rows.reshape(len(seeds), -1, len(names)).transpose(2, 1, 0)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path} cannot be read as curves ({error}).") from None
    values = dict(zip(names[2:], columns[2:], strict=True))
    return seeds, Curves(columns[1, :, 0].astype(int), values)


def wall_seconds(folders: Sequence[Path]) -> float:
    """Seconds during which any group of these runs was training, up to its checkpoint.

    Each life of a group is a span of time; spans that overlap count once.
    """
    files = [p for folder in folders for p in folder.glob("checkpoints/*.safetensors")]
    seconds, until = 0.0, 0.0
    for began, ended in sorted(s for p in files for s in load_record(p)["spans"]):
        seconds += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return seconds


def with_interval(values: Sequence[float]) -> dict[str, float]:
    """Interquartile mean and its bootstrap interval, for a summary."""
    interval = bootstrap_interval(np.asarray(values))
    return {"iqm": interval.value, "low": interval.low, "high": interval.high}


class Board:
    """TensorBoard logs of one run, a folder per seed; a resumed run goes on in them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.writers: dict[int, SummaryWriter] = {}

    def add(self, seeds: Sequence[int], row: dict[str, Any]) -> None:
        """Write one evaluation of some seeds."""
        steps = row["steps"]
        for place, seed in enumerate(seeds):
            if seed not in self.writers:
                where = self.folder / "tensorboard" / f"seed-{seed}"
                self.writers[seed] = SummaryWriter(str(where), purge_step=steps)
            for name, values in row.items():
                if name not in ("updates", "steps"):
                    self.writers[seed].add_scalar(name, values[place], steps)
            self.writers[seed].flush()

    def close(self) -> None:
        """Finish all files."""
        for writer in self.writers.values():
            writer.close()
