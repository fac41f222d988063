"""Classic control against Gymnasium's own, state by state."""

import warnings
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from reins.data import run_episodes
from reins.envs import Env, HostOptions, make_env, twin_ids
from reins.envs.classic_picture import (
    BODY,
    GOAL,
    HEIGHT,
    ROD,
    WIDTH,
    acrobot_picture,
    cart_pole_picture,
    mountain_car_picture,
    pendulum_picture,
)
from reins.errors import ConfigError

N = 1000
RTOL, ATOL = 1e-4, 2e-5
"""Gymnasium computes in double precision, and we in single."""
PI = np.pi


class Case(NamedTuple):
    """What is known of an environment without looking at ours.

    Attributes:
      start: the box that episodes start in, low and high.
      states: a wider box, to compare steps from; it reaches every clip and ending.
      actions: how many, or the largest to try of continuous ones, outside their space.
      keeps: observations -> actions that keep an episode from terminating.
    """

    start: tuple[list[float], list[float]]
    states: tuple[list[float], list[float]]
    actions: int
    keeps: object


def idle(observations):
    return jnp.zeros((len(observations), 1))


CASES = {
    "CartPole-v1": Case(
        ([-0.05] * 4, [0.05] * 4),
        ([-2.5, -3.0, -0.25, -3.0], [2.5, 3.0, 0.25, 3.0]),
        2,
        lambda o: (o @ jnp.array([0.1, 0.2, 1.0, 0.5]) > 0).astype(jnp.int32),
    ),
    "Pendulum-v1": Case(
        ([-PI, -1.0], [PI, 1.0]), ([-20.0, -8.0], [20.0, 8.0]), 3, idle
    ),
    "Acrobot-v1": Case(
        ([-0.1] * 4, [0.1] * 4),
        ([-PI, -PI, -4 * PI, -9 * PI], [PI, PI, 4 * PI, 9 * PI]),
        3,
        lambda o: jnp.ones(len(o), jnp.int32),
    ),
    "MountainCar-v0": Case(
        ([-0.6, 0.0], [-0.4, 0.0]),
        ([-1.2, -0.07], [0.6, 0.07]),
        3,
        lambda o: jnp.ones(len(o), jnp.int32),
    ),
    "MountainCarContinuous-v0": Case(
        ([-0.6, 0.0], [-0.4, 0.0]), ([-1.2, -0.07], [0.6, 0.07]), 2, idle
    ),
}


@pytest.fixture(scope="module", params=CASES)
def name(request) -> str:
    return request.param


def ours(name: str) -> Env:
    env = make_env(f"reins/{name}")
    assert isinstance(env, Env)
    return env


def theirs(name: str):
    return gymnasium.make(name).unwrapped


def their_step(env, state, action):
    """One step of Gymnasium's from a state that we choose."""
    env.reset(seed=0)
    env.state = np.array(state, np.float64)
    observation, reward, terminated, truncated, _ = env.step(action)
    assert not truncated
    return np.array(env.state), observation, float(reward), terminated


def their_steps(name, states, actions):
    """States, observations, rewards and terminations after one step from each."""
    env = theirs(name)
    steps = [their_step(env, s, a) for s, a in zip(states, actions, strict=True)]
    return [np.asarray(part) for part in zip(*steps, strict=True)]


def all_steps(name, states, actions):
    step = jax.jit(jax.vmap(ours(name).step, in_axes=(0, 0, None)))
    return step(states, actions, jax.random.key(0))


def random_states_and_actions(name: str):
    case, rng = CASES[name], np.random.default_rng(1)
    states = rng.uniform(*case.states, (N, len(case.states[0]))).astype(np.float32)
    if isinstance(theirs(name).action_space, gymnasium.spaces.Discrete):
        return states, rng.integers(case.actions, size=N)
    actions = rng.uniform(-case.actions, case.actions, (N, 1))
    return states, actions.astype(np.float32)


def test_a_step_is_gymnasiums(name):
    states, actions = random_states_and_actions(name)
    following, seen = all_steps(name, states, actions)
    expected = their_steps(name, states, actions)
    # A spin of 28 rad/s turns by 5 rad within one of the acrobot's steps, which
    # magnifies the rounding; in double precision (below) that is gone.
    slack = 10 if name == "Acrobot-v1" else 1
    for mine, gymnasiums in zip((following, *seen[:2]), expected, strict=False):
        np.testing.assert_allclose(
            mine, gymnasiums, rtol=slack * RTOL, atol=slack * ATOL
        )
    np.testing.assert_array_equal(seen.terminated, expected[3])
    ends = np.mean(expected[3])
    assert ends == 0 if name == "Pendulum-v1" else 0.02 < ends < 0.6
    assert not np.any(seen.truncated)
    assert not np.any(seen.cost)


