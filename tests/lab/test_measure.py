"""Measured against what is exact; and what cannot be measured is refused by name."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import CapabilityError, ConfigError, DataError
from reins.estimators import ESTIMATORS, score_reward_to_go_loss
from reins.lab import LAB, Options, expected_estimate, measure

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def float64():
    """As users run it: in JAX's default precision, whatever the folder's."""


def mine(log_probs, rewards, mask):
    """REINFORCE, as a user may write it."""
    weights = jnp.sum(rewards, axis=1, keepdims=True)
    return -jnp.mean(jnp.sum(jnp.where(mask, log_probs, 0.0) * weights, axis=1))


def one(estimator, problem="bandit", *, samples=16, repeats=400, **more):
    return measure(
        estimator, problem, key=KEY, samples=samples, repeats=repeats, **more
    )[0]


def test_a_users_function_is_measured_as_the_librarys_own():
    own, library = one(mine), one("score_total_return")
    np.testing.assert_allclose(own.mean, library.mean, rtol=1e-5, atol=1e-6)
    assert own.estimator == "mine"
    assert (own.target, own.unbiased) == ("J", None)
    assert library.unbiased == "yes"


@pytest.mark.parametrize("name", ["per_step_ratio", "score_gae_wrong_critic"])
def test_the_measured_mean_is_the_exact_one(name):
    exact = expected_estimate(name, "random")
    found = one(name, "random", samples=64, repeats=1000)
    error = np.linalg.norm(found.mean - exact.mean)
    assert error < 5 * np.sqrt(found.statistics.trace_covariance.value / 1000)
    assert np.linalg.norm(exact.bias) > 0.01
    interval = found.statistics.bias_norm
    assert interval.low < np.linalg.norm(exact.bias) < interval.high


def test_variance_falls_as_one_over_samples():
    found = measure("score_total_return", "bandit", key=KEY, samples=(4, 400))
    few, many = (m.statistics.trace_covariance.value for m in found)
    assert 80 < few / many < 125


def test_a_flipped_sign_is_plain():
    def flipped(log_probs, rewards, mask):
        return -mine(log_probs, rewards, mask)

    found = one(flipped).statistics
    assert found.cosine.high < -0.8
    assert found.bias_score > 1000
    length = np.linalg.norm(one(flipped).exact)
    assert found.bias_norm.value == pytest.approx(2 * length, rel=0.05)


def test_the_same_key_gives_the_same_samples_and_numbers():
    first, second = one(mine), one(partial(mine), name="again")
    assert np.array_equal(first.mean, second.mean)
    assert first.statistics == second.statistics
    other = measure(mine, "bandit", key=jax.random.key(1), samples=16, repeats=400)
    assert not np.array_equal(first.mean, other[0].mean)


def test_records_and_functions_of_the_library_are_known():
    by_record = one(ESTIMATORS["per_decision"], samples=4)
    by_function = one(score_reward_to_go_loss, samples=4)
    assert by_record.unbiased == "yes"
    assert by_function.unbiased == "yes"
    assert by_function.estimator == "score_reward_to_go_loss"
    # Several rows of the lab use this one; it is the record's own that is meant.
    marginal = one(ESTIMATORS["forward_kl_marginal"].loss, samples=4)
    assert marginal.target == ESTIMATORS["forward_kl_marginal"].target


def test_the_effective_sample_size_is_what_the_estimator_reports():
    found = one("trajectory_ratio", samples=8)
    assert 1.0 < found.ess < 8.0
    assert one("score_total_return").ess is None


def test_options_reach_the_estimator():
    few, many = (
        one("forward_kl_marginal", options=Options(actions=k), samples=4).statistics
        for k in (2, 64)
    )
    assert few.bias_norm.low > 4 * many.bias_norm.value


def test_the_bias_of_self_normalised_weights_falls_with_samples():
    found = measure(
        "forward_kl_trajectory", "bandit", key=KEY, samples=(16, 64), repeats=20_000
    )
    few, many = (m.statistics.bias_norm for m in found)
    # The exact biases are in tests/exactness/test_forward_kl.py; a quarter is left.
    assert few.low / many.high < 4.3
    assert few.high / many.low > 3.5
    assert few.low > 0


@pytest.mark.parametrize("problem", ["bandit", "linear-quadratic"])
def test_every_estimate_holds_its_own_antithetic_pairs(problem):
    """Pairs lay half a draw apart, and were dealt out to different estimates."""

    def mean_of_noise(samples, mean, scores):
        return -jnp.sum(mean * jnp.mean(samples - jax.lax.stop_gradient(mean), axis=0))

    found = one(
        mean_of_noise,
        problem,
        target="smoothed J",
        options=Options(antithetic=True),
        samples=4,
    )
    assert found.statistics.trace_covariance.value < 1e-10


def test_samples_that_are_too_few_are_left_out():
    found = measure(
        "evolution_antithetic", "bandit", key=KEY, samples=(1, 2), repeats=10
    )
    assert [m.samples for m in found] == [2]


REFUSED = {
    "returns NaN": (
        lambda log_probs: jnp.mean(log_probs) / 0.0 * 0.0,
        DataError,
        "`mine` gave NaN or infinity in 50 of 50 estimates",
    ),
    "returns a vector": (
        lambda log_probs: jnp.mean(log_probs, axis=1),
        DataError,
        r"`mine` .* returned shape \(2,\) of float32; the lab",
    ),
    "returns an integer": (
        lambda rewards: jnp.sum(rewards > 0),
        DataError,
        "`mine` .* of int32",
    ),
    "returns nothing": (lambda log_probs: None, DataError, "`mine` .* no array"),
    "asks for what is not there": (
        lambda log_probs, reward: jnp.mean(log_probs),
        ConfigError,
        "`mine` asks for reward; .* rewards",
    ),
    "names no arrays": (
        lambda *arrays: jnp.mean(arrays[0]),
        CapabilityError,
        "`mine` .* names no arrays",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name(case):
    function, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        one(function, name="mine", repeats=50)


def test_settings_that_measure_nothing_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        one(mine, samples=0)
    with pytest.raises(ConfigError, match="1 repeats"):
        one(mine, repeats=1)
    with pytest.raises(ConfigError, match=r"no estimator `score_totl`.*score_total"):
        one("score_totl")
    with pytest.raises(ConfigError, match=r"no problem `bandits`.*`bandit`"):
        one(mine, "bandits")
    with pytest.raises(CapabilityError, match="no target of bandit `K`"):
        one(mine, target="K")
    with pytest.raises(CapabilityError, match="3 parameters; the design 'population'"):
        one("evolution", "linear-quadratic", target="J")
    with pytest.raises(CapabilityError, match="needs samples of the design 'paths'"):
        one("reverse_kl_pathwise")
    with pytest.raises(ConfigError, match="0 actions"):
        one("reverse_kl_score", options=Options(actions=0))
    with pytest.raises(ConfigError, match="no critic `hard`"):
        one("reverse_kl_score", options=Options(critic="hard"))  # pyright: ignore


@pytest.mark.parametrize("name", LAB)
def test_every_row_of_the_lab_says_what_it_is(name):
    entry = LAB[name]
    assert entry.unbiased in ("yes", "no", "with an exact critic")
    assert entry.least >= 1
    assert name.removesuffix("_loss") == name
