"""Golf on a line: which club, and how hard."""

from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, UInt8

from reins.envs.classic_picture import (
    BODY,
    GOAL,
    GROUND,
    INK,
    JOINT,
    ROD,
    Stroke,
    draw_strokes,
)
from reins.envs.env import Env, Step
from reins.types import Key

CLUBS = ("driver", "iron", "putter")
REACH = (10.0, 3.0, 1.0)
"""How far each club sends the ball at full strength."""
SPREAD = (1.2, 0.5, 0.06)
"""Standard deviation of where it comes to rest, whatever the strength."""
FIELD, HOLE, NEAREST_TEE = 10.0, 0.15, 3.0
"""Half the length of the field and of the hole; how near a ball begins."""
HORIZON = 20


class GolfState(NamedTuple):
    """Where the ball lies, counted from the hole, and the club that brought it there.

    Attributes:
      ball: right of the hole positive.
      club: of the last stroke, for the picture; −1 before the first.
    """

    ball: Float[Array, ""]
    club: Float[Array, ""]


def golf() -> Env:
    """Bring a ball into the hole by few strokes, each with a club and a strength.

    The action [k, x] is the club, one of three, and the strength from −1 (full, to the
    left) to 1. The ball at b comes to rest at

    b + reach_k x + spread_k ε,   ε ~ N(0, 1)

    or at a fence, 10 to either side. The driver reaches 10 and strays by 1.2, the iron
    3 and 0.5, the putter 1 and 0.06. The ball must rest in the hole, which is ±0.15.
    Every stroke pays −1. A ball begins 3 to 10 from the hole, on either side. Seen are
    b / 10, and b up to ±1.

    The best mean return is −2.15; with one club alone −5.7 (iron), −6.9 (putter), −8.8
    (driver): how hard is not enough, which club must be chosen as well
    (`tests/envs/test_golf.py` solves it).
    """

    def reset(key: Key) -> tuple[GolfState, Array]:
        far_key, side_key = jax.random.split(key)
        far = jax.random.uniform(far_key, (), minval=NEAREST_TEE, maxval=FIELD)
        ball = jnp.where(jax.random.bernoulli(side_key), far, -far)
        return GolfState(ball, -jnp.ones(())), _seen(ball)

    def step(state: GolfState, action: Array, key: Key) -> tuple[GolfState, Step]:
        club = jnp.clip(jnp.round(action[0]), 0, len(CLUBS) - 1)
        strength = jnp.clip(action[1], -1.0, 1.0)
        reach, spread = (jnp.asarray(x)[club.astype(int)] for x in (REACH, SPREAD))
        rest = state.ball + reach * strength + spread * jax.random.normal(key)
        ball = jnp.clip(rest, -FIELD, FIELD)
        return GolfState(ball, club.astype(jnp.float32)), Step(
            observation=_seen(ball),
            reward=-jnp.ones(()),
            cost=jnp.zeros(()),
            terminated=jnp.abs(ball) <= HOLE,
            truncated=jnp.asarray(False),
        )

    strengths = spaces.Box(-1.0, 1.0, (1,), np.float32)
    return Env(
        name="reins/Golf-v0",
        observation_space=spaces.Box(-1.0, 1.0, (2,), np.float32),
        action_space=spaces.Tuple((spaces.Discrete(len(CLUBS)), strengths)),
        horizon=HORIZON,
        reset=reset,
        step=step,
        picture=_picture,
        costs=False,
    )


def _seen(ball: Float[Array, ""]) -> Float[Array, "2"]:
    return jnp.stack([ball / FIELD, jnp.clip(ball, -1.0, 1.0)])


def _picture(state: GolfState, before: GolfState) -> UInt8[np.ndarray, "H W 3"]:
    """The field with its flag, the ball, and the flight that brought it there."""
    ball, start = float(state.ball), float(before.ball)
    strokes = [
        Stroke((-FIELD, -0.3), (FIELD, -0.3), 3, GROUND),
        Stroke((0.0, -0.3), (0.0, 3.0), 2, INK),
        Stroke((0.3, 2.7), (1.1, 2.7), 9, GOAL),
    ]
    if state is not before:
        colour = (BODY, ROD, INK)[int(state.club)]
        top = (0.25, 0.15, 0.0)[int(state.club)] * abs(ball - start)
        along = np.linspace(0.0, 1.0, 13)
        points = [(start + t * (ball - start), 4 * top * t * (1 - t)) for t in along]
        flight = pairwise(points)
        strokes += [Stroke(a, b, 3, colour) for a, b in flight]
    strokes.append(Stroke((ball, 0.0), (ball, 0.0), 9, JOINT))
    return draw_strokes(strokes, centre=(0.0, 3.0), width=2 * FIELD + 2)
