"""The study of constraint learning: its cases, and what it finds in a few of them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.constraints import WEIGHTINGS, constraint_likelihood_loss
from reins.errors import ConfigError
from reins.experiments.lab.draw_constraint import draw_constraint
from reins.lab.studies.constraint import ConstraintConfig, constraint_study
from reins.lab.studies.constraint_cases import (
    HORIZON,
    draw_case,
    every_sequence,
    likelihood_gradient,
    log_ratios,
)
from reins.lab.studies.constraint_measures import (
    MULTIPLIERS,
    SHARPNESS,
    STEPS_APART,
    forward_distances,
    from_one_state,
)
from reins.tabular import enumerate_trajectories, kl_new_old, model_log_probs

DYNAMICS = ["deterministic", "stochastic"]
CONFIG = {"problems": 12, "samples": (10, 50), "sampled_problems": 3, "draws": 8}


SHARES = []


@pytest.fixture(scope="module")
def study():
    return constraint_study(
        ConstraintConfig(**CONFIG), lambda share, doing: SHARES.append(share)
    )


def rows_of(study, part, name):
    return [row for row in study.rows if (row["part"], row["name"]) == (part, name)]


@cache
def a_case(dynamics="deterministic"):
    return jax.jit(lambda key: draw_case(key, dynamics, 5))(jax.random.key(3))


# Cases.


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_every_sequence_is_every_trajectory_and_no_mass_elsewhere(dynamics):
    case = a_case(dynamics)
    expected = enumerate_trajectories(case.mdp)
    possible = np.isfinite(case.every.log_dynamics)
    assert possible.sum() == len(expected.mask)
    assert possible.sum() < len(possible)
    # Both in the same order: states first, then actions.
    order = np.lexsort(np.hstack([expected.states, expected.actions]).T[::-1])
    for found, wanted in zip(case.every, expected, strict=True):
        np.testing.assert_allclose(found[possible], wanted[order], atol=1e-12)


def test_draws_may_be_given_as_masses():
    """M rows drawn with replacement, or how often each was drawn over M: the same."""
    case = a_case("stochastic")
    drawn = jax.random.categorical(jax.random.key(0), case.log_masses, shape=(30,))
    counts = jnp.bincount(drawn, length=len(case.log_masses))
    rows = jax.tree.map(lambda x: x[drawn], case.every)

    def loss(log_zeta, weighting):
        at = [x.states[:, :-1] for x in (case.demonstrations, rows)]
        expert, nominal = (
            (s, x.actions) for s, x in zip(at, (case.demonstrations, rows), strict=True)
        )
        return constraint_likelihood_loss(
            log_zeta[expert],
            case.demonstrations.mask,
            log_zeta[nominal],
            rows.mask,
            case.sampled[nominal],
            horizon=HORIZON,
            weighting=weighting,
        )[0]

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    from_masses = jax.jit(likelihood_gradient, static_argnums=2)
    for weighting in WEIGHTINGS:
        found = from_masses(case, jnp.log(counts / 30), weighting)
        expected = -HORIZON * gradient(case.improved, weighting)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_what_the_forward_step_leaves(dynamics):
    """A policy samples exp(r − λ (1 − ζ)), and no better than its dynamics let it."""
    case = a_case(dynamics)
    found, matching = jax.jit(forward_distances)(case, 1.0)
    mdp = from_one_state(case.mdp)
    every = every_sequence(mdp)
    model = np.exp(model_log_probs(every, case.improved))
    forward = -MULTIPLIERS[:, None, None] * -np.expm1(case.improved)
    sampled = np.exp([model_log_probs(every, jnp.asarray(x)) for x in forward[::20]])
    expected = 0.5 * np.abs(sampled - model).sum(axis=1)
    if dynamics == "deterministic":
        np.testing.assert_allclose(found[::20], expected, atol=1e-12)
        assert matching < 1e-12
    else:  # the model changes the dynamics too, and no policy can
        assert matching > 0.01
        assert np.max(np.abs(found[::20] - expected)) > 0.01


# The study.


def test_only_trajectory_weights_are_exact_with_all_trajectories(study):
    for name in WEIGHTINGS:
        (row,) = rows_of(study, "gradient", name)
        if name == "trajectory":
            assert row["high"] < 1e-12
        else:
            assert row["median"] > 0.15
    found = study.findings
    assert (
        found["median_relative_error_none"] > found["median_relative_error_step_time"]
    )


def test_with_draws_error_is_bias_and_deviation(study):
    """Medians do not add up, but with several problems they nearly do."""
    for name in WEIGHTINGS:
        few, more = rows_of(study, "gradient by samples", name)
        assert 1 < few["ess"] < few["samples"] < more["samples"]
        assert few["deviation"] > more["deviation"]
        whole = np.hypot(more["bias"], more["deviation"])
        np.testing.assert_allclose(more["median"], whole, rtol=0.4)
    trajectory, none = (
        rows_of(study, "gradient by samples", name)[-1]["bias"]
        for name in ("trajectory", "none")
    )
    assert trajectory < 0.3 * none


def test_no_multiplier_matches_the_model_and_the_log_does(study):
    assert study.findings["total_variation_of_r_plus_log_zeta"] < 1e-12
    for sharpness in SHARPNESS:
        curve = [
            row["low"] for row in rows_of(study, "forward", f"sharpness {sharpness:g}")
        ]
        assert len(curve) == len(MULTIPLIERS)
        assert study.findings[f"sharpness_{sharpness:g}_total_variation_left"] > 1e-3
        assert min(curve) < min(curve[0], curve[-1])


def test_kl_new_old_has_the_ceiling_log_m_and_a_bound_above_it_never_fires(study):
    for row in rows_of(study, "kl", "new_old"):
        assert row["high"] <= np.log(row["samples"]) + 1e-9
        assert row["low"] <= row["median"] <= row["high"]
        if row["samples"] == 10:
            assert row["fired"] == 0.0
    found = study.findings
    assert found["largest_true_kl_new_old"] > found["bound"] > np.log(10)
    assert found["share_of_draws_that_reach_the_bound_with_the_fewest"] == 0.0


def test_true_kls_are_those_of_the_tables(study):
    keys = jax.random.split(jax.random.key(0), CONFIG["problems"])
    case = jax.jit(lambda key: draw_case(key, "deterministic", 5))(keys[0])
    least = jnp.argmin(
        jnp.where(jnp.isfinite(case.log_masses), case.log_masses, jnp.inf)
    )
    away = jnp.full(case.sampled.shape, -1.0)
    away = away.at[case.every.states[least, :-1], case.every.actions[least]].set(1.0)
    logits = case.sampled - jnp.log(-jnp.expm1(case.sampled))
    moved = jax.nn.log_sigmoid(logits + STEPS_APART[8] * away)
    found = rows_of(study, "kl", "new_old")[8]["at"]
    expected = kl_new_old(case.mdp, case.sampled, moved)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    ratios = log_ratios(case.every, case.sampled, moved)
    assert jnp.argmax(jnp.where(jnp.isfinite(case.log_masses), ratios, -1e9)) == least


def test_rows_have_the_same_keys_and_are_plain(study):
    keys = set(study.rows[0])
    for row in study.rows:
        assert set(row) == keys
        assert {type(x) for x in row.values()} <= {str, int, float, type(None)}
    for sheet in study.sheets:
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}


def test_the_same_key_gives_the_same_rows(study):
    again = constraint_study(ConstraintConfig(**CONFIG))
    assert again.rows == study.rows


def test_progress_adds_up_to_1_and_the_picture_has_three_panels(study):
    np.testing.assert_allclose(sum(SHARES), 1.0)
    labels = [axes.get_xlabel() for axes in draw_constraint(study).axes]
    assert len(labels) == 3
    assert all(labels)


def test_only_trajectory_weights_are_exact_with_stochastic_dynamics():
    case = a_case("stochastic")
    gradient = jax.jit(likelihood_gradient, static_argnums=2)
    for name in WEIGHTINGS:
        found = gradient(case, case.log_masses, name)
        error = jnp.linalg.norm(found - case.truth) / jnp.linalg.norm(case.truth)
        assert error < 1e-12 if name == "trajectory" else error > 0.02


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"problems": 3}, "40 of 3 problems"),
        ({"samples": (1, 10)}, "at least 2"),
        ({"draws": 1}, "variance"),
        ({"demonstrations": 0}, "0 demonstrations"),
        ({"bound": 0.0}, "not negative"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        ConstraintConfig(**options)
