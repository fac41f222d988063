"""Gradient estimators: arrays to a loss whose negative gradient is the estimate."""

from reins.estimators.estimator import (
    ESTIMATORS,
    Estimator,
    Unbiased,
)
from reins.estimators.evolution import (
    antithetic_normal,
    centred_ranks,
    evolution_loss,
    evolution_ranked_loss,
)
from reins.estimators.forward_kl import (
    forward_kl_exact_loss,
    forward_kl_marginal_loss,
    forward_kl_trajectory_loss,
)
from reins.estimators.off_policy import (
    past_ratios_loss,
    per_decision_loss,
    per_step_ratio_loss,
    trajectory_ratio_loss,
)
from reins.estimators.reverse_kl import (
    reverse_kl_exact_loss,
    reverse_kl_pathwise_loss,
    reverse_kl_score_loss,
    reverse_kl_trajectory_loss,
)
from reins.estimators.score_function import (
    entropy_bonus_loss,
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from reins.estimators.surrogate import (
    clipped_surrogate_loss,
    surrogate_loss,
)

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "Unbiased",
    "antithetic_normal",
    "centred_ranks",
    "clipped_surrogate_loss",
    "entropy_bonus_loss",
    "evolution_loss",
    "evolution_ranked_loss",
    "forward_kl_exact_loss",
    "forward_kl_marginal_loss",
    "forward_kl_trajectory_loss",
    "past_ratios_loss",
    "per_decision_loss",
    "per_step_ratio_loss",
    "reverse_kl_exact_loss",
    "reverse_kl_pathwise_loss",
    "reverse_kl_score_loss",
    "reverse_kl_trajectory_loss",
    "score_advantage_loss",
    "score_reward_to_go_loss",
    "score_total_return_loss",
    "surrogate_loss",
    "trajectory_ratio_loss",
]
