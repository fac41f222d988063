"""The best policy within a KL of another: its weights, and what sets its temperature.

    max_q  Σ_k q_k v_k   with  KL(q ‖ p) ≤ ε   is   q_k = p_k exp(v_k/η) / Z

at each state, p the shares that the old policy gives its actions. The temperature η is
the multiplier of the bound: the one at which a convex function of it is least.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.divergences import categorical_kl


def improved_log_weights(
    values: Float[Array, "N K"],
    log_shares: Float[Array, "N K"],
    *,
    temperature: ScalarLike,
) -> Float[Array, "N K"]:
    """log q_k = v_k/η + log p_k − log Z, at each of N states.

    Source: Abdolmaleki et al. 2018 (MPO), the E-step; Song et al. 2019 (V-MPO), ψ; with
    p = π₀ the target of S1 4.0.3.
    Identities: sums to 1; adding a constant to the values of a state changes nothing;
    of all q with the same KL(q ‖ p) it has the greatest mean value.

    Args:
      values: Q or advantages, in units of reward.
      log_shares: log p_k: log π_old of every action there is, −log K of K drawn from
        it, −inf for what is left out.
      temperature: η > 0, units of reward per nat.
    Returns: in nats; −inf where the share is 0.
    """
    return jax.nn.log_softmax(values / temperature + log_shares)


def improvement_kl(
    log_weights: Float[Array, "N K"], log_shares: Float[Array, "N K"]
) -> Float[Array, ""]:
    """KL(q ‖ p) in nats, the mean over N states.

    Less ε it is what η must rise by, −dg/dη of `temperature_objective`: a violation.
    Source: Abdolmaleki et al. 2018, the bound of the E-step.
    """
    return jnp.mean(categorical_kl(log_weights, log_shares))


def temperature_objective(
    values: Float[Array, "N K"],
    log_shares: Float[Array, "N K"],
    *,
    temperature: ScalarLike,
    kl_bound: float,
) -> Float[Array, ""]:
    """g(η) = η ε + η mean_s log Σ_k p_k exp(v_k/η): convex, least where KL(q ‖ p) = ε.

    Where no q is ε away it is least as η → 0.

    Source: Abdolmaleki et al. 2018, the dual of the E-step; Song et al. 2019, L_η.
    Identities: dg/dη = ε − KL(q ‖ p); at its least, g is the greatest mean value within
    the bound.

    Args: as `improved_log_weights`. kl_bound: ε > 0, nats, mean over states.
    Returns: units of reward.
    """
    means = logsumexp(values / temperature + log_shares, axis=1)
    return jnp.asarray(temperature * (kl_bound + jnp.mean(means)))


def top_half_log_shares(
    advantages: Float[Array, " n"], mask: Bool[Array, " n"]
) -> Float[Array, " n"]:
    """−log h for the h = ⌊n/2⌋ greatest of n valid advantages, −inf for the others.

    Of one valid step, that one; of equal ones, the first.

    Source: Song et al. 2019, 4.1.   Identities: the shares sum to 1.
    """
    order = jnp.argsort(jnp.where(mask, -advantages, jnp.inf))
    half = jnp.maximum(jnp.sum(mask) // 2, 1)
    first = jnp.arange(len(order)) < half
    shares = jnp.where(first, -jnp.log(half.astype(advantages.dtype)), -jnp.inf)
    return jnp.zeros_like(advantages).at[order].set(shares)


def exponential_weights(
    advantages: Float[Array, " n"], *, temperature: ScalarLike, maximum: float
) -> Float[Array, " n"]:
    """w = min(exp(A/β), maximum): not normalised, and so without a mean over actions.

    Source: Peng et al. 2019 (AWR).
    Identities: under the policy π_β that acted, the likelihood with these weights is
    greatest at π_β exp(A/β)/Z, as long as none reaches the maximum.

    Args: advantages in units of reward. temperature: β > 0, units of reward per nat.
    """
    return jnp.exp(jnp.minimum(advantages / temperature, jnp.log(maximum)))


def weighted_likelihood_loss(
    log_probs: Float[Array, "N K"], weights: Float[Array, "N K"]
) -> Float[Array, ""]:
    """−(1/N) Σ_i Σ_k w_ik log π(a_k|s_i), the weights constant.

    Source: Abdolmaleki et al. 2018, the M-step; S1 4.0.3 with weights from elsewhere.
    Target: where the weights of a state are q, −KL(q ‖ π) there.   Needs: log_prob.
    Identities: with `improved_log_weights` of all actions and p = π₀ it is
    `forward_kl_exact_loss`.
    """
    weights = jax.lax.stop_gradient(weights)
    terms = jnp.where(weights > 0, weights * log_probs, 0.0)
    return -jnp.mean(jnp.sum(terms, axis=1))
