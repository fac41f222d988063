"""The study of known biases: its corridor by slow loops, and what it finds in a few."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_constraint_biases import draw_constraint_biases
from reins.lab.studies.constraint_biases import (
    ConstraintBiasesConfig,
    constraint_biases_study,
)
from reins.lab.studies.constraint_biases.corridor import (
    Corridor,
    behaviour,
    by_pair,
    first_visits,
)
from reins.lab.studies.constraint_biases.episodes import (
    agents_log_masses,
    climb,
    episodes_of,
    estimate,
    exact_gradient,
    log_ratios,
    start,
)
from reins.lab.studies.constraint_biases.learning import learned_each
from reins.lab.studies.constraint_biases.lessons import (
    LONG,
    lesson_of,
    rule_rows,
    shown,
)
from reins.lab.studies.constraint_biases.multiplier import Priced, ascend, constrained
from reins.lab.studies.constraint_biases.rows import only, select
from reins.lab.studies.constraint_biases.stops import published_kls, told
from reins.lab.studies.constraint_biases.weights import WEIGHTINGS
from reins.tabular import expected_visits, trajectory_model

CONFIG = ConstraintBiasesConfig(
    behind=(0, 5, 10),
    climb=60,
    samples=(10, 300),
    draws=60,
    demonstrations=6,
    horizons=(8, 60),
    steps=300,
    updates=200,
)
TINY = Corridor(cells=5, start=2, wall=0, horizon=4, gold=1.7, rest=0.2, door=0.9)
TABLE = np.array([-0.4, -1.3, -0.2, -0.7, 0.0])
TOLD = []


@pytest.fixture(scope="module")
def study():
    return constraint_biases_study(CONFIG, lambda share, doing: TOLD.append(share))


@cache
def tiny():
    return episodes_of(TINY, 5, jax.random.key(2))


# The corridor.


def walked(corridor, moves):
    """Cells and rewards of a sequence of moves, step by step."""
    cell, cells, rewards = corridor.start, [], []
    for move in moves:
        cells.append(cell)
        following = min(max(cell + move, 0), corridor.cells - 1)
        pay = corridor.gold if cell <= corridor.wall else corridor.pay
        if following == cell:
            pay = corridor.rest
        elif following == corridor.cells - 1:
            pay = corridor.door
        rewards.append(pay)
        cell = following
        if cell == corridor.cells - 1:
            break
    return cells, rewards


def slow(corridor, table, competence=1.0):
    """Weight, cells and return of every episode, of exp(β r) Π ζ."""
    every = {
        tuple(moves[: len(walked(corridor, moves)[0])])
        for moves in product((-1, 0, 1), repeat=corridor.horizon)
    }
    for moves in sorted(every):
        cells, rewards = walked(corridor, moves)
        yield np.exp(competence * sum(rewards) + table[cells].sum()), cells, rewards


@pytest.mark.parametrize("competence", [1.0, 0.3])
@pytest.mark.parametrize("steps", [4, 2])
def test_visits_are_sums_over_all_episodes(steps, competence):
    visits, total = np.zeros(5), 0.0
    for weight, cells, _ in slow(TINY, TABLE, competence):
        np.add.at(visits, cells[:steps], weight)
        total += weight
    found, log_z = first_visits(
        TINY.mdp(), jnp.asarray(TABLE), steps=steps, competence=competence
    )
    np.testing.assert_allclose(found, visits / total, rtol=0, atol=1e-12)
    np.testing.assert_allclose(log_z, np.log(total), rtol=0, atol=1e-12)


def test_behaviour_is_a_mean_over_all_episodes():
    every = list(slow(TINY, TABLE))
    total = sum(weight for weight, *_ in every)
    mdp, forbidden = TINY.mdp(), jnp.asarray(TINY.forbidden)
    model = trajectory_model(mdp, by_pair(jnp.asarray(TABLE)))
    found = behaviour(mdp, forbidden, model)
    expected = {
        "returned": sum(w * sum(rewards) for w, _, rewards in every) / total,
        "broken": sum(w * cells.count(0) for w, cells, _ in every) / total,
        "length": sum(w * len(cells) for w, cells, _ in every) / total,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=0, atol=1e-12)
    assert 0.05 < expected["broken"] < expected["length"] < 4.0


@pytest.mark.parametrize("margin", [0, 1])
def test_the_careful_are_never_where_they_should_not_be(margin):
    kept = [
        (weight, cells)
        for weight, cells, _ in slow(TINY, np.zeros(5))
        if min(cells) > TINY.wall + margin
    ]
    mdp, forbidden = TINY.mdp(), jnp.asarray(TINY.forbidden)
    found = behaviour(mdp, forbidden, TINY.careful(margin))
    total = sum(weight for weight, _ in kept)
    np.testing.assert_allclose(found.log_partition, np.log(total), atol=1e-12)
    assert found.broken == 0.0
    assert found.visits[TINY.wall + margin] == 0.0
    assert found.visits[TINY.wall + margin + 1] > 0.01


# Gradients.


def test_the_exact_gradient_is_that_of_the_likelihood_by_loops():
    logits = jnp.asarray([0.3, -0.5, 1.1, 0.2, 0.0])
    given = tiny().shown

    def likelihood(logits):
        table = np.log(1.0 / (1.0 + np.exp(-np.asarray(logits))))
        total = sum(weight for weight, *_ in slow(TINY, table))
        scores = [
            table[np.asarray(states[:-1])][np.asarray(mask)].sum()
            for states, mask in zip(given.states, given.mask, strict=True)
        ]
        return np.mean(scores) - np.log(total)

    bumps = 1e-5 * np.eye(5)
    slopes = [
        (likelihood(logits + bump) - likelihood(logits - bump)) / 2e-5 for bump in bumps
    ]
    found = exact_gradient(tiny().mdp, given, logits)
    np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-8)
    assert np.abs(found).max() > 0.05


def test_only_trajectory_weights_are_exact_when_the_agent_is_behind():
    logits = climb(tiny().mdp, tiny().shown, steps=15)[-1]
    truth = exact_gradient(tiny().mdp, tiny().shown, logits)
    for name in WEIGHTINGS:
        found = estimate(tiny(), tiny().log_masses, logits, weighting=name)
        error = float(jnp.linalg.norm(found - truth) / jnp.linalg.norm(truth))
        assert error < 1e-12 if name == "trajectory" else error > 0.02, name


def test_weights_by_return_count_what_pays_and_the_demonstrations():
    """By a loop: the agent's mean of exp(R) Π ω, against exp(R̄) of demonstrations."""
    logits = jnp.asarray([0.4, -0.6, 0.9, 0.1, 0.0])
    masses = agents_log_masses(tiny().mdp, tiny().every, 0.25)
    found = estimate(tiny(), masses, logits, weighting="return")
    omega = np.exp(log_ratios(tiny().every, start(tiny().mdp), logits))
    paid = np.exp(np.sum(tiny().every.rewards, axis=1))
    weights = np.exp(np.asarray(masses)) * paid * omega
    demonstrated = np.exp(np.mean(np.sum(tiny().shown.rewards, axis=1)))

    def counts(rows):
        cells, mask = np.asarray(rows.states[:, :-1]), np.asarray(rows.mask)
        return np.stack([np.sum((cells == c) & mask, axis=1) for c in range(5)], 1)

    theirs = weights @ counts(tiny().every) / (weights.sum() + demonstrated)
    slope = 1.0 - jax.nn.sigmoid(logits)
    expected = (counts(tiny().shown).mean(axis=0) - theirs) * slope
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_behind_weights_per_step_are_biased_and_few_episodes_look_effective(study):
    of = {"part": "weights", "samples": None}
    for name in WEIGHTINGS:
        error = only(study.rows, **of, at=10.0, name=name, quantity="error")
        assert error < 1e-12 if name == "trajectory" else error > 0.3
        same = only(study.rows, **of, at=0.0, name=name, quantity="error")
        assert same < 1e-12 or name == "return"
    share = {"part": "weights", "at": 10.0, "quantity": "effective share"}
    exact = only(study.rows, **share, samples=None)
    assert exact < 0.5 * only(study.rows, **share, samples=10)


