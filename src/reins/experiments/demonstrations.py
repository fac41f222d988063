"""What `reins demonstrations` does: make, check, show, import, export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich import box
from rich.table import Table

from reins.data.quality import ranges
from reins.errors import ConfigError
from reins.experiments.check_demonstrations import check_stored
from reins.experiments.config import EnvConfig
from reins.experiments.demonstrate import demonstrate
from reins.experiments.files import (
    load_demonstrations,
    read_demonstrations,
    save_demonstrations,
    write_json,
)
from reins.experiments.minari_store import read_minari, write_minari
from reins.experiments.plot_demonstrations import draw_demonstrations
from reins.experiments.published import read_icrl_2021
from reins.experiments.record import SUMMARY_FILE, SUMMARY_SCHEMA, versions
from reins.experiments.report import Terminal, finding_table
from reins.experiments.summary import Summary

Format = Literal["icrl-2021", "minari"]
MANY_DIMENSIONS = 20
"""From so many on, dimensions that never change share one line."""


def make(
    agent: Path,
    file: Path,
    out: Path | None,
    *,
    episodes: int,
    seed: int | None,
    key: int,
    terminal: Terminal,
    each_seed: bool = False,
) -> Summary:
    """Record a trained agent's episodes in a file; see `demonstrate`."""
    found = demonstrate(
        agent, episodes=episodes, seed=seed, key=key, each_seed=each_seed
    )
    made_with = {"versions": versions(found.env_id)}
    written = save_demonstrations(file, found, about=made_with)
    terminal.say(
        f"{len(found.actions)} episodes, mean return {found.returns.mean():.1f}, "
        f"written to {written}."
    )
    told = {
        "env": found.env_id,
        "file": str(written),
        "made_by": found.made_by,
        "episodes": len(found.actions),
        "return": found.returns.tolist(),
    }
    return _summary("make", told, out)


def check(
    file: str | Path,
    out: Path | None,
    *,
    env_id: str | None,
    constraint: Path | None,
    terminal: Terminal,
    env_args: str = "",
) -> Summary:
    """Say everything that is wrong or suspicious; `errors` counts what must change.

    Args:
      file: a file, or the name of a set that ships with reins.
      env_id: the environment to use them in; the one they name when None.
      constraint: a learned constraint, to count the steps that it forbids.
      env_args: arguments of the environment's constructor, as JSON.

    Raises: DataError when the file cannot be read at all, ConfigError for arguments
      that are not JSON.
    """
    stored = read_demonstrations(file)
    wanted = env_id or stored.record["env"]
    options = EnvConfig(env_args).options()
    found = check_stored(stored, wanted, options, constraint)
    found.sort(key=lambda finding: finding.level != "error")
    counts = {
        f"{level}s": sum(f.level == level for f in found)
        for level in ("error", "warning")
    }
    terminal.show(*map(finding_table, found))
    terminal.say(_verdict(stored.file, wanted, counts))
    told = {
        "env": wanted,
        "file": str(stored.file),
        "episodes": len(stored.actions),
        **counts,
        "findings": [finding._asdict() for finding in found],
    }
    return _summary("check", told, out)


def show(file: str | Path, out: Path | None, *, terminal: Terminal) -> Summary:
    """Say what demonstrations hold, and draw it where `out` names a folder.

    Raises: DataError when they cannot be read or are no demonstrations.
    """
    stored = read_demonstrations(file)
    found = stored.demonstrations()
    told = {
        "env": found.env_id,
        "file": str(stored.file),
        "made_by": found.made_by,
        "episodes": len(found.actions),
        "steps": int(found.lengths.sum()),
        "lengths": found.lengths.tolist(),
        "return": found.returns.tolist(),
        "observations": _dimensions(found.observations),
        "actions": _dimensions(found.actions),
        "source": {
            name: value
            for name, value in stored.record.items()
            if name not in ("schema", "env", "made_by", "episodes", "returns")
        },
    }
    terminal.show(_overview(told), *(_ranges(told, k) for k in _KINDS))
    if out is not None:
        draw_demonstrations(out / "demonstrations.png", found)
        terminal.say(f"Drawn to {out / 'demonstrations.png'}.")
    return _summary("show", told, out)


