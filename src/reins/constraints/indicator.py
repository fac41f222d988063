"""ζ(s, a) in (0, 1): a soft indicator of "allowed", and the cost 1 − ζ."""

import dataclasses
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Shaped

from reins.errors import ConfigError, sentence_of_faults
from reins.networks import MLP
from reins.types import Key


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """Which dimensions of observation and action a constraint sees, and how.

    Attributes:
      observation_size: length of the observations it was made for.
      action_size: length of the action vectors, or the number of discrete actions.
      discrete: whether actions are discrete; then the input is their one-hot code.
      observation_dims, action_dims: the chosen dimensions (an empty tuple: none).
      clip: observations are clipped to ± this, in their own units, first of all.
      offset, scale: fixed statistics of the chosen observation dimensions:
        input = (clipped observation − offset) / scale.
      action_low, action_high: bounds that action vectors are clipped to, as they are at
        the environment's door; none when empty.
      seen_low, seen_high: the range of each input in the data that it was learned from,
        in the environment's units, before `clip`; not known when empty.
    """

    observation_size: int
    action_size: int
    discrete: bool
    observation_dims: tuple[int, ...]
    action_dims: tuple[int, ...]
    clip: float = 20.0
    offset: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    action_low: tuple[float, ...] = ()
    action_high: tuple[float, ...] = ()
    seen_low: tuple[float, ...] = ()
    seen_high: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.observation_dims)
        object.__setattr__(self, "offset", self.offset or (0.0,) * n)
        object.__setattr__(self, "scale", self.scale or (1.0,) * n)
        faults = [
            *_missing("observation", self.observation_dims, self.observation_size),
            *_missing("action", self.action_dims, self.action_size),
        ]
        if not self.observation_dims and not self.action_dims:
            faults.append("it sees nothing, and would be one number for all")
        if len(self.offset) != n or len(self.scale) != n:
            faults.append(
                f"{n} observation dimensions need {n} offsets and {n} scales; found "
                f"{len(self.offset)} and {len(self.scale)}"
            )
        bounds = {len(self.action_low), len(self.action_high)}
        if not bounds <= {0, self.action_size} or len(bounds) > 1:
            faults.append(
                f"{self.action_size} action dimensions need as many lower and upper "
                f"bounds, or none; found {len(self.action_low)} and "
                f"{len(self.action_high)}"
            )
        ranges = {len(self.seen_low), len(self.seen_high)}
        if not ranges <= {0, self.size} or len(ranges) > 1:
            faults.append(
                f"{self.size} inputs need a range each, or none; found "
                f"{len(self.seen_low)} lower and {len(self.seen_high)} upper ends"
            )
        if not all(scale > 0 for scale in self.scale):
            faults.append(f"scales must be positive; found {self.scale}")
        if not self.clip > 0:
            faults.append(f"clip must be positive; found {self.clip}")
        if faults:
            subject = "the inputs of a constraint cannot be used"
            raise ConfigError(sentence_of_faults(subject, faults))

    @property
    def size(self) -> int:
        """Length of the network's input."""
        return len(self.observation_dims) + len(self.action_dims)


def _missing(kind: str, dims: Sequence[int], size: int) -> list[str]:
    wrong = [d for d in dims if not 0 <= d < size]
    if not wrong:
        return []
    return [f"{kind} dimensions {wrong} do not exist; there are 0..{size - 1}"]


