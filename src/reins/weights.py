"""Weights of samples: self-normalised, in logs until the last line."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
