"""Divergences between distributions. kl(p, q) is the expectation under p (S4 (1))."""

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
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
    # The product outside of `where`: else the gradient at p = 0 is 0 · (−inf) = NaN.
    return jnp.sum(p * jnp.where(p > 0, log_p - log_q, 0.0), axis=-1)


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


def gaussian_kl_full(
    mean_p: Float[Array, "*batch D"],
    covariance_p: Float[Array, "*batch D D"],
    mean_q: Float[Array, "*batch D"],
    covariance_q: Float[Array, "*batch D D"],
) -> Float[Array, "*batch"]:
    """KL(p ‖ q) of two Gaussians with any covariances, by their Cholesky factors.

    ½ (tr(Σ_q⁻¹ Σ_p) + (μ_p − μ_q)ᵀ Σ_q⁻¹ (μ_p − μ_q) − D + log det Σ_q − log det Σ_p)

    Source: S4 (1), closed form.
    Identities: ≥ 0, and 0 exactly when p = q; equals `gaussian_kl` of diagonal ones; an
    invertible linear map of both changes nothing.
    Args: covariances are symmetric and positive definite; another gives NaN.
    Returns: nats.
    """
    factor_p = jnp.linalg.cholesky(covariance_p)
    factor_q = jnp.linalg.cholesky(covariance_q)
    shift = (mean_p - mean_q)[..., None]
    # One solve for both: the squares of L_q⁻¹ L_p sum to the trace.
    columns = jnp.concatenate([factor_p, shift], axis=-1)
    whitened = solve_triangular(factor_q, columns, lower=True)
    squares = jnp.sum(jnp.square(whitened), axis=(-2, -1))
    volume = _half_log_det(factor_q) - _half_log_det(factor_p)
    return 0.5 * (squares - mean_p.shape[-1]) + volume


def sampled_kl(
    log_p: Float[Array, " N"], log_q: Float[Array, " N"]
) -> Float[Array, ""]:
    """KL(p ‖ q) estimated from samples x_i of p: it may come out negative.

    (1/N) Σ_i log p(x_i) − log q(x_i)

    Source: S4 (1).   Target: KL(p ‖ q); unbiased.
    Identities: its mean over all samples is `categorical_kl`.
    Args: log-probabilities, in nats, of the same samples of p.
    Returns: nats.
    """
    return jnp.mean(log_p - log_q)


def sampled_kl_positive(
    log_p: Float[Array, " N"], log_q: Float[Array, " N"]
) -> Float[Array, ""]:
    """KL(p ‖ q) estimated from samples x_i of p, by terms none of which is negative.

    (1/N) Σ_i (ω_i − 1 − log ω_i),   ω = q/p

    To `sampled_kl` it adds ω − 1, whose mean under p is 0 and which cancels the noise
    of −log ω to first order: less variance where q is near p. Far from it there is
    more, without limit where ω has no variance.

    Source: S4 (1).   Target: KL(p ‖ q); unbiased, if q has no mass where p has none;
    otherwise less than the KL by that mass.
    Identities: ≥ 0 for every sample; its mean over all samples is `categorical_kl`.
    Args and returns: as `sampled_kl`.
    """
    log_ratios = log_q - log_p
    return jnp.mean(jnp.expm1(log_ratios) - log_ratios)


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


def _half_log_det(factor: Float[Array, "*batch D D"]) -> Float[Array, "*batch"]:
    """½ log det L Lᵀ of a triangular factor L."""
    diagonal = jnp.diagonal(factor, axis1=-2, axis2=-1)
    return jnp.sum(jnp.log(diagonal), axis=-1)


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
