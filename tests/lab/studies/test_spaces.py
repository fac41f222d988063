"""The study of chance in actions and in parameters."""

import dataclasses

import jax
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_spaces import draw_spaces
from reins.lab.studies import spaces
from reins.lab.studies.spaces import (
    ESTIMATORS,
    EVOLUTION,
    POLICY_GRADIENTS,
    RANKED,
    SpacesConfig,
    curve,
    estimates,
    exact_gradient,
    spaces_study,
)
from reins.tabular import policy_gradient, state_values

CONFIG = SpacesConfig(
    episodes=16,
    repeats=400,
    smoothings=(0.1, 1.0),
    smoothing=0.2,
    states=(2, 5),
    mdps=2,
    horizons=(1, 4),
    horizon=3,
    draws=500,
)


@pytest.fixture(scope="module")
def study():
    return spaces_study(CONFIG)


@pytest.fixture
def short():
    return spaces._in_time(CONFIG, 3, 0.2)


@pytest.fixture
def padded():
    return spaces._of_states(CONFIG, 2, 0)


def drawn(setting, key=0):
    given = {"episodes": CONFIG.episodes, "repeats": CONFIG.repeats}
    found = estimates(setting, jax.random.key(key), **given)
    return {name: np.asarray(values) for name, values in found.items()}


def test_the_exact_gradient_is_that_of_the_mdp_cut_short(short, padded):
    for setting in (short, padded):
        mdp = dataclasses.replace(setting.mdp, horizon=int(setting.horizon))
        expected = np.asarray(policy_gradient(mdp, setting.logits)).reshape(-1)
        np.testing.assert_allclose(exact_gradient(setting), expected, atol=1e-10)
        expected = state_values(mdp, setting.logits)
        found = setting.values[: mdp.horizon + 1]
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_states_that_are_padding_are_never_seen(padded):
    assert np.all(exact_gradient(padded)[4:] == 0.0)
    for values in drawn(padded).values():
        assert np.all(values[:, 4:] == 0.0)
        assert np.all(np.any(values[:, :4] != 0.0, axis=0))


def test_scores_are_unbiased_and_evolution_nearly(short):
    exact = exact_gradient(short)
    found = drawn(short)
    for name in (*POLICY_GRADIENTS, *EVOLUTION[:2]):
        values = found[name]
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        slack = 0.1 * np.abs(exact) if name in EVOLUTION else 0.0
        assert np.all(np.abs(values.mean(axis=0) - exact) < 5 * error + slack), name


def test_pairs_take_the_level_of_returns_out(short):
    """Rewards 100 higher change opposite pairs by nothing, single draws by much."""
    mdp = dataclasses.replace(short.mdp, rewards=short.mdp.rewards + 100.0)
    raised = short._replace(mdp=mdp, values=short.values)
    before, after = drawn(short), drawn(raised)
    np.testing.assert_allclose(after[EVOLUTION[1]], before[EVOLUTION[1]], atol=1e-6)
    assert np.std(after[EVOLUTION[0]]) > 10 * np.std(before[EVOLUTION[0]])


def test_ranks_forget_the_scale_of_returns(short):
    mdp = dataclasses.replace(short.mdp, rewards=4.0 * short.mdp.rewards)
    before, after = drawn(short), drawn(short._replace(mdp=mdp))
    np.testing.assert_allclose(after[RANKED], before[RANKED], atol=1e-10)
    np.testing.assert_allclose(
        after[EVOLUTION[0]], 4.0 * before[EVOLUTION[0]], atol=1e-10
    )


def test_smoothing_trades_variance_for_bias(study):
    bias = curve(study.rows, "smoothing", EVOLUTION[0], "bias")
    variance = curve(study.rows, "smoothing", EVOLUTION[0], "variance_per_episode")
    assert bias[0] < 0.05 < bias[1]
    assert variance[0] > 20 * variance[1]


def test_only_evolution_pays_for_parameters(study):
    found = study.findings
    score = found["growth_power_score_state_baseline_dimension"]
    evolution = found["growth_power_evolution_antithetic_dimension"]
    assert evolution > score + 0.5


def test_ranks_are_judged_by_direction_only(study):
    ranked = [row for row in study.rows if row["estimator"] == RANKED]
    assert {row["error"] for row in ranked} == {None}
    assert all(-1.0 <= row["cosine"] <= 1.0 for row in ranked)


def test_the_same_key_gives_the_same_study_and_another_does_not(study):
    assert spaces_study(CONFIG).rows == study.rows
    assert spaces_study(dataclasses.replace(CONFIG, key=1)).rows != study.rows


def test_work_is_told_as_it_is_done():
    told = []
    spaces_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)7 episodes.*states \(4, 2\).*9 steps"):
        SpacesConfig(episodes=7, states=(4, 2), horizons=(1, 8), horizon=9)


def test_the_picture_has_every_estimator_and_the_bias(study):
    error, cosine, dimension, horizon = draw_spaces(study).axes
    assert len(cosine.lines) == len(ESTIMATORS)
    assert len(error.lines) == len(horizon.lines) + 1 == len(ESTIMATORS)
    assert len(dimension.lines) == 2 * (len(ESTIMATORS) - 1)  # and every MDP
