"""The commands that train: train, learn a constraint, demo, resume."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reins.envs import true_rule, twin_ids
from reins.envs.gridworld import COINS
from reins.errors import ReinsError, RunError
from reins.experiments import plot
from reins.experiments.build import build, each_its_own
from reins.experiments.check_demonstrations import warnings_of
from reins.experiments.config import (
    COMMANDS,
    LearnConfig,
    RunConfig,
    TrainConfig,
    config_of,
    from_record,
    to_record,
)
from reins.experiments.engines.local import group_seeds, make_programs, run_groups
from reins.experiments.files import write_json
from reins.experiments.loops import Group, Progress
from reins.experiments.record import (
    CONFIG_FILE,
    SUMMARY_FILE,
    SUMMARY_SCHEMA,
    Board,
    checkpoint_file,
    create_folder,
    read_curves,
    read_folder,
    versions,
    wall_seconds,
    write_curves,
)
from reins.experiments.report import Terminal, finding_table, result_tables
from reins.experiments.summary import (
    Run,
    Summary,
    learned_constraints,
    occupancy_distances,
    rule_costs,
    summarise,
    summarise_expert,
    write_constraints,
)

DEMO_ENV = "reins/LapGridWorld-v0"
DEMO_DEMONSTRATIONS = "lapgridworld"


def start(
    config: TrainConfig | LearnConfig, folder: Path, terminal: Terminal
) -> Summary:
    """Train an agent, or learn a constraint, from the first step to the last.

    Raises: ConfigError when the folder already holds a run; what `build` raises.
    """
    run = prepare(config, folder)
    if isinstance(config, LearnConfig):
        terminal.show(*map(finding_table, warnings_of(config)))
    create_folder(folder, COMMANDS[type(config)], to_record(config))
    execute([run], terminal)
    return finish(run, terminal)


def demo(folder: Path, settings: RunConfig, terminal: Terminal) -> Summary:
    """ICRL, its baselines and an unconstrained agent on LapGridWorld.

    Raises: ConfigError when the folder already holds a run.
    """
    create_folder(folder, "demo", {"run": to_record(settings)})
    return _demo(folder, settings, terminal)


def resume(folder: Path, terminal: Terminal) -> Summary:
    """Go on where a run stopped; a finished run is only told again.

    Raises: DataError when the folder holds no run.
    """
    record = read_folder(folder)
    _compare_versions(record, terminal)
    if record["command"] == "demo":
        settings = from_record(RunConfig, record["config"]["run"])
        return _demo(folder, settings, terminal)
    run = prepare(config_of(record), folder)
    execute([run], terminal)
    return finish(run, terminal)


def prepare(config: TrainConfig | LearnConfig, folder: Path) -> Run:
    """Build what a run needs, without starting it."""
    each = each_its_own(config)
    apart = each or config.agent == "a3c"  # which takes all devices for one seed
    # Before JAX is used for anything:
    grouped = group_seeds(config.run.seed_list, apart=apart)
    if each:
        tasks = [(build(config, seed), [(seed,)]) for (seed,) in grouped]
    else:
        tasks = [(build(config), grouped)]
    programs = [
        program
        for task, own in tasks
        for program in make_programs(task, config.run, own, of=len(grouped))
    ]
    groups = [
        Group(
            config.agent,
            config.env,
            seeds,
            program,
            config.run,
            checkpoint_file(folder, seeds),
        )
        for seeds, program in zip(grouped, programs, strict=True)
    ]
    return Run(folder, config, tasks[0][0], groups)


def execute(runs: Sequence[Run], terminal: Terminal) -> None:
    """Train all groups of all runs.

    Raises: RunError that names every group that failed, when all others are done.
    """
    groups = [group for run in runs for group in run.groups]
    boards = {group: Board(run.folder) for run in runs for group in run.groups}
    total = sum(g.run.updates * g.run.batch_steps * len(g.seeds) for g in groups)
    with terminal.progress(total) as show:
        failures = run_groups(groups, _reporter(show, boards))
    for board in boards.values():
        board.close()
    for error in failures.values():
        if not isinstance(error, ReinsError):
            raise error
    if failures:
        raise RunError("\n".join(map(str, failures.values())))


def _reporter(
    show: Callable[[Progress], None], boards: Mapping[Group, Board]
) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        show(progress)
        if progress.row is not None:
            boards[progress.group].add(progress.group.seeds, progress.row)

    return report


def finish(run: Run, terminal: Terminal) -> Summary:
    """Write a finished run's curves, pictures, constraints and summary."""
    name = run.config.agent
    seeds, curves = read_curves(run.folder)
    write_curves(run.folder / "curves.csv", seeds, curves)
    summary = summarise(run)
    expert = None
    if isinstance(run.config, LearnConfig):
        expert = summarise_expert(run.config)
        summary["occupancy_distance"] = occupancy_distances(run)
        summary["constraint"] = write_constraints(run, run.config.demonstrations)
        _draw_rules(run.folder / "constraint.png", {name: run})
    plot.draw_curves(run.folder / "curves.png", {name: curves}, expert=expert)
    command = COMMANDS[type(run.config)]
    whole = {"schema": SUMMARY_SCHEMA, "command": command, **summary}
    if expert is not None:
        whole = {
            "schema": SUMMARY_SCHEMA,
            "command": command,
            "env": run.config.env,
            "expert": expert,
            "methods": {name: summary},
        }
    write_json(run.folder / SUMMARY_FILE, whole)
    terminal.show(*result_tables({name: summary}, expert))
    terminal.say(f"Numbers, curves and checkpoints are in {run.folder}.")
    return whole


