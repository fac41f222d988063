"""Data: rollouts of environments of either kind, and demonstrations."""

from reins.data.demonstrations import Demonstrations, check_fit
from reins.data.host_rollout import (
    FaultyEnvError,
    Finished,
    HostAct,
    Standing,
    host_rollout,
    run_host_episodes,
    start_host_rollout,
    total_host_episodes,
)
from reins.data.normalise import (
    Moments,
    RewardScale,
    init_moments,
    init_reward_scale,
    scale_rewards,
    update_moments,
    update_reward_scale,
)
from reins.data.quality import findings
from reins.data.replay import (
    ReplayBuffer,
    Transitions,
    add_to_replay,
    init_replay,
    replay_bytes,
    sample_replay,
)
from reins.data.rollout import (
    Episodes,
    RolloutState,
    Totals,
    rollout,
    run_episodes,
    split_episodes,
    start_rollout,
    whole_episodes,
)

__all__ = [
    "Demonstrations",
    "Episodes",
    "FaultyEnvError",
    "Finished",
    "HostAct",
    "Moments",
    "ReplayBuffer",
    "RewardScale",
    "RolloutState",
    "Standing",
    "Totals",
    "Transitions",
    "add_to_replay",
    "check_fit",
    "findings",
    "host_rollout",
    "init_moments",
    "init_replay",
    "init_reward_scale",
    "replay_bytes",
    "rollout",
    "run_episodes",
    "run_host_episodes",
    "sample_replay",
    "scale_rewards",
    "split_episodes",
    "start_host_rollout",
    "start_rollout",
    "total_host_episodes",
    "update_moments",
    "update_reward_scale",
    "whole_episodes",
]
