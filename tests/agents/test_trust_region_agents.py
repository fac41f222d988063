"""NPG, TRPO and the priced KL: the ball is kept, and the price is the right one."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from jax.flatten_util import ravel_pytree

from reins.agents import kl_dual, npg, trpo
from reins.agents.agent import standardise
from reins.agents.trust_region_step import (
    check_trust_region,
    region_around,
    surrogate_and_kl,
)
from reins.critics import value_critic
from reins.duals import projected_dual, softplus_dual
from reins.errors import ConfigError
from reins.policies import categorical_policy, gaussian_policy
from reins.types import Trajectory
from tests.toys import (
    delayed_bandit,
    point_env,
    random_batch,
    scripted_batch,
)

KEY = jax.random.key(0)
CRITIC = value_critic(2, hidden=())
BANDIT = jnp.array([1.0, 0.0])
"""The only observation of the bandit."""


def stepper(build, policy=None, **options: Any):
    defaults: Any = {"critic_epochs": 2, "minibatches": 2}
    return build(
        policy or categorical_policy(2, 2, hidden=()),
        CRITIC,
        optax.adam(0.05),
        **(defaults | options),
    )


def pricer(dual=None, policy=None, optimizer=None, **options: Any):
    defaults: Any = {"epochs": 4, "minibatches": 2}
    return kl_dual(
        policy or categorical_policy(2, 2, hidden=()),
        CRITIC,
        optimizer or optax.adam(0.05),
        dual or projected_dual(initial=7.0, learning_rate=10.0),
        **(defaults | options),
    )


AGENTS = {
    "npg": functools.partial(stepper, npg),
    "trpo": functools.partial(stepper, trpo),
    "kl-dual": pricer,
}


def with_bias(state, bias):
    """The same state with a policy that prefers some actions."""
    policy = eqx.tree_at(
        lambda p: p.network.biases[0], state.policy, jnp.asarray(bias, jnp.float32)
    )
    return state._replace(policy=policy)


@functools.cache
def bandit_batch() -> Trajectory:
    return random_batch(delayed_bandit(), n=16, steps=8)[1]


@functools.cache
def compiled(name: str):
    agent = AGENTS[name]()
    return agent, jax.jit(agent.update)


@pytest.mark.parametrize("name", AGENTS)
def test_one_update_improves_the_better_action(name):
    agent, update = compiled(name)
    start, batch = with_bias(agent.init(KEY), [0.0, 1.5]), bandit_batch()
    before = start.policy(BANDIT).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        state, info = update(start, paid, KEY)
        after = state.policy(BANDIT).log_probs
        assert after[better] > before[better] + 0.02
        assert info["surrogate_gain"] > 0.0
        np.testing.assert_allclose(
            info["entropy"], state.policy(BANDIT).entropy(), rtol=1e-5
        )


@pytest.mark.parametrize("name", ["npg", "trpo"])
def test_nothing_to_learn_moves_nothing(name):
    agent, update = compiled(name)
    start, batch = agent.init(KEY), bandit_batch()
    state, info = update(
        start, batch._replace(rewards=jnp.ones_like(batch.rewards)), KEY
    )
    jax.tree.map(np.testing.assert_array_equal, state.policy, start.policy)
    assert info["kl"] == info["expected_kl"] == info["surrogate_gain"] == 0.0
    assert info.get("accepted", 0.0) == 0.0


@pytest.mark.parametrize("name", AGENTS)
def test_padding_changes_nothing(name):
    agent, update = compiled(name)
    start, batch = with_bias(agent.init(KEY), [0.0, 1.5]), bandit_batch()
    lengths = np.random.default_rng(0).integers(2, 8, (16, 1))
    mask = jnp.asarray(np.arange(8) < lengths)
    zeros = batch._replace(mask=mask, rewards=jnp.where(mask, batch.rewards, 0.0))
    junk = zeros._replace(
        observations=jnp.where(mask[..., None], batch.observations, 5.0),
        next_observations=jnp.where(mask[..., None], batch.next_observations, -9.0),
        actions=jnp.where(mask, batch.actions, 0),
        rewards=jnp.where(mask, batch.rewards, 1e3),
    )
    expected, expected_info = update(start, zeros, KEY)
    found, info = update(start, junk, KEY)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, found, expected)
    jax.tree.map(close, info, expected_info)


@pytest.mark.parametrize("name", AGENTS)
def test_the_critic_learns(name):
    """Reward 1 in each episode of one step: V is 1."""
    agent, update = compiled(name)
    state, batch = agent.init(KEY), bandit_batch()
    batch = batch._replace(rewards=jnp.ones_like(batch.rewards))
    losses = []
    for key in jax.random.split(KEY, 30):
        state, info = update(state, batch, key)
        losses.append(float(info["value_loss"]))
    np.testing.assert_allclose(state.critics[0](BANDIT), 1.0, atol=0.1)
    assert losses[-1] < 0.05 * losses[0]


# Surrogate and KL.

DIRECTIONS = ("old-new", "new-old")


def region_of(policy, batch):
    return region_around(policy, CRITIC(KEY), batch, discount=0.9, gae_lambda=0.7)


@pytest.fixture(scope="module")
def scripted():
    """A policy of the scripted environment, another, and a batch with padding."""
    _, batch = scripted_batch()
    mask = jnp.arange(16) < jnp.array([[16], [9], [12], [1]])
    first, second = jax.random.split(KEY)
    policy, other = (categorical_policy(2, 2, hidden=(3,))(k) for k in (first, second))
    policy, other = (jax.tree.map(lambda x: 3.0 * x, p) for p in (policy, other))
    return policy, other, batch._replace(mask=mask)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_surrogate_and_kl_are_means_over_valid_steps(scripted, direction):
    """Slowly, by the definition of the expectation."""
    old, new, batch = scripted
    found = surrogate_and_kl(new, region_of(old, batch), kl_direction=direction)
    advantages = np.asarray(region_of(old, batch).sample.advantages).reshape(4, 16)
    gains, kls = [], []
    for i, t in zip(*np.nonzero(np.asarray(batch.mask)), strict=True):
        log_old, log_new = (
            np.asarray(p(batch.observations[i, t]).log_probs, float) for p in (old, new)
        )
        action = int(batch.actions[i, t])
        gains.append(np.exp((log_new - log_old)[action]) * advantages[i, t])
        p, q = (log_old, log_new) if direction == "old-new" else (log_new, log_old)
        kls.append(np.exp(p) @ (p - q))
    np.testing.assert_allclose(found, [np.mean(gains), np.mean(kls)], rtol=1e-4)
    standard = standardise(jnp.asarray(advantages), batch.mask)
    np.testing.assert_allclose(standard[batch.mask], advantages[batch.mask], atol=1e-4)


def test_at_the_old_policy_both_kls_are_flat_and_curve_alike(scripted):
    old, _, batch = scripted
    region = region_of(old, batch)
    leaves, rest = eqx.partition(old, eqx.is_array)
    flat, unravel = ravel_pytree(leaves)

    def kl(direction, x):
        policy = eqx.combine(unravel(x), rest)
        return surrogate_and_kl(policy, region, kl_direction=direction)[1]

    curvatures = []
    for direction in DIRECTIONS:
        at = functools.partial(kl, direction)
        value, slope = jax.jit(jax.value_and_grad(at))(flat)
        np.testing.assert_allclose(value, 0.0, atol=1e-6)
        np.testing.assert_allclose(slope, 0.0, atol=1e-6)
        curvatures.append(jax.jit(jax.hessian(at))(flat))
    np.testing.assert_allclose(*curvatures, atol=1e-5)
    assert np.max(np.abs(curvatures[0])) > 1e-2


# NPG.


def test_the_kl_of_a_small_natural_step_is_near_its_bound():
    agent = stepper(npg, kl_bound=1e-4, damping=1e-4)
    start, batch = with_bias(agent.init(KEY), [0.0, 0.7]), bandit_batch()
    state, info = jax.jit(agent.update)(start, batch, KEY)
    np.testing.assert_allclose(info["expected_kl"], 1e-4, rtol=0.01)
    np.testing.assert_allclose(info["kl"], 1e-4, rtol=0.05)
    kl = start.policy(BANDIT).kl(state.policy(BANDIT))
    np.testing.assert_allclose(kl, info["kl"], rtol=1e-2)
    assert info["cg_residual"] < 1e-3


def test_the_direction_of_the_kl_does_not_change_a_natural_step():
    found = []
    for direction in DIRECTIONS:
        agent = stepper(npg, kl_direction=direction)
        start = with_bias(agent.init(KEY), [0.0, 1.5])
        found.append(jax.jit(agent.update)(start, bandit_batch(), KEY))
    (one, one_info), (other, other_info) = found
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-5),
        one.policy,
        other.policy,
    )
    assert abs(one_info["kl"] / other_info["kl"] - 1) > 0.01


# TRPO.


def continuous_batch():
    def push(observations, key):
        return jax.random.normal(key, (observations.shape[0], 1))

    return random_batch(point_env(), act=push)[1]


PROBLEMS = {
    "discrete": (categorical_policy(2, 2, hidden=(8,)), lambda: scripted_batch()[1]),
    "continuous": (gaussian_policy(2, 1, hidden=(8,)), continuous_batch),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_trpo_never_leaves_the_ball(problem, direction):
    """Payments at random, a large bound and no damping: whole steps often leave it."""
    policy, make = PROBLEMS[problem]
    bound, fractions = 0.25, []
    agent = stepper(
        trpo, policy, kl_bound=bound, kl_direction=direction, damping=1e-4, tries=6
    )
    update, state, batch = jax.jit(agent.update), agent.init(KEY), make()
    for key in jax.random.split(jax.random.key(7), 25):
        # Heavy tails: a few steps carry all of the advantage.
        rewards = jax.random.t(key, 1.5, batch.rewards.shape)
        after, info = update(state, batch._replace(rewards=rewards), key)
        assert info["kl"] <= bound
        old, new = state.policy(batch.observations), after.policy(batch.observations)
        kl = old.kl(new) if direction == "old-new" else new.kl(old)
        np.testing.assert_allclose(jnp.mean(kl), info["kl"], rtol=1e-3, atol=1e-5)
        assert info["surrogate_gain"] >= 0.0
        assert (info["surrogate_gain"] > 0.0) == (info["accepted"] > 0.0)
        fractions.append(float(info["accepted"]))
        state = after
    # The search had work to do, and was of use.
    assert min(fractions) < 1.0
    assert max(fractions) > 0.0


def test_what_npg_oversteps_trpo_does_not():
    """The same step, and half of it or less: what was rare is to become common."""
    options = {"kl_bound": 1.0, "damping": 1e-3}
    batch = bandit_batch()
    paid = batch._replace(rewards=(batch.actions == 0).astype(jnp.float32))
    (_, overstepped), (_, kept) = (
        jax.jit(agent.update)(with_bias(agent.init(KEY), [0.0, 2.5]), paid, KEY)
        for agent in (stepper(npg, **options), stepper(trpo, **options))
    )
    assert overstepped["kl"] > 1.0
    assert kept["kl"] <= 1.0
    assert 0.0 < kept["accepted"] <= 0.5
    np.testing.assert_allclose(kept["expected_kl"], overstepped["expected_kl"])


# The price of the KL.

BOUND = 0.05
OLD = np.array([0.5, 0.25, 0.25])
PAYMENTS = np.array([0.0, 1.0, 3.0])


def known_bandit() -> Trajectory:
    """Three actions in exactly the proportions of the old policy; one step each."""
    actions = jnp.tile(jnp.array([0, 1, 0, 2]), (16, 1))
    shape, ends = actions.shape, jnp.ones(actions.shape, bool)
    observations = jnp.broadcast_to(BANDIT, (*shape, 2))
    return Trajectory(
        observations=observations,
        actions=actions,
        rewards=jnp.asarray(PAYMENTS, jnp.float32)[actions],
        costs=jnp.zeros(shape),
        terminated=ends,
        truncated=~ends,
        next_observations=observations,
        mask=ends,
        times=jnp.zeros(shape, jnp.int32),
    )


def best_policy(multiplier: float, direction: str) -> np.ndarray:
    """arg max_π Σ π A − λ KL, of standardised advantages.

    π_old exp(A/λ)/Z for KL(new ‖ old); λ π_old/(ν − A) for KL(old ‖ new).
    """
    gains = PAYMENTS - OLD @ PAYMENTS
    gains /= np.sqrt(OLD @ gains**2)
    if direction == "new-old":
        tilted = OLD * np.exp((gains - gains.max()) / multiplier)
        return tilted / tilted.sum()

    def excess(level):
        return np.sum(multiplier * OLD / (level - gains)) - 1.0

    lowest = np.max(gains + 0.999 * multiplier * OLD)
    level = scipy.optimize.brentq(excess, lowest, lowest + 100.0)
    return multiplier * OLD / (level - gains)


def best_multiplier(direction: str) -> float:
    """The λ at which the best policy's KL is the bound: a root in one dimension."""

    def violation(multiplier):
        new = best_policy(multiplier, direction)
        p, q = (OLD, new) if direction == "old-new" else (new, OLD)
        return p @ np.log(p / q) - BOUND

    return float(scipy.optimize.brentq(violation, 0.3, 50.0))  # pyright: ignore


