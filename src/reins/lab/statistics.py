"""Statistics of a set of vector estimates against the truth, with intervals."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Z = 1.959963984540054  # 97.5 % of a standard normal
_EPSILON = 1e-5  # relative; sums of float32 carry that much


class Interval(NamedTuple):
    """An estimate and its 95 % interval."""

    value: float
    low: float
    high: float


class Statistics(NamedTuple):
    """Of R estimates ĝ_r of a vector g.

    Attributes:
      bias_norm: ‖E[ĝ] − g‖, debiased: the square of the mean's error is above the
        square of the bias by tr Σ / R, which is taken off.
      trace_covariance: tr Σ, the variance summed over coordinates.
      mse: E‖ĝ − g‖².
      cosine: mean cosine between one estimate and g; 0 for an estimate of 0.
      bias_score: how many standard deviations ‖mean − g‖² is above what no bias at all
        would give; noise has mean 0 and deviation 1, with a tail to the right.
    """

    bias_norm: Interval
    trace_covariance: Interval
    mse: Interval
    cosine: Interval
    bias_score: float


def statistics(
    estimates: Float[np.ndarray, "R D"], exact: Float[np.ndarray, " D"]
) -> Statistics:
    """What R independent estimates say of bias, variance, error and direction.

    ‖b‖² is estimated by the mean of (ĝ_r − g)·(ĝ_s − g) over all pairs r ≠ s, which is
    without bias; its variance is 4 bᵀΣb/R + 2 tr(Σ²)/R². Other intervals are those of a
    mean of R numbers.
    """
    r = len(estimates)
    errors = estimates - exact
    bias = errors.mean(axis=0)
    centred = errors - bias
    covariance = centred.T @ centred / (r - 1)
    trace, squares = np.trace(covariance), np.sum(np.square(covariance))
    square = float(bias @ bias - trace / r)
    # Estimates without noise still carry the rounding of float32.
    rounding = (_EPSILON * (np.linalg.norm(exact) + np.linalg.norm(bias))) ** 2
    null = max(float(np.sqrt(2.0 * squares)) / r, rounding)
    along = max(0.0, float(bias @ covariance @ bias) - squares / r)
    spread = float(np.sqrt(4.0 * along / r + null**2))
    roots = [float(np.sqrt(max(0.0, square + z * spread))) for z in (0.0, -Z, Z)]
    deviations = np.sum(np.square(centred), axis=1) * (r / (r - 1))
    return Statistics(
        bias_norm=Interval(*roots),
        trace_covariance=_mean(deviations),
        mse=_mean(np.sum(np.square(errors), axis=1)),
        cosine=_mean(_cosines(estimates, exact)),
        bias_score=float(square / null) if null > 0 else 0.0,
    )


def _mean(values: Float[np.ndarray, " R"]) -> Interval:
    mean = float(np.mean(values))
    error = Z * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return Interval(mean, mean - error, mean + error)


def _cosines(
    estimates: Float[np.ndarray, "R D"], exact: Float[np.ndarray, " D"]
) -> Float[np.ndarray, " R"]:
    lengths = np.linalg.norm(estimates, axis=1) * np.linalg.norm(exact)
    return estimates @ exact / np.where(lengths > 0, lengths, 1.0)
