"""The record of every estimator: what it needs, what it estimates, if without bias."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from reins.estimators.score_function import (
    entropy_bonus_loss,
    score_advantage_loss,
    score_reward_to_go_loss,
    score_total_return_loss,
)
from reins.estimators.surrogate import clipped_surrogate_loss, surrogate_loss


class Estimator(NamedTuple):
    """A gradient estimator and what is claimed of it.

    Attributes:
      loss: arrays -> (scalar loss, info); its negative gradient is the estimate.
      needs: what it asks of a policy, out of what `Policy.gives` can name.
      source: where the equation is.
      target: the gradient of what.
      unbiased: a claim that a test proves.
    """

    loss: Callable
    needs: frozenset[str]
    source: str
    target: str
    unbiased: Literal["yes", "with an exact critic", "no"]


_LOG_PROB = frozenset({"log_prob"})

ESTIMATORS: dict[str, Estimator] = {
    "score_total_return": Estimator(
        score_total_return_loss, _LOG_PROB, "S3, REINFORCE", "J", "yes"
    ),
    "score_reward_to_go": Estimator(
        score_reward_to_go_loss, _LOG_PROB, "S3, causality", "J", "yes"
    ),
    "score_advantage": Estimator(
        score_advantage_loss, _LOG_PROB, "S3; S4 (22)", "J", "with an exact critic"
    ),
    "entropy_bonus": Estimator(
        entropy_bonus_loss,
        frozenset({"entropy"}),
        "S3 (A3C)",
        "not a gradient of the max-entropy objective",
        "no",
    ),
    "surrogate": Estimator(
        surrogate_loss, _LOG_PROB, "S4 (58)", "surrogate", "with an exact critic"
    ),
    "clipped_surrogate": Estimator(
        clipped_surrogate_loss, _LOG_PROB, "S4 (PPO)", "surrogate", "no"
    ),
}
