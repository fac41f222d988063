"""Credit: what each action is held responsible for."""

from reins.credit.advantages import gae_advantages, td_errors
from reins.credit.baselines import (
    constant_baseline,
    leave_one_out_mean,
    optimal_constant_baseline,
    time_baseline,
)
from reins.credit.returns import (
    corrected_returns_to_go,
    returns_to_go,
    total_returns,
)
from reins.credit.soft_targets import soft_td_targets

__all__ = [
    "constant_baseline",
    "corrected_returns_to_go",
    "gae_advantages",
    "leave_one_out_mean",
    "optimal_constant_baseline",
    "returns_to_go",
    "soft_td_targets",
    "td_errors",
    "time_baseline",
    "total_returns",
]
