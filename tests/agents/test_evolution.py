"""Evolution strategies: the step by loops, who acts, and what is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import es
from reins.errors import ConfigError
from reins.policies import categorical_policy, policy_for
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
from tests.toys import delayed_bandit, point_env

HORIZON, N, STD = 5, 6, 0.3


def build(optimizer=None, **options):
    told = {"horizon": HORIZON, "environments": N, "std": STD} | options
    return es(skewed_policy, optimizer or optax.sgd(1.0), **told)


def slow_step(state, scores, *, ranked, weight_decay):
    """(1/n) Σ_i F_i (θ_i − μ)/σ² − w μ over the rows whose opposite is scored too."""
    mean, samples = parameters(state.policy), rows(state.population)
    paired = [i for i in scores if (i + N // 2) % N in scores]
    step = np.zeros_like(mean, np.float64)
    for i in paired:
        score = scores[i]
        if ranked:
            others = [scores[j] for j in paired]
            below = sum(other < score for other in others)
            above = sum(other > score for other in others)
            score = (below - above) / (2 * (len(paired) - 1))
        step += score * (samples[i] - mean) / STD**2 / len(paired)
    return paired, step - weight_decay * mean


@pytest.mark.parametrize("missing", [None, 4])
@pytest.mark.parametrize(("ranked", "weight_decay"), [(True, 0.0), (False, 0.1)])
def test_one_step_goes_along_the_mean_of_scored_perturbations(
    ranked, weight_decay, missing
):
    agent = build(ranked=ranked, weight_decay=weight_decay)
    state = agent.init(KEY)
    batch = ragged_batch(4)
    if missing is None:
        batch = batch._replace(times=batch.times.at[4].add(-1))
    after, info = jax.jit(agent.update)(state, batch, KEY)
    scores = slow_scores(batch, HORIZON)
    told = {"ranked": ranked, "weight_decay": weight_decay}
    paired, step = slow_step(state, scores, **told)
    assert paired == ([0, 1, 2, 3, 4, 5] if missing is None else [0, 2, 3, 5])
    found = parameters(after.policy) - parameters(state.policy)
    np.testing.assert_allclose(found, step, atol=1e-5)
    np.testing.assert_allclose(info["gradient_norm"], np.linalg.norm(step), rtol=1e-4)
    known = list(scores.values())
    np.testing.assert_allclose(info["score_best"], max(known), rtol=1e-5)
    np.testing.assert_allclose(info["score_mean"], np.mean(known), rtol=1e-5)
    np.testing.assert_allclose(info["score_std"], np.std(known), rtol=1e-4)


def test_the_population_is_opposite_pairs_around_the_mean():
    agent = build()
    start = agent.init(KEY)
    after, _ = jax.jit(agent.update)(start, ragged_batch(4), KEY)
    for state in (start, after):
        apart = rows(state.population) - parameters(state.policy)
        np.testing.assert_allclose(apart[:3], -apart[3:], atol=1e-6)
        assert 0.15 < np.std(apart) < 0.6  # 18 numbers of deviation 0.3
    moved = rows(after.population) - rows(start.population)
    assert np.all(np.any(moved != 0.0, axis=1))


def test_each_row_acts_by_its_own_parameters():
    agent = build(std=3.0)
    state = agent.init(KEY)
    observations = jax.random.normal(KEY, (N, 2))
    found = agent.act(state, observations, KEY)
    weights = rows(state.population)
    expected = [
        np.argmax(np.asarray(seen) @ row[:4].reshape(2, 2) + row[4:])
        for seen, row in zip(observations, weights, strict=True)
    ]
    assert found.tolist() == expected
    assert set(expected) == {0, 1}
    assert (
        found.tolist()
        != jnp.argmax(skewed_policy(KEY)(observations).logits, axis=1).tolist()
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_are_modes_unless_draws_are_asked_for(deterministic):
    """And the policy that experiments judge, by its draws, acts in the same way."""
    agent = build(deterministic=deterministic)
    state = agent.init(KEY)
    seen = jnp.zeros((N, 2))
    keys = jax.random.split(KEY, 40)
    acted = jax.vmap(lambda key: agent.act(state, seen, key))(keys)
    judged = jax.vmap(lambda key: state.policy(seen).sample(key))(keys)
    assert np.all(acted == acted[0]) == deterministic
    assert np.all(judged == judged[0]) == deterministic


@pytest.mark.parametrize("ranked", [True, False])
def test_without_a_pair_nothing_changes(ranked):
    """Not by momentum, nor by the decay: 0, 1 and 2 have episodes, 3, 4 and 5 none."""
    agent = build(optax.adam(0.1), ranked=ranked, weight_decay=0.1)
    update = jax.jit(agent.update)
    batch = ragged_batch(4)
    moving, _ = update(agent.init(KEY), batch, KEY)
    for lacking, episodes in ((slice(0, 6), 0), (slice(3, 6), 3)):
        begun_before = batch._replace(times=batch.times.at[lacking].add(9))
        after, info = update(moving, begun_before, KEY)
        jax.tree.map(np.testing.assert_array_equal, after, moving)
        assert all(np.isfinite(value) for value in info.values())
        assert info["gradient_norm"] == 0.0
        assert info["episodes"] >= episodes
        assert (info["episodes"] == 0) == (episodes == 0)


def test_it_learns_to_stay_in_place():
    """The best is −0.08 per episode, by an action of 4 (1/2 − x)."""
    env = point_env()
    policy = policy_for(env.observation_space, env.action_space, hidden=())
    told = {"environments": 16, "horizon": 5, "std": 0.1}
    agent = es(policy, optax.adam(0.2), **told)
    state, infos = train(agent, env, environments=16, updates=60, steps=10)
    assert np.all(infos["episodes"] >= 16)
    assert mean_return(env, agent.init(KEY).policy) < -0.5
    assert mean_return(env, state.policy) > -0.15


def test_it_learns_what_pays_later():
    env = delayed_bandit(delay=1)
    agent = es(
        lambda key: skewed_to(0, LINEAR(key)),
        optax.adam(0.1),
        horizon=2,
        environments=16,
        std=0.5,
    )
    state, _ = train(agent, env, environments=16, updates=30, steps=4)
    assert mean_return(env, agent.init(KEY).policy) == 0.0
    assert mean_return(env, state.policy) == 1.0


def skewed_to(action, policy):
    """The same policy, with 1/2 more for an action's logit."""
    return jax.tree.map(lambda x: x.at[action].add(0.5) if x.ndim == 1 else x, policy)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"environments": 5}, "`environments` is 5.*even"),
        ({"environments": 0}, "`environments` is 0.*even"),
        ({"std": 0.0}, "`std` is 0.0.*positive"),
        ({"std": float("nan")}, "`std` is nan"),
        ({"weight_decay": -1.0}, "`weight_decay` is -1.0"),
        ({"horizon": 0}, "`horizon` is 0"),
        ({"environments": 5, "std": -1.0}, r"(?s)2 faults.*even.*positive"),
    ],
)
def test_bad_settings_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        build(**options)


def test_other_than_its_number_of_environments_is_refused():
    agent = es(categorical_policy(2, 2), optax.sgd(1.0), horizon=5, environments=4)
    state = agent.init(KEY)
    with pytest.raises(ConfigError, match=r"6 environments.*population of 4"):
        agent.update(state, ragged_batch(4), KEY)
    with pytest.raises(ConfigError, match=r"3 environments.*population of 4"):
        agent.act(state, jnp.zeros((3, 2)), KEY)
