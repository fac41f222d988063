"""Steps are taken again from what was observed; walls and entries have names."""

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.wrappers import TransformObservation

from reins.envs import Boundary, Wall, make_env, replay_of, with_cost
from reins.envs.mujoco import mujoco_env
from reins.envs.walls import boundary_of

COMPILED = ["reins/LapGridWorld-v0", "reins/PointCircleWall-v0", "reins/CartPole-v1"]


@pytest.mark.parametrize("env_id", COMPILED)
def test_a_compiled_step_is_taken_again(env_id):
    env: Any = make_env(env_id)
    state, before = env.reset(jax.random.key(0))
    env.action_space.seed(0)
    rows = []
    for i in range(8):
        action = env.action_space.sample()
        state, step = env.step(state, jnp.asarray(action), jax.random.key(i))
        rows.append((before, action, step.observation, step.reward))
        before = step.observation
    seen, done, after, paid = (np.asarray(x) for x in zip(*rows, strict=True))
    replay = replay_of(env)
    assert replay is not None
    following, rewards = replay(seen, done)
    np.testing.assert_allclose(following, after, atol=1e-6)
    np.testing.assert_allclose(rewards, paid, atol=1e-6)
    assert np.ptp(after, axis=0).max() > 0.0


@pytest.mark.parametrize("env_id", ["reins/HalfCheetahWall-v0", "Hopper-v5"])
def test_a_robot_s_step_is_taken_again(env_id):
    """As far as 32 bits, and a solver that starts elsewhere, let it be."""
    env: Any = make_env(env_id)
    vector = env.make(4, 1)
    before = vector.reset([1, 2, 3, 4])
    rng = np.random.default_rng(0)
    shape = (6, 4, *env.action_space.shape)
    actions = rng.uniform(-1, 1, shape).astype(np.float32)
    for early in actions[:-1]:
        before = vector.step(early).observations
    step = vector.step(actions[-1])
    vector.close()
    replay: Any = replay_of(env)
    following, rewards = replay(before, actions[-1])
    np.testing.assert_allclose(following, step.observations, atol=2e-3)
    np.testing.assert_allclose(rewards, step.rewards, atol=2e-3)
    moved, _ = replay(before, -actions[-1])
    assert np.abs(moved - step.observations).max() > 0.1


def test_what_does_not_show_everything_cannot_be_taken_again():
    assert replay_of(make_env("reins/Pendulum-v1")) is None
    assert replay_of(make_env("reins/LapGridWorldConstrained-v0")) is None
    lap = make_env("reins/LapGridWorld-v0")
    assert replay_of(with_cost(lap, lambda o, a: jnp.zeros(()))) is None
    assert replay_of(make_env("Acrobot-v1")) is None


def test_walls_that_an_observation_tells_of_are_known():
    assert make_env("reins/PointCircleWallConstrained-v0").boundary == Boundary(0, -3.0)
    moved = mujoco_env("reins/AntWall-v0", wall=-5.0)
    assert moved is not None
    assert moved.boundary == Boundary(0, -5.0)
    assert make_env("Hopper-v5").boundary is None
    inner = gymnasium.make("CartPole-v1")
    walled = gymnasium.wrappers.TimeLimit(Wall(inner, 1.0, position=0, side="above"), 9)
    assert boundary_of(walled) == Boundary(0, 1.0, "above")
    space: Any = inner.observation_space
    assert boundary_of(TransformObservation(walled, lambda o: -o, space)) is None
    assert boundary_of(Wall(inner, position=lambda o: o[0])) is None
    assert boundary_of(inner) is None


def test_distances_have_the_sign_of_what_is_allowed():
    rows = np.array([[0.0, -2.0], [9.0, -3.5]])
    np.testing.assert_allclose(Boundary(1, -3.0).distances(rows), [1.0, -0.5])
    above = Boundary(0, 4.0, "above").distances(rows)
    np.testing.assert_allclose(above, [4.0, -5.0])


def test_entries_of_robots_have_names_and_units():
    cheetah = make_env("reins/HalfCheetahWall-v0")
    assert len(cheetah.observation_names) == 18
    assert cheetah.observation_names[:3] == ("x (m)", "z (m)", "tilt about y (rad)")
    assert cheetah.observation_names[9] == "speed along x (m/s)"
    assert cheetah.action_names[0] == "motor of bthigh"
    hopper: Any = make_env("Hopper-v5")  # which does not show x
    assert len(hopper.observation_names) == hopper.observation_space.shape[0]
    assert hopper.observation_names[0] == "z (m)"
    ant = make_env("reins/AntWall-v0")
    assert ant.observation_names[3] == "orientation w"
    assert ant.observation_names[15] == "speed along x (m/s)"
