"""Statistics over seeds: interquartile mean, probability of improvement, smoothing."""

from collections.abc import Sequence
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


def probability_of_improvement(
    tasks: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """How probably a run of X ends above one of Y, with a percentile interval.

    P = mean over tasks of (1/nm) Σ_i Σ_j 1[x_i > y_j] + ½ 1[x_i = y_j]

    On one task nm P is the statistic U of Mann and Whitney. For the interval the seeds
    of X and of Y are drawn with replacement within each task, by a generator of fixed
    seed. Where all of one are above all of the other, it has no width: that is what
    the bootstrap has to say, and with few seeds it is too sure.

    Source: Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice".
    Identities: P(X > Y) + P(Y > X) = 1; an increasing map of a task changes nothing.

    Args:
      tasks: for each of them one number per seed of X, and of Y.
      confidence: probability that the interval is meant to cover.
      resamples: bootstrap draws.
    """
    generator = np.random.default_rng(0)
    draws = np.zeros((len(tasks), resamples))
    values = np.zeros(len(tasks))
    for task, (x, y) in enumerate(tasks):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        above = 0.5 * (np.sign(x[:, None] - y[None, :]) + 1.0)
        values[task] = above.mean()
        i = generator.integers(len(x), size=(resamples, len(x)))
        j = generator.integers(len(y), size=(resamples, len(y)))
        draws[task] = above[i[:, :, None], j[:, None, :]].mean(axis=(1, 2))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(draws.mean(axis=0), [tail, 100 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def exponential_average(values: np.ndarray, weight: float) -> np.ndarray:
    """Smoothed along the first axis: m_0 = x_0, m_t = w m_{t−1} + (1 − w) x_t.

    It lags behind what it smooths, by w / (1 − w) points where that is a line.

    Args:
      weight: w, of what was before, in [0, 1).
    """
    smooth = np.array(values, np.float64)
    for t in range(1, len(smooth)):
        smooth[t] = weight * smooth[t - 1] + (1 - weight) * smooth[t]
    return smooth
