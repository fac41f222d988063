"""Policy losses of the reverse KL, KL(q ‖ p(.|O)): trajectories, samples, paths, exact.

All are in units of reward: α times the KL in nats, so that α → 0 leaves the return. The
marginal forms take N states with K actions each and a weight per state; the states of
the policy's own trajectories, each weighing 1/trajectories, give the gradient of the
whole. Q excludes the log-ratio of its own step, which is therefore written out.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.credit import leave_one_out_mean, returns_to_go
from reins.estimators.score_function import Loss, score_advantage_loss

StateWeights = Float[Array, " N"] | None


def reverse_kl_trajectory_loss(
    log_probs: Float[Array, "N T"],
    log_priors: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    temperature: ScalarLike = 1.0,
    discount: float = 1.0,
    causal: bool = False,
) -> Loss:
    """−(1/N) Σ_i [Σ_t γ^t (r_t − α log(π/π₀))] Σ_t log π(a_t|s_t), [..] held constant.

    Source: S1 3.0.1, with the sign of the log-ratio corrected (correction 7).
    Target: −α KL(q ‖ p(.|O)); unbiased. With γ < 1 the discounted soft return, to which
    no posterior belongs. With `causal`, the bracket sums from t on, as in S1 3.0.2
    before its marginal form: the same mean, less variance.
    Needs: log_prob.   Identities: α = 0 gives `score_total_return_loss`.

    Args:
      log_probs: log π(a_t|s_t) in nats, differentiable.
      log_priors: log π₀(a_t|s_t) in nats, normalised.
      rewards: in units of reward. mask: valid steps.
      temperature: α ≥ 0, units of reward per nat. discount: γ in [0, 1].
    Returns: the scalar loss, and no info.
    """
    ratios = jax.lax.stop_gradient(log_probs - log_priors)
    soft_rewards = rewards - temperature * ratios
    weights = returns_to_go(soft_rewards, mask, discount=discount)
    if causal:
        weights = weights * discount ** jnp.arange(weights.shape[1])
    else:
        weights = jnp.broadcast_to(weights[:, :1], weights.shape)
    return score_advantage_loss(log_probs, weights, mask)


def reverse_kl_score_loss(
    log_probs: Float[Array, "N K"],
    log_priors: Float[Array, "N K"],
    q_values: Float[Array, "N K"],
    *,
    temperature: ScalarLike = 1.0,
    state_weights: StateWeights = None,
    leave_one_out: bool = True,
) -> Loss:
    """−Σ_i y_i (1/K) Σ_k log π(a_k|s_i) [Q − α log(π/π₀) − b_i](s_i, a_k).

    The bracket is constant under differentiation. b is the other actions' mean bracket
    (0 where K = 1, or without `leave_one_out`).

    Source: S1 3.0.2.   Target: −α KL(q ‖ p(.|O)), with an exact soft Q.
    Needs: log_prob.
    Identities: adding a constant to every Q of a state leaves the mean unchanged, and
    changes nothing at all with the baseline and K > 1.

    Args:
      log_probs: log π(a_k|s_i) in nats, differentiable; actions are the policy's own.
      log_priors: log π₀(a_k|s_i) in nats, normalised.
      q_values: soft Q, without the log-ratio of its own step, in units of reward.
      temperature: α ≥ 0, units of reward per nat.
      state_weights: y_i ≥ 0; None weighs all alike, 1/N.
    Returns: the scalar loss, and no info.
    """
    weights = q_values - temperature * (log_probs - log_priors)
    if leave_one_out:
        weights = weights - leave_one_out_mean(weights.T).T
    scores = log_probs * jax.lax.stop_gradient(weights)
    return -mean_over_states(jnp.mean(scores, axis=1), state_weights), {}


def reverse_kl_pathwise_loss(
    log_probs: Float[Array, "N K"],
    log_priors: Float[Array, "N K"],
    q_values: Float[Array, "N K"],
    *,
    temperature: ScalarLike = 1.0,
    state_weights: StateWeights = None,
) -> Loss:
    """Σ_i y_i (1/K) Σ_k [α log(π/π₀) − Q](s_i, a_k), differentiated through a_k too.

    Source: S1 (5), negated.   Target: −α KL(q ‖ p(.|O)), with an exact soft Q.
    Needs: reparameterised samples: a_k = f(policy parameters, noise), with the gradient
    flowing through log π, log π₀ and Q into a_k. The parameters of Q stay constant.

    Args and returns: as `reverse_kl_score_loss`, all three arrays differentiable.
    """
    losses = temperature * (log_probs - log_priors) - q_values
    return mean_over_states(jnp.mean(losses, axis=1), state_weights), {}


def reverse_kl_exact_loss(
    log_policy: Float[Array, "N A"],
    log_prior: Float[Array, "N A"],
    q_values: Float[Array, "N A"],
    *,
    temperature: ScalarLike = 1.0,
    state_weights: StateWeights = None,
) -> Loss:
    """Σ_i y_i Σ_a π(a|s_i) [α log(π/π₀) − Q](s_i, a): every action enumerated.

    Source: S1 (5), its inner expectation in full.
    Target: −α KL(q ‖ p(.|O)), with an exact soft Q.   Needs: enumerable actions.
    Identities: least at the Boltzmann policy π₀ exp(Q/α)/Z; the mean of
    `reverse_kl_score_loss` over actions has the same gradient.

    Args:
      log_policy: log π(a|s_i) of every action in nats, differentiable.
      log_prior: log π₀(a|s_i) in nats. q_values: soft Q of every action.
      temperature, state_weights: as `reverse_kl_score_loss`.
    """
    policy = jnp.exp(log_policy)
    terms = policy * (temperature * (log_policy - log_prior) - q_values)
    losses = jnp.sum(jnp.where(policy > 0, terms, 0.0), axis=1)
    return mean_over_states(losses, state_weights), {}


def mean_over_states(
    losses: Float[Array, " N"], state_weights: StateWeights
) -> Float[Array, ""]:
    """Σ_i y_i l_i with constant weights, or the mean where there are none."""
    if state_weights is None:
        return jnp.mean(losses)
    weights = jax.lax.stop_gradient(state_weights)
    return jnp.sum(jnp.where(weights > 0, weights * losses, 0.0))