def test_in_double_precision_a_step_is_gymnasiums_to_the_last_digits(name):
    states, actions = random_states_and_actions(name)
    states = states.astype(np.float64)
    if np.issubdtype(actions.dtype, np.floating):
        actions = actions.astype(np.float64)
    with jax.enable_x64(True):
        following, seen = all_steps(name, states, actions)
    assert following.dtype == np.float64
    expected = their_steps(name, states, actions)
    # Gymnasium keeps some states, and shows all, in single precision.
    tight = 1e-10 if expected[0].dtype == np.float64 else 1e-6
    np.testing.assert_allclose(following, expected[0], rtol=tight, atol=tight)
    np.testing.assert_allclose(seen.observation, expected[1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(seen.reward, expected[2], rtol=1e-6)
    np.testing.assert_array_equal(seen.terminated, expected[3])


@pytest.mark.parametrize("name", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_the_wall_of_the_valley_stops_the_car(name):
    env, action = ours(name), 0 if name == "MountainCar-v0" else np.array([-1.0])
    step = jax.jit(env.step)
    for state in ([-1.19, -0.07], [-1.2, 0.0], [-1.2, -0.01]):
        state = np.array(state, np.float32)
        following, _ = step(state, action, jax.random.key(0))
        expected = their_step(theirs(name), state, action)[0]
        assert expected[0] <= -1.19
        np.testing.assert_allclose(following, expected, rtol=RTOL, atol=ATOL)
    np.testing.assert_array_equal(following, np.float32([-1.2, 0.0]))


@pytest.mark.parametrize("name", ["CartPole-v1", "MountainCar-v0"])
def test_an_episode_is_gymnasiums(name):
    """Not chaotic ones: 100 steps of one are 100 steps of the other."""
    env, reference, rng = ours(name), theirs(name), np.random.default_rng(2)
    keep = CASES[name].keeps
    state, observation = env.reset(jax.random.key(1))
    reference.reset(seed=0)
    reference.state = np.array(state, np.float64)
    step = jax.jit(env.step)
    for _ in range(100):
        action = int(keep(observation[None])[0]) if rng.random() < 0.9 else 0
        state, seen = step(state, action, jax.random.key(0))
        observation = seen.observation
        expected = reference.step(action)
        np.testing.assert_allclose(observation, expected[0], rtol=1e-3, atol=1e-4)
        assert (float(seen.reward), bool(seen.terminated)) == expected[1:3]


def test_episodes_start_where_gymnasiums_do(name):
    low, high = np.array(CASES[name].start)
    env, reference, n = ours(name), theirs(name), 4096
    states, observations = jax.jit(jax.vmap(env.reset))(
        jax.random.split(jax.random.key(2), n)
    )
    drawn = [reference.reset(seed=i)[0] is None or reference.state for i in range(200)]
    for starts in (np.asarray(states), np.asarray(drawn)):
        assert np.all(starts >= low - 1e-6)
        assert np.all(starts <= high + 1e-6)
        spread = (high - low) / np.sqrt(12)
        five_errors = 5 * spread / np.sqrt(len(starts))
        assert np.all(np.abs(starts.mean(axis=0) - (low + high) / 2) <= five_errors)
        np.testing.assert_allclose(starts.std(axis=0), spread, rtol=0.2)
    correlation = np.corrcoef(np.asarray(states)[:, np.flatnonzero(high > low)].T)
    assert np.all(np.abs(np.atleast_2d(correlation) - np.eye(sum(high > low))) < 0.1)
    reference.state = np.array(states[0], np.float64)
    shown = {"Pendulum-v1": "_get_obs", "Acrobot-v1": "_get_ob"}.get(name)
    expected = getattr(reference, shown)() if shown else states[0]
    np.testing.assert_allclose(observations[0], expected, rtol=RTOL, atol=ATOL)


def test_an_episode_is_cut_where_gymnasium_cuts_it(name):
    env = ours(name)
    assert env.horizon == gymnasium.spec(name).max_episode_steps

    def act(observations, key):
        del key
        return CASES[name].keeps(observations)

    played = jax.jit(lambda key: run_episodes(env, act, key, 2))(jax.random.key(3))
    np.testing.assert_array_equal(played.lengths, [env.horizon] * 2)
    ends = np.argwhere(played.trajectory.truncated)
    np.testing.assert_array_equal(ends, [[0, env.horizon - 1], [1, env.horizon - 1]])
    assert not np.any(played.trajectory.terminated)
    if name == "CartPole-v1":
        np.testing.assert_array_equal(played.returns, [500.0, 500.0])


def test_its_spaces_are_gymnasiums_and_its_steps_fit_them(name):
    env, reference = ours(name), theirs(name)
    assert env.observation_space == reference.observation_space
    assert env.action_space == reference.action_space
    states, actions = random_states_and_actions(name)
    _, seen = all_steps(name, states, actions)
    assert all(env.observation_space.contains(o) for o in np.asarray(seen.observation))


def test_gymnasium_makes_plays_and_draws_it(name):
    env = gymnasium.make(f"reins/{name}", render_mode="rgb_array")
    env.action_space.seed(0)
    first, _ = env.reset(seed=3)
    np.testing.assert_array_equal(env.reset(seed=3)[0], first)
    pictures = [env.render()]
    for _ in range(8):
        *_, terminated, truncated, info = env.step(env.action_space.sample())
        assert (terminated, truncated, info) == (False, False, {"cost": 0.0})
    pictures.append(env.render())
    for picture in pictures:
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert picture.dtype == np.uint8
    assert np.any(pictures[0] != pictures[1])


def complaints(env) -> set[str]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_env(env.unwrapped)
    return {str(warning.message) for warning in found}


def test_the_checker_complains_of_nothing_but_what_gymnasiums_own_has(name):
    """Spaces without bounds, and not in [-1, 1]: they are Gymnasium's."""
    mine, gymnasiums = gymnasium.make(f"reins/{name}"), gymnasium.make(name)
    assert complaints(mine) <= complaints(gymnasiums)


def test_it_has_no_twin_and_no_options(name):
    env_id = f"reins/{name}"
    assert twin_ids(env_id) == (env_id, env_id)
    assert ours(name).name == env_id
    with pytest.raises(ConfigError, match="compiled into the training loop"):
        make_env(env_id, HostOptions(horizon=7))


def middle_of(image, colour):
    """Mean place of a colour in pixels, right and up of the picture's middle."""
    rows, columns = np.nonzero(np.all(image == colour, axis=2))
    assert len(rows) > 20
    return columns.mean() + 0.5 - WIDTH / 2, HEIGHT / 2 - rows.mean() - 0.5


def test_the_cart_and_its_pole_are_drawn_where_they_are():
    carts = [middle_of(cart_pole_picture(x, 0.0), BODY) for x in (-1.0, 0.0, 2.0)]
    metre = carts[1][0] - carts[0][0]
    assert metre > 30
    np.testing.assert_allclose(carts[2][0] - carts[1][0], 2 * metre, atol=1)
    for angle in (-0.2, 0.0, 0.2):
        image = cart_pole_picture(0.0, angle)
        right = middle_of(image, ROD)[0] - middle_of(image, BODY)[0]
        np.testing.assert_allclose(right, metre * np.sin(angle) / 2, atol=2)


@pytest.mark.parametrize("angle", [0.0, PI / 2, PI, -1.0, 7.0])
def test_the_rod_is_drawn_to_the_left_of_up(angle):
    x, y = middle_of(pendulum_picture(angle), ROD)
    assert np.hypot(x, y) > 30
    pointing = np.array([x, y]) / np.hypot(x, y)
    np.testing.assert_allclose(pointing, [-np.sin(angle), np.cos(angle)], atol=0.1)


@pytest.mark.parametrize(("upper", "lower"), [(0.0, 0.0), (1.0, 0.5), (2.5, -1.0)])
def test_the_tip_is_above_the_line_when_the_goal_is_reached(upper, lower):
    image = acrobot_picture(upper, lower)
    link, tip = (np.array(middle_of(image, colour)) for colour in (BODY, ROD))
    # The middle of the upper link is half a metre from the pivot.
    metre = 2 * np.hypot(*link)
    np.testing.assert_allclose(link[0], metre * np.sin(upper) / 2, atol=2)
    np.testing.assert_allclose(link[1], -metre * np.cos(upper) / 2, atol=2)
    # The joint hides the near end of the lower one.
    direction = (tip - 2 * link) / np.hypot(*(tip - 2 * link))
    both = upper + lower
    np.testing.assert_allclose(direction, [np.sin(both), -np.cos(both)], atol=0.1)
    line = middle_of(image, GOAL)[1]
    np.testing.assert_allclose(line, metre, atol=2)


def test_the_car_is_drawn_in_its_valley_and_under_the_flag():
    low, left, there = (
        middle_of(mountain_car_picture(x, 0.5), BODY) for x in (-0.52, -1.0, 0.5)
    )
    assert left[0] < low[0] < there[0]
    assert low[1] < left[1] < there[1]
    flag = middle_of(mountain_car_picture(-0.5, 0.5), GOAL)
    assert 0 < flag[0] - there[0] < 15
    assert 10 < flag[1] - there[1] < 40
