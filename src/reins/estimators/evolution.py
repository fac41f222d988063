"""Evolution strategies: gradients from returns of perturbed parameters.

The policy's parameters θ are themselves drawn, from N(mean, std² I), and only their
mean is learned; nothing of the policy is differentiated.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from reins.errors import ConfigError
from reins.types import Key

Loss = tuple[Float[Array, ""], dict[str, Float[Array, ""]]]


def evolution_loss(
    samples: Float[Array, "N D"],
    mean: Float[Array, " D"],
    scores: Float[Array, " N"],
    *,
    std: ScalarLike,
) -> Loss:
    """−(1/N) Σ_i F_i log N(θ_i; mean, std² I).

    Source: S3, evolutionary methods.
    Target: E[F(θ)] over θ ~ N(mean, std² I), the smoothed J when F is a return;
    unbiased, with antithetic pairs as well: a mean does not ask for independence.
    Needs: returns only.
    Identities: a constant added to all F leaves the mean estimate unchanged, and with
    antithetic pairs every estimate.

    Args:
      samples: θ_i, drawn from N(mean, std² I); held constant.
      mean: where they were drawn around, differentiable.
      scores: F(θ_i), in units of reward; held constant, and may be noisy.
      std: > 0, in units of the parameters.
    Returns: the scalar loss, and no info.
    """
    samples, scores = jax.lax.stop_gradient((samples, scores))
    z = (samples - mean) / std
    log_density = -0.5 * jnp.square(z) - jnp.log(std) - 0.5 * jnp.log(2 * jnp.pi)
    return -jnp.mean(scores * jnp.sum(log_density, axis=1)), {}


def evolution_ranked_loss(
    samples: Float[Array, "N D"],
    mean: Float[Array, " D"],
    scores: Float[Array, " N"],
    *,
    std: ScalarLike,
) -> Loss:
    """`evolution_loss` of `centred_ranks(scores)`: outliers weigh no more than others.

    Source: S3, evolutionary methods, with the usual shaping of scores.
    Target: the smoothed J, in direction at best; biased, as ranks forget the scale of
    the scores and depend on the batch.
    Needs: returns only.
    Identities: an increasing transformation of the scores changes nothing.
    Args and returns: as `evolution_loss`.
    """
    return evolution_loss(samples, mean, centred_ranks(scores), std=std)


def centred_ranks(scores: Float[Array, " N"]) -> Float[Array, " N"]:
    """Ranks, from −1/2 for the lowest to 1/2 for the highest; ties share their mean.

    Identities: sums to 0; a single score, or none that differ, gives 0.
    Args: `scores` without NaN.
    """
    ordered = jnp.sort(scores)
    below = jnp.searchsorted(ordered, scores, side="left")
    upto = jnp.searchsorted(ordered, scores, side="right")
    # Twice the distance of the mean rank from the middle: exact, also for ties.
    doubled = (below + upto - scores.shape[0]).astype(scores.dtype)
    return doubled / (2 * max(scores.shape[0] - 1, 1))


def antithetic_normal(key: Key, n: int, d: int) -> Float[Array, "n d"]:
    """Standard normals in opposite pairs: row i + n/2 is minus row i.

    Each row alone is standard normal; the rows of a pair are dependent.

    Source: S3, evolutionary methods; antithetic pairs are ours.
    Raises: ConfigError when n is odd (so for a single row) or below 2.
    """
    if n < 2 or n % 2:
        raise ConfigError(
            f"{n} antithetic samples were asked for; they come in opposite pairs, so "
            "choose an even number of at least 2, or draw independent ones with "
            "jax.random.normal."
        )
    half = jax.random.normal(key, (n // 2, d))
    return jnp.concatenate([half, -half])
