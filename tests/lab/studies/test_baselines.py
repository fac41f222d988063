"""The study of baselines in a rich state and a poor one."""

import dataclasses

import jax
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_baselines import draw_baselines
from reins.lab.studies.baselines import (
    BASELINES,
    LOGITS,
    BaselinesConfig,
    baselines_study,
    exact_estimates,
    two_states,
)
from reins.tabular import action_values

CONFIG = BaselinesConfig(samples=(2, 16), repeats=1500)


@pytest.fixture(scope="module")
def study():
    return baselines_study(CONFIG)


def rows_of(study, horizon, baseline):
    mine = [row for row in study.rows if row["baseline"] == baseline]
    return [row for row in mine if row["horizon"] == horizon]


def test_actions_differ_little_and_states_much():
    q = action_values(two_states(CONFIG), LOGITS)[0]
    expected = [[2950.0, 3000.0, 3100.0], [-3940.0, -4100.0, -3980.0]]
    np.testing.assert_allclose(q, expected)


def test_the_noise_is_of_mean_0_and_of_the_deviation_asked_for():
    mdp = two_states(dataclasses.replace(CONFIG, noise=30.0))
    excess = mdp.rewards - action_values(mdp, LOGITS)[0][:, :, None]
    second = np.sum(mdp.transitions * np.square(excess), axis=2)
    np.testing.assert_allclose(second, 900.0)


@pytest.mark.parametrize("horizon", [1, 2])
def test_no_baseline_moves_the_mean(horizon):
    found = exact_estimates(two_states(CONFIG, horizon=horizon), LOGITS)
    assert set(found.means) == set(BASELINES)
    for mean in found.means.values():
        np.testing.assert_allclose(mean, found.gradient, rtol=0, atol=1e-9)


def test_the_variance_at_one_step_is_a_sum_over_states_actions_and_next_states():
    config = dataclasses.replace(CONFIG, rich=7.0, poor=-5.0, difference=2.0, noise=1.0)
    mdp = two_states(config)
    policy = np.asarray(jax.nn.softmax(LOGITS))
    found = exact_estimates(mdp, LOGITS)
    for name in ("none", "constant", "optimal constant"):
        second = 0.0
        for s in range(2):
            for a in range(3):
                for x in range(2):
                    p = mdp.initial[s] * policy[s, a] * mdp.transitions[s, a, x]
                    weight = mdp.rewards[s, a, x] - found.baselines[name]
                    score = np.eye(3)[a] - policy[s]
                    second += p * weight**2 * (score @ score)
        expected = second - np.sum(found.gradient**2)
        np.testing.assert_allclose(found.traces[name], expected, rtol=1e-10)


def test_the_optimal_constant_has_the_least_variance_of_all_constants():
    """Shifting all rewards by −b is the baseline b, when episodes have one step."""
    best = exact_estimates(two_states(CONFIG), LOGITS)
    for shift in (-100.0, -1.0, 1.0, 100.0):
        b = best.baselines["optimal constant"] + shift
        moved = dataclasses.replace(CONFIG, rich=CONFIG.rich - b, poor=CONFIG.poor - b)
        trace = exact_estimates(two_states(moved), LOGITS).traces["none"]
        assert trace > best.traces["optimal constant"]
    assert best.traces["optimal constant"] < best.traces["constant"]


def test_at_one_step_a_baseline_of_time_is_a_constant(study):
    exact = exact_estimates(two_states(CONFIG), LOGITS).traces
    np.testing.assert_allclose(exact["time"], exact["constant"], rtol=1e-12)
    exact = exact_estimates(two_states(CONFIG, horizon=2), LOGITS).traces
    assert exact["time"] < 0.8 * exact["constant"]


def test_only_the_state_tells_rich_from_poor(study):
    found = study.findings
    assert found["variance_reduction_constant_horizon_1"] < 1.1
    assert found["variance_reduction_state_horizon_1"] > 500
    last = rows_of(study, 1, "state")[-1], rows_of(study, 1, "none")[-1]
    for state in ("rich", "poor"):
        assert last[0][f"right_{state}"] > 0.8 > last[1][f"right_{state}"]


def test_measured_variance_is_the_exact_one_where_the_baseline_is_known(study):
    for horizon in (1, 2):
        for name in ("none", "state", "advantage"):
            for row in rows_of(study, horizon, name):
                half = (row["variance_high"] - row["variance_low"]) / 2
                assert abs(row["variance"] - row["exact_variance"]) < 2.5 * half


def test_the_mean_of_one_other_doubles_the_variance(study):
    few, many = rows_of(study, 1, "constant")
    np.testing.assert_allclose(few["variance"] / few["exact_variance"], 2.0, rtol=0.1)
    ratio = many["variance"] / many["exact_variance"]
    np.testing.assert_allclose(ratio, 1 + 1 / 15, rtol=0.1)


def test_the_same_key_gives_the_same_study_and_another_does_not(study):
    assert baselines_study(CONFIG).rows == study.rows
    assert baselines_study(dataclasses.replace(CONFIG, key=1)).rows != study.rows


def test_work_is_told_as_it_is_done():
    told = []
    baselines_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_a_single_trajectory_has_no_others():
    with pytest.raises(ConfigError, match=r"(?s)\(1, 4\).*difference of 0"):
        BaselinesConfig(samples=(1, 4), difference=0.0)


def test_the_picture_has_every_baseline_in_every_panel(study):
    axes = draw_baselines(study).axes
    assert len(axes) == 6
    for panel in (axes[1], axes[2], axes[4], axes[5]):
        assert len(panel.lines) == len(BASELINES) + 1  # and the line of one half
