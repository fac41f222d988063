"""Published or promised tables as a queue of runs: each cell resumes, or is done."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reins.errors import ConfigError, ReinsError, unknown_name
from reins.experiments import plot
from reins.experiments.config import (
    GradientConfig,
    PopulationConfig,
    PPOConfig,
    RunConfig,
    TrainConfig,
    to_record,
)
from reins.experiments.files import check_out, read_json, write_json
from reins.experiments.record import (
    CONFIG_FILE,
    SUMMARY_FILE,
    SUMMARY_SCHEMA,
    read_curves,
    read_folder,
    versions,
)
from reins.experiments.report import Terminal, result_tables
from reins.experiments.run import resume, start
from reins.experiments.summary import Summary

CARTPOLE, PENDULUM = "reins/CartPole-v1", "reins/Pendulum-v1"


class Cell(NamedTuple):
    """One run of the queue: a row of a table of its environment."""

    table: str
    name: str
    config: TrainConfig

    def folder(self, out: Path) -> Path:
        """Where it is, in the folder of the whole."""
        return out / self.table / self.name


def lectures() -> list[Cell]:
    """The policy-gradient agents of the lectures, on compiled classic control."""
    cells = [_cartpole(name, agent, **parts) for name, agent, parts in _CARTPOLE]
    return cells + [_pendulum(agent, **parts) for agent, parts in _PENDULUM.items()]


_WHOLE = RunConfig(steps=300_000, environments=4, rollout_steps=1000)
_SHORT = RunConfig(steps=300_000, environments=8, rollout_steps=32)
_BATCH = RunConfig(steps=300_000, environments=10, rollout_steps=200)
_POPULATION = RunConfig(steps=600_000, environments=20, rollout_steps=1000)
_FAST = PPOConfig(learning_rate=3e-3)
_WIDE = PopulationConfig(std=0.3)

_CARTPOLE: list[tuple[str, str, dict[str, Any]]] = [
    ("ppo", "ppo", {"run": _BATCH}),
    *(
        (
            f"reinforce, {baseline}",
            "reinforce",
            {
                "run": _WHOLE,
                "ppo": _FAST,
                "gradient": GradientConfig(baseline=baseline),
            },
        )
        for baseline in ("none", "constant", "optimal-constant", "time", "state")
    ),
    ("actor-critic, V", "actor-critic", {"run": _SHORT, "ppo": _FAST}),
    (
        "actor-critic, Q",
        "actor-critic",
        {"run": _SHORT, "ppo": _FAST, "gradient": GradientConfig(critic_kind="q")},
    ),
    (
        "a2c",
        "a2c",
        {"run": _SHORT, "ppo": dataclasses.replace(_FAST, gae_lambda=1.0)},
    ),
    ("npg", "npg", {"run": _BATCH}),
    ("trpo", "trpo", {"run": _BATCH}),
    ("kl-dual", "kl-dual", {"run": _BATCH}),
    ("es", "es", {"run": _POPULATION, "ppo": PPOConfig(learning_rate=0.05)}),
    ("hill-climbing", "hill-climbing", {"run": _POPULATION, "population": _WIDE}),
    ("genetic", "genetic", {"run": _POPULATION, "population": _WIDE}),
]
_PENDULUM_RUN = RunConfig(steps=600_000, environments=10, rollout_steps=200)
_LOW = PPOConfig(discount=0.95)
_PENDULUM: dict[str, dict[str, Any]] = {
    agent: {"run": _PENDULUM_RUN, "ppo": _LOW}
    for agent in ("ppo", "npg", "trpo", "kl-dual")
}


def _cartpole(name: str, agent: str, **parts: Any) -> Cell:
    return Cell("CartPole-v1", name, TrainConfig(agent, CARTPOLE, **parts))


def _pendulum(agent: str, **parts: Any) -> Cell:
    return Cell("Pendulum-v1", agent, TrainConfig(agent, PENDULUM, **parts))


REPRODUCTIONS: dict[str, Callable[[], list[Cell]]] = {"lectures": lectures}


@dataclasses.dataclass(frozen=True)
class ReproduceConfig:
    """Which cells of a table to run, and how large."""

    scale: float = 1.0
    """Environment steps as a share of the table's own."""
    seeds: int = 5
    """Seeds of each cell, from 0."""
    first_seed: int = 0
    """The first seed; settings were chosen on seeds from 100."""
    only: tuple[str, ...] = ()
    """Tables or cells whose name contains one of these; none means all."""

    def __post_init__(self) -> None:
        if not self.scale > 0 or self.seeds < 1 or self.first_seed < 0:
            raise ConfigError(
                f"scale {self.scale}, {self.seeds} seeds from {self.first_seed}: the "
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
    cells = list(_chosen(REPRODUCTIONS[name](), settings))
    if not cells:
        names = ", ".join(f"{c.table}/{c.name}" for c in REPRODUCTIONS[name]())
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


def _chosen(cells: Iterable[Cell], settings: ReproduceConfig) -> Iterable[Cell]:
    for cell in cells:
        label = f"{cell.table}/{cell.name}"
        if settings.only and not any(word in label for word in settings.only):
            continue
        run = cell.config.run
        scaled = dataclasses.replace(
            run,
            steps=max(run.batch_steps, round(settings.scale * run.steps)),
            seeds=settings.seeds,
            first_seed=settings.first_seed,
        )
        yield cell._replace(config=dataclasses.replace(cell.config, run=scaled))


def _run(cell: Cell, out: Path, terminal: Terminal) -> None:
    folder, quiet = cell.folder(out), Terminal(quiet=True)
    if not (folder / CONFIG_FILE).exists():
        start(cell.config, folder, terminal)
        return
    stored, asked = read_folder(folder)["config"], to_record(cell.config)
    if stored != _as_stored(asked):
        raise ConfigError(
            f"{folder} holds a run of other settings (another scale, or other seeds). "
            "Choose another --out, or delete that folder."
        )
    done = (folder / SUMMARY_FILE).exists()
    resume(folder, quiet if done else terminal)


def _as_stored(record: Any) -> Any:
    """A record as it comes back from JSON: tuples are lists."""
    if isinstance(record, Mapping):
        return {key: _as_stored(value) for key, value in record.items()}
    if isinstance(record, tuple | list):
        return [_as_stored(value) for value in record]
    return record


def _tell(
    name: str,
    settings: ReproduceConfig,
    cells: list[Cell],
    failures: Mapping[str, str],
    out: Path,
    terminal: Terminal,
) -> Summary:
    tables: dict[str, dict[str, Any]] = {}
    for cell in cells:
        summary = cell.folder(out) / SUMMARY_FILE
        if summary.exists():
            rows = tables.setdefault(cell.table, {})
            rows[cell.name] = read_json(summary, "the summary of a cell")
    for table, rows in tables.items():
        curves = {row: read_curves(out / table / row)[1] for row in rows}
        plot.draw_curves(out / table / "curves.png", curves)
        terminal.say(f"\n{table}")
        terminal.show(*result_tables(rows, None))
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": f"reproduce {name}",
        "config": dataclasses.asdict(settings),
        "failures": dict(failures),
        "tables": tables,
        "versions": versions(),
    }
    write_json(out / SUMMARY_FILE, summary)
    terminal.say(f"{SUMMARY_FILE}, and curves.png for each table, are in {out}.")
    return summary
