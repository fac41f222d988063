"""The curvature of the KL: the Fisher matrix, and its products with vectors.

Near θ, KL(p_θ ‖ p_{θ+δ}) = δᵀ F δ / 2 + O(|δ|³) with F = E_p[∇log p ∇log pᵀ]. With many
parameters F itself does not fit; its product with a vector costs two passes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.types import Params

LogProbs = Callable[[Params], Float[Array, " N"]]
"""From parameters to log p_θ(x_i) of N fixed samples, in nats."""


def fisher_matrix(
    scores: Float[Array, "N D"], log_masses: Float[Array, " N"]
) -> Float[Array, "D D"]:
    """F = E[g gᵀ], g = ∇_θ log p_θ(x).

    Exact where the masses enumerate p_θ; unbiased with N draws of it.

    Source: S4 (20).   Identities: symmetric, never negative, in every direction; the
    curvature of KL(p_θ ‖ .) at θ.

    Args:
      scores: g of each sample.
      log_masses: log-probability of each sample; −log N for N draws.
    Returns: nats per squared unit of the parameters.
    """
    return jnp.einsum("n,ni,nj->ij", jnp.exp(log_masses), scores, scores)


def fisher_vector_product(
    log_probs: LogProbs,
    params: Params,
    vector: Params,
    *,
    log_masses: Float[Array, " N"],
) -> Params:
    """F v = Σ_i m_i g_i (g_iᵀ v), without forming F: one pass forward, one backward.

    Source: S4 (20).   Target: as `fisher_matrix`.
    Identities: equals `fisher_matrix` times v; linear in v.

    Args:
      log_probs: log p_θ of the N samples, as a function of the parameters.
      params: θ, any pytree of arrays.
      vector: v, a pytree like θ.
      log_masses: log-probability of each sample; −log N for N draws.
    Returns: a pytree like θ.
    """
    _, slopes = jax.jvp(log_probs, (params,), (vector,))
    _, pull_back = jax.vjp(log_probs, params)
    (product,) = pull_back(jnp.exp(log_masses) * slopes)
    return product


def hessian_vector_product(
    kl: Callable[[Params], Float[Array, ""]], params: Params, vector: Params
) -> Params:
    """H v, the curvature of a scalar function at θ in the direction v.

    For kl(θ') = KL(p_θ ‖ p_θ') at θ' = θ it is F v. With a KL in closed form no samples
    of actions are needed, only of states.

    Source: S4 (18) to (20).
    Identities: equals `fisher_vector_product` at the old parameters, and not elsewhere.

    Args:
      kl: KL(old ‖ .) in nats, the old distribution held constant inside.
      params: θ, where the curvature is taken: the old parameters.
      vector: v, a pytree like θ.
    Returns: a pytree like θ.
    """
    return jax.jvp(jax.grad(kl), (params,), (vector,))[1]


def second_order_kl(fisher_vector: Params, step: Params) -> Float[Array, ""]:
    """δᵀ F δ / 2, the KL of a small step.

    Source: S4 (20).   Identities: KL(p_θ ‖ p_{θ+δ}) but for O(|δ|³).
    Args: `fisher_vector` is F δ, `step` is δ, both pytrees like θ.
    Returns: nats.
    """
    products = jax.tree.map(jnp.vdot, fisher_vector, step)
    return 0.5 * jax.tree.reduce(jnp.add, products, jnp.zeros(()))
