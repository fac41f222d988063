"""Bias, variance and error of estimates whose distribution is known."""

import numpy as np
import pytest

from reins.lab.statistics import statistics

SCALE = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, 0.0], [0.0, -1.0, 0.1]])
COVARIANCE = SCALE @ SCALE.T


def draws(seed: int, r: int, bias: np.ndarray) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return bias + generator.standard_normal((r, 3)) @ SCALE.T


def test_by_hand():
    estimates = np.array([[2.0, 0.0], [0.0, 4.0]])
    found = statistics(estimates, np.array([1.0, 0.0]))
    # mean (1, 2), error (0, 2); variances 2 and 8; ‖mean − g‖² − tr/R = 4 − 5.
    assert found.trace_covariance.value == pytest.approx(10.0)
    assert found.mse.value == pytest.approx((1.0 + 17.0) / 2)
    assert found.cosine.value == pytest.approx((1.0 + 0.0) / 2)
    assert found.bias_norm.value == 0.0


def test_mse_is_variance_and_square_of_bias():
    found = statistics(draws(0, 200, np.array([1.0, 0.0, -2.0])), np.zeros(3))
    r = 200
    square = found.mse.value - found.trace_covariance.value * (r - 1) / r
    debiased = square - found.trace_covariance.value / r
    assert found.bias_norm.value == pytest.approx(np.sqrt(debiased))


@pytest.mark.parametrize("length", [0.0, 0.1, 3.0])
def test_intervals_cover_the_truth_about_as_often_as_they_say(length):
    bias = length * np.array([0.6, 0.0, -0.8])
    truth = {
        "bias_norm": length,
        "trace_covariance": np.trace(COVARIANCE),
        "mse": np.trace(COVARIANCE) + length**2,
    }
    hits = dict.fromkeys(truth, 0)
    for seed in range(400):
        found = statistics(draws(seed, 300, bias), np.zeros(3))
        for name, value in truth.items():
            interval = getattr(found, name)
            assert interval.low <= interval.value <= interval.high
            hits[name] += interval.low <= value <= interval.high
    assert all(0.90 * 400 <= count <= 400 for count in hits.values()), hits


def test_without_bias_the_debiased_square_has_mean_0_and_the_score_deviation_1():
    found = [
        statistics(draws(seed, 300, np.zeros(3)), np.zeros(3)) for seed in range(400)
    ]
    scores = np.array([one.bias_score for one in found])
    assert abs(scores.mean()) < 5 * scores.std() / 20
    assert 0.8 < scores.std() < 1.2


def test_a_bias_is_seen():
    found = statistics(draws(1, 1000, np.array([0.5, 0.0, 0.0])), np.zeros(3))
    assert found.bias_norm.low > 0.2
    assert found.bias_score > 20


def test_opposite_estimates_have_cosine_minus_1():
    exact = np.array([1.0, -2.0, 0.5])
    found = statistics(np.stack([-exact, -3 * exact]), exact)
    assert found.cosine.value == pytest.approx(-1.0)


def test_estimates_that_never_vary_are_judged_by_rounding():
    exact = np.array([1.0, 2.0])
    assert abs(statistics(np.stack([exact] * 3) * (1 + 1e-7), exact).bias_score) < 1
    assert statistics(np.stack([exact] * 3) * 1.01, exact).bias_score > 100