def test_the_effective_share_is_that_of_all_episodes(study):
    """From three partition functions, at the horizon that is enumerated too."""
    corridor = Corridor(horizon=8)
    found = only(
        study.rows,
        part="horizon",
        at=8.0,
        name="after 10",
        quantity="effective share",
        samples=None,
    )
    key = jax.random.fold_in(jax.random.key(CONFIG.key), 1)
    episodes = episodes_of(corridor, CONFIG.demonstrations, key)
    path = climb(episodes.mdp, episodes.shown, steps=10)
    omega = np.exp(log_ratios(episodes.every, start(episodes.mdp), path[-1]))
    masses = np.exp(np.asarray(episodes.log_masses))
    np.testing.assert_allclose(
        found, (masses @ omega) ** 2 / (masses @ omega**2), rtol=1e-9
    )
    longer = {"part": "horizon", "at": 60.0, "name": "after 10", "samples": None}
    assert only(study.rows, **longer, quantity="effective share") < 0.1 * found


def test_an_agent_that_has_not_learned_misleads_weights_per_trajectory(study):
    of = {"part": "competence", "quantity": "error"}
    novice = {
        name: only(study.rows, **of, at=0.0, name=name)
        for name in ("trajectory", "return")
    }
    assert novice["trajectory"] > 0.5 > 0.2 > novice["return"]
    assert only(study.rows, **of, at=1.0, name="trajectory") < 1e-12
    for competence in (0.0, 0.5, 1.0):
        cost = {"part": "novice", "at": competence, "quantity": "allowed cost"}
        assert only(study.rows, **cost, name="trajectory") > 0.15
        assert only(study.rows, **cost, name="return") < 0.05
        cost |= {"quantity": "forbidden cost", "name": "return"}
        assert only(study.rows, **cost) > 0.8


