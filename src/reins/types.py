"""The shapes that data takes on its way through the library.

Axes in this order everywhere: ``N`` trajectories (or parallel environments), ``T``
steps; in tables ``S`` states, ``A`` actions.
"""

from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

Key = PRNGKeyArray
Params = Any
"""A pytree of arrays."""
Info = dict[str, Any]
"""What is only interesting: scalars by name, never needed to go on."""


class Trajectory(NamedTuple):
    """N stretches of T steps, one per environment: the one transition contract.

    A row may hold several episodes one after another; ``terminated`` and ``truncated``
    mark where one ends, and ``next_observations`` is always what the environment showed
    *before* it was reset, so ``observations[:, t + 1]`` differs from
    ``next_observations[:, t]`` exactly where an episode ended at step t.

    Attributes:
      observations: s_t, what the agent saw when it chose the action.
      actions: a_t, as handed to the environment.
      rewards: r_t = r(s_t, a_t), in units of reward.
      costs: c_t >= 0, in units of cost.
      terminated: the episode ended in a state of no further reward; ends the bootstrap.
      truncated: the episode was cut for another reason (a time limit); the value of
        ``next_observations`` still counts. Never true together with ``terminated``.
      next_observations: s_{t+1}, before any reset.
      mask: which steps are real; padding is False and enters no sum.
      times: the step's index within its episode, from 0.
    """

    observations: Shaped[Array, "N T ..."]
    actions: Shaped[Array, "N T ..."]
    rewards: Float[Array, "N T"]
    costs: Float[Array, "N T"]
    terminated: Bool[Array, "N T"]
    truncated: Bool[Array, "N T"]
    next_observations: Shaped[Array, "N T ..."]
    mask: Bool[Array, "N T"]
    times: Int[Array, "N T"]

    @property
    def ends(self) -> Bool[Array, "N T"]:
        """Where an episode ended, for either reason."""
        return self.terminated | self.truncated


class Pairs(NamedTuple):
    """Pairs (s_t, a_t) of whole trajectories, one trajectory to a row, padded.

    Attributes:
      returns: the reward of each, undiscounted, over the steps that are there.
    """

    observations: Shaped[Array, "N T ..."]
    actions: Shaped[Array, "N T ..."]
    mask: Bool[Array, "N T"]
    returns: Float[Array, " N"] | None = None
