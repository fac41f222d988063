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


def corrected_returns_to_go(
    log_ratios: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Float[Array, "N T"]:
    """G_t = r_t + γ ρ_{t+1} G_{t+1} = Σ_{k≥t} γ^{k−t} r_k Π_{t<j≤k} ρ_j.

    Each reward is weighed by the ratios of the decisions after t that led to it.

    Source: S4 (35), the inner sum.
    Identities: ratios of 1 give `returns_to_go`; times ρ_t it is V-trace's target with
    V = 0 and nothing clipped.

    Args:
      log_ratios: log π − log β in nats.
      rewards: in units of reward. mask: valid steps. discount: γ in [0, 1].
    """
    log_ratios = jnp.where(mask, log_ratios, 0.0)

    def step(following, inputs):
        log_ratio, reward, valid = inputs
        current = jnp.where(valid, reward + discount * following, 0.0)
        return jnp.exp(log_ratio) * current, current

    start = jnp.zeros(rewards.shape[0], rewards.dtype)
    columns = (log_ratios.T, rewards.T, mask.T)
    _, result = jax.lax.scan(step, start, columns, reverse=True)
    return result.T
