"""The command line: `reins COMMAND --help` says what each one takes."""

import dataclasses
import functools
import json
import operator
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from reins.envs import ENVS, HOST_ENVS
from reins.errors import ReinsError
from reins.experiments import (
    check_env,
    demonstrations,
    evaluate,
    run,
    show_constraint,
)
from reins.experiments.config import (
    AGENTS,
    EXPERIMENTS,
    METHODS,
    PRESETS,
    EnvConfig,
    LearnConfig,
    RunConfig,
    TrainConfig,
    gathered,
)
from reins.experiments.files import (
    load_demonstrations,
    shipped_demonstrations,
    write_json,
)
from reins.experiments.lab.run import run_study
from reins.experiments.lab.studies import STUDIES, kind_of
from reins.experiments.record import SUMMARY_FILE, SUMMARY_SCHEMA, default_folder
from reins.experiments.report import Terminal, complain, names_table
from reins.experiments.reproduce import ReproduceConfig, reproduce
from reins.experiments.show_constraint import View
from reins.experiments.watch import Showing, watch


@dataclasses.dataclass(frozen=True)
class Output:
    """Where a command writes, and how it speaks."""

    out: Path | None = None
    """Folder for the results; made when it is not there."""
    json: bool = False
    """Print the summary alone, as JSON."""
    quiet: bool = False
    """Print nothing but errors."""


Common = Annotated[Output, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff]


@dataclasses.dataclass(frozen=True)
class List:
    """Name agents, environments, methods, demonstrations, presets and experiments."""

    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Train:
    """Train an agent in an environment."""

    config: tyro.conf.OmitArgPrefixes[TrainConfig]
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class LearnConstraint:
    """Learn a constraint from demonstrations."""

    config: tyro.conf.OmitArgPrefixes[LearnConfig]
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Learn LapGridWorld's hidden rule by every method, in about a minute."""

    config: tyro.conf.OmitArgPrefixes[RunConfig] = dataclasses.field(
        default_factory=RunConfig
    )
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a trained agent's return and violations afresh."""

    folder: tyro.conf.Positional[Path]
    """What --out named when it was trained."""
    episodes: int = 100
    """Episodes of each seed, drawn from the stochastic policy."""
    horizon: int | None = None
    """Truncate episodes after so many steps; None: as in training."""
    key: int = 0
    """Random seed of the evaluation."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw the learning curves of one run or several."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """What --out named when they were trained."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Watch:
    """Look at a trained agent, in a window or as a film."""

    folder: tyro.conf.Positional[Path]
    """What --out named when it was trained."""
    video: Path | None = None
    """Film to write, FILE.gif or FILE.mp4; a window opens when not said."""
    episodes: int = 1
    """How many episodes, one after another."""
    steps: int | None = None
    """Cut each episode after so many steps; None: where the environment does."""
    seed: int | None = None
    """Which seed's agent; the first one when not said."""
    key: int = 0
    """Random seed of the episodes."""
    deterministic: tyro.conf.FlagCreatePairsOff[bool] = False
    """The most probable action instead of a drawn one."""
    fps: float | None = None
    """Steps shown per second; None: the environment's own rate."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class CheckEnv:
    """Say everything that is wrong with an environment."""

    env: tyro.conf.Positional[str]
    """Its id, as Gymnasium takes it: Name-v0, or module:Name-v0."""
    env_args: str = ""
    """Arguments of its constructor, as JSON: '{"name": value}'."""
    episodes: int = 3
    """Episodes of random actions."""
    steps: int = 1000
    """Most steps of each."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Work off the runs of a table; call again to go on."""

    table: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
    """The table's name: lectures, pong-from-pixels, rl-as-inference, soft-policies, or
    inverse-constrained-rl."""
    config: tyro.conf.OmitArgPrefixes[ReproduceConfig] = dataclasses.field(
        default_factory=ReproduceConfig
    )
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped, killed or cut off."""

    folder: tyro.conf.Positional[Path]
    """What --out named when it began."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Make:
    """Record a trained agent's episodes as demonstrations."""

    file: tyro.conf.Positional[Path]
    """Where to write them: FILE.npz, with FILE.json beside it."""
    agent: Path
    """Folder of the trained agent."""
    episodes: int = 20
    """How many episodes, drawn from the stochastic policy."""
    seed: int | None = None
    """Which seed's agent; the first one when not said."""
    each_seed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """So many episodes of every seed's agent, one after another."""
    key: int = 0
    """Random seed of the episodes."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Check:
    """Say everything that is wrong or suspicious with demonstrations."""

    file: tyro.conf.Positional[Path]
    """A file, or the name of a set that ships with reins."""
    env: str | None = None
    """The environment to use them in; None: the one that they name."""
    env_args: str = ""
    """Arguments of its constructor, as JSON: '{"name": value}'."""
    constraint: Path | None = None
    """A learned constraint, to count the steps that it forbids."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Show:
    """Say what demonstrations hold; with --out, draw them too."""

    file: tyro.conf.Positional[Path]
    """A file, or the name of a set that ships with reins."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Import:
    """Bring in demonstrations from another format."""

    source: tyro.conf.Positional[str]
    """A file, or a Minari dataset's id or folder."""
    file: tyro.conf.Positional[Path]
    """Where to write them: FILE.npz, with FILE.json beside it."""
    format: demonstrations.Format
    """What the source is."""
    env: str | None = None
    """The environment they are of, any id; None: the one that the source names."""
    keep_pairs: tyro.conf.FlagCreatePairsOff[bool] = False
    """Leave the pairs of an archive of 2021 as stored, off by one, as used then."""
    output: Common = dataclasses.field(default_factory=Output)


