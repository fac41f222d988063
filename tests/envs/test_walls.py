"""Rules and costs around an environment that follows a script (tests/toys.py)."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from reins.envs import Wall, forbid, with_cost
from reins.errors import CapabilityError, ConfigError
from tests.toys import (
    LABELS,
    STEPS,
    random_batch,
    script_reward,
    scripted_batch,
    scripted_env,
)

KEY = jax.random.key(0)
ENDLESS, TERMINATES, TRUNCATES = 2 + 3 * 7, 2, 2 + 7
"""Labels of episodes of 3 steps that go on, terminate, or truncate themselves."""


def region(observation, action, next_observation):
    """Arriving at step 3."""
    del observation, action
    return next_observation[1] >= 3 / STEPS


def action_rule(observation, action, next_observation):
    """Action 1, from step 1 on."""
    del next_observation
    return (action == 1) & (observation[1] >= 1 / STEPS)


def play(env, actions):
    state, observation = env.reset(KEY)
    seen = []
    for action in actions:
        state, step = env.step(state, jnp.asarray(action), KEY)
        seen.append(step)
    return observation, seen, state


def test_a_region_is_entered_before_the_episode_ends():
    inner = scripted_env(label=ENDLESS)
    first, steps, _ = play(forbid(inner, region, reward=-7.0, moves=True), [1, 0, 1])
    expected_first, expected, _ = play(inner, [1, 0, 1])
    np.testing.assert_array_equal(first, expected_first)
    for found, nominal in zip(steps[:2], expected[:2], strict=True):
        np.testing.assert_array_equal(found.observation, nominal.observation)
        assert found.reward == nominal.reward
        assert found.cost == 0.0
        assert not bool(found.terminated)
    last = steps[2]
    np.testing.assert_array_equal(last.observation, [ENDLESS / LABELS, 3 / STEPS])
    assert last.reward == -7.0
    assert last.cost == 1.0
    assert bool(last.terminated)
    assert not bool(last.truncated)


def test_a_forbidden_action_is_not_carried_out():
    env = forbid(scripted_env(label=ENDLESS), action_rule, reward=-1.0, moves=False)
    _, steps, state = play(env, [1, 0, 1])
    assert [bool(step.terminated) for step in steps] == [False, False, True]
    assert [float(step.cost) for step in steps] == [0.0, 0.0, 1.0]
    assert steps[2].reward == -1.0
    np.testing.assert_array_equal(steps[2].observation, steps[1].observation)
    _, resumed = env.step(state, jnp.asarray(0), KEY)
    np.testing.assert_array_equal(resumed.observation, [ENDLESS / LABELS, 3 / STEPS])
    np.testing.assert_allclose(resumed.reward, script_reward(ENDLESS, 2, 0))


@pytest.mark.parametrize("moves", [True, False])
def test_a_forbidden_step_terminates_even_where_the_episode_truncates(moves):
    env = forbid(scripted_env(label=TRUNCATES), region, moves=moves)
    _, steps, _ = play(env, [0, 0, 0])
    assert bool(steps[2].terminated)
    assert not bool(steps[2].truncated)


def test_ends_of_the_nominal_environment_are_kept():
    def never(observation, action, next_observation):
        del observation, action, next_observation
        return jnp.asarray(False)

    for label, ends in ((TERMINATES, (True, False)), (TRUNCATES, (False, True))):
        _, steps, _ = play(forbid(scripted_env(label=label), never), [0, 0, 1])
        assert (bool(steps[2].terminated), bool(steps[2].truncated)) == ends
        assert steps[2].reward == script_reward(label, 2, 1)
        assert steps[2].cost == 0.0


def test_with_cost_prices_the_pair_before_the_step():
    def cost(observations, actions):
        return 10.0 * observations[..., 1] + actions

    _, plain = scripted_batch()
    _, batch = random_batch(with_cost(scripted_env(), cost))
    assert np.asarray(batch.ends).any(axis=1).all()
    expected = 10.0 * batch.observations[..., 1] + batch.actions
    np.testing.assert_array_equal(batch.costs, expected)
    for name in ("observations", "actions", "rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(plain, name))


class Line(gymnasium.Env):
    """A place that an action moves; it pays 7, and costs a quarter if it is told to."""

    action_space = spaces.Box(-10, 10, (1,), np.float64)
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def __init__(self, cost=None, ends=(False, False)):
        self.info = {} if cost is None else {"cost": cost}
        self.place, self.ends = 0.0, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return np.array([9.0, self.place]), {}

    def step(self, action):
        self.place += float(action[0])
        return np.array([9.0, self.place]), 7.0, *self.ends, dict(self.info)


def walked(env, moves):
    env.reset(seed=0)
    return [env.step(np.array([move])) for move in moves]


def test_a_wall_costs_on_it_and_beyond_and_the_nominal_twin_goes_on():
    steps = walked(Wall(Line(), position=1), [-2.5, -0.5, -1.0, 2.0])
    assert [step[4]["cost"] for step in steps] == [0.0, 1.0, 1.0, 0.0]
    assert [step[0][1] for step in steps] == [-2.5, -3.0, -4.0, -2.0]
    assert all(step[1:4] == (7.0, False, False) for step in steps)


@pytest.mark.parametrize("ends", [(False, False), (False, True), (True, False)])
def test_the_constrained_twin_pays_nothing_there_and_terminates(ends):
    env = Wall(Line(ends=ends), 1.5, position=1, side="above", ends=True)
    before, at = walked(env, [1.0, 0.5])
    assert before[1:] == (7.0, *ends, {"cost": 0.0})
    assert at[1:] == (0.0, True, False, {"cost": 1.0})


def test_a_wall_is_beside_what_the_environment_costs_itself():
    env = Wall(Line(cost=0.25), position=lambda observation: -observation[1])
    costs = [step[4]["cost"] for step in walked(env, [-4.0, 8.0])]
    assert costs == [0.25, 1.25]


@pytest.mark.filterwarnings("ignore:.*WARN")
def test_a_robot_that_moves_freely_needs_no_word_about_its_position():
    env = Wall(gymnasium.make("HalfCheetah-v5"), -0.5)
    env.reset(seed=0)
    robot = env.unwrapped
    for x, cost in ((0.0, 0.0), (-0.9, 1.0)):
        positions = robot.data.qpos.copy()
        positions[0] = x
        robot.set_state(positions, robot.data.qvel.copy())
        assert env.step(np.zeros(6, np.float32))[4]["cost"] == cost
    check_env(Wall(gymnasium.make("Ant-v5").unwrapped), skip_render_check=True)
    assert Wall(gymnasium.make("InvertedPendulum-v5")) is not None


@pytest.mark.parametrize(
    ("make", "position", "found"),
    [
        (lambda: gymnasium.make("CartPole-v1"), None, "CartPoleEnv, of which nothing"),
        (lambda: gymnasium.make("Reacher-v5"), None, "its first number is an angle"),
        (lambda: gymnasium.make("CartPole-v1"), 4, "entries 0 to 3"),
        (lambda: gymnasium.make("CartPole-v1"), -1, "entries 0 to 3"),
        (lambda: gymnasium.make("Blackjack-v1"), 0, "no vectors but Tuple"),
    ],
)
def test_where_nothing_tells_a_position_a_wall_is_refused(make, position, found):
    with pytest.raises(CapabilityError, match=found) as refused:
        Wall(make(), position=position)
    assert "position=lambda observation" in str(refused.value)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"at": float("nan")}, "at nan"),
        ({"at": float("inf")}, "at inf"),
        ({"side": "left"}, "'left' forbidden"),
    ],
)
def test_a_wall_is_somewhere_and_has_a_side(told, found):
    with pytest.raises(ConfigError, match=found):
        Wall(Line(), position=1, **told)
