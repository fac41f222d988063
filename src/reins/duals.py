"""The one dual variable: a multiplier >= 0 moved by its constraint's violation.

*violation = constrained quantity − bound*, positive when violated, and the multiplier
grows with it. The same mechanism serves a KL ball, an entropy floor, a cost budget and
the forward step of constraint learning.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.errors import ConfigError

Scalar = Float[Array, ""]


class DualState(NamedTuple):
    """What a multiplier must remember."""

    parameter: Scalar
    """The multiplier before its parameterisation (or, for PID, the integral)."""
    previous: Scalar
    """The last violation, for the PID form's derivative."""
    multiplier: Scalar


class Dual(NamedTuple):
    """A multiplier as pure functions.

    Attributes:
      init: () -> state.
      value: state -> multiplier >= 0.
      update: (state, violation) -> state.
    """

    init: Callable[[], DualState]
    value: Callable[[DualState], Scalar]
    update: Callable[[DualState, Scalar], DualState]


def _value(state: DualState) -> Scalar:
    return state.multiplier


def projected_dual(
    *, initial: float = 0.0, learning_rate: float = 0.01, maximum: float = jnp.inf
) -> Dual:
    """λ ← clip(λ + η · violation, 0, maximum).

    Source: S4 Algorithm 2, line 2, projected to λ ≥ 0; S2 (9).

    Args:
      initial: λ at the start, in units of objective per unit of constraint.
      learning_rate: η, multiplier per unit of violation.
      maximum: a ceiling; with a budget that cannot be met λ would grow without end.
    """

    def init() -> DualState:
        start = jnp.asarray(initial, jnp.float32)
        return DualState(start, jnp.zeros(()), start)

    def update(state: DualState, violation: Scalar) -> DualState:
        moved = state.parameter + learning_rate * violation
        multiplier = jnp.clip(moved, 0.0, maximum)
        return DualState(multiplier, violation, multiplier)

    return Dual(init, _value, update)


def softplus_dual(
    *, initial: float = 1.0, learning_rate: float = 0.1, maximum: float = jnp.inf
) -> Dual:
    """λ = softplus(p),  p ← p + η · violation · dλ/dp, so λ stays positive.

    Source: S2 (9) by gradient ascent, in the parameterisation of the 2021 code.

    Args: as `projected_dual`; `initial` and `maximum` must be positive.

    Raises: ConfigError when they are not: softplus reaches 0 nowhere, and would never
      leave it.
    """
    if initial <= 0 or maximum <= 0:
        raise ConfigError(
            f"a softplus multiplier was asked for with initial {initial} and maximum "
            f"{maximum}; both must be positive, as it can neither be 0 nor leave it. "
            "Use `projected_dual` to start at 0."
        )

    def inverse(multiplier: Array) -> Array:
        # log(exp λ − 1), written so that it neither overflows nor loses digits.
        return multiplier + jnp.log(-jnp.expm1(-multiplier))

    ceiling = inverse(jnp.asarray(maximum, jnp.float32))

    def init() -> DualState:
        start = jnp.asarray(initial, jnp.float32)
        return DualState(inverse(start), jnp.zeros(()), start)

    def update(state: DualState, violation: Scalar) -> DualState:
        slope = jax.nn.sigmoid(state.parameter)
        moved = state.parameter + learning_rate * violation * slope
        parameter = jnp.minimum(moved, ceiling)
        return DualState(parameter, violation, jax.nn.softplus(parameter))

    return Dual(init, _value, update)


def pid_dual(
    *,
    initial: float = 0.0,
    proportional: float = 0.05,
    integral: float = 0.01,
    derivative: float = 0.01,
    maximum: float = jnp.inf,
) -> Dual:
    """A multiplier with proportional and derivative terms, which damp its swings.

    λ = clip(I + k_p · violation + k_d · max(0, change), 0, maximum)
    I ← clip(I + k_i · violation, 0, maximum)

    Source: the usual PID controller. With k_p = k_d = 0 it is the
    projected dual.

    Args:
      initial: I at the start.
      proportional, integral, derivative: gains, multiplier per unit of violation.
      maximum: a ceiling of both λ and I.
    """

    def init() -> DualState:
        start = jnp.asarray(initial, jnp.float32)
        return DualState(start, jnp.zeros(()), start)

    def update(state: DualState, violation: Scalar) -> DualState:
        total = jnp.clip(state.parameter + integral * violation, 0.0, maximum)
        change = jnp.maximum(violation - state.previous, 0.0)
        raw = total + proportional * violation + derivative * change
        return DualState(total, violation, jnp.clip(raw, 0.0, maximum))

    return Dual(init, _value, update)
