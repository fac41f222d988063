"""What every policy gives: from an observation, a distribution over actions."""

import abc
from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import numpy as np
from gymnasium import spaces
from jaxtyping import Array, Float, Shaped

from reins.envs.actions import hybrid_space
from reins.errors import CapabilityError
from reins.types import Key


class Distribution(eqx.Module):
    """A distribution over actions, one for each leading ("batch") index."""

    @abc.abstractmethod
    def sample(self, key: Key) -> Shaped[Array, "..."]:
        """One action for each batch index."""

    @abc.abstractmethod
    def log_prob(self, actions: Shaped[Array, "..."]) -> Float[Array, "*batch"]:
        """log π(a|s) in nats (a density where actions are continuous)."""

    @abc.abstractmethod
    def entropy(self) -> Float[Array, "*batch"]:
        """H(π(.|s)) in nats; an estimate where the policy does not give `entropy`."""

    @abc.abstractmethod
    def mode(self) -> Shaped[Array, "..."]:
        """The most probable action, or what stands for it where that is no use."""

    @abc.abstractmethod
    def kl(self, other: "Distribution") -> Float[Array, "*batch"]:
        """KL(self ‖ other) in nats, for another distribution of this kind."""

    def draws(
        self, key: Key, n: int
    ) -> tuple[Shaped[Array, "n ..."], Float[Array, "n *batch"]]:
        """n actions for each batch index, and log π(a|s) of each, in nats.

        The actions are constants under differentiation: log π depends on the parameters
        only through the density, never through where the action came from.
        """
        actions = jax.lax.stop_gradient(self._several(key, n))
        return actions, jax.vmap(self.log_prob)(actions)

    def paths(
        self, key: Key, n: int
    ) -> tuple[Shaped[Array, "n ..."], Float[Array, "n *batch"]]:
        """The same as `draws`, but every action carries its gradient, into log π too.

        Only for a policy that gives `reparameterised`: the gradient of another's is
        incomplete. Who builds on it asks for that first.
        """
        actions = self._several(key, n)
        return actions, jax.vmap(self.log_prob)(actions)

    def _several(self, key: Key, n: int) -> Shaped[Array, "n ..."]:
        return jax.vmap(self.sample)(jax.random.split(key, n))


class Policy(eqx.Module):
    """π(a|s), with its parameters."""

    @property
    @abc.abstractmethod
    def gives(self) -> frozenset[str]:
        """What an estimator may ask of it; a leaf names it as a `ClassVar`.

        `log_prob`, `entropy`, `reparameterised` (samples that carry a gradient),
        `enumerable` (a finite set of actions).
        """

    @abc.abstractmethod
    def __call__(self, observations: Float[Array, "..."]) -> Distribution:
        """The distribution over actions at each observation."""


PolicyInit = Callable[[Key], Policy]
"""How to make a policy from a random key: what agents are built with."""

Scale = Literal["free", "fixed", "state"]
"""Of a Gaussian: one learned scale per dimension, a constant, or one of each state."""


def policy_for(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    hidden: tuple[int, ...] = (64, 64),
    log_std: float = 0.0,
    scale: Scale = "free",
) -> PolicyInit:
    """The usual policy for these spaces: categorical or Gaussian, an MLP of tanh units.

    Args:
      hidden: units of the hidden layers.
      log_std: first log of a Gaussian's scale, in units of half the action bounds.
      scale: of a Gaussian: "free" (learned, one for each dimension), "fixed", or
        "state" (from the network, for each state); actions of a finite set have none.

    Raises: CapabilityError for spaces that no policy here can serve.
    """
    from reins.policies.categorical import categorical_policy
    from reins.policies.gaussian import gaussian_policy

    seen = observation_shape(observation_space)
    if isinstance(action_space, spaces.Discrete) and action_space.start == 0:
        return categorical_policy(seen, int(action_space.n), hidden=hidden)
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        centre, half_width = action_range(action_space)
        return gaussian_policy(
            seen,
            action_space.shape[0],
            hidden=hidden,
            log_std=log_std,
            scale=scale,
            centre=centre,
            half_width=half_width,
        )
    raise no_policy_for(action_space)


def no_policy_for(action_space: spaces.Space) -> CapabilityError:
    """The error for actions that are neither numbered nor vectors."""
    what_to_do = (
        "Wrap the environment so that its actions are: "
        "gymnasium.wrappers.TransformAction does."
    )
    if hybrid_space(action_space) is not None:
        what_to_do = "For both at once, use `sac`, `mpo` or `awr`."
    return CapabilityError(
        f"no policy for the action space {action_space}: it must be Discrete, counted "
        f"from 0, or a Box with one axis. {what_to_do}"
    )


def action_range(space: spaces.Box) -> tuple[list[float], list[float]]:
    """Centre and half width of each action dimension; 0 and 1 where it is unbounded."""
    low, high = space.low, space.high
    bounded = np.isfinite(low) & np.isfinite(high) & (low < high)
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return ((low + high) / 2).tolist(), ((high - low) / 2).tolist()


def observation_shape(space: spaces.Space) -> int | tuple[int, ...]:
    """What networks are made for: a vector's length, or the shape of pictures.

    Raises: CapabilityError when observations are neither.
    """
    if isinstance(space, spaces.Box) and len(space.shape) == 3:
        return space.shape
    return flat_size(space)


def flat_size(observation_space: spaces.Space) -> int:
    """The length of an observation vector.

    Raises: CapabilityError when observations are not vectors.
    """
    if isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1:
        return observation_space.shape[0]
    raise CapabilityError(
        f"no network for the observation space {observation_space}: observations must "
        "be a Box with one axis. Flatten them first: "
        "gymnasium.wrappers.FlattenObservation does."
    )
