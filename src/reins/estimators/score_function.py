"""Score-function estimators (REINFORCE) and what is added to them.

All take N trajectories padded to T steps and return a loss to be minimised: the mean
over trajectories of a sum over time. Weights are constants under differentiation.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.credit import returns_to_go, total_returns

Loss = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]


def score_advantage_loss(
    log_probs: Float[Array, "N T"],
    advantages: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
) -> Loss:
    """−(1/N) Σ_i Σ_t log π(a_t|s_t) A_t.

    Source: S3, "reducing variance"; S4 (22).
    Target: J, when A_t is a return less a baseline that does not see a_t; with GAE or
    TD advantages, with an exact critic only.   Needs: log_prob.
    Identities: adding a constant per state to A_t leaves the mean unchanged.

    Args:
      log_probs: log π(a_t|s_t) in nats, differentiable.
      advantages: the weight of each step, in units of reward; held constant. For the
        gradient of a discounted J they already carry γ^t.
      mask: valid steps.
    Returns: the scalar loss, and no info.
    """
    # Both factors are cleared: 0 times the −inf of an impossible padded action is NaN.
    weights = jax.lax.stop_gradient(jnp.where(mask, advantages, 0.0))
    log_probs = jnp.where(mask, log_probs, 0.0)
    return -jnp.sum(log_probs * weights) / log_probs.shape[0], {}


def score_total_return_loss(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """−(1/N) Σ_i R(τ_i) Σ_t log π(a_t|s_t),   R(τ) = Σ_t γ^t r_t.

    Source: S3, REINFORCE.   Target: J; unbiased.   Needs: log_prob.
    Args and returns: as `score_advantage_loss`; rewards in units of reward.
    """
    returns = total_returns(rewards, mask, discount=discount)
    weights = jnp.broadcast_to(returns[:, None], log_probs.shape)
    return score_advantage_loss(log_probs, weights, mask)


def score_reward_to_go_loss(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
    discount_states: bool = True,
) -> Loss:
    """−(1/N) Σ_i Σ_t γ^t log π(a_t|s_t) G_t,   G_t = Σ_{k≥t} γ^{k−t} r_k.

    Source: S3, causality.   Target: J; unbiased. With `discount_states=False` the
    factor γ^t is dropped, as practice does: for γ < 1 it is then the gradient of no
    objective.
    Needs: log_prob.
    Args and returns: as `score_advantage_loss`; rewards in units of reward.
    """
    weights = returns_to_go(rewards, mask, discount=discount)
    if discount_states:
        weights = weights * discount ** jnp.arange(rewards.shape[1])
    return score_advantage_loss(log_probs, weights, mask)


def entropy_bonus_loss(
    entropies: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Loss:
    """−(1/N) Σ_i Σ_t H(π(.|s_t)), states held fixed.

    Source: S3 (A3C).   Target: not the gradient of the max-entropy objective, since
    the states' own dependence on the policy is left out.
    """
    return -jnp.sum(jnp.where(mask, entropies, 0.0)) / entropies.shape[0], {}