@dataclasses.dataclass(frozen=True)
class Export:
    """Write demonstrations into the local Minari store."""

    file: tyro.conf.Positional[Path]
    """A file, or the name of a set that ships with reins."""
    dataset: tyro.conf.Positional[str]
    """A new dataset's id: name-v0, or space/name-v0."""
    output: Common = dataclasses.field(default_factory=Output)


Action = (
    Annotated[Make, tyro.conf.subcommand("make")]
    | Annotated[Check, tyro.conf.subcommand("check")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Import, tyro.conf.subcommand("import")]
    | Annotated[Export, tyro.conf.subcommand("export")]
)


@dataclasses.dataclass(frozen=True)
class DemonstrationsCommand:
    """Make, check, show, import and export demonstrations."""

    action: tyro.conf.OmitSubcommandPrefixes[tyro.conf.OmitArgPrefixes[Action]]

    @property
    def output(self) -> Output:
        """The action's."""
        return self.action.output


@dataclasses.dataclass(frozen=True)
class ConstraintCommand:
    """Look at a learned constraint: where it forbids, and where it is valid."""

    action: tyro.conf.Positional[Literal["show"]]
    """show: draw its cost, with demonstrations, an agent's paths and the true rule."""
    file: tyro.conf.Positional[Path]
    """The constraint's file, constraint-seed-N.safetensors."""
    view: tyro.conf.OmitArgPrefixes[View] = dataclasses.field(default_factory=View)
    output: Common = dataclasses.field(default_factory=Output)


def _commands_of_studies() -> Any:
    """A command for each study, from its configuration."""
    studies = [
        Annotated[kind.config, tyro.conf.subcommand(name)]
        for name, kind in STUDIES.items()
    ]
    return functools.reduce(operator.or_, studies)


