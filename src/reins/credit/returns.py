"""Returns of whole episodes, one per row (N episodes padded to T steps)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def total_returns(
    rewards: Float[Array, "N T"], mask: Bool[Array, "N T"], *, discount: float = 1.0
) -> Float[Array, " N"]:
    """R(τ) = Σ_t γ^t r_t over the valid steps.

    Source: S3, the objective.
    """
    discounts = discount ** jnp.arange(rewards.shape[1])
    return jnp.sum(jnp.where(mask, rewards * discounts, 0.0), axis=1)


def returns_to_go(
    rewards: Float[Array, "N T"], mask: Bool[Array, "N T"], *, discount: float = 1.0
) -> Float[Array, "N T"]:
    """G_t = r_t + γ G_{t+1} = Σ_{k≥t} γ^{k−t} r_k, zero after the episode's end.

    Source: S3, causality ("reward to go").
    Identities: G_0 is the total return; γ = 0 gives r_t.
    """

    def step(following, inputs):
        reward, valid = inputs
        current = jnp.where(valid, reward + discount * following, 0.0)
        return current, current

    start = jnp.zeros(rewards.shape[0], rewards.dtype)
    _, result = jax.lax.scan(step, start, (rewards.T, mask.T), reverse=True)
    return result.T
