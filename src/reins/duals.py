"""The one dual variable: a multiplier >= 0 moved by its constraint's violation.

*violation = constrained quantity − bound*, positive when violated, and the multiplier
grows with it. The same mechanism serves a KL ball, an entropy floor, a cost budget and
the forward step of constraint learning (SPEC 5).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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

    Source: S2 (9) by gradient ascent, the 2021 parameterisation (ICRL-FACTS b.3).

    Args: as `projected_dual`; `initial` must be positive.
    """

    def init() -> DualState:
        start = jnp.asarray(initial, jnp.float32)
        return DualState(jnp.log(jnp.expm1(start)), jnp.zeros(()), start)

    def update(state: DualState, violation: Scalar) -> DualState:
        slope = jax.nn.sigmoid(state.parameter)
        parameter = state.parameter + learning_rate * violation * slope
        multiplier = jnp.minimum(jax.nn.softplus(parameter), maximum)
        return DualState(parameter, violation, multiplier)

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

    Source: SPEC 5 (PID form for the cost multiplier). With k_p = k_d = 0 it is the
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
