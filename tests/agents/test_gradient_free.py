"""Hill climbing and the genetic algorithm: who is kept, and who comes after."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.agents import genetic, hill_climbing
from reins.errors import ConfigError
from reins.policies import policy_for
from tests.agents.by_hand import LINEAR, skewed_policy
from tests.agents.populations import (
    KEY,
    mean_return,
    parameters,
    ragged_batch,
    rows,
    slow_scores,
    train,
)
from tests.toys import delayed_bandit, point_env, random_batch

HORIZON, N, STD = 5, 6, 0.3


def spread_policy(key):
    """Standard normal parameters: no two policies are near one another."""
    draw = lambda x: jax.random.normal(key, x.shape)  # noqa: E731
    return jax.tree.map(draw, LINEAR(key))


CLIMB = hill_climbing(skewed_policy, horizon=1, environments=N, std=STD)
BREED = genetic(spread_policy, horizon=1, environments=N, std=1e-3, elite=2)


def batch_of(scores, missing=()):
    """Episodes of one step, each of which pays its row's score."""
    _, batch = one_step_batch()
    paid = jnp.broadcast_to(jnp.asarray(scores)[:, None], batch.rewards.shape)
    times = batch.times.at[jnp.asarray(missing, int)].add(1)
    return batch._replace(rewards=paid, times=times)


@functools.cache
def one_step_batch():
    return random_batch(delayed_bandit(), n=N, steps=3)


# Hill climbing.

climb, breed = jax.jit(CLIMB.update), jax.jit(BREED.update)


@pytest.mark.parametrize(
    ("scores", "missing", "kept"),
    [
        ([0.0, 1.0, 3.0, 2.0, -1.0, 0.0], [], 2),
        ([3.0, 1.0, 2.0, 3.0, 3.0, 0.0], [], 0),  # a tie is the present one's
        ([-5.0, -6.0, 0.0, 0.0, 0.0, -4.0], [2, 3, 4], 5),  # no episode is not a 0
    ],
)
def test_the_best_row_is_kept_and_perturbed(scores, missing, kept):
    state = CLIMB.init(KEY)
    after, info = climb(state, batch_of(scores, missing), KEY)
    before, population = rows(state.population), rows(after.population)
    np.testing.assert_array_equal(parameters(after.policy), before[kept])
    np.testing.assert_array_equal(population[0], before[kept])
    apart = population[1:] - population[0]
    assert np.all(apart != 0.0)
    assert 0.2 < np.std(apart) < 0.45  # 30 numbers of deviation 0.3
    assert info["episodes"] == 3 * (N - len(missing))
    assert info["score_best"] == scores[kept]


def test_it_starts_with_the_policy_and_others_around_it():
    state = CLIMB.init(KEY)
    population = rows(state.population)
    np.testing.assert_array_equal(parameters(state.policy), population[0])
    np.testing.assert_array_equal(population[0], parameters(skewed_policy(KEY)))
    assert len(np.unique(population, axis=0)) == N


def test_without_an_episode_of_the_present_policy_nothing_is_compared():
    state = CLIMB.init(KEY)
    for missing in ([0], list(range(N))):
        after, info = climb(state, batch_of(np.arange(6.0), missing), KEY)
        jax.tree.map(np.testing.assert_array_equal, after, state)
        assert all(np.isfinite(value) for value in info.values())


def test_a_lucky_policy_does_not_last():
    """Row 3 is kept for what it once got; measured afresh it is worse than row 1."""
    state = CLIMB.init(KEY)
    lucky, _ = climb(state, batch_of([0.0, 0.0, 0.0, 9.0, 0.0, 0.0]), KEY)
    after, _ = climb(lucky, batch_of([0.0, 1.0, 0.0, 0.0, 0.0, 0.0]), KEY)
    found = parameters(after.policy)
    np.testing.assert_array_equal(found, rows(lucky.population)[1])


# Genetic.


@pytest.mark.parametrize(
    ("scores", "missing", "kept"),
    [
        ([0.0, 1.0, 3.0, 2.0, -1.0, 0.0], [], [2, 3]),
        ([1.0, 2.0, 2.0, 2.0, 0.0, 0.0], [], [1, 2]),  # first come
        ([-5.0, -6.0, 0.0, 0.0, 0.0, -4.0], [2, 3, 4], [5, 0]),
        ([0.0, 0.0, 0.0, 0.0, -4.0, 0.0], [0, 1, 2, 3, 5], [4, 0]),
    ],
)
def test_the_best_survive_and_the_rest_are_their_children(scores, missing, kept):
    state = BREED.init(KEY)
    after, info = breed(state, batch_of(scores, missing), KEY)
    before, population = rows(state.population), rows(after.population)
    np.testing.assert_array_equal(population[:2], before[kept])
    np.testing.assert_array_equal(parameters(after.policy), before[kept[0]])
    for child in population[2:]:
        apart = [np.max(np.abs(child - parent)) for parent in before]
        assert np.argmin(apart) in kept
        assert 0.0 < min(apart) < 6e-3  # six deviations
    assert info["score_best"] == scores[kept[0]]


