"""The problems of the lab, by name. None of them is symmetric: symmetry hides signs."""

import re
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.envs.gridworld import (
    ANTICLOCKWISE,
    CELLS,
    CLOCKWISE,
    COIN_REWARD,
    COINS,
    HORIZON,
)
from reins.errors import ConfigError, unknown_name
from reins.lab.linear_quadratic import linear_quadratic_problem
from reins.lab.problem import Problem
from reins.lab.study import in_float64
from reins.lab.tables import MOST_TRAJECTORIES, TableSpec, tabular_problem
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    enumerate_trajectories,
    model_log_probs,
    random_mdp,
    tabular_mdp,
)

DEFAULT_PROBLEMS = ("bandit", "random", "linear-quadratic")
DEMONSTRATIONS = 8


def bandit() -> TabularMDP:
    """One state, three arms that pay 1, 0 and −0.5: the answer fits on a page.

    π = (p₁, p₂, p₃), J = p₁ − p₃/2, ∂J/∂θ_a = p_a (r_a − J).
    """
    rewards = [[1.0, 0.0, -0.5]]
    return tabular_mdp(
        np.ones((1, 3, 1)), rewards, costs=[[0.6, 0.1, 0.0]], initial=[1.0], horizon=1
    )


def chain(length: int = 5, *, horizon: int = 6, slip: float = 0.2) -> TabularMDP:
    """States in a row: go on towards a reward of 1, or leave early with 0.3.

    Going on slips back to the start with probability `slip`; the last state is
    terminal, and so is the exit.
    """
    transitions = np.zeros((length + 1, 2, length + 1))
    rewards = np.zeros_like(transitions)
    for s in range(length - 1):
        transitions[s, 0, s + 1] += 1 - slip
        transitions[s, 0, 0] += slip
        transitions[s, 1, length] = 1.0
        rewards[s, 1, length] = 0.3
    rewards[length - 2, 0, length - 1] = 1.0
    for s in (length - 1, length):
        transitions[s, :, s] = 1.0
    costs = np.zeros((length + 1, 2))
    costs[:, 1] = 0.5
    return tabular_mdp(
        transitions,
        rewards,
        costs=costs,
        initial=np.eye(length + 1)[0],
        terminal=np.arange(length + 1) >= length - 1,
        horizon=horizon,
        discount=0.95,
    )


def grid(
    width: int = 4, height: int = 3, *, horizon: int = 8, noise: float = 0.1
) -> TabularMDP:
    """A grid to cross from one corner to the other, past a pit.

    Four moves (right, up, left, down), one in ten of them sideways; a step pays
    −0.05, the goal in the far corner 1, the pit below it −1; both are terminal.
    """
    moves = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    n = width * height
    transitions, rewards = np.zeros((n, 4, n)), np.full((n, 4, n), -0.05)
    goal, pit = n - 1, n - 1 - width
    for s in range(n):
        x, y = s % width, s // width
        for a in range(4):
            for turn, share in ((0, 1 - noise), (1, 0.7 * noise), (3, 0.3 * noise)):
                dx, dy = moves[(a + turn) % 4]
                x2, y2 = np.clip(x + dx, 0, width - 1), np.clip(y + dy, 0, height - 1)
                transitions[s, a, y2 * width + x2] += share
    rewards[:, :, goal], rewards[:, :, pit] = 1.0, -1.0
    costs = np.zeros((n, 4))
    costs[:, 3] = 0.2
    terminal = np.isin(np.arange(n), [goal, pit])
    return tabular_mdp(
        transitions,
        rewards,
        costs=costs,
        initial=np.eye(n)[0],
        terminal=terminal,
        horizon=horizon,
        discount=0.97,
    )


def lap_gridworld_mdp(*, horizon: int = HORIZON) -> TabularMDP:
    """LapGridWorld as a table: its cells, coins, directions and true cost."""
    transitions = np.zeros((CELLS, 2, CELLS))
    cells = np.arange(CELLS)
    transitions[cells, CLOCKWISE, (cells + 1) % CELLS] = 1.0
    transitions[cells, ANTICLOCKWISE, (cells - 1) % CELLS] = 1.0
    paid = np.where(np.isin(cells, COINS), COIN_REWARD, 0.0)
    rewards = np.broadcast_to(paid, transitions.shape)
    costs = np.zeros((CELLS, 2))
    costs[:, ANTICLOCKWISE] = 1.0
    initial = np.eye(CELLS)[0]
    return tabular_mdp(
        transitions, rewards, costs=costs, initial=initial, horizon=horizon
    )


