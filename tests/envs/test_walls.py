"""Rules and costs around an environment that follows a script (tests/toys.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.envs import forbid, with_cost
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
