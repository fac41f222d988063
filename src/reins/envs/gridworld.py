"""LapGridWorld: a lap of 40 cells, coins to collect, and a direction not to drive in.

The environment of the 2021 inverse-constrained-RL experiments: coins lie mid-side,
stepping to and fro over one coin pays about five times as much as honest laps, and the
demonstrator obeys a rule that the reward does not mention: never anti-clockwise.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, UInt8

from reins.envs.env import Env, Rule, Step
from reins.envs.lap_picture import lap_picture
from reins.envs.walls import forbid
from reins.types import Key

CELLS = 40
COINS = (5, 15, 25, 35)
COIN_REWARD = 3.0
HORIZON = 200
CLOCKWISE, ANTICLOCKWISE = 0, 1


class LapState(NamedTuple):
    """Where the driver is."""

    cell: Int[Array, ""]


def cell_observation(cell: Int[Array, "*batch"]) -> Float[Array, "*batch 1"]:
    """The cell number 0..39 mapped to [-1, 1): cell / 20 − 1."""
    return (cell / (CELLS / 2) - 1.0)[..., None].astype(jnp.float32)


def lap_gridworld() -> Env:
    """The nominal lap: both directions allowed, anti-clockwise steps cost 1."""

    def reset(key: Key) -> tuple[LapState, Array]:
        del key  # every episode starts at the corner
        state = LapState(jnp.zeros((), jnp.int32))
        return state, cell_observation(state.cell)

    def step(state: LapState, action: Array, key: Key) -> tuple[LapState, Step]:
        del key
        move = jnp.where(action == ANTICLOCKWISE, -1, 1)
        cell = (state.cell + move) % CELLS
        paid = jnp.any(cell == jnp.asarray(COINS))
        return LapState(cell), Step(
            observation=cell_observation(cell),
            reward=jnp.where(paid, COIN_REWARD, 0.0),
            cost=(action == ANTICLOCKWISE).astype(jnp.float32),
            terminated=jnp.asarray(False),
            truncated=jnp.asarray(False),
        )

    return Env(
        name="reins/LapGridWorld-v0",
        observation_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        action_space=spaces.Discrete(2),
        horizon=HORIZON,
        reset=reset,
        step=step,
        picture=_picture,
        observation_names=("cell / 20 − 1",),
        action_names=("clockwise", "anti-clockwise"),
        state_of=_cell,
    )


def _cell(observation: Float[Array, "1"]) -> LapState:
    return LapState(jnp.round((observation[0] + 1.0) * (CELLS / 2)).astype(jnp.int32))


def lap_gridworld_constrained() -> Env:
    """The constrained twin: an anti-clockwise action pays −1 and ends the episode."""
    env = forbid(lap_gridworld(), _drives_anticlockwise, reward=-1.0, moves=False)
    return env._replace(name="reins/LapGridWorldConstrained-v0")


def lap_rule() -> Rule:
    """Every cell with either direction; anti-clockwise is forbidden everywhere.

    Clockwise pairs come first, in the order of the cells.
    """
    cells = np.tile(np.arange(CELLS), 2)
    actions = np.repeat([CLOCKWISE, ANTICLOCKWISE], CELLS)
    observations = np.asarray(cell_observation(jnp.asarray(cells)))
    return Rule(observations, actions, actions == ANTICLOCKWISE)


def _picture(state: LapState, before: LapState) -> UInt8[np.ndarray, "H W 3"]:
    return lap_picture(int(state.cell), int(before.cell), cells=CELLS, coins=COINS)


def _drives_anticlockwise(
    observation: Array, action: Array, next_observation: Array
) -> Bool[Array, ""]:
    del observation, next_observation
    return action == ANTICLOCKWISE
