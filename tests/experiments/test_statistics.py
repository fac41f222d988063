import numpy as np
import pytest
from scipy import stats

from reins.experiments.statistics import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_the_trimmed_mean(n):
    values = np.random.default_rng(n).exponential(size=(3, n))
    expected = stats.trim_mean(values, 0.25, axis=1)
    np.testing.assert_allclose(interquartile_mean(values), expected)


def test_five_seeds_lose_the_best_and_the_worst():
    assert interquartile_mean(np.asarray([100.0, 1.0, 2.0, 3.0, -100.0])) == 2.0


def test_the_interval_holds_the_value_and_does_not_change():
    values = np.asarray([1.0, 2.0, 4.0, 8.0, 16.0])
    first, second = bootstrap_interval(values), bootstrap_interval(values)
    assert first == second
    assert first.low < first.value < first.high
    assert first.low >= 1.0
    assert first.high <= 16.0


def test_equal_values_have_no_width():
    assert bootstrap_interval(np.full(5, 3.0)) == (3.0, 3.0, 3.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(generator.normal(size=20), resamples=300)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.85 < covered / 200 < 0.99