def demo_configs(settings: RunConfig) -> dict[str, TrainConfig | LearnConfig]:
    """The demo is nothing but these four runs."""
    learners = {
        method: LearnConfig(DEMO_ENV, DEMO_DEMONSTRATIONS, method, run=settings)
        for method in ("icrl", "classifier", "gail-constraint")
    }
    judge = twin_ids(DEMO_ENV)[1]
    nominal = TrainConfig("ppo", DEMO_ENV, return_env=judge, run=settings)
    return {**learners, "nominal": nominal}


def _demo(folder: Path, settings: RunConfig, terminal: Terminal) -> Summary:
    terminal.say(
        f"Learning the rule of {DEMO_ENV} from shipped demonstrations:\n"
        f"ICRL, two baselines and an unconstrained agent, {settings.seeds} seeds each."
    )
    runs = {}
    for name, config in demo_configs(settings).items():
        runs[name] = prepare(config, folder / name)
        if not (folder / name / CONFIG_FILE).exists():
            create_folder(folder / name, COMMANDS[type(config)], to_record(config))
    execute(list(runs.values()), terminal)
    finished = {name: finish(run, Terminal(quiet=True)) for name, run in runs.items()}
    expert = finished["icrl"]["expert"]
    methods = {
        name: whole["methods"][name] if "methods" in whole else _without_head(whole)
        for name, whole in finished.items()
    }
    for name, method in methods.items():
        if "constraint" in method:
            found = [f"{name}/{file}" for file in method["constraint"]["files"]]
            method["constraint"]["files"] = found
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "demo",
        "env": DEMO_ENV,
        "expert": expert,
        "methods": methods,
        "wall_seconds": wall_seconds([run.folder for run in runs.values()]),
        "versions": versions(),
    }
    write_json(folder / SUMMARY_FILE, summary)
    curves = {name: read_curves(run.folder)[1] for name, run in runs.items()}
    plot.draw_curves(folder / "curves.png", curves, expert=expert)
    learners = {name: run for name, run in runs.items() if name != "nominal"}
    _draw_rules(folder / "constraint.png", learners)
    terminal.show(*result_tables(methods, expert))
    recovered = methods["icrl"]["constraint"]["rule_recovered"]
    terminal.say(
        "ICRL has zeta < 1/2 on every anti-clockwise step, and > 1/2 on every\n"
        f"clockwise one, on {sum(recovered)} of {len(recovered)} seeds. Look at\n"
        f"  {folder / 'constraint.png'}   the learned rules beside the true one\n"
        f"  {folder / 'curves.png'}       return and violations while learning\n"
        f"  {folder / SUMMARY_FILE}     every number"
    )
    return summary


def _without_head(summary: Summary) -> Summary:
    return {k: v for k, v in summary.items() if k not in ("schema", "command")}


def _draw_rules(path: Path, runs: Mapping[str, Run]) -> None:
    """The learned rules, means over seeds, beside the true one, on the lap."""
    configs = [run.config for run in runs.values()]
    rule = true_rule(configs[0].env)
    if rule is None:
        return
    costs = {"true rule": np.asarray(rule.forbidden, float)}
    for name, run in runs.items():
        constraints = list(learned_constraints(run).values())
        label = f"{name} (mean of {len(constraints)} seeds)"
        costs[label] = rule_costs(rule, constraints)
    plot.draw_lap(
        path,
        {name: values.reshape(2, -1).T for name, values in costs.items()},
        coins=COINS,
        actions=["clockwise", "anti-clockwise"],
    )


def _compare_versions(record: Mapping[str, Any], terminal: Terminal) -> None:
    now = versions(record["config"].get("env"))
    changed = [
        f"{name} {version} -> {now.get(name, 'missing')}"
        for name, version in record["versions"].items()
        if now.get(name) != version
    ]
    if changed:
        terminal.say(
            f"Note: versions have changed since this run began ({', '.join(changed)}); "
            "its numbers may differ from an uninterrupted run's."
        )