# What stops a phase.


def test_published_kls_by_a_loop():
    ratios = jnp.asarray([-0.3, -2.1, 0.4])
    w = np.exp(np.asarray(ratios))
    first = np.mean([-np.log(x + 1e-5) for x in w])
    second = np.mean([(x - w.mean()) * np.log(x + 1e-5) for x in w])
    found = published_kls(ratios)
    np.testing.assert_allclose(found["kl_old_new"], first, rtol=1e-12)
    second /= w.mean() + 1e-5
    np.testing.assert_allclose(found["kl_new_old"], second, rtol=1e-12)


def test_a_factor_on_zeta_moves_the_published_quantity_and_no_distribution(study):
    of = {"part": "factor", "quantity": "kl_old_new", "samples": 10}
    published = only(study.rows, **of, at=0.99, name="published")
    expected = -np.log(0.99**1000 + 1e-5)
    np.testing.assert_allclose(published, expected, rtol=1e-12)
    ceiling = -np.log(0.97**1000 + 1e-5)
    at_most = only(study.rows, **of, at=0.97, name="published")
    np.testing.assert_allclose(at_most, ceiling, rtol=1e-12)
    assert at_most < 11.52
    for row in select(study.rows, **of, name="exact"):
        assert abs(row["value"]) < 1e-10


def test_few_episodes_never_reach_the_published_bound_and_many_do(study):
    last = {"part": "stop", "at": 60.0}
    truth = only(study.rows, **last, name="true", quantity="kl_new_old")
    assert truth > 2.5 > np.log(10)
    of = last | {"name": "exact"}
    highest = only(study.rows, **of, samples=10, quantity="kl_new_old highest")
    assert highest <= np.log(10) + 1e-9
    assert only(study.rows, **of, samples=10, quantity="kl_new_old fired") == 0.0
    assert only(study.rows, **of, samples=300, quantity="kl_new_old fired") > 0.8
    few, many = (
        only(study.rows, **of, samples=m, quantity="effective share fired")
        for m in (10, 300)
    )
    assert few < 0.8 < many


def test_sets_of_episodes_are_told_one_by_one():
    ratios = jnp.asarray([[0.1, -1.0, 0.7], [0.0, 0.0, 0.0]])
    said = told(ratios)
    np.testing.assert_allclose(said.exact["kl_new_old"][1], 0.0, atol=1e-12)
    w = np.exp(np.asarray(ratios[0]))
    p = w / w.sum()
    np.testing.assert_allclose(
        said.exact["kl_new_old"][0], np.sum(p * np.log(3.0 * p)), rtol=1e-12
    )
    share = w.sum() ** 2 / np.sum(w**2) / 3.0
    np.testing.assert_allclose(said.exact["ess_fraction"][0], share, rtol=1e-12)
    far = told(jnp.asarray([[0.0, 0.0, -30.0, -30.0, -30.0, -30.0, -30.0]]))
    assert said.stop.tolist() == [False, False]
    assert far.stop.tolist() == [True]  # log 7/2 nats, more than the usual 0.5


