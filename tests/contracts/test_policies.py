"""Every policy and its distributions, against SciPy, sums, integrals and draws."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from gymnasium import spaces

from reins.agents import ppo
from reins.agents.agent import require
from reins.critics import value_critic
from reins.errors import CapabilityError
from reins.estimators import ESTIMATORS
from reins.policies import (
    Categorical,
    Gaussian,
    NormalisedPolicy,
    Policy,
    beta_policy,
    categorical_policy,
    distribution_policy,
    gaussian_policy,
    hybrid_policy,
    mixture_policy,
    policy_for,
    squashed_gaussian_policy,
    tabular_policy,
)

KEY = jax.random.key(0)
CAPABILITIES = {"log_prob", "entropy", "reparameterised", "enumerable"}
OBSERVATIONS = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 4)), jnp.float32)


class Kind(NamedTuple):
    """A policy, observations of batch shape (2, 3), and its actions' shape and kind."""

    init: Callable
    observations: jax.Array
    action_shape: tuple[int, ...]
    discrete: bool = False
    peaked: bool = True  # whether the mode is where the density of actions is greatest
    estimated: float = 0.0  # by how much an entropy or a KL may be off, in nats
    lacks: tuple[str, ...] = ()  # what it refuses to tell
    moved: float = 0.7  # how far every parameter is from its start


def normalised(init: Callable) -> Callable:
    """Behind statistics of four dimensions, each of another size."""
    mean, scale = jnp.array([0.3, -2.0, 0.0, 5.0]), jnp.array([4.0, 0.5, 6.0, 3.0])
    return lambda key: NormalisedPolicy(init(key), mean, scale, 2.5)


def parameters(policy: Policy):
    """What is learned: all but the statistics of a normalised policy."""
    return policy.policy if isinstance(policy, NormalisedPolicy) else policy


def heavy_tails(outputs):
    """Any object with `sample` and `log_prob`, and here with an exact gradient too."""
    return Laplace(*jnp.split(outputs, 2, axis=-1))


class Laplace(NamedTuple):
    """Two dimensions, by hand: |a − place| falls off as exp(−|a − place|/scale)."""

    place: jax.Array
    log_scale: jax.Array
    has_rsample = True

    def sample(self, key):
        noise = jax.random.laplace(key, self.place.shape)
        return self.place + jnp.exp(self.log_scale) * noise

    def log_prob(self, value):
        distance = jnp.abs(value - self.place) * jnp.exp(-self.log_scale)
        return jnp.sum(-distance - self.log_scale - jnp.log(2.0), axis=-1)

    def mode(self):
        return self.place


