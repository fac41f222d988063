"""Every registered environment: what it promises is what it shows."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.envs import (
    ENVS,
    HOST_ENVS,
    constrained_twin,
    env_entry,
    hybrid_space,
    hybrid_vector,
    make_env,
    nominal_twin,
    twin_ids,
)
from reins.errors import ConfigError

N = 3


@pytest.fixture(scope="module", params=ENVS)
def env_id(request) -> str:
    return request.param


def test_reset_and_step_show_what_the_spaces_say(env_id):
    env = make_env(env_id)
    keys = jax.random.split(jax.random.key(0), N)
    action_space = gymnasium.vector.utils.batch_space(env.action_space, N)
    action_space.seed(0)
    sampled = action_space.sample()
    hybrid = hybrid_space(env.action_space)
    actions = jnp.asarray(sampled) if hybrid is None else hybrid_vector(sampled)
    states, first = jax.jit(jax.vmap(env.reset))(keys)
    step = jax.jit(jax.vmap(env.step))
    following, seen = step(states, actions, keys)
    again, _ = step(following, actions, keys)
    for observations in (first, seen.observation):
        assert observations.shape == (N, *env.observation_space.shape)
        assert observations.dtype == env.observation_space.dtype
        assert all(env.observation_space.contains(np.asarray(o)) for o in observations)
    for amounts in (seen.reward, seen.cost):
        assert amounts.shape == (N,)
        assert amounts.dtype == np.float32
        assert np.all(np.isfinite(amounts))
    assert np.all(seen.cost >= 0)
    for ends in (seen.terminated, seen.truncated):
        assert ends.shape == (N,)
        assert ends.dtype == bool

    def kind(tree):
        return jax.tree.map(lambda x: (x.shape, x.dtype), tree)

    assert kind(states) == kind(following) == kind(again)
    assert step._cache_size() == 1


def test_it_is_known_by_its_name_here_and_to_gymnasium(env_id):
    env = make_env(env_id)
    assert env.name == env_id
    spec = gymnasium.spec(env_id)
    assert spec.max_episode_steps == env.horizon > 0
    made = gymnasium.make(env_id)
    assert made.observation_space == env.observation_space
    assert made.action_space == env.action_space


def test_its_twins_are_registered_and_are_each_others(env_id):
    entry = env_entry(env_id)
    assert {entry.nominal, entry.constrained} <= set(ENVS)
    assert env_id in (entry.nominal, entry.constrained)
    nominal, constrained = nominal_twin(env_id), constrained_twin(env_id)
    assert (nominal.name, constrained.name) == (entry.nominal, entry.constrained)
    for twin in (nominal, constrained):
        assert env_entry(twin.name)[1:3] == entry[1:3]
        assert twin.observation_space == make_env(env_id).observation_space
        assert twin.action_space == make_env(env_id).action_space
        assert twin.horizon == make_env(env_id).horizon


def test_it_has_one_line_for_the_list(env_id):
    summary = env_entry(env_id).summary
    assert summary.endswith(".")
    assert "\n" not in summary
    assert len(summary) <= 88


@pytest.mark.parametrize("ruled", [i for i, e in ENVS.items() if e.rule is not None])
def test_its_rule_covers_pairs_of_its_spaces(ruled):
    env, rule = make_env(ruled), env_entry(ruled).rule
    observations, actions, forbidden = rule()
    assert len(observations) == len(actions) == len(forbidden)
    assert all(env.observation_space.contains(o) for o in observations)
    assert all(env.action_space.contains(a) for a in actions)
    assert 0 < forbidden.sum() < len(forbidden)


@pytest.mark.parametrize("ours", HOST_ENVS)
def test_ours_outside_jax_are_known_with_twins_and_a_line_for_the_list(ours):
    nominal, constrained, summary = HOST_ENVS[ours]
    assert ours in (nominal, constrained)
    assert twin_ids(nominal) == twin_ids(constrained) == (nominal, constrained)
    assert gymnasium.spec(ours).max_episode_steps > 0
    assert summary.endswith(".")
    assert "\n" not in summary
    assert len(summary) <= 88


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Near to it: reins/LapGridWorld-v0"):
        make_env("reins/LapGridWorld-v1")
