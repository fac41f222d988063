"""Gauss-Hermite quadrature: expectations under a normal as sums that are exact."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import ConfigError

_MOST_NODES = 100  # numpy's rule is tested up to degree 100


def gauss_hermite(
    nodes: int,
) -> tuple[Float[Array, " nodes"], Float[Array, " nodes"]]:
    """Points x and log w with E[f(ε)] ≈ Σ w f(x), ε standard normal.

    Identities: exact for polynomials of degree up to 2 nodes − 1.
    Args: `nodes`, in 1..100.   Raises: ConfigError outside.
    """
    if not 1 <= nodes <= _MOST_NODES:
        raise ConfigError(
            f"a Gauss-Hermite rule of {nodes} nodes was asked for; "
            f"choose between 1 and {_MOST_NODES}."
        )
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    log_weights = np.log(weights) - 0.5 * np.log(2 * np.pi)
    return jnp.asarray(points), jnp.asarray(log_weights)


def gauss_hermite_grid(
    nodes: int, dimensions: int
) -> tuple[Float[Array, "N D"], Float[Array, " N"]]:
    """The same for `dimensions` independent normals: N = nodes^D points in a grid."""
    points, log_weights = gauss_hermite(nodes)
    index = np.indices((nodes,) * dimensions).reshape(dimensions, -1)
    return points[index].T, jnp.sum(log_weights[index], axis=0)
