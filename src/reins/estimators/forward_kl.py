"""Policy losses of the forward KL, KL(p(.|O) ‖ q): weighted log-likelihood.

The target does not depend on the policy, so only log π is differentiated: they need
`log_prob` and nothing else. Weights are self-normalised softmaxes of exponentiated
values: biased as 1/N (or 1/K), consistent. Losses are in nats.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.estimators.reverse_kl import StateWeights, mean_over_states
from reins.estimators.score_function import Loss
from reins.weights import (
    effective_sample_size,
    normalised_weights,
    posterior_log_weights,
)


def forward_kl_trajectory_loss(
    log_probs: Float[Array, "N T"],
    log_priors: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Loss:
    """−Σ_i w_i Σ_t log π(a_t|s_t),   w = softmax_i(Σ_t r/α − log Z₀ − log(π/π₀)).

    Source: S1 (8), (9), descending: the printed gradient of the KL lacks its minus
    (correction 8).
    Target: −KL(p(.|O) ‖ q); biased O(1/N), consistent.   Needs: log_prob.
    Identities: N = 1 gives the weight 1; adding a constant to every total changes
    nothing.

    Args:
      log_probs: log π(a_t|s_t) in nats, differentiable; trajectories are the policy's.
      log_priors: log π₀(a_t|s_t) in nats, normalised.
      rewards: in units of reward. mask: valid steps.
      temperature: α > 0, units of reward per nat.
      log_z0: log Z₀ per step; it matters where trajectories differ in length.
    Returns: the scalar loss, and info with `ess` in trajectories, between 1 and N.
    """
    steps = posterior_log_weights(
        jax.lax.stop_gradient(log_probs),
        log_priors,
        rewards,
        mask,
        temperature=temperature,
        log_z0=log_z0,
    )
    totals = jnp.sum(steps, axis=1)
    scores = jnp.sum(jnp.where(mask, log_probs, 0.0), axis=1)
    loss = -jnp.sum(normalised_weights(totals) * scores)
    return loss, {"ess": effective_sample_size(totals)}


def forward_kl_marginal_loss(
    log_probs: Float[Array, "N K"],
    log_priors: Float[Array, "N K"],
    q_values: Float[Array, "N K"],
    *,
    temperature: ScalarLike = 1.0,
    state_weights: StateWeights = None,
) -> Loss:
    """−Σ_i y_i Σ_k x_ik log π(a_k|s_i),   x = softmax_k(Q/α − log(π/π₀)).

    Source: S1 4.0.3, with the logarithm that the printed ratio lacks (correction 7).
    Target: −KL(π₀ exp(Q/α)/Z ‖ π) at the given states; biased O(1/K), consistent. Only
    with the message Q and states weighted as p(s_t|O) (`smoothing_log_weights`) is that
    −KL(p(.|O) ‖ q).
    Needs: log_prob.
    Identities: adding a constant to every Q of a state changes nothing; K = 1 gives
    the weight 1.

    Args:
      log_probs: log π(a_k|s_i) in nats, differentiable; actions are the policy's own.
      log_priors: log π₀(a_k|s_i) in nats, normalised.
      q_values: message, soft or classic Q, in units of reward.
      temperature: α > 0, units of reward per nat.
      state_weights: y_i ≥ 0; None weighs all alike, 1/N.
    Returns: the scalar loss, and info with `ess`, actions per state, between 1 and K.
    """
    ratios = jax.lax.stop_gradient(log_probs) - log_priors
    log_weights = jax.lax.stop_gradient(q_values) / temperature - ratios
    losses = -jnp.sum(normalised_weights(log_weights) * log_probs, axis=1)
    info = {"ess": jnp.mean(effective_sample_size(log_weights))}
    return mean_over_states(losses, state_weights), info


def forward_kl_exact_loss(
    log_policy: Float[Array, "N A"],
    log_prior: Float[Array, "N A"],
    q_values: Float[Array, "N A"],
    *,
    temperature: ScalarLike = 1.0,
    state_weights: StateWeights = None,
) -> Loss:
    """−Σ_i y_i Σ_a x_ia log π(a|s_i),   x = π₀ exp(Q/α)/Z: every action enumerated.

    Source: S1 4.0.3, its inner expectation in full.
    Target: −KL(π₀ exp(Q/α)/Z ‖ π) at the given states; what `forward_kl_marginal_loss`
    tends to as K grows.   Needs: enumerable actions.
    Args: as `reverse_kl_exact_loss`, Q as `forward_kl_marginal_loss`.
    """
    targets = jax.nn.softmax(jax.lax.stop_gradient(q_values) / temperature + log_prior)
    losses = -jnp.sum(jnp.where(targets > 0, targets * log_policy, 0.0), axis=1)
    return mean_over_states(losses, state_weights), {}
