"""Golf on a line: what can be reached by which clubs, and how the ball flies."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.stats import norm

from reins.data import run_episodes
from reins.envs import golf
from reins.envs.classic_picture import BODY, INK, ROD
from reins.envs.golf import FIELD, HOLE, HORIZON, NEAREST_TEE, REACH, SPREAD, GolfState

CELL = 0.1
"""Three cells are the hole, exactly."""
PLACES = np.linspace(-FIELD, FIELD, round(2 * FIELD / CELL) + 1)
STRENGTHS = np.linspace(-1, 1, 81)
TEES = np.abs(PLACES) >= NEAREST_TEE


@functools.cache
def chances(club):
    """Of every cell, from each place by each strength; the outer ones are fences."""
    edges = np.concatenate([[-np.inf], (PLACES[1:] + PLACES[:-1]) / 2, [np.inf]])
    aim = PLACES[:, None, None] + REACH[club] * STRENGTHS[:, None]
    return np.diff(norm.cdf((edges - aim) / SPREAD[club]), axis=-1)


def solve(clubs):
    """The best mean return from every place by these clubs, and the last values of
    every stroke, (club, place, strength)."""
    values = np.zeros(len(PLACES))
    for _ in range(HORIZON):
        after = np.where(np.abs(PLACES) <= HOLE, 0.0, values)
        strokes = np.stack([-1 + chances(club) @ after for club in clubs])
        values = strokes.max(axis=(0, 2))
    return values, strokes


@pytest.mark.parametrize(
    ("clubs", "best"),
    [((0, 1, 2), -2.15), ((0,), -8.8), ((1,), -5.7), ((2,), -6.9)],
)
def test_the_best_returns_are_those_of_the_docstring(clubs, best):
    values, _ = solve(clubs)
    assert abs(values[TEES].mean() - best) < 0.06


def test_every_club_is_the_best_somewhere():
    _, strokes = solve((0, 1, 2))
    of_place = strokes.max(axis=2).argmax(axis=0)
    for ball, club in ((0.5, 2), (-0.9, 2), (2.0, 1), (-2.5, 1), (6.0, 0), (-9.0, 0)):
        assert of_place[np.argmin(np.abs(PLACES - ball))] == club


def test_the_best_strokes_have_the_best_return_when_they_are_played():
    values, strokes = solve((0, 1, 2))
    best = strokes.transpose(1, 0, 2).reshape(len(PLACES), -1).argmax(axis=1)
    club, strength = best // len(STRENGTHS), STRENGTHS[best % len(STRENGTHS)]
    aim = PLACES + np.asarray(REACH)[club] * strength

    def act(observations, key):
        del key
        ball = FIELD * observations[:, 0]
        cell = jnp.round((ball + FIELD) / CELL).astype(int)
        which = jnp.asarray(club)[cell]
        how = (jnp.asarray(aim)[cell] - ball) / jnp.asarray(REACH)[which]
        return jnp.stack([which, how], axis=1)

    played = jax.jit(lambda key: run_episodes(golf(), act, key, 4000))
    returns = np.asarray(played(jax.random.key(0)).returns)
    assert abs(returns.mean() - values[TEES].mean()) < 0.05


@pytest.mark.parametrize("club", [0, 1, 2])
def test_a_stroke_goes_where_it_should(club):
    env, n = golf(), 4000
    state = env.reset(jax.random.key(0))[0]._replace(ball=jnp.asarray(-2.0))
    keys = jax.random.split(jax.random.key(1), n)
    stroke = jax.vmap(lambda k: env.step(state, jnp.array([club, 0.5]), k))
    following, seen = jax.jit(stroke)(keys)
    ball = np.asarray(following.ball)
    middle = -2.0 + 0.5 * REACH[club]
    assert abs(ball.mean() - middle) < 5 * SPREAD[club] / np.sqrt(n)
    np.testing.assert_allclose(ball.std(), SPREAD[club], rtol=0.08)
    np.testing.assert_array_equal(seen.terminated, np.abs(ball) <= HOLE)
    np.testing.assert_array_equal(seen.reward, -1.0)
    shown = np.stack([ball / FIELD, np.clip(ball, -1, 1)], 1)
    np.testing.assert_allclose(seen.observation, shown, rtol=1e-6)


def test_fences_stop_it_and_a_passing_ball_is_not_holed():
    env = golf()
    state = env.reset(jax.random.key(0))[0]._replace(ball=jnp.asarray(9.0))
    over, seen = env.step(state, jnp.array([0.0, 1.0]), jax.random.key(0))
    assert (float(over.ball), bool(seen.terminated)) == (FIELD, False)
    across, seen = env.step(
        state._replace(ball=jnp.asarray(3.0)), jnp.array([0.0, -1.0]), jax.random.key(0)
    )
    assert float(across.ball) < -2
    assert not seen.terminated


def test_balls_begin_far_away_on_either_side():
    states, _ = jax.vmap(golf().reset)(jax.random.split(jax.random.key(0), 2000))
    ball = np.asarray(states.ball)
    assert (np.abs(ball) >= NEAREST_TEE).all()
    assert 0.45 < np.mean(ball > 0) < 0.55
    np.testing.assert_allclose(np.abs(ball).mean(), 6.5, atol=0.25)


def test_gymnasium_plays_and_draws_it_with_actions_of_two_parts():
    env = gymnasium.make("reins/Golf-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    before = env.render()
    *_, info = env.step((2, np.array([-0.6], np.float32)))
    assert info == {"cost": 0.0}
    assert env.render().shape == before.shape == (210, 280, 3)
    assert np.any(env.render() != before)


def test_the_flight_is_drawn_in_the_clubs_colour():
    for club, colour in enumerate((BODY, ROD, INK)):
        flown = GolfState(np.float32(4.0), np.float32(club))
        picture = golf().picture(flown, GolfState(np.float32(-3.0), np.float32(-1)))
        rows, columns = np.nonzero(np.all(picture == colour, axis=2))
        assert np.ptp(columns) > 7 / 22 * 280 * 0.9
        assert np.ptp(rows) > (20, 8, 0)[club]
