"""Two doors with a post between them, and a guard at the one that was used last."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, UInt8

from reins.envs.classic_picture import (
    BODY,
    GOAL,
    GROUND,
    INK,
    ROD,
    Stroke,
    draw_strokes,
)
from reins.envs.env import Env, Step
from reins.types import Key

NEAR, FAR = 0.3, 0.6
"""A door is from `NEAR` to `FAR` to either side of the middle; the rest is wall."""
BUMP = 1.0
HORIZON = 20
LEFT, RIGHT = 0, 1


class DoorsState(NamedTuple):
    """Who stands where.

    Attributes:
      guard: the door that is guarded, the one that was used last.
      place: where the last walk went, for the picture.
    """

    guard: Int[Array, ""]
    place: Float[Array, ""]


def two_doors() -> Env:
    """Walk through a wall with two doors, 20 times, past a guard who cannot be seen.

    The action is a place along the wall, −1 to 1. A door nobody guards pays 1, one that
    is guarded 0, and to walk into the wall or the post between the doors costs 1.
    The guard stands at the door used last, at a random one to begin with. The
    observation is a constant: the guard is hidden, and the past forgotten.

    So a policy without memory must draw its doors. With probabilities p_l, p_r of the
    doors and m of a guard on the left,

    E r = p_l (1 − m) + p_r m − (1 − p_l − p_r),   m ← m (1 − p_r) + (1 − m) p_l

    which is best, 10 in an episode, where both are 1/2. Whoever keeps to one door has
    1/2. No Gaussian has more, squashed or not: two good places are apart, and between
    them is the post (`tests/envs/test_two_doors.py` has the numbers). Alternating would
    pay 19.5, with a memory.
    """

    def reset(key: Key) -> tuple[DoorsState, Array]:
        guard = jax.random.bernoulli(key).astype(jnp.int32)
        return DoorsState(guard, jnp.zeros(())), _seen()

    def step(state: DoorsState, action: Array, key: Key) -> tuple[DoorsState, Step]:
        del key
        place = jnp.clip(action[0], -1.0, 1.0)
        side = (place > 0).astype(jnp.int32)
        inside = at_a_door(place)
        free = inside & (side != state.guard)
        following = DoorsState(jnp.where(inside, side, state.guard), place)
        return following, Step(
            observation=_seen(),
            reward=jnp.where(inside, free.astype(jnp.float32), -BUMP),
            cost=jnp.zeros(()),
            terminated=jnp.asarray(False),
            truncated=jnp.asarray(False),
        )

    return Env(
        name="reins/TwoDoors-v0",
        observation_space=spaces.Box(0.0, 1.0, (1,), np.float32),
        action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        horizon=HORIZON,
        reset=reset,
        step=step,
        picture=_picture,
        costs=False,
    )


def at_a_door(place: Float[Array, "*n"]) -> Bool[Array, "*n"]:
    """Whether there is a door in the wall at these places."""
    return (jnp.abs(place) >= NEAR) & (jnp.abs(place) <= FAR)


def _seen() -> Float[Array, "1"]:
    return jnp.ones(1, jnp.float32)


def _picture(state: DoorsState, before: DoorsState) -> UInt8[np.ndarray, "H W 3"]:
    """The wall from above, the guard as the walker met it, and the way just walked."""
    walls = [(-1.0, -FAR), (-NEAR, NEAR), (FAR, 1.0)]
    strokes = [Stroke((a + 0.02, 0.0), (b - 0.02, 0.0), 9, INK) for a, b in walls]
    middle = (NEAR + FAR) / 2 * (1 if int(before.guard) == RIGHT else -1)
    if state is not before:
        place = float(state.place)
        inside = bool(at_a_door(state.place))
        stopped = inside and (place > 0) == (int(before.guard) == RIGHT)
        end = (place, -0.15 if stopped or not inside else 0.5)
        colour = GOAL if end[1] > 0 else ROD
        strokes += [Stroke((0.0, -0.7), end, 3, GROUND), Stroke(end, end, 14, colour)]
    strokes += [
        Stroke((middle, 0.1), (middle, 0.1), 20, BODY),
        Stroke((0.0, -0.7), (0.0, -0.7), 10, INK),
    ]
    return draw_strokes(strokes, centre=(0.0, 0.0), width=2.3)