VECTORS: Any = {"hidden": (3,), "centre": (1.0, -2.0), "half_width": (3.0, 0.5)}
POLICIES = {
    "categorical": Kind(
        categorical_policy(4, 5, hidden=(3,)), OBSERVATIONS, (), discrete=True
    ),
    "gaussian": Kind(
        gaussian_policy(4, 2, hidden=(3,), log_std=-0.5), OBSERVATIONS, (2,)
    ),
    "gaussian-fixed": Kind(
        gaussian_policy(4, 2, hidden=(3,), log_std=-0.5, scale="fixed"),
        OBSERVATIONS,
        (2,),
    ),
    "gaussian-state": Kind(
        gaussian_policy(4, 2, hidden=(3,), log_std=-0.5, scale="state"),
        OBSERVATIONS,
        (2,),
    ),
    "normalised-categorical": Kind(
        normalised(categorical_policy(4, 5, hidden=(3,))),
        OBSERVATIONS,
        (),
        discrete=True,
    ),
    "normalised-gaussian": Kind(
        normalised(gaussian_policy(4, 2, hidden=(3,), log_std=-0.5)),
        OBSERVATIONS,
        (2,),
    ),
    "tabular": Kind(
        tabular_policy(6, 5), jnp.arange(6).reshape(2, 3), (), discrete=True
    ),
    "squashed": Kind(
        squashed_gaussian_policy(4, 2, **VECTORS),
        OBSERVATIONS,
        (2,),
        peaked=False,
        moved=0.2,
    ),
    "normalised-squashed": Kind(
        normalised(squashed_gaussian_policy(4, 2, **VECTORS)),
        OBSERVATIONS,
        (2,),
        peaked=False,
        moved=0.1,
    ),
    "beta": Kind(beta_policy(4, 2, **VECTORS), OBSERVATIONS, (2,), moved=0.3),
    "mixture": Kind(
        mixture_policy(4, 2, branches=3, **VECTORS),
        OBSERVATIONS,
        (2,),
        peaked=False,
        estimated=0.05,
        moved=0.2,
    ),
    "mixture-plain": Kind(
        mixture_policy(4, 2, branches=3, squash=False, **VECTORS),
        OBSERVATIONS,
        (2,),
        peaked=False,
        estimated=0.05,
        moved=0.2,
    ),
    "hybrid": Kind(
        hybrid_policy(4, 2, branches=3, **VECTORS),
        OBSERVATIONS,
        (3,),
        peaked=False,
        moved=0.2,
    ),
    "adapted": Kind(
        distribution_policy(4, 4, heavy_tails, hidden=(3,)),
        OBSERVATIONS,
        (2,),
        lacks=("entropy", "kl"),
    ),
}


@pytest.fixture(scope="module", params=POLICIES)
def made(request):
    """A policy whose parameters have been moved from their start, for asymmetry."""
    kind = POLICIES[request.param]
    policy = kind.init(KEY)
    rng = np.random.default_rng(0)
    return kind, jax.tree.map(
        lambda x: x + jnp.asarray(kind.moved * rng.normal(size=x.shape), x.dtype),
        policy,
    )


def test_samples_and_modes_have_the_batch_and_the_kind_of_actions(made):
    kind, policy = made
    distribution = policy(kind.observations)
    for actions in (distribution.sample(KEY), distribution.mode()):
        assert actions.shape == (2, 3, *kind.action_shape)
        assert np.issubdtype(actions.dtype, np.integer) == kind.discrete
    told = [distribution.log_prob(distribution.sample(KEY))]
    for name, arguments in (("entropy", ()), ("kl", (distribution,))):
        if name in kind.lacks:
            with pytest.raises(CapabilityError, match=f"{name}|KL"):
                getattr(distribution, name)(*arguments)
        else:
            told.append(getattr(distribution, name)(*arguments))
    for values in told:
        assert values.shape == (2, 3)
        assert values.dtype == np.float32
    np.testing.assert_array_equal(distribution.sample(KEY), distribution.sample(KEY))


def test_batch_elements_do_not_mix(made):
    kind, policy = made
    actions = policy(kind.observations).sample(KEY)
    whole = policy(kind.observations).log_prob(actions)
    alone = policy(kind.observations[1, 2]).log_prob(actions[1, 2])
    np.testing.assert_allclose(whole[1, 2], alone, rtol=1e-5)


def test_it_gives_only_what_there_is_to_ask_for(made):
    _, policy = made
    assert "log_prob" in policy.gives
    assert policy.gives <= CAPABILITIES
    needed = {name for estimator in ESTIMATORS.values() for name in estimator.needs}
    assert needed <= CAPABILITIES


def test_what_it_claims_to_give_it_gives(made):
    kind, policy = made
    distribution = policy(kind.observations)
    if "enumerable" in policy.gives:
        every = jnp.arange(5)[:, None, None] + jnp.zeros((2, 3), int)
        total = sum(jnp.exp(distribution.log_prob(actions)) for actions in every)
        np.testing.assert_allclose(total, 1.0, rtol=1e-5)
        stacked = jnp.stack([distribution.log_prob(a) for a in every], axis=-1)
        np.testing.assert_allclose(distribution.log_probs, stacked, rtol=1e-5)

    def drawn(policy):
        return jnp.sum(policy(kind.observations).sample(KEY).astype(float))

    slopes = jax.tree.leaves(parameters(jax.grad(drawn)(policy)))
    carried = all(np.any(slope != 0) for slope in slopes)
    assert carried == ("reparameterised" in policy.gives)


