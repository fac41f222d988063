"""Gradient estimators: arrays to a loss whose negative gradient is the estimate."""

from reins.estimators.estimator import ESTIMATORS, Estimator
from reins.estimators.score_function import (
    entropy_bonus_loss,
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from reins.estimators.surrogate import clipped_surrogate_loss, surrogate_loss

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "clipped_surrogate_loss",
    "entropy_bonus_loss",
    "score_advantage_loss",
    "score_reward_to_go_loss",
    "score_total_return_loss",
    "surrogate_loss",
]