class Constraint(eqx.Module):
    """ζ(s, a) = sigmoid(network(chosen, clipped, normalised dimensions of s and a))."""

    network: MLP
    inputs: InputSpec = eqx.field(static=True)

    def logits(
        self,
        observations: Shaped[ArrayLike, "*batch S"],
        actions: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "*batch"]:
        """log ζ/(1 − ζ) of each pair."""
        return self.network(network_inputs(self.inputs, observations, actions))[..., 0]

    def log_zeta(
        self,
        observations: Shaped[ArrayLike, "*batch S"],
        actions: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "*batch"]:
        """log ζ(s, a) ≤ 0, exact however small ζ is."""
        return jax.nn.log_sigmoid(self.logits(observations, actions))

    def zeta(
        self,
        observations: Shaped[ArrayLike, "*batch S"],
        actions: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "*batch"]:
        """ζ(s, a) in (0, 1): 1 is allowed."""
        return jax.nn.sigmoid(self.logits(observations, actions))

    def cost(
        self,
        observations: Shaped[ArrayLike, "*batch S"],
        actions: Shaped[ArrayLike, "..."],
    ) -> Float[Array, "*batch"]:
        """1 − ζ(s, a), the cost of S2 (9)."""
        return jax.nn.sigmoid(-self.logits(observations, actions))

    def cost_at(self, chosen: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch"]:
        """1 − ζ where the inputs are these, as `chosen_inputs` gives them."""
        scaled = scaled_inputs(self.inputs, jnp.asarray(chosen, jnp.float32))
        return jax.nn.sigmoid(-self.network(scaled)[..., 0])

    def outside(
        self,
        observations: Shaped[ArrayLike, "*batch S"],
        actions: Shaped[ArrayLike, "..."],
    ) -> Bool[Array, "*batch n"]:
        """Which inputs of each pair lie outside the range that they were seen in.

        What ζ says there was learned from nothing. By less than a thousandth of its
        range an input is not outside. All false where no range is known.
        """
        chosen = chosen_inputs(self.inputs, observations, actions)
        if not self.inputs.seen_low:
            return jnp.zeros(chosen.shape, bool)
        low, high = (
            jnp.asarray(self.inputs.seen_low),
            jnp.asarray(self.inputs.seen_high),
        )
        slack = 1e-3 * (high - low) + 1e-6
        return (chosen < low - slack) | (chosen > high + slack)


def chosen_inputs(
    inputs: InputSpec,
    observations: Shaped[ArrayLike, "*batch S"],
    actions: Shaped[ArrayLike, "..."],
) -> Float[Array, "*batch n"]:
    """The chosen dimensions in the environment's units, as one vector per pair."""
    observations = jnp.asarray(observations, jnp.float32)
    seen = observations[..., jnp.asarray(inputs.observation_dims, jnp.int32)]
    if not inputs.action_dims:
        return seen  # whatever actions are like where it is carried to
    if inputs.discrete:
        done = jax.nn.one_hot(actions, inputs.action_size)
    else:
        done = jnp.asarray(actions, jnp.float32)
        if inputs.action_low:
            low, high = jnp.asarray(inputs.action_low), jnp.asarray(inputs.action_high)
            done = jnp.clip(done, low, high)
    done = done[..., jnp.asarray(inputs.action_dims, jnp.int32)]
    return jnp.concatenate([seen, done], axis=-1)


def scaled_inputs(
    inputs: InputSpec, chosen: Float[Array, "*batch n"]
) -> Float[Array, "*batch n"]:
    """What the network gets of `chosen_inputs`: observations clipped, normalised."""
    n = len(inputs.observation_dims)
    seen = jnp.clip(chosen[..., :n], -inputs.clip, inputs.clip)
    seen = (seen - jnp.asarray(inputs.offset)) / jnp.asarray(inputs.scale)
    return jnp.concatenate([seen, chosen[..., n:]], axis=-1)


def network_inputs(
    inputs: InputSpec,
    observations: Shaped[ArrayLike, "*batch S"],
    actions: Shaped[ArrayLike, "..."],
) -> Float[Array, "*batch n"]:
    """The chosen dimensions, clipped and normalised, as one vector per pair."""
    return scaled_inputs(inputs, chosen_inputs(inputs, observations, actions))


def constraint_network(
    inputs: InputSpec, *, hidden: Sequence[int] = (20,), activation: str = "relu"
) -> Callable[[Key], Constraint]:
    """How to make a constraint from a key: an MLP, ζ near 1/2 everywhere at first."""

    def init(key: Key) -> Constraint:
        sizes = (inputs.size, *hidden, 1)
        network = MLP(key, sizes, activation=activation, final_gain=0.1)
        return Constraint(network, inputs)

    return init
