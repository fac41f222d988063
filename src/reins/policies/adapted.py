"""Distributions of other libraries as policies: all with `sample` and `log_prob`."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from reins.errors import CapabilityError, ConfigError
from reins.networks import MLP, ConvolutionalNetwork, network
from reins.policies.policy import Distribution, Policy, PolicyInit
from reins.types import Key


class Drawable(Protocol):
    """A distribution of actions as most libraries have it, NumPyro for one.

    `entropy`, `mode` and `mean` are used where there are some, and `has_rsample` says
    whether a sample carries its gradient (no, where it is missing).
    """

    def sample(self, key: Any) -> Any:
        """One action for each batch index."""

    def log_prob(self, value: Any) -> Any:
        """log-probability of an action for each batch index."""


Make = Callable[[Float[Array, "*batch P"]], Any]
"""From P outputs of a network for each batch index to a `Drawable`."""


class Adapted(Distribution):
    """What `make` makes of a network's outputs."""

    outputs: Float[Array, "*batch P"]
    make: Make = eqx.field(static=True)

    @property
    def of(self) -> Any:
        """The other library's distribution."""
        return self.make(self.outputs)

    def sample(self, key: Key) -> Shaped[Array, "..."]:
        """Its sample; a constant unless that carries the whole gradient."""
        found = self.of
        actions = found.sample(key)
        return actions if _carries(found) else jax.lax.stop_gradient(actions)

    def log_prob(self, actions: Shaped[Array, "..."]) -> Float[Array, "*batch"]:
        return self.of.log_prob(actions)

    def entropy(self) -> Float[Array, "*batch"]:
        """Its entropy.   Raises: CapabilityError where it tells none."""
        return self._told(["entropy"], "−log π of `draws` estimates it")

    def mode(self) -> Shaped[Array, "..."]:
        """Its mode, else its mean.   Raises: CapabilityError where it tells neither."""
        return self._told(["mode", "mean"], "draw an action with `sample`")

    def kl(self, other: Distribution) -> Float[Array, "*batch"]:
        """Never known of another library's.   Raises: CapabilityError."""
        return self._told([], "`reins.divergences.sampled_kl` of draws estimates it")

    def _told(self, names: list[str], instead: str) -> Any:
        """The first of these that the distribution tells."""
        found = self.of
        for name in names:
            try:
                value = getattr(found, name)
                return value() if callable(value) else value
            except (AttributeError, NotImplementedError):
                continue
        asked = " or ".join(names) or "KL divergence"
        raise CapabilityError(
            f"the {asked} of a policy was asked for; its distribution is a "
            f"`{type(found).__name__}` of another library, which tells none: {instead}."
        )


class AdaptedPolicy(Policy):
    """A network whose outputs are another library's distribution.

    It gives `log_prob`, and `reparameterised` where the distribution says that its
    samples are (`has_rsample`).
    """

    network: MLP | ConvolutionalNetwork
    make: Make = eqx.field(static=True)
    reparameterised: bool = eqx.field(static=True)

    @property
    def gives(self) -> frozenset[str]:
        more = {"reparameterised"} if self.reparameterised else set()
        return frozenset({"log_prob", *more})

    def __call__(self, observations: Shaped[Array, "..."]) -> Adapted:
        return Adapted(self.network(observations), self.make)


def distribution_policy(
    observations: int | tuple[int, ...],
    parameters: int,
    make: Make,
    *,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
) -> PolicyInit:
    """Any distribution as a policy, from outputs of a network that start near 0.

    With NumPyro, a policy of two dimensions that can have heavy tails:

        def make(outputs):
            place, raw = jnp.split(outputs, 2, axis=-1)
            return dist.StudentT(3.0, place, jax.nn.softplus(raw)).to_event(1)

        policy = distribution_policy(observation_size, 4, make)

    Args:
      observations: their length, or (height, width, channels) of pictures.
      parameters: P, how many outputs of the network `make` takes.
      make: pure; from outputs of any batch shape to a `Drawable` of that batch shape.

    Raises: ConfigError when what it makes cannot be drawn from or has not one
    log-probability for each state.
    """
    made = make(jnp.zeros((2, parameters)))
    _check(made)
    sizes, reparameterised = (*hidden, parameters), _carries(made)

    def init(key: Key) -> AdaptedPolicy:
        outputs = network(
            key, observations, sizes, activation=activation, final_gain=0.01
        )
        return AdaptedPolicy(outputs, make, reparameterised)

    return init


def _carries(found: Any) -> bool:
    return bool(getattr(found, "has_rsample", False))


def _check(made: Any) -> None:
    """One log-probability for each of two states, of a sample of its own.

    Raises: ConfigError.
    """
    asked = "`make` must make a distribution of actions"
    lacking = [name for name in ("sample", "log_prob") if not hasattr(made, name)]
    if lacking:
        raise ConfigError(
            f"{asked}; found a `{type(made).__name__}` without {' and '.join(lacking)}."
            " A policy draws actions and weighs them. Give one with `sample(key)` and "
            "`log_prob(value)`, as NumPyro's have."
        )
    found = jnp.shape(made.log_prob(made.sample(jax.random.key(0))))
    if found != (2,):
        raise ConfigError(
            f"{asked}; for the outputs of 2 states, the log-probability of one action "
            f"each has shape {found}, where it must be (2,): one number for each state."
            " Make dimensions one event (NumPyro: `.to_event(1)`)."
        )
