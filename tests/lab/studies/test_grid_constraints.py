"""The study of rules on grids: its scores by hand, and what it says of itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from reins.errors import ConfigError
from reins.experiments.lab.draw_grid_constraints import draw_grid_constraints
from reins.lab.grids import GridLayout, grid_log_partition
from reins.lab.studies.grid_constraints import (
    GridConstraintsConfig,
    grid_constraints_study,
)
from reins.lab.studies.grid_network import (
    NetworkSettings,
    grid_data,
    learned_log_zeta,
    observed,
)
from reins.lab.studies.grid_rows import select
from reins.lab.studies.grid_scores import (
    OFTEN,
    broken_steps,
    kl_of_rules,
    kl_of_zeta,
    scores_of,
    truth_of,
)
from reins.tabular import model_passes, model_without

CONFIG = GridConstraintsConfig(
    grids=3,
    demonstrations=(20, 200),
    thresholds=(0.1, 0.01),
    repeats=2,
    network_demonstrations=20,
    hidden=(16,),
    steps=150,
    learning_rate=0.02,
)
SMALL = GridLayout(
    *(2, 3, 0, 2),
    colours={"red": (1,)},
    planted=("red", "down-right"),
    horizon=3,
    temperature=0.5,
)
LENGTHS = np.array([1, 1, 1, 1, *[2**0.5] * 4])


@pytest.fixture(scope="module")
def study():
    return grid_constraints_study(CONFIG)


@pytest.fixture
def truth():
    return truth_of(SMALL)


def test_steps_break_rules_by_move_and_by_where_they_lead(truth):
    """Only start, 3, 4, 5 and what leads on from them count; the goal ends."""
    none = np.zeros_like(truth.planted)
    breaks = broken_steps(SMALL, SMALL.chosen(["red"]))
    assert breaks[0].tolist() == [True] + [False] * 7
    assert breaks[:, 0].tolist() == [True, False, False, False, False, False]
    assert truth.breaks[:, 6].all()
    assert not truth.counted[1].any()
    assert not truth.counted[2].any()
    taken = np.asarray(model_passes(model_without(truth.problem, none)).visits)
    assert np.array_equal(truth.counted[0], taken[0] >= OFTEN)
    assert truth.counted[0, 0]
    assert 3 < truth.counted.sum() < truth.counted.size


def test_scores_by_hand(truth):
    perfect = truth.breaks.astype(float)
    assert scores_of(perfect, truth) == (1.0, 1.0, 1.0)
    assert scores_of(1.0 - perfect, truth).auc == 0.0
    flat = scores_of(np.full(perfect.shape, 0.4), truth)
    assert flat.auc == 0.5
    assert np.isnan(flat.precision)
    assert flat.recall == 0.0
    costs = np.where(truth.breaks, 0.4, 0.1)
    fine = truth.counted & ~truth.breaks
    costs[tuple(np.argwhere(fine)[0])] = 0.9  # allowed, and the dearest
    n, m = int(truth.breaks[truth.counted].sum()), int(truth.counted.sum())
    found = scores_of(costs, truth)
    assert abs(found.auc - (m - n - 1) / (m - n)) < 1e-12
    assert (found.precision, found.recall) == (0.0, 0.0)


def test_the_kl_of_rules_and_of_a_soft_indicator_of_them_agree(truth):
    none = np.zeros_like(truth.planted)
    assert abs(kl_of_rules(truth, truth.planted)) < 1e-12
    assert kl_of_rules(truth, none) > 0.1
    assert kl_of_rules(truth, SMALL.chosen(["cell 0"])) == np.inf
    one = SMALL.chosen(["red"])
    soft = np.where(broken_steps(SMALL, one), -700.0, 0.0)
    data = grid_data(SMALL, truth.passes.visits)
    log_z = grid_log_partition(
        data.following, data.log_rewards + soft, data.start, data.goal, horizon=3
    )
    found = kl_of_zeta(truth, jnp.asarray(soft), log_z)
    assert abs(found - kl_of_rules(truth, one)) < 1e-9
    assert found > 0.01


@pytest.mark.parametrize("seen", ["coordinates", "cells"])
def test_the_network_climbs_the_likelihood(truth, seen):
    settings = NetworkSettings(seen, (16,), 0, 0.02, 0.0)
    data = grid_data(SMALL, truth.passes.visits)

    def kl(steps):
        log_zeta = learned_log_zeta(
            *(data, jax.random.key(0)),
            height=2,
            width=3,
            horizon=3,
            settings=dataclasses.replace(settings, steps=steps),
        )
        log_weights = data.log_rewards + log_zeta
        place = (data.start, data.goal)
        log_z = grid_log_partition(data.following, log_weights, *place, horizon=3)
        return kl_of_zeta(truth, log_zeta, log_z)

    assert kl(1) > 0.1
    assert kl(200) < 0.1 * kl(1)


def test_a_network_sees_places_or_names_of_cells():
    places = observed(2, 3, "coordinates")
    np.testing.assert_allclose(places[[0, 2, 4]], [[-1, -1], [-1, 1], [1, 0]])
    np.testing.assert_allclose(observed(2, 3, "cells"), np.eye(6))


def test_inference_from_all_trajectories_is_exact_everywhere(study):
    assert study.findings["exact_on_9_x_9"] is True
    assert study.findings["exact_on_random_grids"] == 3
    for row in study.rows:
        if (row["method"], row["demonstrations"]) == ("MLCI", "all"):
            assert row["exact"]
            assert (row["auc"], row["precision"], row["recall"]) == (1.0, 1.0, 1.0)
            assert abs(row["kl"]) < 1e-9


def test_every_grid_number_and_threshold_has_its_rows(study):
    for published, grids, repeats in ((True, 1, 2), (False, 3, 1)):
        for n in CONFIG.demonstrations:
            for threshold in CONFIG.thresholds:
                of = {"demonstrations": n, "threshold": threshold}
                rows = select(study.rows, published=published, **of)
                assert len(rows) == grids * repeats
    for row in study.rows:
        if row["method"] != "MLCI":
            continue
        found = set(filter(None, row["found"].split("; ")))
        planted = set(row["planted"].split("; "))
        assert row["missed"] == len(planted - found)
        assert row["wrong"] == len(found - planted)
        assert row["exact"] == (found == planted)


def test_more_demonstrations_are_nearer(study):
    """On the published grid, of a stop at 0.1 nats."""
    few, many = (
        select(study.rows, published=True, demonstrations=n, threshold=0.1)
        for n in CONFIG.demonstrations
    )
    wrong = [sum(row["wrong"] + row["missed"] for row in rows) for rows in (few, many)]
    assert wrong[1] <= wrong[0]


def test_the_network_is_scored_on_the_same_grids(study):
    rows = [row for row in study.rows if row["method"] != "MLCI"]
    assert len(rows) == 2 * 2 * 4
    assert all(0.4 < row["auc"] <= 1.0 for row in rows)
    assert np.median([row["auc"] for row in rows]) > 0.6
    assert all(0.4 < row["auc_through"] <= 1.0 for row in rows)
    assert all(0.0 < row["kl"] < np.inf for row in rows)
    assert study.fields["network, cells"].shape == (81, 8)
    assert isinstance(draw_grid_constraints(study), Figure)


def test_wrong_settings_are_refused():
    with pytest.raises(ConfigError, match="grids is 0") as error:
        GridConstraintsConfig(grids=0, thresholds=(-1.0,))
    assert "thresholds are" in str(error.value)