# The multiplier.


def test_the_constrained_agent_weighs_reward_against_price():
    """A loop over episodes: π ∝ exp(R − λ Σ price)."""
    prices = np.array([0.9, 0.3, 0.1, 0.2, 0.0])
    every = list(slow(TINY, -2.5 * prices))
    total = sum(weight for weight, *_ in every)
    expected = sum(w * sum(rewards) for w, _, rewards in every) / total
    problem = Priced(TINY.mdp(), jnp.asarray(TINY.forbidden), jnp.asarray(prices))
    found = constrained(problem, 2.5)
    np.testing.assert_allclose(found.returned, expected, rtol=0, atol=1e-12)


def test_dual_ascent_by_a_loop():
    prices = jnp.asarray([0.9, 0.3, 0.1, 0.2, 0.0]) - 0.25
    problem = Priced(TINY.mdp(), jnp.asarray(TINY.forbidden), prices)
    found = ascend(problem, updates=4)
    multiplier = 0.0
    for n in range(4):
        np.testing.assert_allclose(found.multipliers[n], multiplier, atol=1e-12)
        violation = float(constrained(problem, multiplier).visits @ prices)
        np.testing.assert_allclose(found.violations[n], violation, atol=1e-12)
        multiplier = max(0.0, multiplier + 0.1 * violation)


def test_a_price_on_being_alive_drives_the_agent_out_and_a_relative_one_does_not(study):
    def at(name, multiplier, quantity):
        of = {"part": "multiplier", "name": f"{name}, δ = 0", "at": multiplier}
        return only(study.rows, **of, quantity=quantity)

    shown = only(
        study.rows, part="lengths", by="cut", name="shown", quantity="returned"
    )
    assert at("cost", 100.0, "returned") < 0.5 * shown
    assert abs(at("cost", 1000.0, "length") - 4.0) < 1e-6  # the shortest way out
    assert at("relative-cost", 10.0, "returned") > 0.99 * shown
    assert at("relative-cost", 100.0, "length") > 7.9
    last = {"part": "ascent", "at": 200.0, "quantity": "violations"}
    grows = only(study.rows, **last, name="cost, δ = 0")
    rests = only(study.rows, **last, name="relative-cost, δ = 0")
    assert grows > 0.5 > 0.1 > rests
    careful = only(
        study.rows, part="log-reward", name="log-reward, δ = 0", quantity="returned"
    )
    assert abs(careful - shown) < 0.1


# Lengths.


def test_learning_stops_where_the_agent_does_what_is_shown():
    """Of all steps: the gradient at the end is 0, cell by cell."""
    of = shown(TINY)
    (log_zeta,) = learned_each(of.mdp, [lesson_of(of)], steps=3000)
    visits = jnp.sum(expected_visits(of.mdp, by_pair(log_zeta)), axis=1)
    apart = np.abs(np.asarray(visits - of.demonstrators.visits))
    assert apart.max() < 0.01
    free = jnp.sum(expected_visits(of.mdp, by_pair(jnp.zeros(5))), axis=1)
    assert np.abs(np.asarray(free - of.demonstrators.visits)).max() > 0.3


def test_cut_demonstrations_forbid_everything_unless_the_agent_is_cut_too(study):
    def of(name, quantity):
        return only(study.rows, part="lengths", by="cut", name=name, quantity=quantity)

    assert of("sum", "allowed cost") > 0.95
    assert of("sum", "kl") > 10.0
    assert of("sum, agent cut too", "kl") < 0.1 < of("step-mean", "kl")
    assert of("sum, agent cut too", "allowed cost") < 0.3


def test_who_leaves_early_is_understood_by_sums_and_not_by_means(study):
    def of(name, quantity):
        find = {"part": "lengths", "by": "leave", "name": name}
        return only(study.rows, **find, quantity=quantity)

    early, late = (of(name, "length") for name in ("shown", "knows no rule"))
    assert early < late - 1.0
    gaps = {x: abs(of(x, "length") - early) for x in ("sum", "step-mean")}
    assert gaps["sum"] < 0.5 * gaps["step-mean"]
    assert of("sum", "kl") < of("step-mean", "kl")
    assert of("sum", "allowed cost") < 0.5 * of("step-mean", "allowed cost")


# Margins.


