"""Greedy inference of constraints against enumeration of trajectories and of sets."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError, DataError
from reins.tabular import (
    Items,
    RuleProblem,
    accrual_history,
    enumerate_trajectories,
    identifiable,
    infer_constraints,
    item_masses,
    items_used,
    minimal_constraints,
    model_without,
    random_mdp,
)

STATES, ACTIONS = 4, 3
FEATURES = jnp.array([[True, True, False, False], [False, True, False, True]])
TEMPERATURE = 0.7


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def problem_of(seed, *, deterministic=True, arrive=False, horizon=4):
    """A random MDP whose last state ends episodes; features, actions and states."""
    mdp = random_mdp(
        jax.random.key(seed),
        STATES,
        ACTIONS,
        horizon=horizon,
        deterministic=deterministic,
        terminal_states=1,
    )
    items = minimal_constraints(STATES, ACTIONS, FEATURES)
    return RuleProblem(mdp, items, TEMPERATURE, arrive)


def slow_uses(items, states, actions, mask):
    """Which items one trajectory uses, by looking at each step."""
    used = np.zeros(len(items.pairs), bool)
    for state in states:
        used |= np.asarray(items.places)[:, state]
    for t in np.flatnonzero(mask):
        used |= np.asarray(items.pairs)[:, states[t], actions[t]]
    return used


def slow_model(problem, forbidden):
    """Every trajectory: what it uses, and its probability while items are forbidden."""
    trajectories = enumerate_trajectories(problem.mdp)
    states, actions, log_p, rewards, _, mask = map(np.asarray, trajectories)
    used = np.stack(
        [
            slow_uses(problem.items, *row)
            for row in zip(states, actions, mask, strict=True)
        ]
    )
    weights = np.exp(log_p + (rewards * mask).sum(axis=1) / problem.temperature)
    weights *= ~np.any(used & forbidden, axis=1)
    if problem.arrive:
        weights *= np.asarray(problem.mdp.terminal)[states[:, -1]]
    return trajectories, used, weights / weights.sum()


def chosen(*numbers):
    return np.isin(np.arange(len(FEATURES) + ACTIONS + STATES), numbers)


def test_items_are_features_then_actions_then_states():
    items = minimal_constraints(STATES, ACTIONS, FEATURES)
    assert items.pairs.shape == (9, STATES, ACTIONS)
    equal(items.places[:2], FEATURES)
    assert not items.pairs[:2].any()
    assert bool(items.pairs[3, :, 1].all())
    assert int(items.pairs[3].sum()) == STATES
    assert int(items.places[2:5].sum()) == 0
    equal(items.places[5:], np.eye(STATES))
    assert minimal_constraints(3, 2).pairs.shape == (5, 3, 2)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("arrive", [True, False])
def test_accrued_masses_are_shares_of_trajectories(deterministic, arrive):
    """Scobee & Sastry, Algorithm 1, with each trajectory counted once."""
    problem = problem_of(5, deterministic=deterministic, arrive=arrive)
    forbidden = chosen(3)
    trajectories, used, masses = slow_model(problem, forbidden)
    found = item_masses(problem, forbidden)
    equal(found, masses @ used)
    assert np.count_nonzero((found > 0.01) & (found < 0.99)) > 3
    arrays = (trajectories.states, trajectories.actions, trajectories.mask)
    equal(items_used(problem.items, *arrays), used)


def test_the_history_says_by_when():
    problem = problem_of(5)
    none = chosen()
    (states, actions, *_, mask), _, masses = slow_model(problem, none)
    history = np.asarray(accrual_history(model_without(problem, none), problem.items))
    assert history.shape == (problem.mdp.horizon + 1, 9)
    assert np.all(np.diff(history, axis=0) > -1e-12)
    for t in (0, 2):
        cut = [
            slow_uses(problem.items, *row)
            for row in zip(*_until(t, states, actions, mask), strict=True)
        ]
        equal(history[t], masses @ np.stack(cut))


def _until(t, states, actions, mask):
    return states[:, : t + 1], actions[:, :t], mask[:, :t]


def test_a_pair_of_state_and_action_can_be_an_item():
    problem = problem_of(3)
    one = jnp.zeros((1, STATES, ACTIONS), bool).at[0, 1, 2].set(True)
    own = problem.items
    items = Items(
        jnp.concatenate([one, own.pairs]),
        jnp.concatenate([jnp.zeros((1, STATES), bool), own.places]),
    )
    problem = RuleProblem(problem.mdp, items, TEMPERATURE)
    forbidden = np.arange(10) == 9
    _, used, masses = slow_model(problem, forbidden)
    found = item_masses(problem, forbidden)
    equal(found, masses @ used)
    assert 0.01 < float(found[0]) < 0.99


def test_a_gain_is_the_fall_of_the_kl_and_the_growth_of_the_likelihood():
    problem = problem_of(7, horizon=5)
    used = np.asarray(item_masses(problem, chosen(2, 6))) > 0
    found = infer_constraints(problem, used, threshold=0.0)
    assert len(found.items) >= 2
    forbidden = chosen()
    _, demonstrated, truth = slow_model(problem, chosen(2, 6))
    assert not np.any(demonstrated[truth > 0][:, ~used])
    before = None
    for item, mass, gain in zip(*found, strict=True):
        kl = _kl(truth, slow_model(problem, forbidden)[2])
        equal(before is None or kl, True if before is None else before)
        forbidden = forbidden | chosen(item)
        after = _kl(truth, slow_model(problem, forbidden)[2])
        equal(gain, kl - after)
        equal(gain, -np.log1p(-mass))
        before = after
    equal(before, 0.0)


def _kl(p, q):
    there = p > 0
    return np.sum(p[there] * np.log(p[there] / q[there]))


def test_each_choice_is_the_best_there_is():
    """No other unused item has more mass, by enumeration."""
    problem = problem_of(7, horizon=5)
    used = np.asarray(item_masses(problem, chosen(2, 6))) > 0
    found = infer_constraints(problem, used, threshold=0.0)
    forbidden = chosen()
    for item, mass in zip(found.items, found.masses, strict=True):
        _, uses, masses = slow_model(problem, forbidden)
        shares = np.where(used | forbidden, 0.0, masses @ uses)
        equal(mass, shares.max())
        assert shares[item] == shares.max()
        forbidden = forbidden | chosen(item)


def test_identifiable_items_are_found_exactly_and_are_the_only_smallest_explanation():
    """Over all planted sets of two, on several MDPs; sets are enumerated."""
    yes = no = 0
    for seed in range(4):
        problem = problem_of(seed, horizon=4)
        _, uses, nominal = slow_model(problem, chosen())
        for planted in itertools.combinations(range(9), 2):
            allowed = ~np.any(uses[:, list(planted)], axis=1)
            if not nominal[allowed].sum() > 0:
                continue
            faults = identifiable(problem, chosen(*planted))
            alone = _smallest(uses[nominal > 0], allowed[nominal > 0])
            if faults:
                no += 1
                continue
            yes += 1
            assert alone == [planted]
            used = np.any(uses[allowed & (nominal > 0)], axis=0)
            found = infer_constraints(problem, used, threshold=0.0)
            assert sorted(found.items) == list(planted)
    assert yes >= 10
    assert no >= 10


def _smallest(uses, allowed):
    """All sets of items of least size that allow exactly these trajectories."""
    for size in range(4):
        same = [
            items
            for items in itertools.combinations(range(uses.shape[1]), size)
            if np.array_equal(~np.any(uses[:, list(items)], axis=1), allowed)
        ]
        if same:
            return same
    return []


def test_why_items_cannot_be_found_is_said():
    problem = problem_of(3)
    nominal = np.asarray(item_masses(problem, chosen()))
    assert identifiable(problem, chosen()) == []
    implied = identifiable(problem, chosen(0, 5))  # state 0 lies in feature 0
    assert "item 5 has no trajectory of its own" in implied
    # All of a feature's states forbidden one by one: the feature outdoes each.
    apart = identifiable(problem, chosen(5, 6))
    assert any("item 0 is not used either" in fault for fault in apart)
    everything = identifiable(problem, chosen(5, 6, 7, 8))
    assert "nothing is allowed" in everything
    assert nominal[0] > 0


def test_a_threshold_stops_and_can_be_raised_afterwards():
    problem = problem_of(7, horizon=5)
    used = np.asarray(item_masses(problem, chosen(2, 6))) > 0
    every = infer_constraints(problem, used, threshold=0.0)
    middle = sorted(every.gains)[0] * 1.01
    some = infer_constraints(problem, used, threshold=middle)
    assert 0 < len(some.items) < len(every.items)
    assert every.until(middle) == some
    one = infer_constraints(problem, used, threshold=0.0, most=1)
    assert one.items == every.items[:1]


def test_what_cannot_be_inferred_is_refused():
    problem = problem_of(3)
    with pytest.raises(ConfigError, match="less than 0"):
        infer_constraints(problem, chosen(), threshold=-0.1)
    with pytest.raises(DataError, match="9 of 9 items"):
        infer_constraints(problem, chosen(), threshold=0.0)