@in_float64
def problem_of(
    name: str,
    summary: str,
    mdp: TabularMDP,
    *,
    seed: int = 0,
    logits: Float[Array, "S A"] | None = None,
    temperature: float = 0.5,
    spread: float = 0.5,
) -> Problem:
    """A finite MDP as a problem: what is not given is drawn from the seed.

    Args:
      mdp: any; where its trajectories can be enumerated, a constraint is learned too.
      logits: of the policy to be measured; standard normal when not given.
      temperature: α > 0, units of reward per nat.
      spread: how far behaviour policies are from the policy, in logits.
    """
    mdp = _in_double(mdp)
    keys = jax.random.split(jax.random.key(seed), 6)
    shape = mdp.costs.shape

    def normal(key: Array, *more: int) -> Array:
        return jax.random.normal(key, (*more, *shape))

    given = normal(keys[0]) if logits is None else jnp.asarray(logits, float)
    zetas = [jax.nn.log_sigmoid(normal(key)) for key in keys[1:3]]
    return tabular_problem(
        name,
        summary,
        TableSpec(
            mdp=mdp,
            logits=given,
            behaviours=given + spread * normal(keys[3], 2),
            log_shares=jnp.log(jnp.asarray([0.7, 0.3])),
            log_prior=jax.nn.log_softmax(0.5 * normal(keys[4])),
            log_zeta=zetas[0],
            sampled_log_zeta=zetas[1],
            demonstrations=_demonstrations(mdp, keys[5], temperature),
            temperature=temperature,
            log_z0=float(jnp.max(mdp.rewards)) / temperature,
        ),
    )


def _in_double(mdp: TabularMDP) -> TabularMDP:
    """The same in float64, with probabilities that sum to 1 there too."""
    transitions = jnp.asarray(mdp.transitions, float)
    initial = jnp.asarray(mdp.initial, float)
    return tabular_mdp(
        transitions / jnp.sum(transitions, axis=-1, keepdims=True),
        jnp.asarray(mdp.rewards, float),
        costs=jnp.asarray(mdp.costs, float),
        initial=initial / jnp.sum(initial),
        terminal=mdp.terminal,
        horizon=mdp.horizon,
        discount=mdp.discount,
    )


def _demonstrations(
    mdp: TabularMDP, key: Array, temperature: float
) -> AllTrajectories | None:
    """Of an expert with its own constraint; None where nothing can be enumerated."""
    keys = jax.random.split(key)
    try:
        every = enumerate_trajectories(mdp, limit=MOST_TRAJECTORIES)
    except ConfigError:
        return None
    zeta = jax.nn.log_sigmoid(2.0 * jax.random.normal(keys[0], mdp.costs.shape))
    masses = model_log_probs(every, zeta, temperature=temperature)
    rows = jax.random.categorical(keys[1], masses, shape=(DEMONSTRATIONS,))
    return jax.tree.map(lambda x: x[rows], every)


def _bandit() -> Problem:
    logits = jnp.asarray([[0.2, -0.3, 0.5]])
    summary = "One state, three arms that pay 1, 0 and −0.5."
    return problem_of("bandit", summary, bandit(), logits=logits, spread=0.3)


def _random(seed: int = 0) -> Problem:
    mdp = random_mdp(
        jax.random.key(seed), 4, 2, horizon=4, discount=0.9, terminal_states=1
    )
    name = "random" if seed == 0 else f"random-{seed}"
    summary = f"A random MDP (seed {seed}): 4 states, 2 actions, at most 4 steps."
    return problem_of(name, summary, mdp, seed=seed)


def _chain() -> Problem:
    return problem_of("chain", "Go on for 1, or leave early with 0.3.", chain())


def _grid() -> Problem:
    return problem_of("grid", "Cross a 4x3 grid, past a pit.", grid())


def _lap() -> Problem:
    mdp = lap_gridworld_mdp()
    return problem_of("lap", "LapGridWorld: 40 cells, 200 steps.", mdp, spread=0.1)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "bandit": _bandit,
    "random": _random,
    "linear-quadratic": linear_quadratic_problem,
    "chain": _chain,
    "grid": _grid,
    "lap": _lap,
}
"""Builders by name; `random-7` is the random problem of seed 7."""


@cache
@in_float64
def lab_problem(name: str) -> Problem:
    """A problem by its name.

    Raises: ConfigError when there is none of that name.
    """
    if seeded := re.fullmatch(r"random-(\d+)", name):
        return _random(int(seeded[1]))
    if name not in PROBLEMS:
        known = [*PROBLEMS, "random-SEED"]
        raise ConfigError(unknown_name("problem", name, known))
    return PROBLEMS[name]()
