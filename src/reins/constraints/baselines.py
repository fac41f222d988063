"""What constraint learning is compared with: telling expert from nominal."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def classifier_loss(
    expert_logits: Float[Array, "N T"],
    expert_mask: Bool[Array, "N T"],
    nominal_logits: Float[Array, "M H"],
    nominal_mask: Bool[Array, "M H"],
) -> Float[Array, ""]:
    """Cross-entropy: −mean_expert log ζ − mean_nominal log(1 − ζ).

    The binary-classifier baseline's constraint and GAIL's discriminator.

    Source: S2, baselines.
    Identities: at ζ = 1/2 everywhere it is 2 log 2.

    Args:
      expert_logits, nominal_logits: log ζ/(1 − ζ) of each step, differentiable.
      expert_mask, nominal_mask: valid steps.
    """

    def mean(values: Array, mask: Array) -> Array:
        return jnp.sum(jnp.where(mask, values, 0.0)) / jnp.maximum(jnp.sum(mask), 1)

    return -(
        mean(jax.nn.log_sigmoid(expert_logits), expert_mask)
        + mean(jax.nn.log_sigmoid(-nominal_logits), nominal_mask)
    )
