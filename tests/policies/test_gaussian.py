"""Gaussian policies: a scale that is learned, one that stays, one of each state."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from gymnasium import spaces

from reins.agents import a2c, actor_critic, es, kl_dual, npg, ppo, reinforce, trpo
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.duals import projected_dual
from reins.envs import Env, Step
from reins.errors import ConfigError
from reins.policies import gaussian_policy, policy_for
from reins.policies.gaussian import check_scale
from tests.toys import point_env, random_batch

KEY = jax.random.key(2)
SCALES = ["free", "fixed", "state"]
CENTRE, HALF_WIDTH = np.array([1.0, -2.0]), np.array([3.0, 0.5])
OBSERVATIONS = np.asarray(jax.random.normal(KEY, (6, 4)), np.float32)


def build(scale, **options):
    told = {"hidden": (5,), "log_std": -0.3} | options
    return gaussian_policy(
        4, 2, scale=scale, centre=tuple(CENTRE), half_width=tuple(HALF_WIDTH), **told
    )


def moved(scale, by=0.5):
    """A policy away from its start."""
    policy = build(scale)(KEY)
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda x: x + jnp.asarray(by * rng.normal(size=x.shape), x.dtype), policy
    )


def by_hand(policy):
    """Mean and standard deviation at every observation, in float64."""
    w1, w2, b1, b2 = (
        np.asarray(x, float) for x in (*policy.network.weights, *policy.network.biases)
    )
    outputs = np.tanh(OBSERVATIONS @ w1 + b1) @ w2 + b2
    raw = {
        "free": policy.log_std,
        "fixed": np.array([-0.3, -0.3]),
        "state": -0.3 + 4.0 * np.tanh(outputs[:, 2:] / 4.0),
    }[policy.scale]
    std = HALF_WIDTH * np.exp(np.asarray(raw, float))
    return CENTRE + HALF_WIDTH * outputs[:, :2], np.broadcast_to(std, (6, 2))


@pytest.mark.parametrize("scale", SCALES)
def test_the_distribution_is_that_of_scipy(scale):
    policy, other = moved(scale), moved(scale, by=0.4)
    mean, std = by_hand(policy)
    found = policy(jnp.asarray(OBSERVATIONS))
    theirs = scipy.stats.norm(mean, std)
    actions = mean + std * np.random.default_rng(0).normal(size=mean.shape)
    np.testing.assert_allclose(
        found.log_prob(jnp.asarray(actions, jnp.float32)),
        theirs.logpdf(actions).sum(axis=1),
        rtol=1e-4,
        atol=1e-4,
    )
    entropy = theirs.entropy().sum(axis=1)
    np.testing.assert_allclose(found.entropy(), entropy, rtol=1e-4, atol=1e-5)
    # KL by integration over 12 deviations, one dimension after the other.
    points = mean + std * np.linspace(-12.0, 12.0, 4001)[:, None, None]
    log_p = theirs.logpdf(points)
    log_q = scipy.stats.norm(*by_hand(other)).logpdf(points)
    kl = np.trapezoid(np.exp(log_p) * (log_p - log_q), points, axis=0).sum(axis=1)
    assert np.all(kl > 0.01)
    np.testing.assert_allclose(
        found.kl(other(jnp.asarray(OBSERVATIONS))), kl, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("scale", SCALES)
def test_it_starts_with_the_scale_that_was_asked_for(scale):
    found = build(scale)(KEY)(jnp.asarray(OBSERVATIONS)).log_std
    expected = np.log(HALF_WIDTH) - 0.3
    tolerance = 0.05 if scale == "state" else 1e-6
    np.testing.assert_allclose(found - expected, 0.0, atol=tolerance)


def test_only_a_state_s_scale_depends_on_the_state():
    for scale in SCALES:
        found = np.ptp(moved(scale)(jnp.asarray(OBSERVATIONS)).log_std, axis=0)
        assert np.all((found > 0.1) if scale == "state" else (found == 0.0))


def test_a_state_s_scale_is_bounded_smoothly():
    """Outputs without end; and near the start, an output is a nat."""
    policy = build("state", hidden=())(KEY)
    start = np.log(HALF_WIDTH) - 0.3
    far = policy(jnp.asarray(OBSERVATIONS) * 1e9).log_std - start
    np.testing.assert_allclose(np.abs(far), 4.0, rtol=1e-5)
    assert np.any(far > 0)
    assert np.any(far < 0)

    def log_std(bias):
        network = jax.tree.map(jnp.zeros_like, policy.network)
        network = jax.tree.map(lambda x: x + bias if x.ndim == 1 else x, network)
        made = type(policy)(
            network, None, policy.centre, policy.half_width, "state", policy.start
        )
        return made(jnp.zeros(4)).log_std[0]

    np.testing.assert_allclose(jax.grad(log_std)(0.0), 1.0, rtol=1e-6)
    assert 0.0 < jax.grad(log_std)(9.0) < 0.1


def test_a_scale_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match=r"no policy scale `states`.*`state`"):
        check_scale("states")


@pytest.mark.parametrize("scale", SCALES)
def test_the_usual_policy_has_the_scale_that_was_asked_for(scale):
    box = spaces.Box(-2.0, 2.0, (2,), np.float32)
    policy: Any = policy_for(box, box, hidden=(3,), log_std=-1.0, scale=scale)(KEY)
    assert policy.scale == scale
    assert policy.network.biases[-1].shape == (4 if scale == "state" else 2,)
    assert (policy.log_std is None) == (scale != "free")
    found = policy(jnp.zeros(2)).log_std
    np.testing.assert_allclose(found, np.log(2.0) - 1.0, rtol=1e-5)


# What moves a scale, and what does not.

CRITIC = value_critic(2, hidden=())
ADAM = optax.adam(0.05)
PASSES: Any = {"epochs": 2, "minibatches": 2}
FITS: Any = {"critic_epochs": 2, "minibatches": 2}
AGENTS = {
    "a2c": lambda p: a2c(p, CRITIC, ADAM),
    "actor-critic": lambda p: actor_critic(p, CRITIC, ADAM, ADAM),
    "es": lambda p: es(p, ADAM, horizon=5, environments=4, deterministic=False),
    "kl-dual": lambda p: kl_dual(
        p, CRITIC, ADAM, projected_dual(initial=7.0, learning_rate=10.0), **PASSES
    ),
    "npg": lambda p: npg(p, CRITIC, ADAM, **FITS),
    "ppo": lambda p: ppo(p, CRITIC, ADAM, **PASSES),
    "reinforce": lambda p: reinforce(p, ADAM, horizon=5),
    "trpo": lambda p: trpo(p, CRITIC, ADAM, **FITS),
}


@functools.cache
def point_batch():
    def act(observations, key):
        return 0.5 * jax.random.normal(key, (observations.shape[0], 1))

    return random_batch(point_env(), act=act, steps=20)[1]


@pytest.mark.parametrize("name", AGENTS)
def test_nothing_moves_a_fixed_scale(name):
    policy = gaussian_policy(2, 1, hidden=(3,), log_std=-0.7, scale="fixed")
    agent = AGENTS[name](policy)
    state, batch = agent.init(KEY), point_batch()
    after, info = jax.jit(agent.update)(state, batch, KEY)
    means = [s.policy(batch.observations).mean for s in (state, after)]
    assert np.max(np.abs(means[1] - means[0])) > 1e-4
    for made in jax.tree.leaves(info):
        assert np.all(np.isfinite(made))
    found = after.policy(batch.observations).log_std
    np.testing.assert_array_equal(found, np.float32(-0.7))
    if name == "es":
        rows = jax.vmap(lambda p: p(batch.observations[0]))(after.population)
        assert np.ptp(rows.mean, axis=0).min() > 0.0
        np.testing.assert_array_equal(rows.log_std, np.float32(-0.7))


def two_widths() -> Env:
    """s is −1 or 1, and a pays −a²/(2 v(s)): with the entropy, σ² = v(s) is best."""

    def reset(key):
        s = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        return s, jnp.stack([s, jnp.ones(())])

    def step(s, action, key):
        del key
        variance = jnp.where(s > 0, WIDTHS[1], WIDTHS[0]) ** 2
        return s, Step(
            observation=jnp.stack([s, jnp.ones(())]),
            reward=-jnp.square(action[0]) / (2 * variance),
            cost=jnp.zeros(()),
            terminated=jnp.asarray(True),
            truncated=jnp.asarray(False),
        )

    return Env(
        name="two widths",
        observation_space=spaces.Box(-1.0, 1.0, (2,), np.float32),
        action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        horizon=1,
        reset=reset,
        step=step,
    )


WIDTHS = np.array([0.3, 1.2])
STATES = jnp.array([[-1.0, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("scale", ["free", "state"])
def test_a_state_s_scale_learns_what_each_state_wants(scale):
    """One scale for both can only be a compromise: E a²/(2v) − log σ is least there."""
    env = two_widths()
    policy = gaussian_policy(2, 1, hidden=(), log_std=-0.5, scale=scale)
    agent = a2c(policy, CRITIC, optax.adam(0.03), entropy_weight=1.0)

    @jax.jit
    def step(state, key):
        collect_key, update_key = jax.random.split(key)
        start = start_rollout(env, collect_key, 32)
        act = functools.partial(agent.act, state)
        _, batch = rollout(env, act, start, collect_key, steps=8)
        return agent.update(state, batch, update_key)[0]

    state = agent.init(KEY)
    for key in jax.random.split(KEY, 150):
        state = step(state, key)
    found = np.exp(state.policy(STATES).log_std[:, 0])
    compromise = np.mean(WIDTHS**-2.0) ** -0.5
    expected = WIDTHS if scale == "state" else np.full(2, compromise)
    np.testing.assert_allclose(found, expected, rtol=0.2)
