"""Policies: networks (or tables) that give a distribution over actions."""

from reins.policies.categorical import (
    Categorical,
    CategoricalPolicy,
    categorical_policy,
)
from reins.policies.gaussian import Gaussian, GaussianPolicy, gaussian_policy
from reins.policies.host import action_noise, has_host_act, host_act
from reins.policies.normalised import NormalisedPolicy
from reins.policies.policy import Distribution, Policy, PolicyInit, Scale, policy_for
from reins.policies.tabular import TabularPolicy, tabular_policy
from reins.policies.trunk import at_trunk, trunk_width

__all__ = [
    "Categorical",
    "CategoricalPolicy",
    "Distribution",
    "Gaussian",
    "GaussianPolicy",
    "NormalisedPolicy",
    "Policy",
    "PolicyInit",
    "Scale",
    "TabularPolicy",
    "action_noise",
    "at_trunk",
    "categorical_policy",
    "gaussian_policy",
    "has_host_act",
    "host_act",
    "policy_for",
    "tabular_policy",
    "trunk_width",
]
