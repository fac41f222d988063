"""Many estimators at once: each row is what it would be alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import CapabilityError, ConfigError
from reins.lab import LAB, LabEstimator, compare, measure
from reins.lab.comparison import COLUMNS, EstimatorsConfig, estimators_study

KEY = jax.random.key(4)


@pytest.fixture(autouse=True)
def float64():
    """As users run it: in JAX's default precision, whatever the folder's."""


def flipped(log_probs, rewards, mask):
    weights = jnp.sum(rewards, axis=1, keepdims=True)
    return jnp.mean(jnp.sum(jnp.where(mask, log_probs, 0.0) * weights, axis=1))


def small(estimators, problems="bandit", **more):
    return compare(estimators, problems, key=KEY, samples=(2, 8), repeats=50, **more)


def test_a_row_is_what_the_estimator_has_alone():
    study = small({"a": "score_total_return", "b": "per_decision"})
    alone = measure("per_decision", "bandit", key=KEY, samples=(2, 8), repeats=50)
    rows = [row for row in study.rows if row["estimator"] == "b"]
    assert [row["samples"] for row in rows] == [2, 8]
    for row, m in zip(rows, alone, strict=True):
        assert row["bias_norm"] == m.statistics.bias_norm.value
        assert row["trace_covariance"] == m.statistics.trace_covariance.value
        assert row["ess"] == m.ess
    assert [list(row) for row in study.rows] == [COLUMNS] * 4


def test_a_users_wrong_sign_stands_out_in_the_table():
    study = small({"mine": flipped, "right": "score_total_return"})
    by_name = {row[0].strip(): row for row in study.sheets[0].rows}
    bias = float(by_name["mine"][2].split()[0])
    assert bias == pytest.approx(200, abs=15)  # in % of the gradient
    assert float(by_name["mine"][4]) < -0.8
    assert float(by_name["right"][4]) > 0.8


def test_a_claim_that_does_not_hold_is_called_wrong():
    liar = LabEstimator(flipped, "J", "yes")
    study = small({"liar": liar, "right": "score_total_return"})
    assert study.findings["contradictions"] == ["liar on bandit"]
    claims = {row[0].strip(): row[1] for row in study.sheets[0].rows}
    assert claims["liar"] == "WRONG"
    assert claims["right"] == "unbiased"


def test_pairs_that_do_not_go_together_are_left_out_and_named():
    study = small({name: name for name in ("score_td", "evolution")}, ["random"])
    assert {row["estimator"] for row in study.rows} == {"score_td"}
    assert "`evolution` needs samples" in study.findings["not_measured"][0]
    with pytest.raises(CapabilityError, match="nothing was left to measure"):
        small({"evolution": "evolution"}, ["random"])


def test_progress_adds_up_to_one_and_any_map_will_do():
    told = []

    def backwards(function, jobs):
        return [function(job) for job in reversed(list(jobs))]

    names = {name: name for name in ("score_td", "per_decision", "surrogate")}
    study = small(names, advance=lambda share, doing: told.append(share), run=backwards)
    assert sum(told) == pytest.approx(1.0)
    assert study.rows == _timeless(small(names).rows, study.rows)
    assert [row["estimator"] for row in study.rows] == [n for n in names for _ in "12"]


def _timeless(rows, like):
    return [
        {**row, "seconds": other["seconds"]}
        for row, other in zip(rows, like, strict=True)
    ]


def test_no_estimator_of_the_lab_contradicts_its_claim():
    config = EstimatorsConfig(problem=("bandit",), samples=(16,), repeats=200)
    study = estimators_study(config)
    assert study.findings["contradictions"] == []
    measured = {row["estimator"] for row in study.rows}
    assert set(LAB) - measured == {"reverse_kl_pathwise"}
    assert all(np.isfinite(row["mse"]) for row in study.rows)


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="no problem was named"):
        EstimatorsConfig(problem=())
    with pytest.raises(ConfigError, match=r"no estimator `socre_td`.*score_td"):
        EstimatorsConfig(only=("socre_td",))
    with pytest.raises(ConfigError, match="at least 1"):
        EstimatorsConfig(samples=(0, 4))
