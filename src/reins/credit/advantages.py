"""Advantages from a critic, on rows that may hold several episodes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def td_errors(
    rewards: Float[Array, "N T"],
    values: Float[Array, "N T"],
    next_values: Float[Array, "N T"],
    terminated: Bool[Array, "N T"],
    *,
    discount: float,
) -> Float[Array, "N T"]:
    """δ_t = r_t + γ (1 − terminated_t) V(s_{t+1}) − V(s_t).

    A truncated step keeps its bootstrap: `next_values` is the value of the observation
    before the reset.

    Source: S3, actor-critic.
    """
    continues = 1.0 - terminated.astype(values.dtype)
    return rewards + discount * continues * next_values - values


def gae_advantages(
    rewards: Float[Array, "N T"],
    values: Float[Array, "N T"],
    next_values: Float[Array, "N T"],
    terminated: Bool[Array, "N T"],
    ends: Bool[Array, "N T"],
    *,
    discount: float,
    gae_lambda: float,
) -> Float[Array, "N T"]:
    """A_t = δ_t + γ λ (1 − end_t) A_{t+1}: exponentially weighted n-step advantages.

    The sum stops at every end of an episode, terminated or truncated; the bootstrap
    inside δ stops at terminations only.

    Source: S3, n-step returns.
    Identities: λ = 0 gives δ_t; λ = 1 gives Σ_k γ^{k−t} r_k (+ bootstrap) − V(s_t).

    Args:
      rewards: r_t. values: V(s_t). next_values: V(s_{t+1}), before any reset.
      terminated, ends: see `Trajectory`; `ends` = terminated or truncated. A padded
        row has an end at its last valid step.
      discount: γ in [0, 1]. gae_lambda: λ in [0, 1].
    """
    deltas = td_errors(rewards, values, next_values, terminated, discount=discount)
    decay = discount * gae_lambda * (1.0 - ends.astype(values.dtype))

    def step(following, inputs):
        delta, factor = inputs
        current = delta + factor * following
        return current, current

    start = jnp.zeros(rewards.shape[0], values.dtype)
    _, result = jax.lax.scan(step, start, (deltas.T, decay.T), reverse=True)
    return result.T
