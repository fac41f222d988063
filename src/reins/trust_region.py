"""Steps that stay within a KL ball: natural gradients and backtracking along them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, ScalarLike

from reins.types import Params

Scalar = Float[Array, ""]


class LinearSolution(NamedTuple):
    """x of A x ≈ b and b − A x, pytrees like b."""

    solution: Params
    residual: Params


class NaturalStep(NamedTuple):
    """A natural gradient step.

    Attributes:
      step: δ, a pytree like the parameters.
      expected_kl: δᵀ F δ / 2, in nats.
      residual: |g − (F + damping) x| / |g| of the solution x that δ is a multiple of.
    """

    step: Params
    expected_kl: Scalar
    residual: Scalar


class LineSearch(NamedTuple):
    """Where a line search ended.

    Attributes:
      params: the start, or the start plus `fraction` of the step.
      fraction: in (0, 1], or 0 where nothing was accepted.
      objective, kl: of `params`, as the search measured them.
      gain: the objective less that of the start; 0 where nothing was accepted.
    """

    params: Params
    fraction: Scalar
    objective: Scalar
    gain: Scalar
    kl: Scalar


def conjugate_gradient(
    product: Callable[[Params], Params],
    target: Params,
    *,
    iterations: int = 10,
    damping: ScalarLike = 0.0,
    tolerance: ScalarLike = 1e-10,
) -> LinearSolution:
    """Solve (A + damping I) x = b by conjugate gradients from x = 0.

    Each iteration asks for one product A p; one more, at the end, for the residual, as
    the recursion's own is too small where rounding matters. It ends early where
    |residual| ≤ tolerance |b|, or where pᵀ A p is not positive.

    Source: Hestenes and Stiefel (1952); it is S4 (20)'s F⁻¹ g where A = F.
    Identities: exact within D iterations where A is D x D and positive definite; linear
    in b while the number of iterations is the same; b = 0 gives 0.

    Args:
      product: p -> A p, for pytrees like b; A symmetric.
      target: b, any pytree of floating arrays.
      iterations: at most so many.
      damping: ≥ 0, in units of A.
      tolerance: relative; with 0 only a residual of 0 ends it early.
    Returns: x, and b − (A + damping I) x.
    """
    b, unravel = ravel_pytree(target)

    def apply(vector: Array) -> Array:
        return ravel_pytree(product(unravel(vector)))[0] + damping * vector

    limit = jnp.square(tolerance) * jnp.vdot(b, b)

    def searching(carry):
        i, _, residual, _, positive = carry
        return (i < iterations) & (jnp.vdot(residual, residual) > limit) & positive

    def iterate(carry):
        i, x, residual, direction, _ = carry
        square = jnp.vdot(residual, residual)
        bent = apply(direction)
        curvature = jnp.vdot(direction, bent)
        positive = curvature > 0
        length = jnp.where(positive, square / curvature, 0.0)
        x, left = x + length * direction, residual - length * bent
        turned = left + jnp.vdot(left, left) / square * direction
        return i + 1, x, left, turned, positive

    start = (0, jnp.zeros_like(b), b, b, jnp.asarray(True))
    x = jax.lax.while_loop(searching, iterate, start)[1]
    return LinearSolution(unravel(x), unravel(b - apply(x)))


def natural_step(
    product: Callable[[Params], Params],
    gradient: Params,
    *,
    kl_bound: ScalarLike,
    iterations: int = 10,
    damping: ScalarLike = 0.0,
) -> NaturalStep:
    """The step of steepest ascent in a KL ball, to second order.

    δ = sqrt(2 ε / xᵀ (F + damping I) x) x,   (F + damping I) x = g

    Solved exactly, xᵀ (F + damping I) x = gᵀ (F + damping I)⁻¹ g; cut short, it is
    still gᵀ x but for rounding, and the former keeps the ball with rounding, too.

    Source: S4 (20), the natural gradient.
    Identities: the scale of g changes nothing; solved exactly and without damping,
    δᵀ F δ / 2 = ε and no other step of that KL has a larger gᵀ δ; damping makes the KL
    less than ε, never more; g = 0 gives 0.

    Args:
      product: v -> F v.
      gradient: g, a direction of ascent, any pytree.
      kl_bound: ε > 0, nats.
      iterations: of `conjugate_gradient`.
      damping: ≥ 0, in units of F: what flat directions are held back by.
    """
    solution, residual = conjugate_gradient(
        product, gradient, iterations=iterations, damping=damping
    )
    (g, unravel), x = ravel_pytree(gradient), ravel_pytree(solution)[0]
    left = ravel_pytree(residual)[0]
    curvature = jnp.vdot(x, g - left)
    ascends = curvature > 0
    scale = jnp.where(ascends, jnp.sqrt(2.0 * kl_bound / curvature), 0.0)
    step = scale * x
    # δᵀ(F + damping I)δ / 2 = ε by construction: what damping takes of it is left out.
    expected = jnp.where(ascends, kl_bound - 0.5 * damping * jnp.vdot(step, step), 0.0)
    size = jnp.linalg.norm(g)
    relative = jnp.linalg.norm(left) / jnp.where(size > 0, size, 1.0)
    return NaturalStep(unravel(step), expected, relative)


def backtracking_line_search(
    objective_and_kl: Callable[[Params], tuple[Scalar, Scalar]],
    start: Params,
    step: Params,
    *,
    kl_bound: ScalarLike,
    shrink: ScalarLike = 0.5,
    tries: int = 10,
) -> LineSearch:
    """The first of start + shrinkⁱ step that is better than the start and in the ball.

    i = 0, 1, ..., tries − 1;   objective(new) > objective(start),   KL(new) ≤ ε

    Where none is, the start. What is not a number is never accepted.

    Source: S4 (61), (62), as TRPO (Schulman et al. 2015, appendix C) solves them.
    Identities: the KL that is returned is ≤ ε, always; the objective never falls.

    Args:
      objective_and_kl: of parameters; the KL from the start in nats, 0 there.
      start, step: pytrees of the same structure.
      kl_bound: ε > 0, nats.
      shrink: in (0, 1).
      tries: at least 1.
    """
    at_start, kl_at_start = objective_and_kl(start)
    none = jnp.zeros(())
    found = LineSearch(start, none, at_start, jnp.zeros_like(at_start), kl_at_start)

    def searching(carry: tuple[Array, LineSearch]) -> Array:
        tried, last = carry
        return (tried < tries) & (last.fraction == 0)

    def attempt(carry: tuple[Array, LineSearch]) -> tuple[Array, LineSearch]:
        tried, last = carry
        fraction = jnp.power(jnp.asarray(shrink, last.fraction.dtype), tried)
        params = jax.tree.map(
            lambda x, d: x + (fraction * d).astype(x.dtype), start, step
        )
        objective, kl = objective_and_kl(params)
        good = (kl <= kl_bound) & (objective > at_start)
        new = LineSearch(params, fraction, objective, objective - at_start, kl)
        return tried + 1, jax.tree.map(lambda n, o: jnp.where(good, n, o), new, last)

    return jax.lax.while_loop(searching, attempt, (jnp.asarray(0), found))[1]
