"""A learned constraint as numbers to look at: its cost along one input, or over two."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from reins.constraints import Constraint, InputSpec, chosen_inputs
from reins.data import Demonstrations
from reins.envs import Boundary, Env, HostEnv
from reins.errors import ConfigError

POINTS = 81
"""Values of an input at which its cost is drawn."""
OTHERS = 100
"""Steps of the data over which the other inputs are averaged."""
PANELS = 6
"""Most discrete actions that are drawn."""

Rows = Float[np.ndarray, "rows n"]
_Fix = Callable[[Rows], Rows]
Data = Mapping[str, Demonstrations]
"""Episodes by who played them."""


class Curve(NamedTuple):
    """Cost along one input: mean over the other inputs, and 10 and 90 % of it."""

    mean: Float[np.ndarray, " G"]
    low: Float[np.ndarray, " G"]
    high: Float[np.ndarray, " G"]


class Axis(NamedTuple):
    """One input that is drawn.

    Attributes:
      place: among the inputs of ζ.
      name: with its unit.
      values: at which the cost is drawn.
      curves: by action; by "" where actions are no choice.
      seen: the range that it was seen in, where known.
      clip: beyond ± this ζ cannot tell its values apart; inf for an action.
      boundary: of the true rule, where it is one of this input.
    """

    place: int
    name: str
    values: Float[np.ndarray, " G"]
    curves: Mapping[str, Curve]
    seen: tuple[float, float] | None
    clip: float
    boundary: Boundary | None

    @property
    def crossings(self) -> dict[str, list[float]]:
        """Where the mean cost crosses 1/2, by action."""
        return {
            action: crossings(self.values, curve.mean)
            for action, curve in self.curves.items()
        }


class CostMap(NamedTuple):
    """What is drawn of a constraint.

    Attributes:
      axes: the input, or the two of them.
      costs: by action, mean cost over the two inputs (the second one first); empty
        where there is one.
      others: what stands in the other inputs, in a sentence.
    """

    axes: Sequence[Axis]
    costs: Mapping[str, Float[np.ndarray, "G G"]]
    others: str

    @property
    def forbidden_share(self) -> float:
        """The share of what is drawn that costs more than 1/2, all actions alike."""
        drawn = list(self.costs.values())
        if not drawn:
            drawn = [curve.mean for curve in self.axes[0].curves.values()]
        return float(np.mean(np.asarray(drawn) > 0.5))


def input_names(inputs: InputSpec, env: Env | HostEnv | None) -> list[str]:
    """Names of the inputs of ζ, as the environment has them, with units."""
    seen = () if env is None else env.observation_names
    done = () if env is None else env.action_names
    return [
        *(_name("observation", seen, i) for i in inputs.observation_dims),
        *(_name("action", done, i) for i in inputs.action_dims),
    ]


def _name(kind: str, names: Sequence[str], i: int) -> str:
    return names[i] if i < len(names) else f"{kind} {i}"


def cost_map(
    constraint: Constraint,
    data: Data,
    *,
    env: Env | HostEnv | None = None,
    dims: Sequence[int] | None = None,
    action_dims: Sequence[int] | None = None,
) -> CostMap:
    """The cost 1 − ζ over one or two inputs, averaged over what the others are in data.

    Args:
      data: episodes; the other inputs are taken from them, as many from each set.
      env: says what the inputs are called and where the true boundary is.
      dims, action_dims: entries of the observation and of the action to draw. When
        neither is said: that of the true boundary, if there is one, and those on which
        the cost depends most.

    Raises: ConfigError for entries that ζ does not see, or more than two.
    """
    inputs = constraint.inputs
    rows, others = other_inputs(inputs, data)
    candidates = list(range(inputs.size))
    if inputs.discrete:
        candidates = candidates[: len(inputs.observation_dims)]
    grids = {k: _grid(inputs, k, data, env) for k in candidates}
    if dims is None and action_dims is None:
        bounded = [k for k in candidates if _boundary(inputs, k, env) is not None]
        ranked = _by_importance(constraint, rows, grids)
        places = list(dict.fromkeys([*bounded, *ranked]))[:2]
    else:
        places = _places(inputs, dims or (), action_dims or ())
    actions = _actions(inputs, env)
    names = input_names(inputs, env)
    axes = [
        Axis(
            place=k,
            name=names[k],
            values=grids[k],
            curves={
                a: _curve(constraint, fix(rows), k, grids[k]) for a, fix in actions
            },
            seen=_seen(inputs, k),
            clip=inputs.clip if k < len(inputs.observation_dims) else np.inf,
            boundary=_boundary(inputs, k, env),
        )
        for k in places
    ]
    costs = {}
    if len(axes) == 2:
        costs = {a: _surface(constraint, fix(rows), axes) for a, fix in actions}
    return CostMap(axes, costs, others)


def crossings(
    values: Float[np.ndarray, " G"], costs: Float[np.ndarray, " G"]
) -> list[float]:
    """Where a curve crosses 1/2, on straight lines between its points."""
    above = costs > 0.5
    found = []
    for i in np.flatnonzero(above[1:] != above[:-1]):
        share = (0.5 - costs[i]) / (costs[i + 1] - costs[i])
        found.append(float(values[i] + share * (values[i + 1] - values[i])))
    return found


def other_inputs(inputs: InputSpec, data: Data) -> tuple[Rows, str]:
    """Rows of inputs in which some are replaced by what is drawn, and what they are."""
    if not data:
        middle = np.zeros((1, inputs.size), np.float32)
        if not inputs.seen_low:
            return middle, "other inputs are 0"
        ends = np.asarray([inputs.seen_low, inputs.seen_high], np.float32)
        return ends.mean(axis=0, keepdims=True), "other inputs in mid-range"
    each = OTHERS // len(data)
    kept = []
    for found in data.values():
        rows = data_inputs(inputs, found)
        kept.append(rows[np.linspace(0, len(rows) - 1, each).astype(int)])
    told = f"other inputs as in {each * len(data)} steps of the data"
    return np.concatenate(kept), f"mean, and 10 to 90 %, with {told}"


def data_inputs(inputs: InputSpec, found: Demonstrations) -> Rows:
    """The inputs of every step of some episodes."""
    return np.asarray(
        chosen_inputs(
            inputs,
            np.concatenate([o[:-1] for o in found.observations]),
            np.concatenate(list(found.actions)),
        )
    )


def _places(
    inputs: InputSpec, dims: Sequence[int], action_dims: Sequence[int]
) -> list[int]:
    """The inputs that these entries are.

    Raises: ConfigError.
    """
    faults = [
        f"{kind} {i}"
        for kind, asked, seen in (
            ("observation", dims, inputs.observation_dims),
            ("action", action_dims, inputs.action_dims),
        )
        for i in asked
        if i not in seen
    ]
    if faults:
        raise ConfigError(
            f"{' and '.join(faults)} was to be drawn; the constraint sees of "
            f"observations {list(inputs.observation_dims)}, of actions "
            f"{list(inputs.action_dims)}. Choose among these."
        )
    if action_dims and inputs.discrete:
        raise ConfigError(
            "--action-dims was given for actions that are a choice; each of them is "
            "drawn anyway. Leave it out."
        )
    if not 1 <= len(dims) + len(action_dims) <= 2:
        raise ConfigError(
            f"{len(dims) + len(action_dims)} entries were to be drawn; one is drawn as "
            "a curve, two as a map. Name one or two."
        )
    first = len(inputs.observation_dims)
    found = [inputs.observation_dims.index(i) for i in dims]
    return found + [first + inputs.action_dims.index(i) for i in action_dims]


def _by_importance(
    constraint: Constraint, rows: Rows, grids: Mapping[int, np.ndarray]
) -> list[int]:
    """Inputs, by how much the cost changes over their range in the mean over rows."""
    changes = {}
    for k, values in grids.items():
        costs = _varied(constraint, rows[:: max(1, len(rows) // 32)], k, values[::4])
        changes[k] = float(np.mean(costs.max(axis=0) - costs.min(axis=0)))
    return sorted(changes, key=lambda k: -changes[k])


def _grid(
    inputs: InputSpec, k: int, data: Data, env: Env | HostEnv | None
) -> Float[np.ndarray, " G"]:
    """Values at which the cost along an input is drawn.

    The range that was seen and the data's, with the true boundary, and a little more;
    for an observation hardly more than `clip`, beyond which nothing changes.
    """
    first = len(inputs.observation_dims)
    if k >= first and inputs.action_low:
        i = inputs.action_dims[k - first]
        return np.linspace(inputs.action_low[i], inputs.action_high[i], POINTS)
    ends = list(_seen(inputs, k) or ())
    for found in data.values():
        values = data_inputs(inputs, found)[:, k]
        ends += [float(values.min()), float(values.max())]
    low, high = (min(ends), max(ends)) if ends else (-1.0, 1.0)
    if k < first:
        limit = 1.1 * inputs.clip
        low, high = np.clip([low, high], -limit, limit).tolist()
    edge = _boundary(inputs, k, env)
    margin = 0.05 * (high - low) or 1.0
    low, high = low - margin, high + margin
    if edge is not None:
        beyond = 0.3 * (high - low) * (-1 if edge.side == "below" else 1)
        low, high = (
            min(low, edge.at, edge.at + beyond),
            max(high, edge.at, edge.at + beyond),
        )
    return np.linspace(low, high, POINTS)


def _seen(inputs: InputSpec, k: int) -> tuple[float, float] | None:
    return (inputs.seen_low[k], inputs.seen_high[k]) if inputs.seen_low else None


def _boundary(inputs: InputSpec, k: int, env: Env | HostEnv | None) -> Boundary | None:
    edge = None if env is None else env.boundary
    if edge is None or k >= len(inputs.observation_dims):
        return None
    return edge if inputs.observation_dims[k] == edge.entry else None


def _actions(inputs: InputSpec, env: Env | HostEnv | None) -> list[tuple[str, _Fix]]:
    """Each action by its name, with what sets it in rows; one without a name else."""
    if not inputs.discrete or not inputs.action_dims:
        return [("", lambda rows: rows)]
    first = len(inputs.observation_dims)

    def fix(place: int) -> _Fix:
        def fixed(rows: Rows) -> Rows:
            code = np.zeros((len(rows), len(inputs.action_dims)), np.float32)
            code[:, place] = 1.0
            return np.concatenate([rows[:, :first], code], axis=1)

        return fixed

    names = input_names(inputs, env)[first:]
    return [(name, fix(place)) for place, name in enumerate(names[:PANELS])]


def _varied(
    constraint: Constraint, rows: Rows, k: int, values: Float[np.ndarray, " G"]
) -> Float[np.ndarray, "G rows"]:
    """Cost of every row with each of these values as its k-th input."""
    many = np.broadcast_to(rows, (len(values), *rows.shape)).copy()
    many[:, :, k] = values[:, None]
    return np.asarray(_cost(constraint, jnp.asarray(many)))


def _curve(
    constraint: Constraint, rows: Rows, k: int, values: Float[np.ndarray, " G"]
) -> Curve:
    costs = _varied(constraint, rows, k, values)
    low, high = np.quantile(costs, [0.1, 0.9], axis=1)
    return Curve(costs.mean(axis=1), low, high)


def _surface(
    constraint: Constraint, rows: Rows, axes: Sequence[Axis]
) -> Float[np.ndarray, "G G"]:
    """Mean cost over two inputs, a line for each value of the second one."""
    across, up = axes
    lines = []
    for value in up.values:
        fixed = rows.copy()
        fixed[:, up.place] = value
        lines.append(_varied(constraint, fixed, across.place, across.values).mean(1))
    return np.asarray(lines)


@jax.jit
def _cost(constraint: Constraint, chosen: jax.Array) -> jax.Array:
    return constraint.cost_at(chosen)
