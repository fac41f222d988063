"""Environments outside JAX: N copies stepped together, as numpy arrays.

Whatever steps them, what comes out is the one transition contract of `reins.types`:
the observation *before* any reset, and apart from it the one that the next action
answers.
"""

import abc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, Shaped

from reins.envs.env import Boundary
from reins.envs.walls import CostFunction

Replay = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class VectorStep(NamedTuple):
    """What one step of N environments shows; later steps leave its arrays alone.

    Attributes:
      observations: s_{t+1}, before any reset.
      rewards: in units of reward.
      costs: the true cost, in units of cost; 0 where none is known.
      terminated, truncated: why an episode ended; never both.
      mask: False where the step did nothing but reset the environment.
      following: what the next action answers: `observations`, or the first
        observation of the next episode where one ended.
    """

    observations: Shaped[np.ndarray, "N ..."]
    rewards: Float[np.ndarray, " N"]
    costs: Float[np.ndarray, " N"]
    terminated: Bool[np.ndarray, " N"]
    truncated: Bool[np.ndarray, " N"]
    mask: Bool[np.ndarray, " N"]
    following: Shaped[np.ndarray, "N ..."]


class VectorEnv(abc.ABC):
    """N environments that live outside JAX, and reset themselves."""

    @abc.abstractmethod
    def reset(self, seeds: Sequence[int]) -> Shaped[np.ndarray, "N ..."]:
        """Begin an episode in every environment; the same seeds give the same ones."""

    @abc.abstractmethod
    def step(self, actions: Shaped[np.ndarray, "N ..."]) -> VectorStep:
        """One step in every environment; a bounded action is clipped to its bounds."""

    def save(self) -> dict[str, np.ndarray] | None:
        """All that it takes to go on exactly, or None where that cannot be had.

        Every array has the N environments as its first axis, and the same shape and
        type at any time, before the first reset too.
        """
        return None

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `save` gave; only asked where it gives something."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027
        """Let go of processes, threads and windows."""


class HostEnv(NamedTuple):
    """An environment outside JAX, before any copy of it is made.

    Attributes:
      name: its id.
      observation_space, action_space: of one copy, as the policy sees them.
      horizon: most steps of an episode.
      make: (copies, threads) -> that many, stepped together.
      saves: whether its state can be saved, so that a run resumes exactly.
      costs: whether it tells a true cost.
      cost: where given, costs are this function of (observations, actions) instead.
      bonus: where given, what is added to the reward that is learned from.
      boundary, observation_names, action_names: as `Env` has them.
      replay: observations and actions, one row a step -> the next observations, and the
        rewards, where steps can be taken again from what was observed.
    """

    name: str
    observation_space: spaces.Space
    action_space: spaces.Space
    horizon: int
    make: Callable[[int, int], VectorEnv]
    saves: bool = False
    costs: bool = False
    cost: CostFunction | None = None
    bonus: CostFunction | None = None
    boundary: Boundary | None = None
    observation_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    replay: Replay | None = None
