"""The record of every estimator: what it needs, what it estimates, if without bias."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from reins.estimators.evolution import evolution_loss, evolution_ranked_loss
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
from reins.estimators.surrogate import clipped_surrogate_loss, surrogate_loss

Unbiased = Literal["yes", "with an exact critic", "no"]


class Estimator(NamedTuple):
    """A gradient estimator and what is claimed of it.

    Attributes:
      loss: arrays -> (scalar loss, info); its negative gradient is the estimate.
      needs: what it asks of a policy, out of what `Policy.gives` can name; nothing at
        all where the policy is only run.
      source: where the equation is.
      target: the objective whose gradient is estimated, to be ascended.
      unbiased: a claim that a test proves.
    """

    loss: Callable
    needs: frozenset[str]
    source: str
    target: str
    unbiased: Unbiased


_LOG_PROB = frozenset({"log_prob"})
_ENUMERABLE = frozenset({"enumerable"})
_CRITIC: Unbiased = "with an exact critic"
_REVERSE = "−α KL(q ‖ p(.|O))"
_FORWARD = "−KL(p(.|O) ‖ q)"
_BOLTZMANN = "−KL(Boltzmann(Q) ‖ π)"

ESTIMATORS: dict[str, Estimator] = {
    "score_total_return": Estimator(
        score_total_return_loss, _LOG_PROB, "S3, REINFORCE", "J", "yes"
    ),
    "score_reward_to_go": Estimator(
        score_reward_to_go_loss, _LOG_PROB, "S3, causality", "J", "yes"
    ),
    "score_advantage": Estimator(
        score_advantage_loss, _LOG_PROB, "S3; S4 (22)", "J", _CRITIC
    ),
    "entropy_bonus": Estimator(
        entropy_bonus_loss, frozenset({"entropy"}), "S3 (A3C)", "E[Σ H]", "no"
    ),
    "evolution": Estimator(
        evolution_loss, frozenset(), "S3, evolutionary methods", "smoothed J", "yes"
    ),
    "evolution_ranked": Estimator(
        evolution_ranked_loss,
        frozenset(),
        "S3, evolutionary methods",
        "smoothed J",
        "no",
    ),
    "trajectory_ratio": Estimator(
        trajectory_ratio_loss, _LOG_PROB, "S4 (34)", "J", "yes"
    ),
    "per_decision": Estimator(per_decision_loss, _LOG_PROB, "S4 (35)", "J", "yes"),
    "past_ratios": Estimator(past_ratios_loss, _LOG_PROB, "S3, off-policy", "J", "no"),
    "per_step_ratio": Estimator(
        per_step_ratio_loss, _LOG_PROB, "S3, approximate off-policy", "J", "no"
    ),
    "surrogate": Estimator(surrogate_loss, _LOG_PROB, "S4 (58)", "surrogate", _CRITIC),
    "clipped_surrogate": Estimator(
        clipped_surrogate_loss, _LOG_PROB, "S4 (PPO)", "surrogate", "no"
    ),
    "reverse_kl_trajectory": Estimator(
        reverse_kl_trajectory_loss, _LOG_PROB, "S1 3.0.1", _REVERSE, "yes"
    ),
    "reverse_kl_score": Estimator(
        reverse_kl_score_loss, _LOG_PROB, "S1 3.0.2", _REVERSE, _CRITIC
    ),
    "reverse_kl_pathwise": Estimator(
        reverse_kl_pathwise_loss,
        frozenset({"log_prob", "reparameterised"}),
        "S1 (5)",
        _REVERSE,
        _CRITIC,
    ),
    "reverse_kl_exact": Estimator(
        reverse_kl_exact_loss, _ENUMERABLE, "S1 (5)", _REVERSE, _CRITIC
    ),
    "forward_kl_trajectory": Estimator(
        forward_kl_trajectory_loss, _LOG_PROB, "S1 (8), (9)", _FORWARD, "no"
    ),
    "forward_kl_marginal": Estimator(
        forward_kl_marginal_loss, _LOG_PROB, "S1 4.0.3", _BOLTZMANN, "no"
    ),
    "forward_kl_exact": Estimator(
        forward_kl_exact_loss, _ENUMERABLE, "S1 4.0.3", _BOLTZMANN, _CRITIC
    ),
}
