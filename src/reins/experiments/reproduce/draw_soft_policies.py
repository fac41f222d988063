"""The pictures of soft-policies: where policies walk, which club they take, and how
returns grow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reins.envs.golf import CLUBS, FIELD, REACH
from reins.envs.two_doors import FAR, NEAR
from reins.experiments.load import read_run
from reins.experiments.plot import PALETTE
from reins.experiments.reproduce.cell import Results

WALL = "#d9d4c7"
CLUB_COLOURS = dict(zip(CLUBS, PALETTE, strict=False))


def draw_doors(runs: Mapping[str, Path], finals: Mapping[str, np.ndarray]) -> Figure:
    """The density of every seed's policy along the wall, walls in grey.

    Args:
      runs: the folder of each cell. finals: the last return of each seed.
    """
    figure, grid = _grid(len(runs), height=2.3)
    place = np.linspace(-0.999, 0.999, 1200)
    top = 0.0
    for axes, (name, folder) in zip(grid, runs.items(), strict=True):
        for low, high in ((-1, -FAR), (-NEAR, NEAR), (FAR, 1)):
            axes.axvspan(low, high, color=WALL, lw=0, zorder=0)
        agents = read_run(folder).agents.items()
        for (seed, agent), final in zip(agents, finals[name], strict=True):
            seen: Any = agent.policy(jnp.ones((len(place), 1)))
            density = np.exp(np.asarray(seen.log_prob(jnp.asarray(place)[:, None])))
            label = f"seed {seed}: {final:.1f}"
            axes.plot(place, density, lw=1.2, label=label)
            top = max(top, min(float(density.max()), 12.0))
        axes.set_title(name, fontsize=9)
        box = {"fontsize": 6.5, "title": "return", "title_fontsize": 7}
        axes.legend(frameon=False, loc="upper center", **box)
    for axes in grid:
        axes.set(xlim=(-1, 1), ylim=(0, 1.05 * top))
        axes.grid(visible=False)
        axes.set_xticks([-1.0, -0.5, 0.0, 0.5, 1.0])
        axes.set_xlabel("place along the wall (grey: wall and post)")
    grid[0].set_ylabel("density of the action")
    return figure


def draw_clubs(runs: Mapping[str, Path], finals: Mapping[str, np.ndarray]) -> Figure:
    """The club that is taken from everywhere, and where the ball is sent with it.

    Above the mean over seeds of each club's probability, below the aim of every seed's
    clubs where they are taken more than one time in twenty.

    Args: as `draw_doors`.
    """
    figure = Figure(figsize=(4.6 * len(runs), 4.8), layout="constrained")
    grid = figure.subplots(2, len(runs), squeeze=False, sharex=True)
    ball = np.linspace(-FIELD, FIELD, 801)
    seen = jnp.stack([ball / FIELD, jnp.clip(ball, -1, 1)], axis=1)
    for (above, below), (name, folder) in zip(grid.T, runs.items(), strict=True):
        found = [_clubs(agent, seen) for agent in read_run(folder).agents.values()]
        shares = np.mean([share for share, _ in found], axis=0)
        colours = list(CLUB_COLOURS.values())
        above.stackplot(ball, *shares.T, colors=colours, lw=0, alpha=0.85)
        for share, strength in found:
            for club, colour in enumerate(colours):
                taken = np.where(share[:, club] > 0.05, 1.0, np.nan)
                aim = ball + REACH[club] * strength[:, club]
                below.plot(ball, taken * aim, color=colour, lw=1.2, alpha=0.7)
        returns = ", ".join(f"{x:.2f}" for x in finals[name])
        above.set_title(f"{name}\nreturns {returns}", fontsize=9)
        above.set(ylim=(0, 1))
        below.axhline(0.0, color="#333", lw=0.8, ls=":")
        below.set(xlim=(-FIELD, FIELD), ylim=(-3, 3))
        below.set_xlabel("where the ball lies, from the hole")
    grid[0, 0].set_ylabel("probability of the club")
    grid[1, 0].set_ylabel("where it is aimed\n(dotted: the hole)")
    patches = [Patch(color=c, label=club) for club, c in CLUB_COLOURS.items()]
    grid[0, 0].legend(handles=patches, fontsize=8, loc="upper left")
    return figure


def draw_curves_of(results: Results) -> Figure:
    """Return along training on each task: every seed thin, the mean thick."""
    figure, grid = _grid(len(results), height=3.0)
    for axes, (task, cells) in zip(grid, results.items(), strict=True):
        for colour, (name, curves) in zip(PALETTE, cells.items(), strict=False):
            values = curves.values["return"]
            axes.plot(curves.steps, values, color=colour, lw=0.5, alpha=0.4)
            mean = values.mean(axis=1)
            axes.plot(curves.steps, mean, color=colour, lw=1.8, label=name)
        axes.set_title(task, fontsize=9)
        axes.set_xlabel("environment steps")
        axes.legend(frameon=False, fontsize=7)
    grid[0].set_ylabel("return per episode, stochastic policy")
    return figure


def _clubs(agent: Any, seen: Any) -> tuple[np.ndarray, np.ndarray]:
    """Each club's probability and its middle strength, (places, clubs)."""
    branches = agent.policy(seen).branches
    strength = branches.units.actions(branches.gaussians.mean)[..., 0]
    return np.exp(np.asarray(branches.log_weights)), np.asarray(strength)


def _grid(n: int, *, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.6 * n, height), layout="constrained")
    return figure, list(figure.subplots(1, n, squeeze=False)[0])