def bring_in(
    source: str,
    file: Path,
    out: Path | None,
    *,
    form: Format,
    env_id: str | None,
    keep_pairs: bool,
    terminal: Terminal,
) -> Summary:
    """Import demonstrations from another format into a file.

    Args:
      source: a file, or a Minari dataset's id or folder.
      env_id: the environment to record with them, of any id.
      keep_pairs: leave pairs as an archive of 2021 stores them.

    Raises: DataError for what cannot be imported, ConfigError for what was asked,
      CapabilityError when a package is missing.
    """
    if form == "icrl-2021":
        if env_id is None:
            raise ConfigError(
                "an archive of 2021 names no environment. Name the one that its "
                "demonstrations are of with --env."
            )
        found, about = read_icrl_2021(Path(source), env_id, keep_pairs=keep_pairs)
    elif keep_pairs:
        raise ConfigError(
            "--keep-pairs is about archives of 2021, whose pairs are off by one; those "
            "of Minari are aligned. Leave it out."
        )
    else:
        found, about = read_minari(source, env_id)
    written = save_demonstrations(file, found, about={"imported": about})
    terminal.say(
        f"{len(found.actions)} episodes of {found.env_id}, "
        f"{int(found.lengths.sum()):,} steps, written to {written}. "
        f"`reins demonstrations check {written}` says what to look at."
    )
    told = {
        "env": found.env_id,
        "file": str(written),
        "made_by": found.made_by,
        "episodes": len(found.actions),
        "steps": int(found.lengths.sum()),
        "return": found.returns.tolist(),
        "source": about,
    }
    return _summary("import", told, out)


def send_out(
    file: str | Path, dataset: str, out: Path | None, *, terminal: Terminal
) -> Summary:
    """Export demonstrations to a new dataset in the local Minari store.

    Raises: as `write_minari` and `load_demonstrations`.
    """
    found = load_demonstrations(file)
    folder = write_minari(dataset, found)
    terminal.say(f"{len(found.actions)} episodes written to {folder}.")
    told = {
        "env": found.env_id,
        "dataset": dataset,
        "folder": str(folder),
        "episodes": len(found.actions),
    }
    return _summary("export", told, out)


def _summary(action: str, told: Mapping[str, Any], out: Path | None) -> Summary:
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": f"demonstrations {action}",
        **told,
        "versions": versions(),
    }
    if out is not None:
        write_json(out / SUMMARY_FILE, summary)
    return summary


def _verdict(file: Path, env_id: str, counts: Mapping[str, int]) -> str:
    told = ", ".join(
        f"{n or 'no'} {name.removesuffix('s')}{'' if n == 1 else 's'}"
        for name, n in counts.items()
    )
    can = "cannot" if counts["errors"] else "can"
    return f"{file} {can} be learned from in {env_id}: {told}."


_KINDS = ("observations", "actions")


def _dimensions(arrays: Any) -> list[dict[str, float]]:
    """Smallest, mean, largest value and deviation of each dimension."""
    rows = np.concatenate([np.reshape(x, (len(x), -1)) for x in arrays])
    rows = rows.astype(np.float64)
    columns = {
        "min": rows.min(axis=0),
        "mean": rows.mean(axis=0),
        "max": rows.max(axis=0),
        "deviation": rows.std(axis=0),
    }
    numbers = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in numbers]


def _overview(told: Mapping[str, Any]) -> Table:
    table = Table(title=told["file"], title_justify="left", show_header=False, box=None)
    table.add_row("environment", told["env"])
    table.add_row("made by", told["made_by"] or "nobody says")
    table.add_row("episodes", f"{told['episodes']:,} ({told['steps']:,} steps)")
    for name, values in (("lengths", told["lengths"]), ("returns", told["return"])):
        table.add_row(name, _spread(values))
    for name, value in _flat(told["source"]):
        table.add_row(name.replace("_", " "), value)
    return table


def _spread(values: list[float]) -> str:
    low, middle, high = np.quantile(values, [0.0, 0.5, 1.0])
    if low == high:
        return f"{low:g} each"
    each = ", ".join(f"{value:g}" for value in np.round(values[:10], 1))
    more = ", ..." if len(values) > 10 else ""
    return f"{low:g} to {high:g}, median {middle:g}; each: {each}{more}"


def _flat(source: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in source.items():
        if isinstance(value, dict):
            rows += _flat(value)
        elif isinstance(value, list):
            shown = ", ".join(f"{x:.6g}" for x in value[:6])
            rows.append((name, shown + (", ..." if len(value) > 6 else "")))
        else:
            rows.append((name, str(value)))
    return rows


def _ranges(told: Mapping[str, Any], kind: str) -> Table:
    table = Table(
        title=kind.capitalize(),
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=(0, 1),
    )
    for heading in ("dimension", "min", "mean", "max", "deviation"):
        table.add_column(heading, justify="left" if heading == "dimension" else "right")
    dimensions = told[kind]
    still = np.asarray([d["min"] == d["max"] for d in dimensions])
    together = still if len(dimensions) > MANY_DIMENSIONS else np.zeros_like(still)
    for place, d in enumerate(dimensions):
        if not together[place]:
            table.add_row(str(place), *(f"{value:.4g}" for value in d.values()))
    if together.any():
        table.add_row(f"{ranges(np.flatnonzero(together))} never change")
    return table
