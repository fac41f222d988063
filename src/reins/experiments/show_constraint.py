"""What `reins constraint show` does: a learned constraint, drawn and in numbers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.table import Table

from reins.constraints import Constraint
from reins.data import Demonstrations
from reins.envs import Env, HostEnv, HostOptions, nominal_twin, true_rule
from reins.envs.gridworld import COINS
from reins.errors import DataError, ReinsError
from reins.experiments.build import check_constraint
from reins.experiments.checkpoint import load_record
from reins.experiments.config import EnvConfig, from_record
from reins.experiments.constraint_file import load_constraint
from reins.experiments.cost_map import Axis, CostMap, cost_map, data_inputs, input_names
from reins.experiments.demonstrate import demonstrate
from reins.experiments.files import load_demonstrations, write_json
from reins.experiments.plot_constraint import draw_cost_map, draw_lap_costs
from reins.experiments.record import (
    CONFIG_FILE,
    SUMMARY_FILE,
    SUMMARY_SCHEMA,
    versions,
)
from reins.experiments.report import Terminal
from reins.experiments.summary import Summary, occupancy, rule_costs


@dataclasses.dataclass(frozen=True)
class View:
    """What of a constraint is looked at, and beside what."""

    dims: tuple[int, ...] | None = None
    """Entries of the observation to draw, one or two; when not said, that of the true
    boundary and those on which the cost depends most."""
    action_dims: tuple[int, ...] | None = None
    """Entries of the action to draw."""
    demonstrations: str | None = None
    """A file, or the name of a set; those that it was learned from when not said."""
    agent: Path | None = None
    """Folder of a trained agent whose paths to draw; its own run's when not said."""
    episodes: int = 5
    """How many of the agent's, drawn from the stochastic policy; 0 for none."""
    key: int = 0
    """Random seed of these episodes."""
    env: str | None = None
    """The environment's id; the one that it was learned in when not said."""
    env_args: str = ""
    """Arguments of its constructor, as JSON: '{"name": value}'."""


class Origin(NamedTuple):
    """How a constraint was learned, as its file says; None where it does not."""

    env: str | None
    options: HostOptions
    demonstrations: str | None
    seed: int | None


def show(file: Path, out: Path | None, view: View, *, terminal: Terminal) -> Summary:
    """Draw a learned constraint over one or two of its inputs, and say what it costs.

    Args:
      out: a folder, or the picture's own file (.png); `shown` beside the file if None.

    Raises: DataError when the file holds no constraint or data that was named cannot
      be read, ConfigError for what cannot be drawn.
    """
    constraint = load_constraint(file)
    origin = _origin(load_record(file)["about"])
    env_id = view.env or origin.env
    env = None
    if env_id is not None:
        own = env_id == origin.env and not view.env_args
        options = origin.options if own else EnvConfig(view.env_args).options()
        env = nominal_twin(env_id, options)
        check_constraint(constraint, env, file)
    data, notes = _data(constraint, file, view, origin)
    picture, folder = _places(file, out)
    found = cost_map(
        constraint, data, env=env, dims=view.dims, action_dims=view.action_dims
    )
    title = f"{file.name}, learned in {origin.env or 'an unknown environment'}"
    _draw(picture, constraint, found, data, env_id, title)
    episodes = {name: _costs(constraint, x) for name, x in data.items()}
    summary = {
        "schema": SUMMARY_SCHEMA,
        "command": "constraint show",
        "file": str(file),
        "env": env_id,
        "seed": origin.seed,
        "picture": str(picture),
        "axes": [_axis(axis) for axis in found.axes],
        "forbidden_share": found.forbidden_share,
        "episodes": episodes,
        "inputs": _inputs(constraint, env),
        "notes": notes,
        "versions": versions(),
    }
    if folder is not None:
        write_json(folder / SUMMARY_FILE, summary)
    terminal.show(_axes_table(found), _episodes_table(episodes))
    for note in notes:
        terminal.say(note)
    terminal.say(f"Drawn to {picture}.")
    return summary


def _origin(about: Mapping[str, Any]) -> Origin:
    config = about.get("config") or {}
    host = config.get("host")
    options = HostOptions() if host is None else from_record(EnvConfig, host).options()
    return Origin(
        config.get("env"), options, config.get("demonstrations"), about.get("seed")
    )


def _places(file: Path, out: Path | None) -> tuple[Path, Path | None]:
    """Where the picture goes, and the summary."""
    if out is not None and out.suffix == ".png":
        return out, None
    folder = file.parent / "shown" if out is None else out
    return folder / f"{file.stem}.png", folder


def _data(
    constraint: Constraint, file: Path, view: View, origin: Origin
) -> tuple[dict[str, Demonstrations], list[str]]:
    """Demonstrations, and episodes of an agent; and what could not be had.

    Raises: what reading raises, of what was named.
    """
    found, notes = {}, []

    def take(name: str, named: bool, read: Callable[[], Demonstrations]) -> None:
        try:
            found[name] = _fitting(read(), constraint, name)
        except ReinsError as fault:
            if named:
                raise
            notes.append(f"Without {name}: {fault}")

    shown = view.demonstrations or origin.demonstrations
    if shown is not None:
        named = view.demonstrations is not None
        take("demonstrations", named, lambda: load_demonstrations(shown))
    folder = view.agent
    if folder is None and (file.parent / CONFIG_FILE).exists():
        folder = file.parent
    if folder is not None and view.episodes > 0:
        seed = origin.seed if view.agent is None else None
        take(
            "agent",
            view.agent is not None,
            lambda: demonstrate(
                folder, episodes=view.episodes, seed=seed, key=view.key
            ),
        )
    return found, notes


