"""Statistics over seeds: interquartile mean with a bootstrap interval."""

from typing import Any

import numpy as np

from reins.lab.statistics import Interval


def interquartile_mean(values: np.ndarray, axis: int = -1) -> Any:
    """Mean of the values between the first and third quartile.

    A quarter of the values, rounded down, is cut from each end (with 5 seeds: one from
    each), as `scipy.stats.trim_mean(values, 0.25)`.

    Source: Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice".
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=axis)
    n = ordered.shape[axis]
    cut = n // 4
    return np.mean(np.take(ordered, range(cut, n - cut), axis=axis), axis=axis)


def bootstrap_interval(
    values: np.ndarray, *, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Interquartile mean over seeds, with a percentile bootstrap interval.

    Seeds are drawn with replacement by a generator of fixed seed: the same values give
    the same interval.

    Args:
      values: one number per seed.
      confidence: probability that the interval is meant to cover.
      resamples: bootstrap draws.
    """
    values = np.asarray(values, np.float64)
    generator = np.random.default_rng(0)
    draws = generator.integers(len(values), size=(resamples, len(values)))
    means = interquartile_mean(values[draws])
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(interquartile_mean(values)), float(low), float(high))
