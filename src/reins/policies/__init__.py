"""Policies: networks (or tables) that give a distribution over actions."""

from reins.policies.categorical import (
    Categorical,
    CategoricalPolicy,
    categorical_policy,
)
from reins.policies.gaussian import Gaussian, GaussianPolicy, gaussian_policy
from reins.policies.policy import Distribution, Policy, PolicyInit, policy_for
from reins.policies.tabular import TabularPolicy, tabular_policy

__all__ = [
    "Categorical",
    "CategoricalPolicy",
    "Distribution",
    "Gaussian",
    "GaussianPolicy",
    "Policy",
    "PolicyInit",
    "TabularPolicy",
    "categorical_policy",
    "gaussian_policy",
    "policy_for",
    "tabular_policy",
]
