"""The command that says everything that is wrong with an environment."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
from rich.table import Table

from reins.envs.check import Report, check_env
from reins.envs.host import find_spec
from reins.errors import ConfigError
from reins.experiments import display
from reins.experiments.files import write_json
from reins.experiments.record import SUMMARY_FILE, SUMMARY_SCHEMA, versions
from reins.experiments.report import Terminal, finding_table
from reins.experiments.summary import Summary


def check(
    env_id: str,
    arguments: Mapping[str, Any],
    out: Path | None,
    *,
    episodes: int,
    steps: int,
    terminal: Terminal,
) -> Summary:
    """Check an environment by its id; `errors` of the summary counts what must change.

    Args:
      env_id: as Gymnasium takes it, `module:Name-v0` included.
      arguments: of the environment's constructor.

    Raises: ConfigError when there is no environment of that id.
    """
    for name, value in (("episodes", episodes), ("steps", steps)):
        if value < 1:
            raise ConfigError(f"{name} must be positive; found {value}.")
    report = _report(env_id, arguments, episodes, steps)
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "check-env",
        "env": env_id,
        "errors": report.count("error"),
        "warnings": report.count("warning"),
        "findings": [finding._asdict() for finding in report.findings],
        **report.facts,
        "versions": versions(),
    }
    if out is not None:
        write_json(out / SUMMARY_FILE, summary)
    terminal.show(_facts_table(env_id, report.facts))
    terminal.show(*map(finding_table, report.findings))
    terminal.say(_verdict(env_id, report))
    return summary


def _report(
    env_id: str, arguments: Mapping[str, Any], episodes: int, steps: int
) -> Report:
    faults = display.draw_without_display()
    # Without Gymnasium's own wrappers, which raise at the first fault.
    spec = copy.deepcopy(find_spec(env_id))
    limit, spec.max_episode_steps = spec.max_episode_steps, None
    spec.order_enforce, spec.disable_env_checker = False, True

    def make(mode: str | None) -> gymnasium.Env:
        if mode is None:
            return gymnasium.make(spec, **arguments)
        env = gymnasium.make(spec, **{**arguments, "render_mode": mode})
        if faults and display.is_mujoco(env):
            raise display.no_backend(env_id, faults)
        return env

    return check_env(make, limit=limit, episodes=episodes, steps=steps)


def _facts_table(env_id: str, facts: Mapping[str, Any]) -> Table:
    table = Table(title=env_id, title_justify="left", show_header=False, box=None)
    if not facts:
        return table
    for kind in ("observation", "action"):
        table.add_row(f"{kind}s", f"{facts[kind]}; {facts[f'{kind}_space']}")
    limit = facts["max_episode_steps"]
    table.add_row("time limit", "none" if limit is None else f"{limit:,} steps")
    for name in ("lengths", "endings", "returns", "costs"):
        shown = [f"{x:.4g}" if isinstance(x, float) else str(x) for x in facts[name]]
        if any(x is not None for x in facts[name]):
            table.add_row(name, ", ".join(shown))
    if facts["rewards"] is not None:
        low, high = facts["rewards"]
        table.add_row("rewards", f"{low:.4g} to {high:.4g} a step")
    if facts["largest_observation"]:
        table.add_row("largest observation", f"{facts['largest_observation']:.4g}")
    table.add_row("draws", ", ".join(facts["render_modes"]) or "nothing")
    if facts["steps_per_second"] is not None:
        table.add_row("speed", f"{facts['steps_per_second']:,.0f} steps/s, one copy")
    return table


def _verdict(env_id: str, report: Report) -> str:
    counts = {kind: report.count(kind) for kind in ("error", "warning")}
    told = [f"{n or 'no'} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items()]
    can = "can" if counts["error"] == 0 else "cannot"
    return f"{env_id} {can} be trained in as it is: {', '.join(told)}."
