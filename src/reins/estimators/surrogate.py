"""Surrogates: objectives of the new policy on the old policy's data (S4 (58))."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from reins.estimators.score_function import Loss


def surrogate_loss(
    log_ratios: Float[Array, "N T"],
    advantages: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    times: Int[Array, "N T"] | None = None,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i Σ_t γ^t ρ_t A_t,   ρ_t = π(a_t|s_t) / π_old(a_t|s_t) differentiated.

    Source: S4 (58).   Target: the surrogate; its gradient at π = π_old is the policy
    gradient.   Needs: log_prob.
    Identities: at π = π_old the gradient is that of `score_advantage_loss`.

    Args:
      log_ratios: log π − log π_old in nats, differentiable in π.
      advantages: A_t of the old policy, in units of reward; held constant.
      mask: valid steps.
      times: index of each step in its episode, for γ^t; None drops the factor.
      discount: γ, only used with `times`.
    Returns: the scalar loss, and no info.
    """
    weights = jax.lax.stop_gradient(jnp.where(mask, advantages, 0.0))
    log_ratios = jnp.where(mask, log_ratios, 0.0)
    if times is not None:
        weights = weights * discount**times
    return -jnp.sum(jnp.exp(log_ratios) * weights) / log_ratios.shape[0], {}


def clipped_surrogate_loss(
    log_ratios: Float[Array, "N T"],
    advantages: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    clip_epsilon: float = 0.2,
) -> Loss:
    """−(1/N) Σ_i Σ_t min(ρ_t A_t, clip(ρ_t, 1−ε, 1+ε) A_t), PPO's surrogate.

    Source: S4, end (PPO).   Target: the clipped surrogate.   Needs: log_prob.
    Identities: ε = ∞ gives `surrogate_loss`; at π = π_old nothing is clipped.

    Args: as `surrogate_loss`; `clip_epsilon` > 0.
    Returns: the loss, and info with `clip_fraction` of the valid steps.
    """
    weights = jax.lax.stop_gradient(jnp.where(mask, advantages, 0.0))
    ratios = jnp.exp(jnp.where(mask, log_ratios, 0.0))
    clipped = jnp.clip(ratios, 1.0 - clip_epsilon, 1.0 + clip_epsilon)
    objective = jnp.minimum(ratios * weights, clipped * weights)
    outside = (jnp.abs(ratios - 1.0) > clip_epsilon) & mask
    info = {"clip_fraction": jnp.sum(outside) / jnp.maximum(jnp.sum(mask), 1)}
    return -jnp.sum(objective) / log_ratios.shape[0], info