@dataclasses.dataclass(frozen=True)
class Lab:
    """Hold estimators, divergences and bounds against the exact truth."""

    study: tyro.conf.OmitSubcommandPrefixes[
        tyro.conf.OmitArgPrefixes[_commands_of_studies()]  # pyright: ignore[reportInvalidTypeForm]
    ]
    output: Common = dataclasses.field(default_factory=Output)


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[LearnConstraint, tyro.conf.subcommand("learn-constraint")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Plot, tyro.conf.subcommand("plot")]
    | Annotated[Watch, tyro.conf.subcommand("watch")]
    | Annotated[CheckEnv, tyro.conf.subcommand("check-env")]
    | Annotated[Lab, tyro.conf.subcommand("lab"), tyro.conf.CascadeSubcommandArgs]
    | Annotated[Reproduce, tyro.conf.subcommand("reproduce")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[DemonstrationsCommand, tyro.conf.subcommand("demonstrations")]
    | Annotated[ConstraintCommand, tyro.conf.subcommand("constraint")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for what the user can mend)."""
    # `mine:Mine-v0` is found in the folder where one works, as by `python -m`.
    sys.path.append(os.getcwd())
    try:
        command = _parsed(sys.argv[1:] if arguments is None else list(arguments))
        terminal = Terminal(quiet=command.output.json or command.output.quiet)
        summary = _carry_out(command, command.output.out, terminal)
    except ReinsError as error:
        complain(f"{type(error).__name__}: {error}")
        return 2
    except KeyboardInterrupt:
        complain("stopped; `reins resume DIR` goes on with a run from where it was.")
        return 130
    except BrokenPipeError:  # who reads, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if command.output.json:
        print(json.dumps(summary, indent=2))
    return 2 if summary.get("errors") or summary.get("failures") else 0


def _parsed(words: list[str]) -> Any:
    """The command that was asked for; a preset's settings are the defaults of its."""
    told = {name: _said(words, f"--{name}") for name in ("preset", "env")}
    default: Any = None
    if words[:1] == ["train"] and None not in told.values():
        told["agent"] = next((w for w in words[1:] if w in AGENTS), "ppo")
        default = Train(gathered(TrainConfig, told))
    if words[:1] == ["learn-constraint"]:
        told["demonstrations"] = _said(words, "--demonstrations")
        if None not in told.values():
            told["method"] = _said(words, "--method") or "icrl"
            told["forward_agent"] = _said(words, "--forward-agent") or "ppo"
            default = LearnConstraint(gathered(LearnConfig, told))
    if default is None:  # no preset, or too little is said, which is complained of
        return tyro.cli(Command, args=words, prog="reins", description=__doc__)
    return tyro.cli(
        type(default), args=words[1:], prog=f"reins {words[0]}", default=default
    )


def _said(words: Sequence[str], option: str) -> str | None:
    """The value of an option, before anything is parsed."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.removeprefix(f"{option}=")
    return None


def _carry_out(command: Any, out: Path | None, terminal: Terminal) -> dict[str, Any]:
    match command:
        case List():
            return _list(out, terminal)
        case Train(config=config) | LearnConstraint(config=config):
            return run.start(config, out or default_folder(config.agent), terminal)
        case Demo(config=settings):
            return run.demo(out or Path("runs/demo"), settings, terminal)
        case Reproduce(table=table, config=config):
            where = out or Path("runs") / table
            return reproduce(table, config, where, terminal)
        case Resume(folder=folder):
            return _copied(run.resume(folder, terminal), folder, out)
        case Evaluate(folder=folder):
            return evaluate.evaluate(
                folder,
                out or folder / "evaluation",
                episodes=command.episodes,
                horizon=command.horizon,
                key=command.key,
                terminal=terminal,
            )
        case Plot(folders=folders):
            return evaluate.plot_runs(folders, out, terminal)
        case Watch():
            return _watch(command, out, terminal)
        case CheckEnv(env=env):
            return check_env.check(
                env,
                EnvConfig(command.env_args).options().arguments,
                out,
                episodes=command.episodes,
                steps=command.steps,
                terminal=terminal,
            )
        case Lab(study=study):
            name, _ = kind_of(study)
            return run_study(study, out or default_folder(f"lab-{name}"), terminal)
        case DemonstrationsCommand(action=action):
            return _demonstrations(action, out, terminal)
        case ConstraintCommand(file=file, view=view):
            return show_constraint.show(file, out, view, terminal=terminal)
    raise TypeError(f"no command {command!r}")


def _watch(command: Watch, out: Path | None, terminal: Terminal) -> dict[str, Any]:
    showing = Showing(
        command.episodes,
        command.steps,
        command.fps,
        command.deterministic,
        command.key,
    )
    return watch(
        command.folder,
        showing,
        command.video,
        seed=command.seed,
        out=out,
        terminal=terminal,
    )


def _copied(summary: dict[str, Any], folder: Path, out: Path | None) -> dict[str, Any]:
    if out is not None and out != folder:
        write_json(out / SUMMARY_FILE, summary)
    return summary


def _list(out: Path | None, terminal: Terminal) -> dict[str, Any]:
    sections = {
        "agents": AGENTS,
        "methods": METHODS,
        "environments": {
            **{name: entry.summary for name, entry in {**ENVS, **HOST_ENVS}.items()},
        },
        "demonstrations": {name: _describe(name) for name in shipped_demonstrations()},
        "presets": {name: preset.summary for name, preset in PRESETS.items()},
        "experiments": EXPERIMENTS,
    }
    terminal.show(*[names_table(title, names) for title, names in sections.items()])
    summary = {"schema": SUMMARY_SCHEMA, "command": "list", **sections}
    if out is not None:
        write_json(out / SUMMARY_FILE, summary)
    return summary


def _describe(name: str) -> str:
    found = load_demonstrations(name)
    return f"{len(found.actions)} episodes in {found.env_id}."


def _demonstrations(
    action: Any, out: Path | None, terminal: Terminal
) -> dict[str, Any]:
    match action:
        case Make(file=file):
            return demonstrations.make(
                action.agent,
                file,
                out,
                episodes=action.episodes,
                seed=action.seed,
                each_seed=action.each_seed,
                key=action.key,
                terminal=terminal,
            )
        case Check(file=file):
            return demonstrations.check(
                file,
                out,
                env_id=action.env,
                constraint=action.constraint,
                env_args=action.env_args,
                terminal=terminal,
            )
        case Show(file=file):
            return demonstrations.show(file, out, terminal=terminal)
        case Import(source=source, file=file):
            return demonstrations.bring_in(
                source,
                file,
                out,
                form=action.format,
                env_id=action.env,
                keep_pairs=action.keep_pairs,
                terminal=terminal,
            )
        case Export(file=file, dataset=dataset):
            return demonstrations.send_out(file, dataset, out, terminal=terminal)
    raise TypeError(f"no action {action!r}")


if __name__ == "__main__":
    sys.exit(main())
