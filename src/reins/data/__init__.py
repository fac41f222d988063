"""Data: rollouts of compiled environments, and demonstrations."""

from reins.data.demonstrations import Demonstrations, check_fit
from reins.data.rollout import (
    Episodes,
    RolloutState,
    rollout,
    run_episodes,
    split_episodes,
    start_rollout,
    whole_episodes,
)

__all__ = [
    "Demonstrations",
    "Episodes",
    "RolloutState",
    "check_fit",
    "rollout",
    "run_episodes",
    "split_episodes",
    "start_rollout",
    "whole_episodes",
]
