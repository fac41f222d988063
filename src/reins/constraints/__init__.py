"""Learned constraints: a soft indicator of what is allowed, and how it is learned."""

from reins.constraints.baselines import classifier_loss
from reins.constraints.indicator import (
    Constraint,
    InputSpec,
    chosen_inputs,
    constraint_network,
)
from reins.constraints.likelihood import (
    WEIGHTINGS,
    constraint_likelihood_loss,
    regulariser_loss,
    sampled_likelihood_loss,
    step_weights,
)
from reins.constraints.stopping import StopRule, stop_quantities

__all__ = [
    "WEIGHTINGS",
    "Constraint",
    "InputSpec",
    "StopRule",
    "chosen_inputs",
    "classifier_loss",
    "constraint_likelihood_loss",
    "constraint_network",
    "regulariser_loss",
    "sampled_likelihood_loss",
    "step_weights",
    "stop_quantities",
]
