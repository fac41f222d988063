"""What is true: exact answers on finite MDPs, against which all else is tested."""

from reins.tabular.constraints import (
    expected_visits,
    kl_new_old,
    kl_old_new,
    log_likelihood,
    log_likelihood_gradient,
    log_partition,
    model_log_probs,
    visit_counts,
)
from reins.tabular.gradient import (
    advantage_gradient,
    enumerated_return,
    policy_gradient,
    step_log_probs,
    trajectory_log_probs,
)
from reins.tabular.mdp import (
    AllTrajectories,
    TabularMDP,
    enumerate_trajectories,
    random_mdp,
    tabular_mdp,
)
from reins.tabular.values import (
    action_values,
    advantages,
    expected_cost,
    expected_return,
    occupancies,
    performance_difference,
    state_values,
    surrogate_value,
)

__all__ = [
    "AllTrajectories",
    "TabularMDP",
    "action_values",
    "advantage_gradient",
    "advantages",
    "enumerate_trajectories",
    "enumerated_return",
    "expected_cost",
    "expected_return",
    "expected_visits",
    "kl_new_old",
    "kl_old_new",
    "log_likelihood",
    "log_likelihood_gradient",
    "log_partition",
    "model_log_probs",
    "occupancies",
    "performance_difference",
    "policy_gradient",
    "random_mdp",
    "state_values",
    "step_log_probs",
    "surrogate_value",
    "tabular_mdp",
    "trajectory_log_probs",
    "visit_counts",
]
