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


def log_dual(
    *,
    initial: float = 1.0,
    learning_rate: float = 3e-4,
    minimum: float = 0.0,
    maximum: float = jnp.inf,
    largest_violation: float = 1.0,
) -> Dual:
    """λ = exp(p),  p ← p + η · clip(violation, ±`largest_violation`).

    The multiplier moves by a share of itself, so it may become as small as it must
    without being 0. A violation far off moves it no faster than one that is
    `largest_violation` off: at first the policy is slower than its price.

    Source: S1 Algorithm 1, the temperature's step, in log α as soft actor-critic has
    it.

    Args:
      initial: λ at the start, positive.
      learning_rate: η, per unit of violation.
      minimum, maximum: a floor and a ceiling. Where a constraint can be met at any
        multiplier, one without a floor falls so far that it never comes back.

    Raises: ConfigError when `initial` is not positive: exp never reaches 0.
    """
    if initial <= 0:
        raise ConfigError(
            f"a multiplier in logarithms was asked for with initial {initial}; it must "
            "be positive. Use `projected_dual` to start at 0."
        )
    floor, ceiling = jnp.log(jnp.asarray([minimum, maximum], jnp.float32))

    def init() -> DualState:
        start = jnp.asarray(initial, jnp.float32)
        return DualState(jnp.log(start), jnp.zeros(()), start)

    def update(state: DualState, violation: Scalar) -> DualState:
        bounded = jnp.clip(violation, -largest_violation, largest_violation)
        moved = state.parameter + learning_rate * bounded
        parameter = jnp.clip(moved, floor, ceiling)
        return DualState(parameter, violation, jnp.exp(parameter))

    return Dual(init, _value, update)


def scheduled_dual(schedule: Callable[[Scalar], Scalar]) -> Dual:
    """A multiplier that follows a schedule, whatever is violated: λ_k = f(k).

    Source: S1, the temperature held by hand. A constant one is `lambda k: 0.2`.

    Args:
      schedule: how many times it was updated -> λ ≥ 0.
    """

    def at(count: Scalar, violation: Scalar) -> DualState:
        return DualState(count, violation, jnp.asarray(schedule(count), jnp.float32))

    def init() -> DualState:
        return at(jnp.zeros(()), jnp.zeros(()))

    def update(state: DualState, violation: Scalar) -> DualState:
        return at(state.parameter + 1.0, violation)

    return Dual(init, _value, update)