def test_parents_are_drawn_evenly_and_noise_has_its_deviation():
    state = BREED.init(KEY)
    batch = batch_of([0.0, 1.0, 3.0, 2.0, -1.0, 0.0])
    many = jax.jit(jax.vmap(BREED.update, in_axes=(None, None, 0)))
    after, _ = many(state, batch, jax.random.split(KEY, 200))
    children = np.concatenate([rows(p)[2:] for p in unstacked(after.population, 200)])
    parents = rows(state.population)[[2, 3]]
    noise = children[:, None] - parents
    mine = np.argmin(np.max(np.abs(noise), axis=2), axis=1)
    noise = noise[np.arange(len(children)), mine]
    assert abs(np.mean(mine) - 0.5) < 5 * 0.5 / np.sqrt(len(mine))
    assert abs(np.std(noise) / 1e-3 - 1.0) < 5 / np.sqrt(2 * noise.size)
    assert abs(np.mean(noise)) < 5 * 1e-3 / np.sqrt(noise.size)


def unstacked(tree, n):
    return [jax.tree.map(lambda x, i=i: x[i], tree) for i in range(n)]


def test_the_first_population_is_drawn_apart():
    population = rows(BREED.init(KEY).population)
    apart = np.max(np.abs(population[:, None] - population), axis=2)
    assert np.min(apart + 9.0 * np.eye(N)) > 0.1


# Both.

BUILDERS = {"hill_climbing": hill_climbing, "genetic": genetic}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_rows_are_judged_by_their_whole_episodes(build):
    agent = build(LINEAR, horizon=HORIZON, environments=N, std=STD)
    state, batch = agent.init(KEY), ragged_batch(4)
    after, info = jax.jit(agent.update)(state, batch, KEY)
    scores = slow_scores(batch, HORIZON)
    best = max(scores, key=lambda i: scores[i])
    assert set(scores) == {0, 1, 2, 3, 5}
    assert best != 0
    found = parameters(after.policy)
    np.testing.assert_array_equal(found, rows(state.population)[best])
    np.testing.assert_allclose(info["score_best"], scores[best], rtol=1e-5)
    np.testing.assert_allclose(
        info["score_mean"], np.mean(list(scores.values())), rtol=1e-5
    )


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_without_an_episode_nothing_changes(build):
    agent = build(LINEAR, horizon=1, environments=N)
    state = agent.init(KEY)
    after, info = jax.jit(agent.update)(
        state, batch_of(np.arange(6.0), list(range(N))), KEY
    )
    jax.tree.map(np.testing.assert_array_equal, after, state)
    assert set(map(float, info.values())) == {0.0}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_it_learns_to_stay_in_place(build):
    """The best is −0.08 per episode, by an action of 4 (1/2 − x)."""
    env = point_env()
    policy = policy_for(env.observation_space, env.action_space, hidden=())
    agent = build(policy, horizon=5, environments=16, std=0.3)
    state, _ = train(agent, env, environments=16, updates=60, steps=20)
    assert mean_return(env, agent.init(KEY).policy) < -0.5
    assert mean_return(env, state.policy) > -0.2


@pytest.mark.parametrize(
    ("build", "options", "told"),
    [
        (hill_climbing, {"environments": 1}, "`environments` is 1;"),
        (hill_climbing, {"std": 0.0}, "`std` is 0.0.*positive"),
        (hill_climbing, {"horizon": 0}, "`horizon` is 0"),
        (genetic, {"environments": 1}, "`environments` is 1;"),
        (genetic, {"std": float("inf")}, "`std` is inf.*positive"),
        (genetic, {"elite": 7}, "`elite` is 7 in a population of 6"),
        (genetic, {"elite": 6}, "`elite` is 6 in a population of 6"),
        (genetic, {"elite": 0}, "`elite` is 0"),
        (genetic, {"elite": 7, "std": -1.0}, "(?s)2 faults.*elite.*positive"),
    ],
)
def test_bad_settings_are_refused(build, options, told):
    with pytest.raises(ConfigError, match=told):
        build(LINEAR, **{"horizon": 1, "environments": N} | options)
