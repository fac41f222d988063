"""Two doors: what policies of every kind can earn there, computed and played."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.stats import norm

from reins.data import run_episodes
from reins.envs import two_doors
from reins.envs.two_doors import BUMP, FAR, HORIZON, NEAR

LEFT_DOOR, RIGHT_DOOR = (-FAR, -NEAR), (NEAR, FAR)


def expected_return(left, right):
    """Of a policy without memory, by the probability of each door; exact."""
    left, right = np.broadcast_arrays(left, right)
    guarded = np.full(left.shape, 0.5)
    total = np.zeros(left.shape)
    for _ in range(HORIZON):
        total += left * (1 - guarded) + right * guarded - BUMP * (1 - left - right)
        guarded = guarded * (1 - right) + (1 - guarded) * left
    return total


def gaussian_return(mean, std, squashed):
    """The same of a Gaussian of the place, or of what tanh makes a place of."""
    edge = np.arctanh if squashed else np.asarray

    def share(door):
        low, high = (norm.cdf((edge(x) - mean) / std) for x in door)
        return high - low

    return expected_return(share(LEFT_DOOR), share(RIGHT_DOOR))


def test_the_best_without_memory_draws_either_door_and_has_half_of_all_there_is():
    left, right = np.meshgrid(*2 * [np.linspace(0, 1, 201)])
    possible = left + right <= 1 + 1e-9
    totals = np.where(possible, expected_return(left, right), -np.inf)
    best = np.argmax(totals)
    assert (left.flat[best], right.flat[best]) == (0.5, 0.5)
    np.testing.assert_allclose(totals.flat[best], HORIZON / 2)


def test_keeping_to_one_door_has_half_a_reward_and_uniform_places_lose():
    np.testing.assert_allclose(expected_return([1, 0], [0, 1]), 0.5)
    np.testing.assert_allclose(expected_return(0.0, 0.0), -HORIZON)
    door = (FAR - NEAR) / 2
    np.testing.assert_allclose(expected_return(door, door), -11.0)


@pytest.mark.parametrize("squashed", [False, True])
def test_no_gaussian_has_more_than_one_door_has(squashed):
    mean, std = np.meshgrid(np.linspace(-4, 4, 401), np.exp(np.linspace(-6, 3, 181)))
    totals = gaussian_return(mean, std, squashed)
    assert 0.499 < totals.max() < 0.501
    # Those in the middle reach both doors, and the post and the walls more often.
    middle = totals[np.abs(mean) < 1e-9]
    assert middle.max() < -8.5


def test_two_narrow_branches_have_nearly_the_best():
    width = norm.cdf(0.15 / 0.05) - norm.cdf(-0.15 / 0.05)
    assert expected_return(width / 2, width / 2) > 9.9


def placed(draw):
    def act(observations, key):
        return draw(key, (len(observations), 1))

    return act


def normal(mean, std):
    return placed(lambda key, shape: mean + std * jax.random.normal(key, shape))


def either(key, shape):
    return jnp.where(jax.random.bernoulli(key, 0.3, shape), -0.4, 0.5)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (placed(either), expected_return(0.3, 0.7)),
        (normal(-0.45, 0.1), gaussian_return(-0.45, 0.1, squashed=False)),
        (normal(0.1, 0.5), gaussian_return(0.1, 0.5, squashed=False)),
    ],
)
def test_what_is_played_is_what_was_computed(act, expected):
    played = jax.jit(lambda key: run_episodes(two_doors(), act, key, 4000))
    returns = np.asarray(played(jax.random.key(0)).returns)
    assert abs(returns.mean() - expected) < 5 * returns.std() / np.sqrt(4000)


def test_a_door_pays_once_and_the_guard_then_waits_there():
    env = two_doors()
    step, state = jax.jit(env.step), env.reset(jax.random.key(0))[0]
    rewards = []
    for place in (0.45, 0.45, 0.0, 0.45, -0.45, 0.3, -0.6, 0.9, 0.61, 0.29):
        state, seen = step(state, jnp.array([place]), jax.random.key(0))
        rewards.append(float(seen.reward))
        np.testing.assert_array_equal(seen.observation, [1.0])
    assert rewards[1:] == [0, -1, 0, 1, 1, 1, -1, -1, -1]


def test_alternating_has_nearly_all():
    env = two_doors()
    state, total = env.reset(jax.random.key(1))[0], 0.0
    for t in range(HORIZON):
        place = jnp.array([0.45 if t % 2 else -0.45])
        state, seen = env.step(state, place, jax.random.key(0))
        total += float(seen.reward)
    assert total in (HORIZON - 1, HORIZON)


def test_gymnasium_plays_and_draws_it():
    env = gymnasium.make("reins/TwoDoors-v0", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.reset(seed=0)
    pictures = [env.render()]
    for place in (0.45, -0.45, 0.0):
        env.step(np.array([place], np.float32))
        pictures.append(env.render())
    assert {picture.shape for picture in pictures} == {(210, 280, 3)}
    for i, picture in enumerate(pictures):
        assert all(np.any(picture != other) for other in pictures[:i])
