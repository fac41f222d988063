"""The Gymnasium faces of compiled environments, and costs around anybody's."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import reins
from reins.envs import ENVS, CompiledEnv, make_env, with_cost
from tests.toys import scripted_env

NOMINAL = "reins/LapGridWorld-v0"


LAPS = [env_id for env_id in ENVS if "LapGridWorld" in env_id]


@pytest.fixture(scope="module", params=LAPS)
def made(request):
    return gymnasium.make(request.param)


def test_the_checker_has_no_complaint(made):
    check_env(made.unwrapped)


def test_it_takes_the_steps_of_the_compiled_environment(made):
    env = make_env(made.spec.id)
    step = jax.jit(env.step)
    rng = np.random.default_rng(1)
    episodes = 0
    for _ in range(4):
        seen, _ = made.reset(seed=1)
        state, observation = env.reset(jax.random.key(0))
        np.testing.assert_array_equal(seen, observation)
        for action in rng.random(20) < 0.2:
            seen, reward, terminated, truncated, info = made.step(int(action))
            state, expected = step(state, jnp.asarray(int(action)), jax.random.key(0))
            np.testing.assert_array_equal(seen, expected.observation)
            assert made.observation_space.contains(seen)
            assert reward == expected.reward
            assert terminated == expected.terminated
            assert info["cost"] == expected.cost
            assert not truncated
            if terminated:
                episodes += 1
                break
    assert episodes >= 2 or made.spec.id == NOMINAL


def test_the_time_limit_truncates_at_200(made):
    made.reset(seed=0)
    ends = [made.step(0)[2:4] for _ in range(200)]
    assert ends[:199] == [(False, False)] * 199
    assert ends[199] == (False, True)


def test_it_vectorises(made):
    envs = gymnasium.make_vec(made.spec.id, num_envs=3, vectorization_mode="sync")
    first, _ = envs.reset(seed=0)
    np.testing.assert_array_equal(first, np.full((3, 1), -1.0))
    for _ in range(6):
        seen, rewards, _, _, infos = envs.step(np.array([0, 0, 0]))
    np.testing.assert_allclose(seen[:, 0], 6 / 20 - 1, atol=1e-7)
    np.testing.assert_array_equal(infos["cost"], np.zeros(3))
    assert rewards.shape == (3,)
    envs.close()


def test_the_same_seed_gives_the_same_episodes():
    env = CompiledEnv(scripted_env())

    def labels(seed):
        first = env.reset(seed=seed)[0]
        return [float(x[0]) for x in (first, *(env.reset()[0] for _ in range(3)))]

    assert labels(4) == labels(4)
    assert labels(4) != labels(5)
    assert len(set(labels(4))) == 4


def spied_cost(observations, actions):
    """Tells the pair apart: (position, action) for cart-pole."""
    return 1e3 * (observations[0] + 1.0) + actions


def test_with_cost_prices_the_pair_before_the_step():
    env = with_cost(gymnasium.make("CartPole-v1"), spied_cost)
    plain = gymnasium.make("CartPole-v1")
    env.reset(seed=2)
    before, _ = plain.reset(seed=2)
    for t in range(40):
        action = t % 3 // 2
        after, reward, terminated, truncated, info = env.step(action)
        expected = plain.step(action)
        np.testing.assert_array_equal(after, expected[0])
        assert (reward, terminated, truncated) == expected[1:4]
        assert info["cost"] == pytest.approx(spied_cost(before, action))
        assert info["cost"] != pytest.approx(spied_cost(after, action))
        assert "true_cost" not in info
        before = after
        if terminated:
            env.reset(seed=t)
            before, _ = plain.reset(seed=t)


def test_with_cost_forgets_the_last_episode_at_a_reset():
    env = with_cost(gymnasium.make("CartPole-v1"), spied_cost)
    for seed in (0, 1):
        first, _ = env.reset(seed=seed)
        cost = env.step(1)[4]["cost"]
        assert cost == pytest.approx(spied_cost(first, 1))
        env.step(0)


class OneBuffer(gymnasium.Env):
    """Shows the same array each time, changed in place, as fast simulators do."""

    observation_space = gymnasium.spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.buffer = np.zeros(1, np.float32)
        return self.buffer, {}

    def step(self, action):
        self.buffer += 1.0
        return self.buffer, 0.0, False, False, {}


def test_with_cost_sees_the_old_observation_of_an_environment_that_overwrites_it():
    env = with_cost(OneBuffer(), spied_cost)
    env.reset()
    costs = [env.step(action)[4]["cost"] for action in (1, 0, 1)]
    assert costs == [1001.0, 2000.0, 3001.0]


def test_a_cost_of_its_own_becomes_the_true_cost():
    env = with_cost(reins.envs.gymnasium_env(NOMINAL), lambda o, a: 0.25 + 0 * a)
    env.reset(seed=0)
    for action in (1, 0):
        info = env.step(action)[4]
        assert info == {"cost": 0.25, "true_cost": float(action)}
