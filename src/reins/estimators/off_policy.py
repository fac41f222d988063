"""Off-policy score-function estimators: another policy's data, weighed by ratios.

ρ_t = π(a_t|s_t)/β(a_t|s_t) for N trajectories of T steps that β gathered; where several
policies did, `reins.weights.mixture_log_probs` makes one β of them. Ratios are constant
under differentiation. `info` has the effective sample size of the trajectories.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.credit import corrected_returns_to_go, returns_to_go, total_returns
from reins.estimators.score_function import Loss, score_advantage_loss
from reins.weights import cumulative_log_ratios, effective_sample_size


def trajectory_ratio_loss(
    log_probs: Float[Array, "N T"],
    behaviour_log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i (Π_t ρ_t) R(τ_i) Σ_t log π(a_t|s_t).

    Source: S4 (34); S3, off-policy.   Target: J; unbiased.   Needs: log_prob.
    Identities: β = π gives `score_total_return_loss`.

    Args:
      log_probs: log π(a_t|s_t) in nats, differentiable.
      behaviour_log_probs: log β(a_t|s_t) in nats, of the policy that acted.
      rewards: in units of reward. mask: valid steps. discount: γ in [0, 1].
    Returns: the scalar loss, and info with `ess` in trajectories, between 1 and N.
    """
    cumulative, info = _ratios(log_probs, behaviour_log_probs, mask)
    returns = total_returns(rewards, mask, discount=discount)
    weights = jnp.exp(cumulative[:, -1]) * returns
    weights = jnp.broadcast_to(weights[:, None], log_probs.shape)
    return score_advantage_loss(log_probs, weights, mask)[0], info


def per_decision_loss(
    log_probs: Float[Array, "N T"],
    behaviour_log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i Σ_t log π_t (Π_{t'≤t} ρ) γ^t Σ_{k≥t} γ^{k−t} r_k Π_{t<j≤k} ρ_j.

    Source: S4 (35).   Target: J; unbiased.   Needs: log_prob.
    Identities: β = π gives `score_reward_to_go_loss`.
    Args and returns: as `trajectory_ratio_loss`.
    """
    cumulative, info = _ratios(log_probs, behaviour_log_probs, mask)
    log_ratios = jax.lax.stop_gradient(log_probs - behaviour_log_probs)
    weights = corrected_returns_to_go(log_ratios, rewards, mask, discount=discount)
    weights = jnp.exp(cumulative) * _discounted(weights, discount)
    return score_advantage_loss(log_probs, weights, mask)[0], info


def past_ratios_loss(
    log_probs: Float[Array, "N T"],
    behaviour_log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i Σ_t log π_t (Π_{t'≤t} ρ) γ^t G_t: the ratios of later steps dropped.

    Source: S3, off-policy with "causal temporal structure".
    Target: J, biased even in the limit: rewards after t are those of β (correction 4).
    Needs: log_prob.
    Identities: β = π, or one step, give what `per_decision_loss` gives.
    Args and returns: as `trajectory_ratio_loss`.
    """
    cumulative, info = _ratios(log_probs, behaviour_log_probs, mask)
    weights = _discounted(returns_to_go(rewards, mask, discount=discount), discount)
    return score_advantage_loss(log_probs, jnp.exp(cumulative) * weights, mask)[0], info


def per_step_ratio_loss(
    log_probs: Float[Array, "N T"],
    behaviour_log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i Σ_t ρ_t log π_t γ^t G_t: the ratio of state marginals dropped.

    Source: S3, approximate off-policy, last slide, in the form that is meant: with the
    reward-to-go (correction 6).
    Target: J, biased even in the limit: states and later rewards are those of β.
    Needs: log_prob.
    Identities: β = π gives `score_reward_to_go_loss`.
    Args and returns: as `trajectory_ratio_loss`.
    """
    _, info = _ratios(log_probs, behaviour_log_probs, mask)
    log_ratios = jnp.where(mask, log_probs - behaviour_log_probs, 0.0)
    weights = _discounted(returns_to_go(rewards, mask, discount=discount), discount)
    weights = jnp.exp(jax.lax.stop_gradient(log_ratios)) * weights
    return score_advantage_loss(log_probs, weights, mask)[0], info


def _ratios(
    log_probs: Array, behaviour_log_probs: Array, mask: Array
) -> tuple[Float[Array, "N T"], dict[str, Float[Array, ""]]]:
    log_ratios = jax.lax.stop_gradient(log_probs - behaviour_log_probs)
    cumulative = cumulative_log_ratios(log_ratios, mask)
    return cumulative, {"ess": effective_sample_size(cumulative[:, -1])}


def _discounted(weights: Float[Array, "N T"], discount: float) -> Float[Array, "N T"]:
    return weights * discount ** jnp.arange(weights.shape[1])
