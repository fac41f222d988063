"""Weights of samples: ratios and posteriors, in logs until the last line."""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, ScalarLike


def normalised_weights(
    log_weights: Float[Array, "*batch N"],
) -> Float[Array, "*batch N"]:
    """w_i = exp(l_i) / Σ_j exp(l_j), by log-sum-exp.

    Source: S1 (9).   Identities: sums to 1; adding a constant changes nothing.
    """
    return jax.nn.softmax(log_weights)


def effective_sample_size(
    log_weights: Float[Array, "*batch N"],
) -> Float[Array, "*batch"]:
    """ESS = (Σ w)² / Σ w², in samples, between 1 and N.

    Identities: equal weights give N; one weight that carries all the mass gives 1.
    """
    return 1.0 / jnp.sum(jnp.square(normalised_weights(log_weights)), axis=-1)


def mixture_log_probs(
    log_probs: Float[Array, "K N T"],
    log_shares: Float[Array, " K"],
    mask: Bool[Array, "N T"],
) -> Float[Array, "N T"]:
    """log β(a_t|τ_<t) of data that several behaviour policies gathered, as one policy.

    p̄_t(τ) = Σ_k c_k Π_{t'≤t} β_k(a_t'|s_t'),   log β(a_t|τ_<t) = log p̄_t − log p̄_{t−1}

    The balance heuristic: ratios π/β with this denominator, multiplied up, are those to
    the whole mixture, and none exceeds 1/c_k times the ratio to policy k alone.

    Source: S4 (32), "the combined distribution of all previous policies".
    Identities: one policy, or K equal ones, give that policy back; the probabilities
    of all trajectories sum to 1.

    Args:
      log_probs: log β_k(a_t|s_t) in nats, of every step under every policy.
      log_shares: log c_k, the share of the trajectories that policy k gathered.
      mask: valid steps.
    """
    steps = jnp.where(mask, log_probs, 0.0)
    after = logsumexp(jnp.cumsum(steps, axis=2) + log_shares[:, None, None], axis=0)
    before = jnp.pad(after[:, :-1], ((0, 0), (1, 0)))
    return jnp.where(mask, after - before, 0.0)


def cumulative_log_ratios(
    log_ratios: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """log Π_{t'≤t} ρ_t', the ratio of everything decided up to step t.

    Source: S4 (34), (35).   Identities: the last column is the trajectory's ratio.
    """
    return jnp.cumsum(jnp.where(mask, log_ratios, 0.0), axis=1)


def posterior_log_weights(
    log_probs: Float[Array, "N T"],
    log_priors: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, "N T"]:
    """log p(O_t, a_t|s_t) − log π(a_t|s_t) = r_t/α − log Z₀ − log(π/π₀), step by step.

    Summed over a trajectory: the log of p(τ, O)/q(τ), as S1 (8) has it.

    Source: S1 (6), (7), (8).   Identities: 0 in the padding.

    Args:
      log_probs: log π(a_t|s_t) in nats, of the policy that acted.
      log_priors: log π₀(a_t|s_t) in nats, normalised.
      rewards: in units of reward.
      mask: valid steps.
      temperature: α > 0, units of reward per nat.
      log_z0: log Z₀ ≥ max r/α; it cancels among trajectories of equal length only.
    """
    steps = rewards / temperature - log_z0 - (log_probs - log_priors)
    return jnp.where(mask, steps, 0.0)


def smoothing_log_weights(
    steps: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    log_messages: Float[Array, "N T"] | None = None,
) -> Float[Array, "N T"]:
    """Log-weights that turn the states s_t of N trajectories into draws of p(s_t|O).

    path         Σ_t' l_t', the same at every t: S1's own. Its ESS falls with T.
    two filters  Σ_{t'<t} l_t' + log p(O_{t:T}|s_t): what happened before t, and what a
                 message says of the rest, for every future of s_t at once.

    Source: S1 4.0.3 (the first form; it leaves better ones open).
    Bias: self-normalised over N, O(1/N); consistent.
    Identities: messages that are each trajectory's own future give the path form.

    Args:
      steps: l_t of `posterior_log_weights`.
      mask: valid steps. A trajectory that has ended keeps its weight, as one that is no
        longer running: normalise over all N first, then leave it out.
      log_messages: log p(O_{t:T}|s_t) in nats (a soft value over α), or None.
    Returns: not normalised, one column for each t.
    """
    steps = jnp.where(mask, steps, 0.0)
    if log_messages is None:
        return jnp.broadcast_to(jnp.sum(steps, axis=1, keepdims=True), steps.shape)
    before = jnp.cumsum(steps, axis=1) - steps
    return before + jnp.where(mask, log_messages, 0.0)
