"""The point: its steps by hand, its wall, and what its picture shows."""

import math

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from reins.envs import make_env, point_circle, point_circle_constrained, twin_ids
from reins.envs.classic_picture import BODY, ROD
from reins.envs.point_circle import HORIZON, PointState

KEY = jax.random.key(0)


def by_hand(actions):
    """x, y, heading and reward of each step, in double precision."""
    x = y = heading = 0.0
    rows = []
    for forward, turn in actions:
        forward, turn = (min(max(a, -0.25), 0.25) for a in (forward, turn))
        heading += turn
        dx, dy = math.cos(heading) * forward, math.sin(heading) * forward
        x, y = x + dx, y + dy
        away = abs(math.sqrt(x * x + y * y) - 10.0)
        rows.append((x, y, heading, (y * dx - x * dy) / (1 + away)))
    return np.asarray(rows)


def walked(env, actions):
    step, state = jax.jit(env.step), env.reset(KEY)[0]
    seen = []
    for action in actions:
        state, shown = step(state, jnp.asarray(action, jnp.float32), KEY)
        seen.append(shown)
    return seen


def test_every_step_is_the_one_by_hand():
    actions = np.random.default_rng(0).uniform(-0.3, 0.4, (HORIZON, 2))
    seen, rows = walked(point_circle(), actions), by_hand(actions)
    for shown, (x, y, heading, reward) in zip(seen, rows, strict=True):
        expected = [x, y, heading, 0, 0, 0, x, y, 0]
        np.testing.assert_allclose(shown.observation, expected, atol=1e-4)
        np.testing.assert_allclose(shown.reward, reward, atol=1e-5)
        assert shown.cost == float(x <= -3.0)
        assert not shown.terminated


def test_most_is_paid_on_the_circle_and_clockwise():
    env = point_circle()
    places = np.linspace(0, 2 * np.pi, 7)
    for sign in (1, -1):
        for angle in places:
            # The chord to a point of the circle, from where it looks along it.
            heading = angle - sign * np.pi / 2
            end = 10 * np.cos(angle), 10 * np.sin(angle)
            start = [
                e - 0.25 * f(heading)
                for e, f in zip(end, (np.cos, np.sin), strict=True)
            ]
            state = PointState(*(jnp.asarray(v) for v in (*start, heading)))
            _, shown = env.step(state, jnp.array([0.25, 0.0]), KEY)
            np.testing.assert_allclose(shown.reward, sign * 2.5, rtol=1e-3)


def test_the_wall_ends_the_episode_in_the_constrained_twin_alone():
    back = [[-0.25, 0.0]] * 13
    free, walled = (
        walked(point_circle(), back),
        walked(point_circle_constrained(), back),
    )
    assert [float(s.cost) for s in free] == [0.0] * 11 + [1.0] * 2
    assert [bool(s.terminated) for s in walled[:12]] == [False] * 11 + [True]
    assert not any(bool(s.terminated) for s in free)
    np.testing.assert_array_equal(walled[11].observation[:2], [-3.0, 0.0])
    turned = [[0.25, 0.25]] * 5
    assert float(walked(point_circle(), turned)[-1].reward) != 0.0


def test_what_the_forbidden_step_would_have_paid_is_not_paid():
    state = PointState(jnp.asarray(-2.9), jnp.asarray(5.0), jnp.asarray(np.pi))
    action = jnp.array([0.25, 0.0])
    _, free = point_circle().step(state, action, KEY)
    observation = jnp.zeros(9)
    twin = point_circle_constrained()
    _, walled = twin.step((state, observation), action, KEY)
    assert float(free.reward) != 0.0
    assert (float(walled.reward), bool(walled.terminated)) == (0.0, True)
    assert float(free.cost) == float(walled.cost) == 1.0


def test_it_cannot_leave_the_field():
    state = PointState(jnp.asarray(39.9), jnp.asarray(-39.9), jnp.asarray(-np.pi / 4))
    moved, _ = point_circle().step(state, jnp.array([0.25, 0.0]), KEY)
    np.testing.assert_allclose([moved.x, moved.y], [40.0, -40.0])


def test_entries_0_and_1_are_the_place_as_an_ants_are():
    ant = make_env("reins/AntWall-v0").make(1, 1)
    ant.reset([0])
    saved = ant.save()
    saved["state"][0, 1:3] = [-2.0, 5.0]
    ant.restore(saved)
    seen = ant.step(np.zeros((1, 8), np.float32)).observations[0, :2]
    np.testing.assert_allclose(seen, [-2.0, 5.0], atol=0.1)
    state = PointState(*(jnp.asarray(v) for v in (-2.0, 5.0, 0.3)))
    _, shown = point_circle().step(state, jnp.zeros(2), KEY)
    np.testing.assert_allclose(shown.observation[:2], [-2.0, 5.0])


def test_its_ids_are_twins():
    ids = "reins/PointCircleWall-v0", "reins/PointCircleWallConstrained-v0"
    assert twin_ids(ids[0]) == twin_ids(ids[1]) == ids
    assert make_env(ids[0]).horizon == make_env(ids[1]).horizon == 150


@pytest.mark.filterwarnings("ignore:.*infinity. This is probably too")
@pytest.mark.parametrize("twin", ["", "Constrained"])
def test_gymnasium_plays_and_draws_it(twin):
    env = gymnasium.make(f"reins/PointCircleWall{twin}-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    pictures = [env.render()]
    for action in ([0.25, 0.0], [0.25, 0.25], [0.25, 0.25]):
        env.step(np.array(action, np.float32))
        pictures.append(env.render())
    assert {picture.shape for picture in pictures} == {(210, 280, 3)}
    for i, picture in enumerate(pictures):
        assert all(np.any(picture != other) for other in pictures[:i])


def where(picture, colour):
    """The mean (row, column) of the pixels of a colour."""
    return np.argwhere((picture == colour).all(axis=-1)).mean(axis=0)


def test_the_picture_shows_the_wall_left_of_it_and_follows_it_far_out():
    draw = point_circle().picture

    def drawn(x, y):
        state = PointState(*(np.asarray(v) for v in (x, y, 0.0)))
        return draw(state, state)

    start, up, far = drawn(0.0, 0.0), drawn(0.0, 8.0), drawn(37.0, 0.0)
    scale = 280 / 36
    np.testing.assert_allclose(where(start, ROD)[1], 139.5 - 4 * scale, atol=1)
    np.testing.assert_allclose(where(start, BODY), [104.5, 139.5], atol=3)
    np.testing.assert_allclose(where(up, BODY)[0], 104.5 - 8 * scale, atol=3)
    np.testing.assert_allclose(where(far, BODY)[1], 139.5 + 12 * scale, atol=3)
    assert not (far == ROD).all(axis=-1).any()