def test_the_boundary_is_where_demonstrators_turned_or_nowhere(study):
    for margin in range(4):
        for regulariser in ("0", "0.1", "1", "1.9"):
            of = {"part": "margin", "at": margin, "name": f"δ = {regulariser}"}
            assert only(study.rows, **of, quantity="cells too many") == margin
            assert only(study.rows, **of, quantity="cells missed") == 0
        of["name"] = "δ = 2.1"  # above 1/ζ at the start
        assert only(study.rows, **of, quantity="cells too many") == 0
        assert only(study.rows, **of, quantity="cells missed") == 3


def test_few_who_come_near_move_the_boundary_little_and_all_move_it_there(study):
    of = {"part": "near", "quantity": "cells too many"}
    found = [row["value"] for row in select(study.rows, **of)]
    assert found[0] == 3
    assert found[-1] == 0
    assert found == sorted(found, reverse=True)


def test_rules_that_differ_beyond_their_first_cell_are_as_likely():
    """And a stricter one is likelier; by sums over all sequences of moves."""
    rows = rule_rows()
    up_to, alone = (
        [row["value"] for row in select(rows, name=name)] for name in ("up to", "alone")
    )
    np.testing.assert_allclose(up_to, alone, rtol=0, atol=1e-12)
    assert np.all(np.diff(up_to) > 0.1)
    small = Corridor(cells=6, start=3, horizon=5, wall=1)
    mdp = small.mdp()
    every = list(slow(small, np.zeros(6)))
    for cells in ({2}, {0, 2}, {0, 1, 2}):
        kept = sum(w for w, visited, _ in every if not cells & set(visited))
        table = jnp.where(np.isin(np.arange(6), list(cells)), -jnp.inf, 0.0)
        _, log_z = first_visits(mdp, table, steps=5)
        np.testing.assert_allclose(log_z, np.log(kept), rtol=0, atol=1e-12)
    assert LONG.start > LONG.wall + 4


def test_a_regulariser_forgives_all_that_is_not_shown_or_nothing():
    """∂/∂log ζ is (v/T)(δ ζ − 1) there, if episodes last: v does not decide."""
    of = shown(Corridor())
    theirs, _ = first_visits(of.mdp, jnp.full(9, jnp.log(0.5)), steps=8)
    likelihood = (of.demonstrators.visits - theirs) / of.mdp.horizon
    mean = theirs / jnp.sum(theirs)

    def slope(regulariser):
        return (likelihood + regulariser * mean * 0.5)[:3]

    assert np.all(slope(1.9) < -1e-3)
    assert np.all(slope(2.1) > 1e-3)
    assert np.ptp(theirs[:3]) > 1.0


# The study as a whole.


def test_equal_lengths_leave_a_factor_of_zeta_undecided():
    """Where no door is in reach: the likelihood is that of ζ/2, exactly."""
    far = Corridor(cells=14)
    mdp, visits = (
        far.mdp(),
        behaviour(far.mdp(), jnp.asarray(far.forbidden), far.careful()).visits,
    )
    table = jnp.linspace(-1.5, -0.1, 14)

    def likelihood(table):
        _, log_z = first_visits(mdp, table, steps=8)
        return visits @ table - log_z

    np.testing.assert_allclose(
        likelihood(table), likelihood(table - jnp.log(2.0)), rtol=0, atol=1e-12
    )
    assert likelihood(table) < likelihood(table.at[:3].add(-1.0)) - 0.1


def test_rows_are_numbers_of_one_form_and_the_picture_has_six_panels(study):
    keys = set(study.rows[0])
    for row in study.rows:
        assert set(row) == keys
        assert isinstance(row["value"], float)
        assert np.isfinite(row["value"])
    for sheet in study.sheets:
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
    assert all(isinstance(value, float) for value in study.findings.values())
    np.testing.assert_allclose(sum(TOLD), 1.0)
    labels = [axes.get_xlabel() for axes in draw_constraint_biases(study).axes]
    assert len(labels) == 6
    assert all(labels)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"behind": (0,)}, "one above"),
        ({"behind": (-1, 3)}, "from 0"),
        ({"samples": (1, 10)}, "at least 2"),
        ({"horizons": ()}, "horizons is 0"),
        ({"steps": 0, "draws": 0}, "steps is 0"),
    ],
)
def test_a_configuration_that_cannot_be_run_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        ConstraintBiasesConfig(**options)
