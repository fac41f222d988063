"""What off-policy agents weigh steps by: ratios, credit, baseline, and their collapse.

Rows are N episodes padded to T steps, gathered by K behaviours. Ratios stay in logs
until they meet a reward.
"""

from typing import Literal

import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

from reins.credit import returns_to_go, total_returns
from reins.weights import cumulative_log_ratios, effective_sample_size

Form = Literal["trajectory-ratio", "per-decision", "past-ratios", "per-step-ratio"]
"""The estimators of `reins.estimators.off_policy`, by their names."""

MOST = 80.0
"""No log-weight is larger: e^80 is about what a float32 holds."""


def log_weights(
    form: Form, log_ratios: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """log of the ratio that stands before ∇ log π(a_t|s_t).

    trajectory-ratio               log Π_t' ρ_t', of the whole episode
    per-decision, past-ratios      log Π_{t'≤t} ρ_t'
    per-step-ratio                 log ρ_t

    Source: S4 (34), (35); S3, off-policy.
    """
    if form == "per-step-ratio":
        return jnp.where(mask, log_ratios, 0.0)
    cumulative = cumulative_log_ratios(log_ratios, mask)
    if form == "trajectory-ratio":
        return jnp.broadcast_to(cumulative[:, -1:], cumulative.shape)
    return cumulative


def self_normalised(
    form: Form, logs: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """Log-weights less the log of their mean over episodes, step by step.

    The expected weight of each step is 1; that of a sample is made so. An episode that
    has ended keeps its product, and counts; in `per-step-ratio` it does not.

    Bias: O(1/N); consistent.
    """
    rows = mask if form == "per-step-ratio" else _rows(mask)
    n = jnp.sum(rows, axis=0)
    sums = logsumexp(jnp.where(rows | (n == 0), logs, -jnp.inf), axis=0)
    return logs - jnp.where(n > 0, sums - jnp.log(jnp.maximum(n, 1)), 0.0)


def credited(
    form: Form,
    logs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float,
    discount_states: bool,
) -> tuple[Float[Array, "N T"], Float[Array, "N T"]]:
    """x_t and w_t: without a baseline the gradient is the mean of Σ_t x_t ∇ log π_t.

    trajectory-ratio               w R
    per-decision                   Σ_{k≥t} γ^{k−t} w_k r_k
    past-ratios, per-step-ratio    w_t Σ_{k≥t} γ^{k−t} r_k

    Source: S4 (34), (35); S3, off-policy (corrections 4 and 6).
    Identities: weights of 1 give returns. With `discount_states`, or in
    `trajectory-ratio`, the loss Σ_t x_t log π_t is that of the estimator of this name.

    Args:
      logs: as `log_weights` gives them. rewards: in units of reward.
      discount: γ. discount_states: multiply x_t by γ^t.
    """
    weights = jnp.exp(jnp.minimum(logs, MOST))
    if form == "trajectory-ratio":
        return weights * total_returns(rewards, mask, discount=discount)[
            :, None
        ], weights
    if form == "per-decision":
        earned = returns_to_go(weights * rewards, mask, discount=discount)
    else:
        earned = weights * returns_to_go(rewards, mask, discount=discount)
    if discount_states:
        earned = earned * discount ** jnp.arange(rewards.shape[1])
    return earned, weights


def mean_of_others(
    earned: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    members: Bool[Array, "K N"],
) -> Float[Array, "N T"]:
    """b_t = Σ_k (n_k/n) · mean of x_t over the other episodes of behaviour k.

    Its mean is the same for all episodes, whoever gathered them: E[w ∇ log π] need only
    vanish over all behaviours together, as it does with the mixture as denominator. A
    plain mean of the others would hold less of the behaviour of the one left out.

    Source: S3, time-dependent baseline (correction 5).
    Identities: one behaviour gives `reins.credit.time_baseline`; 0 when a behaviour has
    a single episode.

    Args:
      earned: x_t; an episode that has ended counts as 0.
      members: which behaviour gathered which of the episodes in use.
    """
    earned = jnp.where(mask, earned, 0.0)
    counts = jnp.sum(members, axis=1)
    sums = members.astype(earned.dtype) @ earned
    shares = counts / jnp.maximum(jnp.sum(counts), 1)
    means = sums / jnp.maximum(counts, 1)[:, None]
    whole = jnp.sum(shares[:, None] * means, axis=0)
    own = jnp.argmax(members, axis=0)
    without = (sums[own] - earned) / jnp.maximum(counts - 1, 1)[own, None]
    others = whole + shares[own, None] * (without - means[own])
    return jnp.where(jnp.any(counts == 1), 0.0, others)


def entries(
    form: Form, logs: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> tuple[Float[Array, "N C"], Bool[Array, "N C"]]:
    """The weights that a form's effective sample size is of, and which of them count.

    Those of episodes where ratios are multiplied up; of steps in `per-step-ratio`.
    """
    if form == "per-step-ratio":
        return logs, mask
    return logs[:, -1:], _rows(mask)[:, :1]


def ess_fraction(
    logs: Float[Array, "N C"], counted: Bool[Array, "N C"]
) -> Float[Array, ""]:
    """ESS over the number of samples, in (0, 1]; 0 without any.

    Identities: equal weights give 1; one weight that carries all the mass 1/n.
    """
    n = jnp.sum(counted)
    kept = jnp.where(counted | (n == 0), logs, -jnp.inf)
    ess = effective_sample_size(kept.reshape(-1))
    return jnp.where(n > 0, ess / jnp.maximum(n, 1), 0.0)


def usable_fraction(
    logs: Float[Array, "N C"],
    counted: Bool[Array, "N C"],
    *,
    bounded_above: bool = True,
) -> Float[Array, ""]:
    """The least of ESS/n, of the mean weight w̄, and of 1/w̄.

    The expected weight is 1. The effective sample size does not see the mean: weights
    that are all 10⁻⁶ have an ESS of n, and so has a single weight of 10⁶.

    Args:
      bounded_above: whether 1/w̄ counts; not where w̄ is of one behaviour's episodes and
        the denominator is the mixture, since it is then what they share with π.
    """
    n = jnp.maximum(jnp.sum(counted), 1)
    kept = jnp.where(counted | ~jnp.any(counted), logs, -jnp.inf)
    log_mean = logsumexp(kept) - jnp.log(n)
    log_mean = -jnp.abs(log_mean) if bounded_above else jnp.minimum(log_mean, 0.0)
    return jnp.minimum(ess_fraction(logs, counted), jnp.exp(log_mean))


def _rows(mask: Bool[Array, "N T"]) -> Bool[Array, "N T"]:
    return jnp.broadcast_to(jnp.any(mask, axis=1, keepdims=True), mask.shape)