def _fitting(
    found: Demonstrations, constraint: Constraint, name: str
) -> Demonstrations:
    """The same episodes, if the constraint can look at them.

    Raises: DataError.
    """
    size, inputs = int(np.prod(found.observations[0].shape[1:])), constraint.inputs
    if size <= max(inputs.observation_dims, default=-1):
        raise DataError(
            f"the {name} have observations of {size} numbers; the constraint was "
            f"learned on {inputs.observation_size}, of which it sees "
            f"{list(inputs.observation_dims)}. Name others."
        )
    kinds = {True: "choices", False: "vectors"}
    discrete = np.ndim(found.actions[0]) == 1
    if inputs.action_dims and discrete != inputs.discrete:
        raise DataError(
            f"the {name} have actions that are {kinds[discrete]}; the constraint was "
            f"learned on {kinds[inputs.discrete]}. Name others."
        )
    return found


def _draw(
    picture: Path,
    constraint: Constraint,
    found: CostMap,
    data: Mapping[str, Demonstrations],
    env_id: str | None,
    title: str,
) -> None:
    rule = None if env_id is None else true_rule(env_id)
    if rule is not None:
        draw_lap_costs(
            picture,
            rule,
            rule_costs(rule, [constraint]),
            {
                name: occupancy(
                    rule,
                    np.concatenate([o[:-1] for o in x.observations]),
                    np.concatenate(list(x.actions)),
                )
                for name, x in data.items()
            },
            coins=COINS,
            actions=["clockwise", "anti-clockwise"],
            title=title,
        )
        return
    inputs = constraint.inputs
    episodes = {
        name: np.split(data_inputs(inputs, x), np.cumsum(x.lengths)[:-1])
        for name, x in data.items()
    }
    draw_cost_map(picture, found, episodes, title=title)


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "name": axis.name,
        "low": float(axis.values[0]),
        "high": float(axis.values[-1]),
        "crossings": axis.crossings,
        "boundary": None if axis.boundary is None else axis.boundary.at,
    }


def _costs(constraint: Constraint, found: Demonstrations) -> dict[str, Any]:
    """What the steps of some episodes cost, and how many lie outside what was seen."""
    seen = np.concatenate([o[:-1] for o in found.observations])
    done = np.concatenate(list(found.actions))
    costs = np.asarray(constraint.cost(seen, done))
    known = bool(constraint.inputs.seen_low)
    outside = np.asarray(constraint.outside(seen, done)).any(axis=-1)
    shown = data_inputs(constraint.inputs, found)
    shown = shown[:, : len(constraint.inputs.observation_dims)]
    return {
        "episodes": len(found.actions),
        "mean_cost": float(costs.mean()),
        "largest_cost": float(costs.max()),
        "forbidden_steps": float(np.mean(costs > 0.5)),
        "outside": float(outside.mean()) if known else None,
        "clipped": float((np.abs(shown) > constraint.inputs.clip).any(axis=-1).mean()),
    }


def _inputs(constraint: Constraint, env: Env | HostEnv | None) -> list[dict[str, Any]]:
    """Each input's name and the range that it was seen in; null where not known."""
    inputs = constraint.inputs
    unknown = (None,) * inputs.size
    ends = inputs.seen_low or unknown, inputs.seen_high or unknown
    return [
        {"name": name, "low": low, "high": high}
        for name, low, high in zip(input_names(inputs, env), *ends, strict=True)
    ]


def _axes_table(found: CostMap) -> Table:
    share = 100 * found.forbidden_share
    table = Table(
        title=f"Mean cost: above 1/2 on {share:.3g} % of what is drawn",
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=(0, 1),
    )
    for heading in ("input", "drawn", "seen", "true boundary", "cost crosses 1/2 at"):
        table.add_column(heading)
    for axis in found.axes:
        seen = "unknown" if axis.seen is None else _range(*axis.seen)
        edge = "" if axis.boundary is None else f"{axis.boundary.at:g}"
        table.add_row(
            axis.name,
            _range(axis.values[0], axis.values[-1]),
            seen,
            edge,
            "; ".join(_crossing(*x) for x in axis.crossings.items()),
        )
    return table


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}"


def _crossing(action: str, places: Sequence[float]) -> str:
    told = ", ".join(f"{place:.4g}" for place in places) or "nowhere"
    return f"{action}: {told}" if action else told


def _episodes_table(episodes: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(
        title="What steps cost",
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        padding=(0, 1),
    )
    headings = ("mean cost", "largest", "above 1/2", "outside what was seen")
    for heading in ("", "episodes", *headings):
        table.add_column(heading, justify="right" if heading else "left")
    for name, told in episodes.items():
        outside = told["outside"]
        table.add_row(
            name,
            str(told["episodes"]),
            f"{told['mean_cost']:.4f}",
            f"{told['largest_cost']:.4f}",
            f"{100 * told['forbidden_steps']:.3g} %",
            "unknown" if outside is None else f"{100 * outside:.3g} %",
        )
    return table
