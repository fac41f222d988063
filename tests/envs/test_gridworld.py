"""The lap against a slow loop, and the numbers that the 2021 experiments rest on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.data import run_episodes
from reins.envs import constrained_twin, env_entry, make_env
from reins.envs.gridworld import cell_observation, lap_rule

NOMINAL, CONSTRAINED = "reins/LapGridWorld-v0", "reins/LapGridWorldConstrained-v0"
COINS = {5, 15, 25, 35}
KEY = jax.random.key(3)


def slow_lap(actions, *, constrained: bool):
    """(cell, reward, cost, terminated) of each step, until the episode ends."""
    cell, steps = 0, []
    for action in actions:
        if action == 1 and constrained:
            return [*steps, (cell, -1.0, 1.0, True)]
        cell = 0 if (cell, action) == (39, 0) else cell + (1 if action == 0 else -1)
        cell = 39 if cell == -1 else cell
        steps.append((cell, 3.0 if cell in COINS else 0.0, float(action), False))
    return steps


def compiled_steps(env):
    @jax.jit
    def run(actions):
        def step(state, action):
            return env.step(state, action, KEY)

        state, first = env.reset(KEY)
        return first, jax.lax.scan(step, state, actions)[1]

    return run


@pytest.fixture(scope="module")
def returns():
    """The return of one episode of a policy that sees its cell."""

    def play(env, action_in_cell):
        def act(observations, key):
            del key
            cells = jnp.round((observations[:, 0] + 1.0) * 20.0)
            return action_in_cell(cells).astype(jnp.int32)

        return jax.jit(lambda key: run_episodes(env, act, key, 1))(KEY)

    return play


@pytest.mark.parametrize("env_id", [NOMINAL, CONSTRAINED])
def test_it_agrees_with_a_slow_loop(env_id):
    env = make_env(env_id)
    run = compiled_steps(env)
    rng = np.random.default_rng(0)
    lengths = set()
    for anticlockwise in (0.0, 0.01, 0.05, 0.3, 0.5, 0.7, 1.0):
        actions = (rng.random(200) < anticlockwise).astype(np.int32)
        first, steps = run(actions)
        expected = slow_lap(actions, constrained=env_id == CONSTRAINED)
        cells, rewards, costs, terminated = map(np.asarray, zip(*expected, strict=True))
        n = len(expected)
        lengths.add(n)
        np.testing.assert_array_equal(first, [-1.0])
        assert steps.observation.dtype == np.float32
        np.testing.assert_allclose(
            steps.observation[:n, 0], cells / 20 - 1, atol=1e-7, rtol=0
        )
        np.testing.assert_array_equal(steps.reward[:n], rewards)
        np.testing.assert_array_equal(steps.cost[:n], costs)
        np.testing.assert_array_equal(steps.terminated[:n], terminated)
        assert not np.any(steps.truncated[:n])
    assert lengths == {200} if env_id == NOMINAL else len(lengths) > 3


def test_honest_laps_return_exactly_60(returns):
    for env in (make_env(NOMINAL), make_env(CONSTRAINED)):
        episode = returns(env, jnp.zeros_like)
        assert episode.returns[0] == 60.0
        assert episode.costs[0] == 0.0
        assert episode.lengths[0] == 200
        assert np.flatnonzero(episode.trajectory.truncated[0]).tolist() == [199]
        assert not np.any(episode.trajectory.terminated)


def test_stepping_to_and_fro_over_one_coin_returns_294(returns):
    episode = returns(make_env(NOMINAL), lambda cells: cells == 5)
    assert episode.returns[0] == 294.0
    assert episode.costs[0] == 98.0


def test_the_twin_pays_minus_1_ends_and_does_not_move(returns):
    episode = returns(constrained_twin(NOMINAL), lambda cells: cells == 7)
    last = jax.tree.map(lambda x: x[0, 7], episode.trajectory)
    assert episode.lengths[0] == 8
    assert episode.returns[0] == 3.0 - 1.0
    assert last.rewards == -1.0
    assert last.costs == 1.0
    assert bool(last.terminated)
    assert not bool(last.truncated)
    np.testing.assert_array_equal(last.next_observations, last.observations)


def test_every_cell_is_within_the_observation_space():
    space = make_env(NOMINAL).observation_space
    cells = np.asarray(cell_observation(jnp.arange(40)))
    assert cells.shape == (40, 1)
    assert all(space.contains(cell) for cell in cells)
    assert len(np.unique(cells)) == 40
    assert cells.min() == -1.0
    np.testing.assert_allclose(cells.max(), 0.95, atol=1e-7)


def test_the_rule_is_every_pair_once_and_forbids_one_direction():
    rule = lap_rule()
    assert rule.observations.shape == (80, 1)
    assert len({(float(o[0]), int(a)) for o, a in zip(*rule[:2], strict=True)}) == 80
    np.testing.assert_array_equal(rule.forbidden, rule.actions == 1)
    assert rule.forbidden.sum() == 40
    expected = np.arange(40) / 20 - 1
    np.testing.assert_allclose(rule.observations[:40, 0], expected, atol=1e-7)
    np.testing.assert_array_equal(rule.observations[40:], rule.observations[:40])
    assert env_entry(NOMINAL).rule is env_entry(CONSTRAINED).rule is lap_rule


def test_the_rule_is_what_the_twin_enforces_and_the_nominal_one_prices():
    nominal, twin = make_env(NOMINAL), make_env(CONSTRAINED)
    rule = lap_rule()
    for env, inner in ((nominal, lambda s: s), (twin, lambda s: s[0])):
        state, _ = env.reset(KEY)
        cells = jnp.tile(jnp.arange(40), 2)

        def one(cell, action, env=env, state=state, inner=inner):
            placed = jax.tree.map(lambda x: x, inner(state))._replace(cell=cell)
            start = placed if env is nominal else (placed, cell_observation(cell))
            return env.step(start, action, KEY)[1]

        steps = jax.vmap(one)(cells, jnp.asarray(rule.actions))
        np.testing.assert_array_equal(steps.cost, rule.forbidden)
        ended = rule.forbidden if env is twin else np.zeros(80, bool)
        np.testing.assert_array_equal(steps.terminated, ended)
