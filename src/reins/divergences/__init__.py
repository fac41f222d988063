"""Divergences between distributions, and their curvature."""

from reins.divergences.fisher import (
    fisher_matrix,
    fisher_vector_product,
    hessian_vector_product,
    second_order_kl,
)
from reins.divergences.kl import (
    categorical_kl,
    gaussian_kl,
    gaussian_kl_full,
    kl_new_old_from_ratios,
    kl_old_new_from_ratios,
    sampled_kl,
    sampled_kl_positive,
    total_variation,
)

__all__ = [
    "categorical_kl",
    "fisher_matrix",
    "fisher_vector_product",
    "gaussian_kl",
    "gaussian_kl_full",
    "hessian_vector_product",
    "kl_new_old_from_ratios",
    "kl_old_new_from_ratios",
    "sampled_kl",
    "sampled_kl_positive",
    "second_order_kl",
    "total_variation",
]
