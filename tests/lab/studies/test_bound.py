"""The study of the improvement bound."""

import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_bound import draw_bound
from reins.lab.studies.bound import HORIZONS, BoundConfig, bound_study

CONFIG = BoundConfig(points=4, largest=0.4, horizon=3)


@pytest.fixture(scope="module")
def study():
    return bound_study(CONFIG)


def column(study, name, part):
    return np.array([row[name] for row in study.rows if row["part"] == part])


def test_the_bound_holds_on_every_row_and_binds_on_none(study):
    assert study.findings["violations_of_the_bound"] == 0
    for row in study.rows:
        assert row["improvement"] > row["bound"]
        np.testing.assert_allclose(row["bound"], row["surrogate"] - row["penalty"])


def test_the_trap_is_nearly_tight_and_no_smaller_penalty_will_do(study):
    found = study.findings
    assert 0.985 < found["trap_share_of_penalty_needed"] < 0.995
    assert found["trap_bound"] < found["trap_improvement"]
    smaller = found["trap_bound_with_penalty_5_percent_smaller"]
    assert found["trap_improvement"] < smaller


def test_the_traps_rows_are_its_closed_form(study):
    distances, steps = np.array([0.1, 0.2, 0.3, 0.4]), np.arange(3)
    np.testing.assert_allclose(column(study, "distance", "trap"), distances)
    trapped = 1 - (1 - distances[:, None]) ** steps
    expected = distances * ((1 - 2 * trapped) @ 0.9**steps)
    np.testing.assert_allclose(column(study, "improvement", "trap"), expected)


def test_the_path_on_the_random_mdp_goes_uphill(study):
    surrogate = column(study, "surrogate", "random MDP")
    distance = column(study, "distance", "random MDP")
    assert np.all(np.diff(surrogate) > 0)
    assert np.all(np.diff(distance) > 0)
    assert surrogate[0] > 0


def test_without_the_discount_the_penalty_grows_as_the_square_of_the_horizon(study):
    part = "trap by horizon"
    horizons = column(study, "horizon", part)
    assert tuple(horizons) == HORIZONS
    constant = column(study, "penalty_constant", part)
    np.testing.assert_allclose(constant, 0.03**2 * horizons * (horizons - 1))
    discounted = column(study, "penalty", part)
    np.testing.assert_allclose(discounted[-1], 2 * 0.03**2 * 0.9 / 0.1**2, rtol=1e-3)


def test_the_same_key_gives_the_same_study(study):
    assert bound_study(CONFIG).rows == study.rows


def test_work_is_told_as_it_is_done():
    told = []
    bound_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_impossible_paths_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)1 points.*ε is 1\.5.*horizon is 1"):
        BoundConfig(points=1, largest=1.5, horizon=1)


def test_the_picture_shows_both_paths_and_the_penalties(study):
    left, middle, right = draw_bound(study).axes
    for axes in (left, middle):
        labels = {line.get_label() for line in axes.lines}
        assert {"improvement", "surrogate", "bound"} <= labels
    assert [len(line.get_xdata()) for line in right.lines] == [len(HORIZONS)] * 3
