"""Actions that are discrete and continuous at once: tuples outside, vectors inside.

Gymnasium's users give an action of `Tuple((Discrete(K), Box(D)))` as (k, x). Everything
here, compiled environments included, has it as one vector of numbers: [k, x].
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Shaped


class HybridSpace(NamedTuple):
    """The parts of a space of hybrid actions.

    Attributes:
      choices: K, how many values k has, from 0.
      box: of x, with one axis and finite bounds.
    """

    choices: int
    box: spaces.Box

    @property
    def vectors(self) -> spaces.Box:
        """The box of [k, x]."""
        low = np.concatenate([[0.0], self.box.low])
        high = np.concatenate([[self.choices - 1.0], self.box.high])
        return spaces.Box(low.astype(np.float32), high.astype(np.float32))


def hybrid_space(space: spaces.Space) -> HybridSpace | None:
    """The parts of `Tuple((Discrete(K), Box(D)))`; None for any other space."""
    if not isinstance(space, spaces.Tuple) or len(space.spaces) != 2:
        return None
    which, how = space.spaces
    if not isinstance(which, spaces.Discrete) or which.start != 0:
        return None
    if not isinstance(how, spaces.Box) or len(how.shape) != 1 or not how.is_bounded():
        return None
    return HybridSpace(int(which.n), how)


def kept_actions(space: spaces.Space) -> spaces.Space:
    """The space of actions as data have them: of hybrid ones, that of vectors."""
    hybrid = hybrid_space(space)
    return space if hybrid is None else hybrid.vectors


def hybrid_vector(action: Any) -> Shaped[Any, "*n E"]:
    """[k, x] of (k, x); several at once along leading axes."""
    which, how = (jnp.asarray(part) for part in action)
    return jnp.concatenate([which[..., None].astype(how.dtype), how], axis=-1)


def hybrid_tuple(
    space: HybridSpace, actions: Shaped[Array | np.ndarray, "*n E"]
) -> tuple[Any, np.ndarray]:
    """(k, x) of [k, x] as Gymnasium takes it, x clipped; several at once likewise."""
    actions = np.asarray(actions)
    which = np.round(actions[..., 0]).astype(np.int64)
    how = np.clip(actions[..., 1:], space.box.low, space.box.high)
    return which, how.astype(space.box.dtype)
