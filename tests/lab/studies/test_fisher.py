"""The study of the second-order KL."""

import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_fisher import draw_fisher
from reins.lab.studies.fisher import FisherConfig, fisher_study


@pytest.fixture(scope="module")
def study():
    return fisher_study(FisherConfig(points=7, smallest=1e-3, largest=1.0))


def column(study, name, problem):
    return np.array([row[name] for row in study.rows if row["problem"] == problem])


def test_every_problem_has_every_step(study):
    steps = np.geomspace(1e-3, 1.0, 7)
    for problem in ("categorical", "Gaussian", "MDP"):
        np.testing.assert_allclose(column(study, "step", problem), steps, rtol=1e-12)
        assert np.all(column(study, "kl", problem) > 0)


def test_the_second_order_is_the_square_of_the_step(study):
    for problem in ("categorical", "Gaussian", "MDP"):
        second = column(study, "second_order", problem)
        squares = column(study, "step", problem) ** 2
        np.testing.assert_allclose(second / squares, second[0] / squares[0], rtol=1e-9)


def test_the_relative_error_is_of_first_order(study):
    for problem in ("categorical", "gaussian", "mdp"):
        slope = study.findings[f"slope_{problem}"]
        np.testing.assert_allclose(slope, 1.0, atol=0.05)


def test_the_same_key_gives_the_same_study_and_another_does_not(study):
    config = FisherConfig(points=7, smallest=1e-3, largest=1.0)
    assert fisher_study(config).rows == study.rows
    other = FisherConfig(points=7, smallest=1e-3, largest=1.0, key=1)
    assert fisher_study(other).rows != study.rows


def test_work_is_told_as_it_is_done():
    told = []
    fisher_study(FisherConfig(points=3), lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_a_study_without_a_slope_is_refused():
    with pytest.raises(ConfigError, match=r"(?s)1 points.*from 0\.5 to 0\.05"):
        FisherConfig(points=1, smallest=0.5, largest=0.05)


def test_the_picture_has_a_curve_for_each_problem(study):
    left, right = draw_fisher(study).axes
    labels = [line.get_label() for line in left.lines]
    assert {"categorical", "Gaussian", "MDP"} <= set(labels)
    assert len(right.lines) == 3 + 1  # and the line of slope 1
