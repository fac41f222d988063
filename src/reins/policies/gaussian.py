"""Gaussian actions whose scale is learned, constant, or depends on the state."""

from collections.abc import Sequence
from typing import ClassVar, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from reins.divergences import gaussian_kl
from reins.errors import ConfigError, unknown_name
from reins.networks import MLP, ConvolutionalNetwork, network
from reins.policies.policy import Distribution, Policy, PolicyInit, Scale
from reins.types import Key

LOG_2PI = 1.8378770664093453

REACH = 4.0
"""How far a state's log-scale may go from where it starts, in nats."""


class Gaussian(Distribution):
    """N(mean, diag(exp(log_std))²)."""

    mean: Float[Array, "*batch D"]
    log_std: Float[Array, "*batch D"]

    def sample(self, key: Key) -> Float[Array, "*batch D"]:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, actions: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        z = (actions - self.mean) * jnp.exp(-self.log_std)
        return jnp.sum(-0.5 * (jnp.square(z) + LOG_2PI) - self.log_std, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.sum(self.log_std + 0.5 * (LOG_2PI + 1.0), axis=-1)

    def mode(self) -> Float[Array, "*batch D"]:
        return self.mean

    def kl(self, other: "Gaussian") -> Float[Array, "*batch"]:
        return gaussian_kl(self.mean, self.log_std, other.mean, other.log_std)


class GaussianPolicy(Policy):
    """A mean from a network, and a scale that is `free`, `fixed` or of the `state`.

    free: log σ is a parameter.   fixed: log σ = start.
    state: log σ(s) = start + 4 tanh(raw(s)/4), with raw the network's last D outputs:
    near the start it is start + raw, and σ stays within a factor e⁴ = 55 of e^start.

    Mean and scale are in units of `half_width` around `centre`: where actions have
    bounds, the network's −1 and 1 are those bounds, whatever their size.

    Attributes:
      log_std: the parameter, where the scale is free, and None elsewhere: a fixed
        scale is no leaf, so that nothing that moves parameters can move it.
      start: the constant of the other two; empty where the scale is free.
    """

    gives: ClassVar[frozenset[str]] = frozenset(
        {"log_prob", "entropy", "reparameterised"}
    )
    network: MLP | ConvolutionalNetwork
    log_std: Float[Array, " D"] | None
    centre: tuple[float, ...] = eqx.field(static=True)
    half_width: tuple[float, ...] = eqx.field(static=True)
    scale: Scale = eqx.field(static=True, default="free")
    start: tuple[float, ...] = eqx.field(static=True, default=())

    def __call__(self, observations: Shaped[Array, "..."]) -> Gaussian:
        half_width = jnp.asarray(self.half_width)
        mean = self.network(observations)
        if self.scale == "state":
            mean, raw = jnp.split(mean, 2, axis=-1)
            log_std = jnp.asarray(self.start) + REACH * jnp.tanh(raw / REACH)
        else:
            log_std = jnp.asarray(self.start if self.log_std is None else self.log_std)
        mean = jnp.asarray(self.centre) + half_width * mean
        log_std = log_std + jnp.log(half_width)
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


def gaussian_policy(
    observations: int | tuple[int, ...],
    action_size: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
    log_std: float = 0.0,
    scale: Scale = "free",
    centre: Sequence[float] | None = None,
    half_width: Sequence[float] | None = None,
) -> PolicyInit:
    """A Gaussian policy: mean near `centre`, scale `half_width` exp(`log_std`).

    Actions have no bounds here: they are clipped where they enter the environment, and
    log π is that of the action as it was drawn.

    Args:
      observations: their length, or (height, width, channels) of pictures.
      activation: of the hidden units, "tanh" or "relu".
      log_std: the scale's log at the start, in units of `half_width`.
      scale: "free" for one learned log-scale per dimension; "fixed" for a constant;
        "state" for one of each state, from the network: it has 2 outputs per dimension.
      centre, half_width: of the actions, one for each dimension; 0 and 1 when None.

    Raises: ConfigError for another `scale`.
    """
    check_scale(scale)
    middle = (0.0,) * action_size if centre is None else tuple(map(float, centre))
    half = (1.0,) * action_size if half_width is None else tuple(map(float, half_width))
    sizes = (*hidden, 2 * action_size if scale == "state" else action_size)
    start = () if scale == "free" else (float(log_std),) * action_size

    def init(key: Key) -> GaussianPolicy:
        made = network(key, observations, sizes, activation=activation, final_gain=0.01)
        free = jnp.full(action_size, log_std, float) if scale == "free" else None
        return GaussianPolicy(made, free, middle, half, scale, start)

    return init


def check_scale(scale: str) -> None:
    """Check the name of a scale.

    Raises: ConfigError that names the known ones.
    """
    if scale not in get_args(Scale):
        raise ConfigError(unknown_name("policy scale", scale, get_args(Scale)))
