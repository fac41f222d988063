"""What a soft critic is fitted to."""

from jaxtyping import Array, Bool, Float, ScalarLike


def soft_td_targets(
    rewards: Float[Array, " N"],
    next_q_values: Float[Array, " N"],
    next_log_ratios: Float[Array, " N"],
    terminated: Bool[Array, " N"],
    *,
    discount: float,
    temperature: ScalarLike,
) -> Float[Array, " N"]:
    """y = r + γ (1 − terminated) (Q̄ − α log(π/π₀))(s', a').

    The log-ratio is that of the *next* step: the soft Q leaves out its own. With α = 0
    it is the target of the classic Q, which knows no entropy.

    Source: S1 (4), with the log-ratio where it belongs (correction 9).
    Identities: α = 0 gives r + γ Q̄(s', a'); a terminated step gives r.

    Args:
      rewards: r, in units of reward.
      next_q_values: Q̄(s', a'), a' drawn from π at s'; or its mean over all a'.
      next_log_ratios: log π(a'|s') − log π₀(a'|s') in nats; or its mean, KL(π ‖ π₀).
      terminated: whether no reward follows; a time limit is none of this.
      discount: γ in [0, 1]. temperature: α ≥ 0, units of reward per nat.
    """
    continues = 1.0 - terminated.astype(rewards.dtype)
    values = next_q_values - temperature * next_log_ratios
    return rewards + discount * continues * values