def test_the_mode_is_the_most_probable(made):
    kind, policy = made
    if not kind.peaked:
        pytest.skip("its mode is that of what is squashed: tests/policies/ has it")
    distribution = policy(kind.observations)
    best = distribution.log_prob(distribution.mode())
    for key in jax.random.split(KEY, 20):
        drawn = distribution.log_prob(distribution.sample(key))
        assert np.all(drawn <= best + 1e-6)
    if "enumerable" in policy.gives:
        np.testing.assert_array_equal(
            distribution.mode(), np.argmax(distribution.log_probs, axis=-1)
        )


def test_entropy_and_kl_are_expectations_under_the_first(made):
    """Five standard errors of 4,000 draws."""
    kind, policy = made
    if kind.lacks:
        pytest.skip("it tells neither")
    p = policy(kind.observations)
    q = eqx.tree_at(
        lambda t: jax.tree.leaves(parameters(t))[-1],
        policy,
        replace_fn=lambda x: -x,
    )
    q = q(kind.observations)
    draws = jax.vmap(p.sample)(jax.random.split(KEY, 4000))
    log_p, log_q = jax.vmap(p.log_prob)(draws), jax.vmap(q.log_prob)(draws)
    for exact, terms in ((p.entropy(), -log_p), (p.kl(q), log_p - log_q)):
        error = np.std(terms, axis=0) / np.sqrt(4000)
        allowed = 5 * error + 1e-5 + kind.estimated
        assert np.all(np.abs(np.mean(terms, axis=0) - exact) < allowed)
    assert np.all(p.kl(q) > 0)
    one_scale = kind is POLICIES["gaussian-fixed"]  # whose KL is symmetric indeed
    assert np.any(np.abs(p.kl(q) - q.kl(p)) > 1e-3) != one_scale


def test_kl_to_itself_is_0(made):
    kind, policy = made
    if "kl" in kind.lacks:
        pytest.skip("it has no KL")
    distribution = policy(kind.observations)
    np.testing.assert_allclose(distribution.kl(distribution), 0.0, atol=1e-6)


def test_gradients_flow_to_every_parameter(made):
    kind, policy = made
    actions = policy(kind.observations).mode()
    weights = jnp.arange(6.0).reshape(2, 3)
    shifted = actions + (0 if kind.discrete else 0.3)

    def loss(policy):
        return jnp.sum(weights * policy(kind.observations).log_prob(shifted))

    slopes = jax.tree.leaves(parameters(jax.grad(loss)(policy)))
    assert all(np.all(np.isfinite(slope)) for slope in slopes)
    assert all(np.any(slope != 0) for slope in slopes)


