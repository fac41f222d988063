"""The commands that look at what was trained: evaluate and plot."""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from reins.envs import Env
from reins.errors import ConfigError
from reins.experiments import plot
from reins.experiments.build import carried, places
from reins.experiments.config import TrainConfig
from reins.experiments.files import write_json
from reins.experiments.judge import judge
from reins.experiments.load import StoredRun, read_run
from reins.experiments.record import (
    CONFIG_FILE,
    SUMMARY_FILE,
    SUMMARY_SCHEMA,
    read_curves,
    read_folder,
    versions,
    with_interval,
)
from reins.experiments.report import Terminal, result_tables
from reins.experiments.summary import Summary, judged
from reins.experiments.validity import (
    EPISODES,
    SMALL,
    extrapolation,
    outside_of_agent,
)
from reins.policies import Policy


def evaluate(
    folder: Path,
    out: Path,
    *,
    episodes: int,
    key: int,
    terminal: Terminal,
    horizon: int | None = None,
) -> Summary:
    """Measure every seed's stochastic policy afresh, where its run was judged.

    Args: horizon: steps after which its episodes are cut off; None: as in training.

    Raises: DataError when the folder holds no run.
    """
    if episodes < 1:
        raise ConfigError(f"evaluation needs at least 1 episode; found {episodes}.")
    began = time.perf_counter()
    stored = read_run(folder)
    if horizon is not None:
        stored = _judged_over(stored, horizon)
    found = evaluate_policies(stored, episodes=episodes, key=key)
    seconds = time.perf_counter() - began
    task = stored.task
    two = "violation_rate" in found and task.violation_env is not task.return_env
    horizon = task.return_env.horizon
    steps = (1 + two) * episodes * horizon * len(stored.agents)
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "evaluate",
        "agent": stored.config.agent,
        "env": stored.config.env,
        "seeds": list(stored.agents),
        "steps": max(stored.steps.values()),
        **judged(stored.task, found["return"], found.get("violation_rate")),
        "evaluation_episodes": episodes,
        "horizon": horizon,
        "steps_per_second": steps / seconds,
        "wall_seconds": seconds,
        "versions": versions(stored.config.env),
    }
    left = _left_by_agents(stored, key, terminal)
    if left is not None:
        summary["constraint_outside"] = left
    write_json(out / SUMMARY_FILE, summary)
    terminal.show(*result_tables({stored.config.agent: summary}, None))
    terminal.say(f"Written to {out / SUMMARY_FILE}.")
    return summary


def _left_by_agents(
    stored: StoredRun, key: int, terminal: Terminal
) -> list[float] | None:
    """In which share of each agent's steps its constraint extrapolates, and a warning.

    None where agents were given none, or what it has seen is not known.
    """
    config, shares = stored.config, []
    if not isinstance(config, TrainConfig):
        return None
    for seed, state in stored.agents.items():
        constraint = carried(config, seed)
        if constraint is None or not constraint.inputs.seen_low:
            return None
        own = jax.random.fold_in(jax.random.key(key), seed)
        share, worst = outside_of_agent(
            constraint, stored.task.env, state.policy, jax.random.fold_in(own, 1)
        )
        shares.append(share)
        if share > SMALL:
            told = extrapolation(share, worst, f"the steps of {EPISODES} episodes")
            terminal.say(f"Warning: seed {seed}: {told}")
    return shares


def _judged_over(stored: StoredRun, horizon: int) -> StoredRun:
    """The same run, judged in episodes of so many steps."""
    host = dataclasses.replace(stored.config.host, horizon=horizon)
    _, judged, nominal = places(dataclasses.replace(stored.config, host=host))
    task = stored.task._replace(return_env=judged, violation_env=nominal)
    return stored._replace(task=task)


def plot_runs(folders: Sequence[Path], out: Path | None, terminal: Terminal) -> Summary:
    """Draw the curves of several runs (or of the runs in a demo) over one another.

    Without `out` the picture goes to `plots/` in the first run's folder.

    Raises: ConfigError without a folder, DataError when one holds no run.
    """
    if not folders:
        raise ConfigError(
            "a plot was asked for of no run. Name the folders of one or more, as in "
            "`reins plot runs/a runs/b`."
        )
    out = folders[0] / "plots" if out is None else out
    runs = {str(path): read_curves(path) for path in _single_runs(folders)}
    picture = out / "curves.png"
    plot.draw_curves(picture, {name: curves for name, (_, curves) in runs.items()})
    last = {
        name: {
            "seeds": seeds,
            "steps": int(curves.steps[-1]),
            **{
                f"final_{measure}": curves.values[measure][-1].tolist()
                for measure in ("return", "violation_rate")
                if measure in curves.values
            },
        }
        for name, (seeds, curves) in runs.items()
    }
    for summary in last.values():
        for measure in [name for name in summary if name.startswith("final_")]:
            summary[f"{measure}_interval"] = with_interval(summary[measure])
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "plot",
        "runs": last,
        "versions": versions(),
    }
    write_json(out / SUMMARY_FILE, summary)
    terminal.say(f"Drawn to {picture}.")
    return summary


def _single_runs(folders: Sequence[Path]) -> list[Path]:
    single: list[Path] = []
    for folder in folders:
        if read_folder(folder)["command"] == "demo":
            single += sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))
        else:
            single.append(folder)
    return single


def evaluate_policies(
    stored: StoredRun, *, episodes: int, key: int
) -> dict[str, list[float]]:
    """Return and violation rate of each seed's stochastic policy, freshly measured."""

    def measure(policy: Policy, key: Any) -> Any:
        return judge(stored.task, policy, key, episodes)

    if isinstance(stored.task.env, Env):
        measure = jax.jit(measure)
    found = [
        measure(state.policy, jax.random.fold_in(jax.random.key(key), seed))
        for seed, state in stored.agents.items()
    ]
    return {name: [float(f[name]) for f in found] for name in found[0]}
