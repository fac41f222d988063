"""A point that circles: where a constraint learned on an ant is carried to."""

from itertools import pairwise
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, UInt8

from reins.envs.classic_picture import (
    BODY,
    GOAL,
    GROUND,
    INK,
    ROD,
    Stroke,
    draw_strokes,
)
from reins.envs.env import Boundary, Env, Step
from reins.envs.walls import WALL, forbid
from reins.types import Key

RADIUS = 10.0
"""Of the circle that pays most, in metres."""
STRIDE = 0.25
"""The longest step, in metres, and the largest turn, in radians."""
FIELD = 40.0
"""Half the side of the square that it cannot leave."""
HORIZON = 150
_IN_SIGHT = 12.0


class PointState(NamedTuple):
    """Where it is, and where it looks: counter-clockwise from the x axis."""

    x: Float[Array, ""]
    y: Float[Array, ""]
    heading: Float[Array, ""]


def point_circle() -> Env:
    """The nominal point: walk clockwise on a circle around the start, wall or none.

    The action is a step forward and a turn, each clipped to ±0.25; the turn comes
    first. There are no dynamics. A step (dx, dy) to (x, y) pays

    (y dx − x dy) / (1 + |√(x² + y²) − 10|)

    which is at most 2.5, on the circle. It costs 1 where x <= −3. Episodes of 150 steps
    begin at (0, 0), looking along x.

    Seen are x, y and the heading, three zeros where a robot has velocities, and x, y,
    0, the place of its body: entries 0 and 1 are what they are of an ant.

    Source: S2, the point of 2021.
    """

    def reset(key: Key) -> tuple[PointState, Array]:
        del key  # every episode begins at the same place
        state = PointState(*jnp.zeros((3,)))
        return state, _seen(state)

    def step(state: PointState, action: Array, key: Key) -> tuple[PointState, Step]:
        del key
        forward, turn = jnp.clip(action, -STRIDE, STRIDE)
        heading = state.heading + turn
        dx, dy = forward * jnp.cos(heading), forward * jnp.sin(heading)
        x = jnp.clip(state.x + dx, -FIELD, FIELD)
        y = jnp.clip(state.y + dy, -FIELD, FIELD)
        away = jnp.abs(jnp.hypot(x, y) - RADIUS)
        moved = PointState(x, y, heading)
        return moved, Step(
            observation=_seen(moved),
            reward=(y * dx - x * dy) / (1.0 + away),
            cost=(x <= WALL).astype(jnp.float32),
            terminated=jnp.asarray(False),
            truncated=jnp.asarray(False),
        )

    return Env(
        name="reins/PointCircleWall-v0",
        observation_space=spaces.Box(-np.inf, np.inf, (9,), np.float32),
        action_space=spaces.Box(-STRIDE, STRIDE, (2,), np.float32),
        horizon=HORIZON,
        reset=reset,
        step=step,
        picture=_picture,
        boundary=Boundary(0, WALL),
        observation_names=("x (m)", "y (m)", "heading (rad)"),
        action_names=("step (m)", "turn (rad)"),
        state_of=lambda observation: PointState(*observation[:3]),
    )


def point_circle_constrained() -> Env:
    """The constrained twin: to be at the wall or beyond pays 0 and ends the episode."""
    env = forbid(point_circle(), _at_wall)
    return env._replace(name="reins/PointCircleWallConstrained-v0")


def _at_wall(
    observation: Array, action: Array, next_observation: Array
) -> Bool[Array, ""]:
    del observation, action
    return next_observation[0] <= WALL


def _seen(state: PointState) -> Float[Array, "9"]:
    x, y, heading = state
    zero = jnp.zeros_like(x)
    return jnp.stack([x, y, heading, zero, zero, zero, x, y, zero])


def _picture(state: PointState, before: PointState) -> UInt8[np.ndarray, "H W 3"]:
    """The circle, the wall, the point with its nose, and its last step, from above."""
    x, y, heading = (float(value) for value in state)
    angles = np.linspace(0.0, 2 * np.pi, 49)
    ring = [(RADIUS * np.cos(a), RADIUS * np.sin(a)) for a in angles]
    nose = (x + 1.1 * np.cos(heading), y + 1.1 * np.sin(heading))
    strokes = [
        *(Stroke(start, stop, 2, GROUND) for start, stop in pairwise(ring)),
        Stroke((0.0, 0.0), (0.0, 0.0), 4, GOAL),
        Stroke((WALL - 1.0, -FIELD), (WALL - 1.0, FIELD), 5, ROD),
        Stroke((float(before.x), float(before.y)), (x, y), 3, INK),
        Stroke((x, y), nose, 4, INK),
        Stroke((x, y), (x, y), 11, BODY),
    ]
    centre = (x - _near(x), y - _near(y))
    return draw_strokes(strokes, centre=centre, width=36.0)


def _near(place: float) -> float:
    """What is left of a coordinate in sight; the picture moves for the rest."""
    return min(max(place, -_IN_SIGHT), _IN_SIGHT)
