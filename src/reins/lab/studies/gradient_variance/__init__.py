"""What REINFORCE's baselines do for the variance of its gradient, on a real task."""

from reins.lab.studies.gradient_variance.study import (
    GradientVarianceConfig,
    gradient_variance_study,
)

__all__ = ["GradientVarianceConfig", "gradient_variance_study"]
