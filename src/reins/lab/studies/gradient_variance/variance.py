"""Variance and mean of estimates over batches, and how sure one can be of them.

Every number is an array: as measured, and then as measured in each resampling of the
batches. All estimates are resampled alike, so that a ratio of two is one of pairs.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from reins.lab.studies.gradient_variance.estimates import CREDITS, SCORE, Name

HINDSIGHT = "best constant"
"""The constant of least variance, known only after all batches have been seen."""
RESAMPLES = 1000
Draws = Float[np.ndarray, " C"]
Estimates = Mapping[Name, Float[np.ndarray, "B D"]]
Counts = Float[np.ndarray, "C B"]


def variances(estimates: Estimates, counts: Counts) -> dict[Name, Draws]:
    """tr Cov ĝ of every baseline, and of the best constant in hindsight.

    A fixed constant b takes b ŝ off, ŝ the estimate whose weights are 1; the best is
    b = tr Cov(ĝ, ŝ)/tr Cov ŝ, and lowers the variance by tr Cov(ĝ, ŝ)²/tr Cov ŝ.

    Source: S3, variance; "minimise variance" of a constant baseline.
    """
    score = estimates[SCORE]
    found = {
        name: trace_covariances(x, x, counts)
        for name, x in estimates.items()
        if name != SCORE
    }
    spread = trace_covariances(score, score, counts)
    for credit in CREDITS:
        shared = trace_covariances(estimates[credit, "none"], score, counts)
        found[credit, HINDSIGHT] = found[credit, "none"] - shared**2 / spread
    return found


def signals(estimates: Estimates, counts: Counts) -> dict[Name, Draws]:
    """‖E ĝ‖² of every baseline, which none of them moves."""
    return {
        name: squared_means(x, counts) for name, x in estimates.items() if name != SCORE
    }


def resampling(batches: int, resamples: int = RESAMPLES) -> Counts:
    """How often each batch counts: once, in the first row; drawn at random, below."""
    generator = np.random.default_rng(0)
    shares = np.full(batches, 1 / batches)
    drawn = generator.multinomial(batches, shares, size=resamples)
    return np.concatenate([np.ones((1, batches)), drawn])


def trace_covariances(
    first: Float[np.ndarray, "B D"], second: Float[np.ndarray, "B D"], counts: Counts
) -> Draws:
    """tr Cov(x, y) = Σ_b x̃_b·ỹ_b / (B − 1), x̃ and ỹ less their means, for each count.

    Source: S3, variance.
    """
    b = first.shape[0]
    products = first @ second.T
    means = np.sum((counts @ products) * counts, axis=1) / b**2
    return (counts @ np.diag(products) / b - means) * b / (b - 1)


def squared_means(estimates: Float[np.ndarray, "B D"], counts: Counts) -> Draws:
    """‖E ĝ‖² without the part of noise: the mean of ĝ_a·ĝ_b over pairs of batches."""
    products = estimates @ estimates.T
    alike = np.square(counts) @ np.diag(products)
    pairs = np.sum((counts @ products) * counts, axis=1) - alike
    return pairs / (np.sum(counts, axis=1) ** 2 - np.sum(np.square(counts), axis=1))
