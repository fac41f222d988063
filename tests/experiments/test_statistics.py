import numpy as np
import pytest
from scipy import stats

from reins.experiments.statistics import (
    bootstrap_interval,
    exponential_average,
    interquartile_mean,
    probability_of_improvement,
)


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


def by_loops(x, y):
    """P(X > Y), pair by pair."""
    total = 0.0
    for a in x:
        for b in y:
            total += 1.0 if a > b else 0.5 if a == b else 0.0
    return total / (len(x) * len(y))


def some(seed, n, m):
    """Two samples with ties between them."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 9, n) + 1.0, generator.integers(0, 9, m) + 0.0


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (5, 5), (10, 3)])
def test_probability_of_improvement_is_the_statistic_of_mann_and_whitney(n, m):
    x, y = some(n + m, n, m)
    found = probability_of_improvement([(x, y)]).value
    assert found == pytest.approx(by_loops(x, y), abs=1e-12)
    u = stats.mannwhitneyu(x, y).statistic
    assert found == pytest.approx(u / (n * m), abs=1e-12)


def test_over_tasks_it_is_the_mean_however_many_seeds_each_has():
    tasks = [some(0, 4, 7), some(1, 9, 2), some(2, 3, 3)]
    found = probability_of_improvement(tasks)
    assert found.value == pytest.approx(np.mean([by_loops(*task) for task in tasks]))
    assert found.low < found.value < found.high


def test_one_way_and_the_other_add_up_and_units_do_not_count():
    x, y = some(3, 6, 5)
    there = probability_of_improvement([(x, y)]).value
    assert there + probability_of_improvement([(y, x)]).value == pytest.approx(1.0)
    mapped = probability_of_improvement([(np.exp(x), np.exp(y))])
    assert mapped == probability_of_improvement([(x, y)])


def test_what_is_always_better_is_certain_and_what_is_equal_is_even():
    x = np.asarray([1.0, 2.0, 3.0])
    assert probability_of_improvement([(x + 3, x)]) == (1.0, 1.0, 1.0)
    assert probability_of_improvement([(x, x + 3)]) == (0.0, 0.0, 0.0)
    assert probability_of_improvement([(np.ones(4), np.ones(3))]) == (0.5, 0.5, 0.5)


def test_its_interval_is_that_of_seeds_drawn_within_each_task():
    tasks = [some(4, 5, 5), some(5, 5, 5)]
    generator = np.random.default_rng(99)  # other draws, so only about the same
    drawn = [
        np.mean(
            [by_loops(generator.choice(x, 5), generator.choice(y, 5)) for x, y in tasks]
        )
        for _ in range(3000)
    ]
    found = probability_of_improvement(tasks, resamples=3000)
    expected = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose([found.low, found.high], expected, atol=0.03)
    narrow = probability_of_improvement(tasks, confidence=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_the_interval_covers_the_true_probability_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    true = stats.norm.cdf(0.5 / np.sqrt(2.0))
    covered = 0
    for _ in range(200):
        x, y = generator.normal(0.5, size=15), generator.normal(size=15)
        found = probability_of_improvement([(x, y)], resamples=300)
        covered += found.low <= true <= found.high
    assert 0.85 < covered / 200 < 0.99


def test_smoothing_weighs_what_was_before_by_nine_tenths():
    values = np.asarray([[10.0, 0.0], [0.0, 1.0], [20.0, 0.0]])
    expected = [[10.0, 0.0], [9.0, 0.1], [10.1, 0.09]]
    np.testing.assert_allclose(exponential_average(values, 0.9), expected)
    np.testing.assert_allclose(exponential_average(values, 0.0), values)


def test_smoothing_lags_behind_a_line_by_w_over_one_minus_w():
    line = np.arange(400.0)
    assert line[-1] - exponential_average(line, 0.9)[-1] == pytest.approx(9.0)