def test_draws_are_constant_actions_with_their_log_probabilities(made):
    """No gradient comes through an action: that of log π is that at fixed actions."""
    kind, policy = made
    n = 7

    def drawn(policy):
        return policy(kind.observations).draws(KEY, n)

    actions, log_probs = drawn(policy)
    assert actions.shape == (n, 2, 3, *kind.action_shape)
    assert log_probs.shape == (n, 2, 3)
    assert len(np.unique(actions, axis=0)) > 1
    again = jax.vmap(policy(kind.observations).log_prob)(actions)
    np.testing.assert_allclose(log_probs, again, rtol=1e-3, atol=1e-3)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=log_probs.shape))

    def of_drawn(policy):
        found, log_probs = drawn(policy)
        return jnp.sum(weights * log_probs) + jnp.sum(found.astype(float))

    def of_fixed(policy):
        log_prob = jax.vmap(policy(kind.observations).log_prob)
        return jnp.sum(weights * log_prob(actions))

    slopes = (jax.tree.leaves(jax.grad(f)(policy)) for f in (of_drawn, of_fixed))
    for found, expected in zip(*slopes, strict=True):
        size = np.max(np.abs(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3 * size + 1e-6)


def test_the_score_of_draws_is_0_on_average(made):
    """E ∇ log π = 0, within 5 standard errors: what a leak through actions breaks."""
    kind, policy = made

    @jax.jit
    @jax.vmap
    def score(key):
        def total(policy):
            return jnp.mean(policy(kind.observations[1, 2]).draws(key, 100)[1])

        return parameters(jax.grad(total)(policy))

    found = score(jax.random.split(KEY, 30))
    assert_mean(found, 0.0)
    assert max(np.max(np.std(x, axis=0)) for x in jax.tree.leaves(found)) > 1e-3


def assert_mean(slopes, expected):
    """Of 30 slopes for each parameter, within 5 standard errors."""
    rows = np.concatenate([x.reshape(30, -1) for x in jax.tree.leaves(slopes)], axis=1)
    error = np.std(rows, axis=0, ddof=1) / np.sqrt(30)
    assert np.all(np.abs(np.mean(rows, axis=0) - expected) < 5 * error + 1e-4)


def test_paths_carry_the_gradient_of_the_entropy(made):
    """E ∇ log π(a(θ); θ) = −∇ H(θ), within 5 standard errors; a(θ) counts too."""
    kind, policy = made
    if not policy.gives >= {"reparameterised", "entropy"}:
        pytest.skip("it has no such gradient, or no entropy to compare with")
    one = kind.observations[1, 2]

    @jax.jit
    @jax.vmap
    def slopes(key):
        def total(policy):
            return jnp.mean(policy(one).paths(key, 100)[1])

        return parameters(jax.grad(total)(policy))

    exact = parameters(jax.grad(lambda policy: policy(one).entropy())(policy))
    exact = np.concatenate([np.ravel(x) for x in jax.tree.leaves(exact)])
    if kind is POLICIES["gaussian-fixed"]:
        np.testing.assert_array_equal(exact, 0.0)
    else:
        assert_mean(slopes(jax.random.split(KEY, 30)), -exact)
        assert np.max(np.abs(exact)) > 0.02


def test_a_normalised_policy_is_its_inner_one_in_other_units():
    """Cut at 2.5 on both sides, and its statistics are no parameters."""
    policy = POLICIES["normalised-gaussian"].init(KEY)
    mean, scale = np.asarray(policy.mean), np.asarray(policy.scale)
    raw = 3.0 * OBSERVATIONS
    expected = np.clip((np.asarray(raw) - mean) * scale, -2.5, 2.5)
    assert {-2.5, 2.5} < set(expected.ravel().tolist())
    np.testing.assert_allclose(policy.normalise(raw), expected, rtol=1e-6)
    inner = policy.policy(jnp.asarray(expected))
    np.testing.assert_allclose(policy(raw).mean, inner.mean, atol=1e-6)
    assert policy.gives == policy.policy.gives
    slopes = jax.grad(lambda p: jnp.sum(p(raw).mean))(policy)
    np.testing.assert_array_equal(slopes.mean, 0.0)
    np.testing.assert_array_equal(slopes.scale, 0.0)


# Each distribution against somebody else's.

LOGITS = np.array([[0.3, -1.0, 2.0], [50.0, 0.0, -50.0]], np.float32)
OTHER_LOGITS = np.array([[0.0, 0.5, 0.1], [1.0, 2.0, -3.0]], np.float32)


def test_a_categorical_is_scipys():
    p, q = Categorical(jnp.asarray(LOGITS)), Categorical(jnp.asarray(OTHER_LOGITS))
    expected = scipy.special.log_softmax(LOGITS.astype(float), axis=-1)
    other = scipy.special.log_softmax(OTHER_LOGITS.astype(float), axis=-1)
    for action in range(3):
        actions = jnp.full(2, action)
        np.testing.assert_allclose(
            p.log_prob(actions), expected[:, action], rtol=1e-5, atol=1e-6
        )
    probabilities = np.exp(expected)
    entropy = scipy.stats.entropy(probabilities, axis=-1)
    np.testing.assert_allclose(p.entropy(), entropy, atol=1e-5)
    kl = scipy.stats.entropy(probabilities, np.exp(other), axis=-1)
    np.testing.assert_allclose(p.kl(q), kl, rtol=1e-5)


MEAN = np.array([[0.5, -1.0, 3.0], [0.0, 0.0, 0.1]], np.float32)
LOG_STD = np.array([[0.0, -2.0, 1.0], [0.3, 0.2, 0.1]], np.float32)


def test_a_gaussian_is_scipys():
    actions = MEAN + np.array([0.3, -0.1, 4.0], np.float32)
    p = Gaussian(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    for i in range(2):
        covariance = np.diag(np.exp(2.0 * LOG_STD[i].astype(float)))
        other = scipy.stats.multivariate_normal(MEAN[i].astype(float), covariance)
        found = p.log_prob(jnp.asarray(actions))[i]
        np.testing.assert_allclose(found, other.logpdf(actions[i]), rtol=1e-5)
        np.testing.assert_allclose(p.entropy()[i], other.entropy(), rtol=1e-5)


def test_kl_of_gaussians_by_integration():
    grid = np.linspace(-12.0, 12.0, 20001)
    for (m, s), (n, r) in [((0.3, 0.8), (1.0, 1.5)), ((0.0, 2.0), (-1.0, 0.7))]:
        p, q = (
            Gaussian(jnp.array([a]), jnp.log(jnp.array([b])))
            for a, b in ((m, s), (n, r))
        )
        density = scipy.stats.norm.pdf(grid, m, s)
        difference = scipy.stats.norm.logpdf(grid, m, s) - scipy.stats.norm.logpdf(
            grid, n, r
        )
        expected = np.trapezoid(density * difference, grid)
        np.testing.assert_allclose(p.kl(q), expected, rtol=1e-4)
        column = jnp.asarray(grid, jnp.float32)[:, None]
        mass = np.trapezoid(np.exp(jax.vmap(p.log_prob)(column)), grid)
        np.testing.assert_allclose(mass, 1.0, atol=1e-5)


def test_samples_come_as_often_as_they_should():
    p = Categorical(jnp.asarray(LOGITS[0]))
    drawn = np.asarray(jax.vmap(p.sample)(jax.random.split(KEY, 4000)))
    expected = scipy.special.softmax(LOGITS[0].astype(float))
    error = np.sqrt(expected * (1 - expected) / 4000)
    share = np.bincount(drawn, minlength=3) / 4000
    assert np.all(np.abs(share - expected) < 5 * error)
    normal = Gaussian(jnp.asarray(MEAN[0]), jnp.asarray(LOG_STD[0]))
    drawn = np.asarray(jax.vmap(normal.sample)(jax.random.split(KEY, 4000)))
    std = np.exp(LOG_STD[0])
    assert np.all(np.abs(drawn.mean(axis=0) - MEAN[0]) < 5 * std / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(axis=0), std, rtol=0.06)


# Starting points.


def test_network_policies_start_near_uniform_or_near_0():
    policy = categorical_policy(4, 5, hidden=(3,))(KEY)
    probabilities = np.exp(policy(OBSERVATIONS).log_probs)
    np.testing.assert_allclose(probabilities, 0.2, atol=0.02)
    policy = gaussian_policy(4, 2, hidden=(3,), log_std=-1.0)(KEY)
    distribution = policy(OBSERVATIONS)
    np.testing.assert_allclose(distribution.mean, 0.0, atol=0.1)
    np.testing.assert_array_equal(distribution.log_std, -1.0)


def test_a_table_starts_uniform_and_looks_states_up():
    policy = tabular_policy(3, 4)(KEY)
    np.testing.assert_allclose(policy(jnp.array([2])).entropy(), np.log(4), rtol=1e-6)
    logits = jnp.arange(12.0).reshape(3, 4) ** 2
    policy = eqx.tree_at(lambda p: p.logits, policy, logits)
    np.testing.assert_array_equal(policy(jnp.array([2, 0])).logits, logits[::-2])


# What cannot be joined is refused.

VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)


@pytest.mark.parametrize("actions", [2, 5])
def test_the_usual_policy_of_discrete_actions(actions):
    init = policy_for(VECTOR, spaces.Discrete(actions), hidden=(3,))
    distribution = init(KEY)(jnp.zeros((7, 3)))
    assert isinstance(distribution, Categorical)
    assert distribution.logits.shape == (7, actions)


def test_the_usual_policy_of_continuous_actions():
    box = spaces.Box(-1.0, 1.0, (2,), np.float32)
    distribution = policy_for(VECTOR, box, hidden=(3,))(KEY)(jnp.zeros((7, 3)))
    assert isinstance(distribution, Gaussian)
    assert distribution.mean.shape == (7, 2)


@pytest.mark.parametrize(
    "action_space",
    [
        spaces.MultiBinary(3),
        spaces.MultiDiscrete([2, 3]),
        spaces.Box(-1.0, 1.0, (2, 2), np.float32),
        spaces.Discrete(3, start=1),
        spaces.Dict({"left": spaces.Discrete(2)}),
    ],
)
def test_odd_action_spaces_are_refused_with_what_to_do(action_space):
    with pytest.raises(CapabilityError) as caught:
        policy_for(VECTOR, action_space)
    message = str(caught.value)
    assert str(action_space) in message
    assert "must be Discrete, counted from 0, or a Box with one axis" in message
    assert "Wrap" in message


@pytest.mark.parametrize(
    "observation_space",
    [
        spaces.Box(0, 255, (8, 8), np.uint8),
        spaces.Discrete(4),
        spaces.Dict({"position": VECTOR}),
    ],
)
def test_odd_observation_spaces_are_refused_with_what_to_do(observation_space):
    with pytest.raises(CapabilityError) as caught:
        policy_for(observation_space, spaces.Discrete(2))
    message = str(caught.value)
    assert str(observation_space) in message
    assert "FlattenObservation" in message


class Mute(Policy):
    """A policy that can only be sampled."""

    gives: ClassVar[frozenset[str]] = frozenset({"reparameterised"})
    weight: jax.Array

    def __call__(self, observations):
        return Gaussian(observations, jnp.zeros_like(observations))


def mute_policy(key):
    return Mute(jax.random.normal(key))


def test_an_estimator_that_needs_more_is_refused_and_both_are_named():
    needs = {name: record.needs for name, record in ESTIMATORS.items()}
    enumerable = {name for name in needs if "enumerable" in needs[name]}
    assert enumerable
    for name in ("gaussian", "normalised-gaussian", "squashed", "beta"):
        require(POLICIES[name].init, set(needs) - enumerable)
        for estimator in enumerable:
            with pytest.raises(CapabilityError, match=f"`{estimator}` needs enumer"):
                require(POLICIES[name].init, [estimator])
    for name in [name for name in needs if needs[name]]:
        with pytest.raises(CapabilityError) as caught:
            require(mute_policy, [name])
        message = str(caught.value)
        missing = sorted(needs[name] - {"reparameterised"})
        assert f"`{name}` needs {', '.join(missing)}" in message
        assert "`Mute` gives reparameterised only" in message
    require(mute_policy, ["evolution"])  # asks for nothing


def test_an_agent_refuses_a_policy_when_it_is_built():
    with pytest.raises(CapabilityError, match=r"clipped_surrogate.*Mute"):
        ppo(mute_policy, value_critic(2), optax.sgd(0.1))
