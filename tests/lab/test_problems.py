"""The lab's problems: their answers by hand, and nothing symmetric about them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.envs import make_env
from reins.envs.gridworld import CELLS, CLOCKWISE
from reins.lab import DEFAULT_PROBLEMS, PROBLEMS, Options, lab_problem, problem_of
from reins.lab.problems import bandit, chain, grid, lap_gridworld_mdp
from reins.tabular import expected_cost, expected_return, policy_gradient

TABLES = {"bandit": bandit, "chain": chain, "grid": grid, "lap": lap_gridworld_mdp}


def test_the_bandits_answer_fits_on_a_page():
    problem = lab_problem("bandit")
    p = np.exp([0.2, -0.3, 0.5]) / np.sum(np.exp([0.2, -0.3, 0.5]))
    j = p[0] - p[2] / 2
    by_hand = p * (np.array([1.0, 0.0, -0.5]) - j)
    np.testing.assert_allclose(problem.gradient("J", Options()), by_hand, atol=1e-12)


def test_the_chain_pays_for_going_on_or_leaving():
    mdp = chain(3, horizon=2, slip=0.25)
    on, leave = (jnp.where(jnp.arange(2) == a, 50.0, -50.0) for a in (0, 1))
    # Two steps, neither of which may slip, and the second one pays.
    going = float(expected_return(mdp, jnp.tile(on, (4, 1))))
    assert going == pytest.approx(0.95 * 0.75**2)
    assert float(expected_return(mdp, jnp.tile(leave, (4, 1)))) == pytest.approx(0.3)


def test_the_grid_has_a_goal_and_a_pit():
    mdp = grid()
    assert mdp.transitions.shape == (12, 4, 12)
    assert np.flatnonzero(np.asarray(mdp.terminal)).tolist() == [7, 11]
    assert float(mdp.rewards[10, 0, 11]) == 1.0
    assert float(mdp.rewards[6, 0, 7]) == -1.0
    assert float(mdp.transitions[5, 0, 6]) == pytest.approx(0.9)
    assert float(mdp.transitions[5, 0, 9]) == pytest.approx(0.07)
    assert float(mdp.transitions[5, 0, 1]) == pytest.approx(0.03)


def test_lap_gridworld_as_a_table_is_the_environment():
    mdp = lap_gridworld_mdp()
    env = make_env("reins/LapGridWorld-v0")
    assert mdp.horizon == env.horizon
    state, _ = env.reset(jax.random.key(0))
    cell = 0
    for action in [0, 1, 1, 0, *[0] * 12, *[1] * 30]:
        state, seen = env.step(state, jnp.asarray(action), jax.random.key(0))
        following = int(jnp.argmax(mdp.transitions[cell, action]))
        assert following == int(state.cell)
        assert float(mdp.rewards[cell, action, following]) == float(seen.reward)
        assert float(mdp.costs[cell, action]) == float(seen.cost)
        cell = following
    clockwise = jnp.where(jnp.arange(2) == CLOCKWISE, 50.0, -50.0)
    logits = jnp.tile(clockwise, (CELLS, 1))
    assert float(expected_return(mdp, logits)) == pytest.approx(60.0)
    assert float(expected_cost(mdp, logits)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", [*PROBLEMS, "random-7"])
def test_every_problem_has_a_gradient_worth_estimating(name):
    problem = lab_problem(name)
    assert problem.name == name
    gradient = problem.gradient("J", Options())
    assert np.all(np.isfinite(gradient))
    assert np.linalg.norm(gradient) > 1e-3
    # Not symmetric: no entry repeats another up to its sign, but the two of one state.
    sizes = np.sort(np.abs(gradient[gradient != 0]))
    assert len(np.unique(sizes.round(9))) >= len(sizes) / 2


def test_defaults_are_among_the_names():
    assert set(DEFAULT_PROBLEMS) <= set(PROBLEMS)


def test_a_seed_gives_the_same_problem_again_and_another_seed_another():
    first, again = lab_problem("random-3"), lab_problem("random-3")
    other = lab_problem("random-4").gradient("J", Options())
    np.testing.assert_array_equal(
        first.gradient("J", Options()), again.gradient("J", Options())
    )
    assert not np.allclose(first.gradient("J", Options()), other)


def test_a_problem_of_ones_own_may_come_in_single_precision():
    with jax.enable_x64(False):
        mdp = chain(4, horizon=3)
        problem = problem_of("own", "A chain.", mdp, seed=1)
        found = problem.gradient("J", Options())
    exact = policy_gradient(
        chain(4, horizon=3),
        problem.design("trajectories", Options()).params.reshape(5, 2),
    )
    np.testing.assert_allclose(found, np.asarray(exact).reshape(-1), atol=1e-7)


def test_what_is_too_large_to_enumerate_has_no_constraint():
    assert "constraint" not in lab_problem("lap").designs
    assert "constraint" in lab_problem("random").designs
