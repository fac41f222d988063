"""Policies: networks (or tables) that give a distribution over actions."""

from reins.policies.adapted import Adapted, AdaptedPolicy, distribution_policy
from reins.policies.beta import Beta, BetaPolicy, beta_policy
from reins.policies.branches import Branches
from reins.policies.categorical import (
    Categorical,
    CategoricalPolicy,
    categorical_policy,
)
from reins.policies.gaussian import Gaussian, GaussianPolicy, gaussian_policy
from reins.policies.host import action_noise, has_host_act, host_act
from reins.policies.hybrid import Hybrid, HybridPolicy, hybrid_policy
from reins.policies.mixture import Mixture, MixturePolicy, mixture_policy
from reins.policies.mode import ModePolicy, mode_policy
from reins.policies.normalised import NormalisedPolicy
from reins.policies.policy import Distribution, Policy, PolicyInit, Scale, policy_for
from reins.policies.soft import SoftKind, soft_policy_for
from reins.policies.squashed import (
    SquashedGaussian,
    SquashedGaussianPolicy,
    squashed_gaussian_policy,
)
from reins.policies.tabular import TabularPolicy, tabular_policy
from reins.policies.trunk import at_trunk, trunk_width
from reins.policies.units import Units

__all__ = [
    "Adapted",
    "AdaptedPolicy",
    "Beta",
    "BetaPolicy",
    "Branches",
    "Categorical",
    "CategoricalPolicy",
    "Distribution",
    "Gaussian",
    "GaussianPolicy",
    "Hybrid",
    "HybridPolicy",
    "Mixture",
    "MixturePolicy",
    "ModePolicy",
    "NormalisedPolicy",
    "Policy",
    "PolicyInit",
    "Scale",
    "SoftKind",
    "SquashedGaussian",
    "SquashedGaussianPolicy",
    "TabularPolicy",
    "Units",
    "action_noise",
    "at_trunk",
    "beta_policy",
    "categorical_policy",
    "distribution_policy",
    "gaussian_policy",
    "has_host_act",
    "host_act",
    "hybrid_policy",
    "mixture_policy",
    "mode_policy",
    "policy_for",
    "soft_policy_for",
    "squashed_gaussian_policy",
    "tabular_policy",
    "trunk_width",
]
