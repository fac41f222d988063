"""A mixture of two Gaussians in the plane, and one Gaussian fitted to it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

LEVEL, ITERATIONS = 1e-9, 200
"""The search ends at a gradient of that length, or after so many steps of L-BFGS."""
LOG_2PI = 1.8378770664093453


class Normal(NamedTuple):
    """N(mean, factor factorᵀ) in the plane, with a triangular factor."""

    mean: Float[Array, "*batch 2"]
    factor: Float[Array, "*batch 2 2"]

    @property
    def covariance(self) -> Float[Array, "*batch 2 2"]:
        return self.factor @ self.factor.mT


class Mixture(NamedTuple):
    """p = Σ_k w_k N_k."""

    weights: Float[Array, " K"]
    parts: Normal


def normal_log_prob(q: Normal, x: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """log q(x) of one Gaussian, in nats."""
    # One small inverse, where a solve for each of many points would take most time.
    whiten = solve_triangular(q.factor, jnp.eye(2), lower=True)
    z = (x - q.mean) @ whiten.T
    return -0.5 * jnp.sum(jnp.square(z), axis=-1) - LOG_2PI - _half_log_det(q)


def mixture_log_prob(p: Mixture, x: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """log p(x), in nats."""
    parts = jax.vmap(normal_log_prob, (0, None), -1)(p.parts, x)
    return logsumexp(parts, axis=-1, b=p.weights)


class Grid(NamedTuple):
    """Nodes and weights that integrate against a standard normal in the plane."""

    nodes: Float[Array, "M 2"]
    weights: Float[Array, " M"]


def mixture(*, weight: float = 0.65, separation: float = 1.0) -> Mixture:
    """Two modes of unequal weight, size and tilt."""
    means = separation * np.array([[-1.6, -0.9], [2.0, 1.3]])
    covariances = [[[0.50, 0.25], [0.25, 0.60]], [[0.70, -0.35], [-0.35, 0.40]]]
    factors = jnp.asarray(np.linalg.cholesky(covariances))
    weights = jnp.array([weight, 1.0 - weight])
    return Mixture(weights, Normal(jnp.asarray(means), factors))


def quadrature(nodes: int) -> Grid:
    """The trapezium rule in the plane, over ±8 standard deviations.

    For smooth functions it converges as fast as any; where log p bends sharply, between
    two modes, faster than Gauss-Hermite's polynomials.
    """
    x = np.linspace(-8.0, 8.0, nodes)
    plane = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    masses = np.exp(-0.5 * np.sum(np.square(plane), axis=-1))
    return Grid(jnp.asarray(plane), jnp.asarray(masses / masses.sum()))


def moments(p: Mixture) -> Normal:
    """The Gaussian with the mean and the covariance of p: it minimises KL(p ‖ q).

    Source: S4 (1), forward.
    """
    mean = p.weights @ p.parts.mean
    apart = p.parts.mean - mean
    second = p.parts.covariance + apart[:, :, None] * apart[:, None, :]
    return Normal(mean, jnp.linalg.cholesky(jnp.einsum("k,kij->ij", p.weights, second)))


def target_fit_kl(p: Mixture, q: Normal, grid: Grid) -> Float[Array, ""]:
    """KL(p ‖ q), forward: Σ_k w_k E_k[log p − log q], by quadrature under each part.

    Source: S4 (1).   Returns: nats.
    """

    def under(part: Normal):
        x = part.mean + grid.nodes @ part.factor.T
        return grid.weights @ (mixture_log_prob(p, x) - normal_log_prob(q, x))

    return p.weights @ jax.vmap(under)(p.parts)


def fit_target_kl(p: Mixture, q: Normal, grid: Grid) -> Float[Array, ""]:
    """KL(q ‖ p), reverse: −H(q) − E_q[log p], the mean by quadrature under q.

    Source: S4 (1), with the two exchanged.   Returns: nats.
    """
    x = q.mean + grid.nodes @ q.factor.T
    entropy = LOG_2PI + 1.0 + _half_log_det(q)
    return -entropy - grid.weights @ mixture_log_prob(p, x)


@jax.jit
def fits_under(
    p: Mixture, starts: Float[Array, "N 2"], grid: Grid
) -> tuple[Normal, Float[Array, " N"]]:
    """The minimum of KL(q ‖ p) that a search from each start falls into.

    Source: S4 (1), reverse.
    Args: `starts` are means; the scales start at 1.
    Returns: the fits, and how long the gradient is there, in nats per parameter.
    """

    def loss(packed: Float[Array, "5"]) -> Float[Array, ""]:
        return fit_target_kl(p, _unpack(packed), grid)

    def descend(start):
        packed = _minimum(loss, jnp.concatenate([start, jnp.zeros(3)]))
        return _unpack(packed), jnp.linalg.norm(jax.grad(loss)(packed))

    return jax.vmap(descend)(starts)


def _minimum(
    loss: Callable[[Float[Array, "5"]], Float[Array, ""]], start: Float[Array, "5"]
) -> Any:
    """Where L-BFGS ends."""
    search = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry):
        packed, state, _, count = carry
        value, slope = value_and_grad(packed, state=state)
        update, state = search.update(
            slope, state, packed, value=value, grad=slope, value_fn=loss
        )
        moved = optax.apply_updates(packed, update)
        return moved, state, jnp.linalg.norm(slope), count + 1

    def unfinished(carry):
        return (carry[2] > LEVEL) & (carry[3] < ITERATIONS)

    begin = (start, search.init(start), jnp.inf, 0)
    return jax.lax.while_loop(unfinished, step, begin)[0]


def _half_log_det(q: Normal) -> Float[Array, ""]:
    return jnp.sum(jnp.log(jnp.abs(jnp.diagonal(q.factor))))


def _unpack(packed: Float[Array, "5"]) -> Normal:
    """From a mean, two log-scales, and the entry below the diagonal."""
    scales = jnp.diag(jnp.exp(packed[2:4]))
    return Normal(packed[:2], scales.at[1, 0].set(packed[4]))