DUALS = {
    "projected": projected_dual(initial=2.0, learning_rate=15.0),
    "softplus": softplus_dual(initial=2.0, learning_rate=15.0),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dual", DUALS)
def test_the_multiplier_converges_to_the_known_optimum(dual, direction):
    """Turns on one batch, and then updates that begin anew but for the price."""
    agent = pricer(
        DUALS[dual],
        categorical_policy(2, 3, hidden=()),
        optax.sgd(0.2),
        kl_bound=BOUND,
        kl_direction=direction,
        dual_steps=5,
        epochs=60,
        minibatches=1,
    )
    update, batch = jax.jit(agent.update), known_bandit()
    start = with_bias(agent.init(KEY), np.log(OLD))
    network = start.policy.network
    flat = eqx.tree_at(lambda n: n.weights[0], network, jnp.zeros((2, 3)))
    start = start._replace(policy=eqx.tree_at(lambda p: p.network, start.policy, flat))
    state, info = update(start, batch, KEY)
    for _ in range(5):
        state, info = update(start._replace(dual=state.dual), batch, KEY)
    expected = best_multiplier(direction)
    np.testing.assert_allclose(info["multiplier"], expected, rtol=0.01)
    np.testing.assert_allclose(info["kl"], BOUND, rtol=0.01)
    found = jnp.exp(state.policy(BANDIT).log_probs)
    np.testing.assert_allclose(found, best_policy(expected, direction), atol=0.01)
    # The two directions have different optima, further apart than the tolerance.
    assert best_multiplier("old-new") > 1.04 * best_multiplier("new-old")


def test_the_multiplier_moves_by_the_violation_on_the_whole_batch():
    agent, update = compiled("kl-dual")
    start, batch = with_bias(agent.init(KEY), [0.0, 1.5]), bandit_batch()
    state, info = update(start, batch, KEY)
    kl = state.policy(BANDIT).kl(start.policy(BANDIT))
    np.testing.assert_allclose(info["kl"], kl, rtol=1e-3)
    expected = 7.0 + 10.0 * (float(info["kl"]) - 0.01)
    np.testing.assert_allclose(info["multiplier"], expected, rtol=1e-5)
    assert info["multiplier"] == state.dual.multiplier


def test_a_price_holds_the_policy_back():
    agent, update = compiled("kl-dual")
    start, batch = with_bias(agent.init(KEY), [0.0, 0.7]), bandit_batch()

    def kl_at(price):
        held = jnp.asarray(price, jnp.float32)
        dual = start.dual._replace(parameter=held, multiplier=held)
        return update(start._replace(dual=dual), batch, KEY)[1]["kl"]

    assert kl_at(1000.0) < 0.2 * kl_at(7.0)
    assert kl_at(7.0) < kl_at(0.0)


# What cannot be.


@pytest.mark.parametrize("bound", [0.0, -0.01, float("nan"), float("inf")])
@pytest.mark.parametrize("name", AGENTS)
def test_a_bound_that_is_not_positive_is_refused(name, bound):
    with pytest.raises(ConfigError, match=r"`kl_bound` is .*; it must be positive"):
        AGENTS[name](kl_bound=bound)


def test_all_faults_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        AGENTS["trpo"](
            kl_bound=-1.0,
            damping=-0.1,
            shrink=1.0,
            tries=0,
            cg_iterations=0,
        )
    said = str(caught.value)
    for fault in (
        "`trpo` cannot be built (5 faults)",
        "`kl_bound` is -1.0",
        "`damping` is -0.1",
        "`shrink` is 1.0; it must be between 0 and 1",
        "`tries` is 0; it must be at least 1",
        "`cg_iterations` is 0",
    ):
        assert fault in said


@pytest.mark.parametrize("name", AGENTS)
def test_minibatches_that_would_not_be_equal_are_refused(name):
    agent = AGENTS[name](minibatches=3)
    with pytest.raises(ConfigError, match=r"128 steps .* 3 minibatches"):
        jax.eval_shape(agent.update, agent.init(KEY), bandit_batch(), KEY)


def test_a_direction_is_named_by_its_two_iterates():
    with pytest.raises(ConfigError, match="`forward`; choose `old-new` or `new-old`"):
        check_trust_region(
            "npg", kl_direction="forward", positive={}, not_negative={}, counts={}
        )
