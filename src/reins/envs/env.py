"""Compiled environments: pure functions that JAX can run inside a training loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Shaped, UInt8

from reins.types import Key

EnvState = Any
"""A pytree of arrays: everything needed to go on."""


class Step(NamedTuple):
    """What one step shows; the observation is the one *before* any reset."""

    observation: Shaped[Array, "..."]
    reward: Float[Array, ""]
    cost: Float[Array, ""]
    terminated: Bool[Array, ""]
    truncated: Bool[Array, ""]


class Boundary(NamedTuple):
    """The edge of a forbidden region across one entry of the observation.

    A step breaks the rule when it ends on the edge or beyond.

    Attributes:
      entry: of the observation.
      at: where the edge is, in that entry's units.
      side: which side of it is forbidden, `below` or `above`.
    """

    entry: int
    at: float
    side: str = "below"

    def distances(
        self, observations: Shaped[np.ndarray, "*batch S"]
    ) -> Float[np.ndarray, "*batch"]:
        """How far from it each observation is, on the allowed side; negative beyond."""
        away = np.asarray(observations)[..., self.entry].astype(float) - self.at
        return away if self.side == "below" else -away


class Env(NamedTuple):
    """An environment as pure functions of one state (`vmap` makes many).

    Attributes:
      name: the id it is registered under.
      observation_space, action_space: as in Gymnasium; actions of a
        `Tuple((Discrete(K), Box(D)))` are vectors [k, x] here (`reins.envs.actions`).
      horizon: steps after which an episode is truncated; the rollout counts them.
      reset: key -> (state, observation).
      step: (state, action, key) -> (state, Step). `truncated` in the step is for
        reasons other than the horizon. `cost` is the true cost where one is known.
      picture: (state, the state one step before) -> an image of bytes, height x width
        x 3, outside JAX; the state twice right after a reset. None draws nothing.
      costs: whether a true cost is known; without, there is no rule to violate.
      boundary: of the region that the true rule forbids, where it is one.
      observation_names, action_names: of the entries, with units: `x (m)`; as many of
        the first ones as have names.
      state_of: an observation -> the state that it is of, where it says everything.
    """

    name: str
    observation_space: spaces.Space
    action_space: spaces.Space
    horizon: int
    reset: Callable[[Key], tuple[EnvState, Array]]
    step: Callable[[EnvState, Array, Key], tuple[EnvState, Step]]
    picture: Callable[[EnvState, EnvState], UInt8[np.ndarray, "H W 3"]] | None = None
    costs: bool = True
    boundary: Boundary | None = None
    observation_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    state_of: Callable[[Array], EnvState] | None = None


class Rule(NamedTuple):
    """The true rule of a small environment as a table, to judge a learned one by.

    Attributes:
      observations, actions: every pair that there is, P of them.
      forbidden: which of them the rule forbids.
    """

    observations: Shaped[np.ndarray, "P ..."]
    actions: Shaped[np.ndarray, "P ..."]
    forbidden: Bool[np.ndarray, " P"]
