"""Divergences between distributions. kl(p, q) is the expectation under p (S4 (1))."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def categorical_kl(
    log_p: Float[Array, "*batch A"], log_q: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
    """KL(p ‖ q) of two categorical distributions, from normalised log-probabilities.

    Σ_a p(a) (log p(a) − log q(a)), with 0 log 0 = 0.

    Source: S4 (1).   Identities: ≥ 0, and 0 exactly when p = q.
    Returns: nats.
    """
    p = jnp.exp(log_p)
    return jnp.sum(jnp.where(p > 0, p * (log_p - log_q), 0.0), axis=-1)


def gaussian_kl(
    mean_p: Float[Array, "*batch D"],
    log_std_p: Float[Array, "*batch D"],
    mean_q: Float[Array, "*batch D"],
    log_std_q: Float[Array, "*batch D"],
) -> Float[Array, "*batch"]:
    """KL(p ‖ q) of two Gaussians with diagonal covariance.

    Σ_d  log σ_q − log σ_p + (σ_p² + (μ_p − μ_q)²) / (2 σ_q²) − 1/2

    Source: S4 (1), closed form.   Identities: ≥ 0, and 0 exactly when p = q.
    Returns: nats.
    """
    variance_ratio = jnp.exp(2.0 * (log_std_p - log_std_q))
    distance = jnp.square((mean_p - mean_q) * jnp.exp(-log_std_q))
    terms = log_std_q - log_std_p + 0.5 * (variance_ratio + distance - 1.0)
    return jnp.sum(terms, axis=-1)


def total_variation(
    p: Float[Array, "*batch A"], q: Float[Array, "*batch A"]
) -> Float[Array, "*batch"]:
    """Half the L1 distance between two categorical distributions, in [0, 1].

    Source: S4 (59), with the half that makes Pinsker's (60) hold (correction 3):
    TV ≤ sqrt(KL / 2).
    """
    return 0.5 * jnp.sum(jnp.abs(p - q), axis=-1)


def kl_old_new_from_ratios(
    log_ratios: Float[Array, " N"], log_masses: Float[Array, " N"]
) -> Float[Array, ""]:
    """KL(old ‖ new) of two unnormalised densities, from samples of the old one.

    log E[ω] − E[log ω],   ω = new/old up to a constant, E under the old distribution.

    Exact where the masses enumerate the old distribution.

    Source: S2 (17), (18) corrected (correction 1).
    Identities: ≥ 0; adding a constant to every log-ratio changes nothing.

    Args:
      log_ratios: log ω of each sample, in nats, up to one common constant.
      log_masses: log-probability of each sample; −log N for N draws.
    Returns: nats.
    """
    masses = jnp.exp(log_masses)
    log_mean = _log_mean(log_ratios, log_masses)
    return log_mean - jnp.sum(masses * _finite_where(masses > 0, log_ratios))


def kl_new_old_from_ratios(
    log_ratios: Float[Array, " N"], log_masses: Float[Array, " N"]
) -> Float[Array, ""]:
    """KL(new ‖ old) of two unnormalised densities, from samples of the old one.

    E[ω log ω] / E[ω] − log E[ω],   E under the old distribution.

    With N draws of equal mass this estimate cannot exceed log N, so a bound above log N
    never fires.

    Source: S2 (20), first line (correction 1).
    Identities: ≥ 0; adding a constant to every log-ratio changes nothing.

    Args and returns: as `kl_old_new_from_ratios`.
    """
    log_mean = _log_mean(log_ratios, log_masses)
    weights = jnp.exp(log_masses + log_ratios - log_mean)
    return jnp.sum(weights * _finite_where(weights > 0, log_ratios)) - log_mean


def _log_mean(
    log_values: Float[Array, " N"], log_masses: Float[Array, " N"]
) -> Float[Array, ""]:
    total = log_values + log_masses
    peak = jnp.max(total)
    return peak + jnp.log(jnp.sum(jnp.exp(total - peak)))


def _finite_where(
    condition: Array, log_values: Float[Array, " N"]
) -> Float[Array, " N"]:
    return jnp.where(condition, log_values, 0.0)
