"""The likelihood of a constraint given demonstrations, S2 (5)-(11).

Rows are trajectories: N of the expert, M of the nominal agent, padded to T steps. Sums
over time, means over trajectories, divided by `horizon`.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.weights import effective_sample_size, normalised_weights

StepWeighting = Literal["trajectory", "step-pooled", "step-time", "none"]
WEIGHTINGS: tuple[StepWeighting, ...] = get_args(StepWeighting)
Weighting = Literal["return", "trajectory", "step-pooled", "step-time", "none"]
"""`return` is `sampled_likelihood_loss`, the others are of `step_weights`."""


def step_weights(
    log_ratios: Float[Array, "M T"],
    mask: Bool[Array, "M T"],
    log_masses: Float[Array, " M"],
    *,
    weighting: StepWeighting = "trajectory",
) -> Float[Array, "M T"]:
    """The weight ω̂ of every nominal step; a trajectory's mass is 1/M without weighting.

    trajectory    ω̂_jt = softmax_j(Σ_t log ω_jt): exact in the limit.
    step-pooled   ω̂_jt = mass_j ω_jt / (mean ω over all valid steps): S2 (10), biased.
    step-time     ω̂_jt = mass_j ω_jt / (mean ω over the rows valid at t), biased.
    none          ω̂_jt = mass_j.

    Source: S2 (10), (11), (14), (15); self-normalised, since E[ω] is not 1
    (correction 2).
    Identities: equal constraints give the masses; one factor on every trajectory's
    product of ω changes nothing.

    Args:
      log_ratios: log ω = log ζ(s, a) − log ζ_sampled(s, a) in nats.
      mask: valid steps.
      log_masses: log-probability of each trajectory; −log M for M draws.
    """
    masses = jnp.exp(log_masses)[:, None] * jnp.ones_like(log_ratios)
    log_ratios = jnp.where(mask, log_ratios, 0.0)
    if weighting == "trajectory":
        weights = normalised_weights(jnp.sum(log_ratios, axis=1) + log_masses)
        return jnp.where(mask, weights[:, None], 0.0)
    if weighting == "step-pooled":
        valid = jnp.where(mask, masses, 0.0)
        ratios = jnp.exp(log_ratios)
        return valid * ratios * jnp.sum(valid) / jnp.sum(valid * ratios)
    if weighting == "step-time":
        valid = jnp.where(mask, masses, 0.0)
        weighted = valid * jnp.exp(log_ratios)
        totals = jnp.sum(weighted, axis=0) / jnp.maximum(jnp.sum(valid, axis=0), 1e-30)
        return weighted / jnp.maximum(totals, 1e-30)
    return jnp.where(mask, masses, 0.0)


def constraint_likelihood_loss(
    expert_log_zeta: Float[Array, "N T"],
    expert_mask: Bool[Array, "N T"],
    nominal_log_zeta: Float[Array, "M H"],
    nominal_mask: Bool[Array, "M H"],
    sampled_log_zeta: Float[Array, "M H"],
    *,
    horizon: int,
    weighting: StepWeighting = "trajectory",
    log_masses: Float[Array, " M"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """−[ mean_expert Σ_t log ζ − Σ_nominal ω̂ Σ_t log ζ ] / horizon.

    Source: S2 (7), (11).
    Target: log-likelihood of the demonstrations under π(τ) ∝ exp(r/α) Π ζ, divided by
    the horizon. With trajectory weights consistent (exact when the nominal rows
    enumerate the sampled distribution); per step biased even in the limit
    (correction 2).
    Identities: the nominal set equal to the expert's, unweighted, gives gradient 0.

    Args:
      expert_log_zeta, nominal_log_zeta: log ζ(s_t, a_t) under the constraint to be
        improved, differentiable.
      expert_mask, nominal_mask: valid steps.
      sampled_log_zeta: log ζ under the constraint for which the nominal agent was
        trained; the ratio ω = ζ/ζ_sampled is constant under differentiation.
      horizon: steps by which both sums are divided.
      weighting: see `step_weights`.
      log_masses: log-probability of each nominal row, when they are not equal draws.
    Returns: the loss, and info with `ess` (of the trajectory weights, in trajectories)
      and the two means of log ζ per step of the horizon.
    """
    m = nominal_log_zeta.shape[0]
    if log_masses is None:
        log_masses = jnp.full(m, -jnp.log(m))
    log_ratios = jax.lax.stop_gradient(nominal_log_zeta - sampled_log_zeta)
    weights = step_weights(log_ratios, nominal_mask, log_masses, weighting=weighting)
    expert = jnp.sum(jnp.where(expert_mask, expert_log_zeta, 0.0), axis=1)
    expert_mean = jnp.mean(expert) / horizon
    nominal_mean = jnp.sum(weights * jnp.where(nominal_mask, nominal_log_zeta, 0.0))
    nominal_mean = nominal_mean / horizon
    totals = jnp.sum(jnp.where(nominal_mask, log_ratios, 0.0), axis=1)
    info = {
        "expert_log_zeta": expert_mean,
        "nominal_log_zeta": nominal_mean,
        "ess": effective_sample_size(totals + log_masses),
    }
    return nominal_mean - expert_mean, info


def sampled_likelihood_loss(
    expert_log_zeta: Float[Array, "N T"],
    expert_mask: Bool[Array, "N T"],
    expert_returns: Float[Array, " N"],
    nominal_log_zeta: Float[Array, "M H"],
    nominal_mask: Bool[Array, "M H"],
    nominal_returns: Float[Array, " M"],
    *,
    horizon: int,
    temperature: ScalarLike,
    sampled_log_zeta: Float[Array, "M H"] | None = None,
    log_masses: Float[Array, " M"] | None = None,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """−[ mean_expert Σ_t log ζ − log Σ_j m_j exp(R_j/α) Π_t ω_j ] / horizon.

    j runs over the agent's trajectories and over the demonstrations, half of the mass
    each: samples of the partition function. The agent's are taken for draws that obey
    ζ_sampled and are not yet good at what is paid for: exp(R/α) makes up for that, and
    ω = ζ/ζ_sampled for what ζ has moved since. The demonstrations are draws of what is
    modelled whatever ζ is: together exp(R̄/α), a constant. So what earns less than the
    demonstrators did, and needs no rule that forbids it, has little weight; and so has
    what ω has ruled out, by which a phase ends of itself.

    Source: S2 (5)-(7), with the demonstrations among the samples as in guided cost
    learning (Finn, Levine and Abbeel 2016).
    Target: log-likelihood of the demonstrations under π(τ) ∝ exp(R/α) Π ζ, divided by
    the horizon, up to a constant; its gradient is exact when the agent's rows enumerate
    the trajectories with masses p(τ) Π ζ_sampled that outweigh the demonstrations'.
    Identities: where demonstrations outweigh all else, what is left is their own
    log ζ, and nothing is forbidden.

    Args:
      expert_returns, nominal_returns: R of each row, over the same steps, in reward.
      temperature: α, units of reward per nat.
      sampled_log_zeta: of the agent's steps; 0 when not said.
      log_masses: of the agent's rows; −log M when not said, −inf for none.
      others: as `constraint_likelihood_loss`.
    Returns: the loss, and info with `ess` of the agent's weights, in trajectories, and
      `nominal_weight`, their share of all weight.
    """
    if log_masses is None:
        m = nominal_log_zeta.shape[0]
        log_masses = jnp.full(m, -jnp.log(m))
    before = 0.0 if sampled_log_zeta is None else sampled_log_zeta

    def totals(log_zeta: Array, mask: Array) -> Array:
        return jnp.sum(jnp.where(mask, log_zeta, 0.0), axis=1)

    demonstrated = jnp.mean(expert_returns) / temperature
    moved = totals(nominal_log_zeta - before, nominal_mask)
    log_weights = nominal_returns / temperature + moved + log_masses
    agents = jax.nn.logsumexp(log_weights)
    partition = jnp.logaddexp(demonstrated, agents)
    info = {
        "ess": effective_sample_size(log_weights),
        "nominal_weight": jnp.exp(agents - partition),
    }
    expert = jnp.mean(totals(expert_log_zeta, expert_mask))
    return (partition - expert) / horizon, jax.lax.stop_gradient(info)


def regulariser_loss(
    expert_log_zeta: Float[Array, "N T"],
    expert_mask: Bool[Array, "N T"],
    nominal_log_zeta: Float[Array, "M H"],
    nominal_mask: Bool[Array, "M H"],
    *,
    form: Literal["step-mean", "trajectory-sum"] = "step-mean",
) -> Float[Array, ""]:
    """−Σ_sets (ζ − 1): the reluctance to forbid, to be multiplied by δ.

    step-mean        the mean of ζ(s, a) − 1 over each set's steps, added.
    trajectory-sum   Σ_τ [Π_t ζ(s_t, a_t) − 1] over both sets, as printed.

    Source: S2 (8); ours is the mean per step.
    Args: as `constraint_likelihood_loss`.
    """

    def reluctance(log_zeta: Array, mask: Array) -> Array:
        if form == "trajectory-sum":
            totals = jnp.sum(jnp.where(mask, log_zeta, 0.0), axis=1)
            return jnp.sum(jnp.expm1(totals))
        steps = jnp.maximum(jnp.sum(mask), 1)
        return jnp.sum(jnp.where(mask, jnp.expm1(log_zeta), 0.0)) / steps

    return -(
        reluctance(expert_log_zeta, expert_mask)
        + reluctance(nominal_log_zeta, nominal_mask)
    )
