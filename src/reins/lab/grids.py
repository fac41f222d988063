"""Grids with planted rules: cells not to enter, moves not to make, colours to avoid."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from reins.tabular import (
    RuleProblem,
    identifiable,
    minimal_constraints,
    tabular_mdp,
)

MOVES: dict[str, tuple[int, int]] = {
    "right": (0, 1),
    "left": (0, -1),
    "up": (1, 0),
    "down": (-1, 0),
    "up-right": (1, 1),
    "up-left": (1, -1),
    "down-right": (-1, 1),
    "down-left": (-1, -1),
}
"""Rows upwards, columns to the right. A move off the grid goes nowhere, and costs."""


@dataclasses.dataclass(frozen=True)
class GridLayout:
    """A grid and its rules; a cell is row · width + column, row 0 at the bottom.

    Attributes:
      start, goal: cells; arriving at the goal ends an episode, within `horizon`.
      colours: the cells of each, by name.
      planted: names of the rules, out of `names`.
      temperature: units of reward (a straight move costs 1) per nat.
    """

    height: int
    width: int
    start: int
    goal: int
    colours: Mapping[str, tuple[int, ...]]
    planted: tuple[str, ...]
    horizon: int = 30
    temperature: float = 0.5

    @property
    def cells(self) -> int:
        """How many there are."""
        return self.height * self.width

    @property
    def names(self) -> list[str]:
        """Every rule there could be, in the order of the items."""
        return [*self.colours, *MOVES, *map(cell_name, range(self.cells))]

    def chosen(self, names: Sequence[str]) -> Bool[np.ndarray, " I"]:
        """Which items have these names."""
        every = self.names
        wanted = [every.index(name) for name in names]
        return np.isin(np.arange(len(every)), wanted)

    def problem(self) -> RuleProblem:
        """The nominal MDP, where a move costs its length, and all items."""
        following = next_cells(self.height, self.width)
        lengths = [float(np.hypot(*move)) for move in MOVES.values()]
        mdp = tabular_mdp(
            jax.nn.one_hot(following, self.cells),
            -np.tile(lengths, (self.cells, 1)),
            initial=np.arange(self.cells) == self.start,
            terminal=np.arange(self.cells) == self.goal,
            horizon=self.horizon,
        )
        cells = np.arange(self.cells)
        coloured = jnp.asarray([np.isin(cells, of) for of in self.colours.values()])
        items = minimal_constraints(self.cells, len(MOVES), coloured)
        return RuleProblem(mdp, items, self.temperature, arrive=True)


def cell_name(cell: int) -> str:
    """The rule never to be in a cell."""
    return f"cell {cell}"


def next_cells(height: int, width: int) -> Int[np.ndarray, "S A"]:
    """Where each move leads from each cell."""
    row, column = np.divmod(np.arange(height * width)[:, None], width)
    up, right = np.array(list(MOVES.values())).T
    rows, columns = row + up, column + right
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, rows * width + columns, row * width + column)


def published_grid() -> GridLayout:
    """A 9 x 9 grid with a rule of every kind: two colours, two moves and five cells.

    Source: the layout of a public successor of Scobee & Sastry 2020, Figure 3.
    Deviates: it has slip, penalties and a bonus at the goal, where here dynamics are
    deterministic, rules are hard, and every episode ends at the goal.
    """
    cells = (31, 39, 41, 47, 51)
    return GridLayout(
        *(9, 9, 0, 8),
        colours={"blue": (4, 13, 22), "green": (58, 67, 76)},
        planted=("blue", "green", "up-right", "up-left", *map(cell_name, cells)),
    )


def random_layout(generator: np.random.Generator, side: int = 7) -> GridLayout:
    """A square grid with up to two colours, two moves and four cells forbidden.

    The start is in the first column and the goal in the last. They, the two colours'
    three cells each and the forbidden cells are apart; a colour may be there and mean
    nothing.
    """
    start = side * int(generator.integers(side))
    goal = side * int(generator.integers(side)) + side - 1
    places = generator.permutation(side * side).tolist()
    rest = [cell for cell in places if cell not in (start, goal)]
    colours = {"blue": tuple(rest[:3]), "green": tuple(rest[3:6])}
    found = {
        "colours": generator.choice(list(colours), generator.integers(3), False),
        "moves": generator.choice(list(MOVES), generator.integers(3), False),
    }
    cells = rest[6 : 6 + generator.integers(5)]
    planted = (*found["colours"], *found["moves"], *map(cell_name, cells))
    names = tuple(map(str, planted))
    return GridLayout(side, side, start, goal, colours, names, horizon=24)


class Draws(NamedTuple):
    """Grids whose rules can be found, and what was drawn and left out on the way."""

    layouts: list[GridLayout]
    drawn: int
    without_rules: int
    nothing_allowed: int
    no_own: int
    outdone_by_none: int


def identifiable_grids(count: int, *, key: int = 0, least: float = 0.01) -> Draws:
    """So many random grids whose planted rules are `identifiable`, drawn until found.

    Args: `least` is the probability that what makes them so must exceed.
    """
    generator = np.random.default_rng(key)
    layouts: list[GridLayout] = []
    left_out = {"without": 0, "nothing": 0, "own": 0, "outdone": 0}
    drawn = 0
    while len(layouts) < count:
        layout = random_layout(generator)
        drawn += 1
        if not layout.planted:
            left_out["without"] += 1
            continue
        planted = layout.chosen(layout.planted)
        faults = identifiable(layout.problem(), planted, least=least)
        if not faults:
            layouts.append(layout)
        elif "nothing is allowed" in faults:
            left_out["nothing"] += 1
        elif any("of its own" in fault for fault in faults):
            left_out["own"] += 1
        else:
            left_out["outdone"] += 1
    return Draws(layouts, drawn, *left_out.values())


@partial(jax.jit, static_argnames="horizon")
def grid_log_partition(
    following: Int[Array, "S A"],
    log_weights: Float[Array, "S A"],
    start: Int[ArrayLike, ""],
    goal: Int[ArrayLike, ""],
    *,
    horizon: int,
) -> Float[Array, ""]:
    """log Z of the trajectories of a grid that end at the goal, by sums of products.

    Z_t(s) = Σ_a w(s, a) Z_{t+1}(s'),   Z_t(goal) = 1,   Z_T = 0 elsewhere

    Its gradient in log w is the expected number of visits. As `model_log_partition` of
    deterministic moves, some hundred times as fast, and differentiable everywhere.

    Args: `log_weights` are r/α + log ζ, in nats.
    """
    weights = jnp.exp(log_weights)
    there = jnp.arange(weights.shape[0]) == goal
    last = there.astype(weights.dtype)

    def step(ahead: Array, _: None) -> tuple[Array, None]:
        total = jnp.sum(weights * ahead[following], axis=1)
        return jnp.where(there, 1.0, total), None

    first, _ = jax.lax.scan(step, last, length=horizon)
    return jnp.log(first[start])
