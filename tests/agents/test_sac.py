"""Soft actor-critic against a loop by hand, and against exact soft values."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from reins.agents import behaviour_prior, policy_prior, sac, uniform_prior
from reins.agents.soft_losses import AtStates, policy_loss
from reins.agents.values import least
from reins.critics import action_value_critic, state_action_critic
from reins.data import add_to_replay, init_replay, sample_replay
from reins.duals import log_dual, scheduled_dual
from reins.errors import CapabilityError, ConfigError
from reins.policies import categorical_policy, gaussian_policy
from reins.policies.squashed import squashed_gaussian_policy
from reins.tabular import boltzmann_policy, max_entropy_policy, tabular_mdp
from reins.types import Trajectory

KEY = jax.random.key(3)
S, A, DISCOUNT, ALPHA = 3, 2, 0.8, 0.4
SEEN = spaces.Box(0.0, 1.0, (S,), np.float32)
DONE = spaces.Discrete(A)
FOLLOWING = np.array([[1, 2], [0, 2], [0, 1]])
REWARDS = np.array([[0.0, 1.0], [-0.5, 0.25], [2.0, 0.5]])
ENDS = np.array([[False, False], [False, False], [True, False]])
"""A deterministic task: state 2 ends by its first action."""
LOSSES = ("reverse-kl-score", "forward-kl", "exact-reverse", "exact-forward")


def every_step() -> Trajectory:
    """Each pair of state and action once, in a row of its own."""
    states, actions = (x.reshape(-1, 1) for x in np.mgrid[:S, :A])
    one_hot = np.eye(S, dtype=np.float32)
    ends = ENDS[states, actions]
    return Trajectory(
        observations=jnp.asarray(one_hot[states]),
        actions=jnp.asarray(actions, jnp.int32),
        rewards=jnp.asarray(REWARDS[states, actions], jnp.float32),
        costs=jnp.zeros((S * A, 1)),
        terminated=jnp.asarray(ends),
        truncated=jnp.zeros((S * A, 1), bool),
        next_observations=jnp.asarray(one_hot[FOLLOWING[states, actions]]),
        mask=jnp.ones((S * A, 1), bool),
        times=jnp.zeros((S * A, 1), jnp.int32),
    )


def tabular_agent(policy_loss, *, temperature=None, optimizer=None, **options):
    constant = scheduled_dual(lambda k: ALPHA)
    settings = {
        "action_samples": 4,
        "discount": DISCOUNT,
        "batch_size": 12,
        "buffer_size": S * A,
        "learning_starts": 1,
    }
    return sac(
        categorical_policy(S, A, hidden=()),
        action_value_critic(S, A, hidden=()),
        optax.sgd(0.1) if optimizer is None else optimizer,
        constant if temperature is None else temperature,
        observation_space=SEEN,
        action_space=DONE,
        policy_loss=policy_loss,
        **(settings | options),
    )


def logits_of(network) -> np.ndarray:
    return np.asarray(network.weights[0] + network.biases[0], np.float64)


def softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


@pytest.mark.parametrize("critic_target", ["soft", "classic"])
@pytest.mark.parametrize("policy_loss", ["exact-reverse", "exact-forward"])
def test_an_update_is_what_its_box_says(policy_loss, critic_target):
    rate, polyak = 0.05, 0.3
    agent = tabular_agent(
        policy_loss,
        optimizer=optax.sgd(rate),
        critic_target=critic_target,
        polyak=polyak,
        temperature=log_dual(initial=ALPHA, learning_rate=0.1),
        entropy_floor=0.65,
    )
    state, batch = agent.init(KEY), every_step()
    # A second update, so that targets, critics and the temperature have come apart.
    state, _ = jax.jit(agent.update)(state, batch, KEY)
    key = jax.random.key(7)
    after, info = jax.jit(agent.update)(state, batch, key)

    replay = add_to_replay(state.replay, batch)
    policy = logits_of(state.policy.network)
    critics = [logits_of(c.network) for c in state.critics]
    targets = [logits_of(c.network) for c in state.targets]
    alpha = float(state.temperature.multiplier)
    log_prior = -np.log(A)
    for step_key in jax.random.split(key, S * A):
        steps = sample_replay(replay, jax.random.split(step_key, 3)[0], 12)
        s = np.argmax(steps.observations, 1)
        s2 = np.argmax(steps.next_observations, 1)
        a, r = np.asarray(steps.actions), np.asarray(steps.rewards)
        share = softmax(policy)
        price = alpha if critic_target == "soft" else 0.0
        value = np.sum(
            share * (np.minimum(*targets) - price * (np.log(share) - log_prior)), 1
        )
        y = r + DISCOUNT * ~np.asarray(steps.terminated) * value[s2]
        # A weight and a bias of a linear network move as one logit and all of them.
        for q in critics:
            gradient = np.zeros((S, A))
            np.add.at(gradient, (s, a), (q[s, a] - y) / 12)
            q -= rate * (gradient + gradient.sum(0))
        targets = [t + polyak * (q - t) for t, q in zip(targets, critics, strict=True)]
        gradient, least = np.zeros((S, A)), np.minimum(*critics)
        entropy = -np.sum(share * np.log(share), 1)[s].mean()
        for i in s:
            if policy_loss == "exact-forward":
                wanted = softmax(least[i] / alpha + log_prior)
                gradient[i] += (share[i] - wanted) / 12
            else:
                cost = alpha * (np.log(share[i]) - log_prior) - least[i]
                gradient[i] += share[i] * (cost - share[i] @ cost) / 12
        policy = policy - rate * (gradient + gradient.sum(0))
        alpha *= np.exp(0.1 * np.clip(0.65 - entropy, -1, 1))

    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    close(logits_of(after.policy.network), policy)
    for found, expected in zip(after.critics, critics, strict=True):
        close(logits_of(found.network), expected)
    for found, expected in zip(after.targets, targets, strict=True):
        close(logits_of(found.network), expected)
    close(after.temperature.multiplier, alpha)
    assert info["replay_size"] == S * A


@functools.cache
def task():
    transitions = np.zeros((S + 1, A, S + 1))
    for s, a in np.ndindex(S, A):
        transitions[s, a, S if ENDS[s, a] else FOLLOWING[s, a]] = 1.0
    transitions[S, :, S] = 1.0
    return tabular_mdp(
        transitions,
        np.concatenate([REWARDS, np.zeros((1, A))]),
        initial=[0.5, 0.25, 0.25, 0.0],
        terminal=[False, False, False, True],
        horizon=80,
        discount=DISCOUNT,
    )


def trained(policy_loss, **options):
    agent = tabular_agent(
        policy_loss,
        optimizer=optax.adam(optax.exponential_decay(0.03, 3000, 0.2)),
        polyak=0.05,
        batch_size=24,
        updates_per_step=100,
        **options,
    )
    state, batch = agent.init(KEY), every_step()
    update = jax.jit(agent.update)
    for key in jax.random.split(KEY, 20):
        state, info = update(state, batch, key)
    policy = jax.nn.log_softmax(logits_of(state.policy.network))
    return state, np.exp(policy), info


@pytest.mark.parametrize("policy_loss", LOSSES)
def test_with_the_soft_q_every_loss_finds_the_policy_of_greatest_soft_return(
    policy_loss,
):
    # K = 32 makes the bias of the re-weighted form small against the tolerance.
    _, policy, _ = trained(policy_loss, critic_target="soft", action_samples=32)
    log_prior = jnp.full((S + 1, A), -np.log(A))
    exact = np.exp(max_entropy_policy(task(), log_prior, temperature=ALPHA)[0, :S])
    assert np.abs(policy - exact).max() < 0.02
    # The classic Q would be answered by another policy, so this can fail.
    classic = boltzmann_policy(jnp.asarray(_classic_q(exact)), log_prior[:S])
    assert np.abs(exact - np.exp(classic)).max() > 0.04


def _classic_q(policy: np.ndarray) -> np.ndarray:
    q = np.zeros((S, A))
    for _ in range(200):
        values = np.sum(policy * q, 1)
        q = REWARDS + DISCOUNT * np.where(ENDS, 0.0, values[FOLLOWING])
    return q


@pytest.mark.parametrize("policy_loss", ["forward-kl", "exact-forward"])
def test_with_the_classic_q_the_policy_is_the_boltzmann_policy_of_its_own_q(
    policy_loss,
):
    _, policy, _ = trained(policy_loss, critic_target="classic", action_samples=32)
    wanted = softmax(_classic_q(policy) / ALPHA)
    assert np.abs(policy - wanted).max() < 0.02


def test_a_prior_moves_the_answer_and_its_own_policy_does_not_move():
    prior = eqx.tree_at(
        lambda p: p.network.biases[0],
        categorical_policy(S, A, hidden=())(KEY),
        jnp.array([1.0, -1.0]),
    )
    state, policy, _ = trained("exact-reverse", prior=policy_prior(prior))
    logits = jnp.asarray(logits_of(prior.network))
    log_prior = jnp.concatenate([jax.nn.log_softmax(logits), jnp.full((1, A), -0.69)])
    exact = np.exp(max_entropy_policy(task(), log_prior, temperature=ALPHA)[0, :S])
    assert np.abs(policy - exact).max() < 0.02
    jax.tree.map(np.testing.assert_array_equal, state.prior, prior)


def test_a_behaviour_prior_is_fitted_to_who_acted():
    batch = every_step()
    often = jax.tree.map(lambda x: x[jnp.array([0, 0, 0, 1, 2, 3, 3, 3, 4, 5])], batch)
    clone = behaviour_prior(categorical_policy(S, A, hidden=()), optax.adam(0.02))
    agent = tabular_agent(
        "exact-reverse",
        prior=clone,
        buffer_size=10,
        batch_size=200,
        updates_per_step=30,
    )
    state, update = agent.init(KEY), jax.jit(agent.update)
    for key in jax.random.split(KEY, 3):
        state, info = update(state, often, key)
    share = softmax(logits_of(state.prior.policy.network))
    np.testing.assert_allclose(share[:, 0], [0.75, 0.25, 0.5], atol=0.07)
    assert info["prior_log_likelihood"] < 0


def test_a_ceiling_of_the_kl_to_the_prior_is_held():
    ceiling = 0.05
    dual = log_dual(initial=1.0, learning_rate=0.02)
    state, policy, info = trained("exact-reverse", temperature=dual, kl_ceiling=ceiling)
    kl = np.sum(policy * (np.log(policy) + np.log(A)), 1).mean()
    assert abs(kl - ceiling) < 0.02
    assert abs(float(info["kl_prior"]) - ceiling) < 0.02
    assert float(state.temperature.multiplier) > ALPHA


# What public code for the forward KL gets wrong, each against a sum written out here.

Q_VALUES = jnp.array([[0.6, -0.4, 0.5], [0.0, 0.7, -0.3]])
LOG_PRIOR = jax.nn.log_softmax(jnp.array([[0.5, 0.0, -0.3], [-0.2, 0.1, 0.0]]))


def at_two_states():
    pick = jax.vmap(lambda a, table: jnp.take_along_axis(table, a[:, None], 1)[:, 0])
    several = lambda table: lambda a: pick(a, jnp.broadcast_to(table, (len(a), 2, 3)))  # noqa: E731
    return AtStates(
        jnp.eye(2),
        several(Q_VALUES),
        lambda: Q_VALUES,
        several(LOG_PRIOR),
        lambda: LOG_PRIOR,
    )


def skewed_policy():
    return eqx.tree_at(
        lambda p: p.network.biases[0],
        categorical_policy(2, 3, hidden=())(KEY),
        jnp.array([0.8, -0.6, 0.3]),
    )


def gradient_of(name, policy, samples=200_000):
    def loss(policy):
        found, _ = policy_loss(
            name,
            policy,
            at_two_states(),
            KEY,
            action_samples=samples,
            temperature=ALPHA,
        )
        return found

    gradient = eqx.filter_grad(loss)(policy)
    return np.asarray(gradient.network.weights[0])


def test_forward_weights_have_q_over_alpha_and_the_log_prior():
    policy = skewed_policy()
    share = softmax(logits_of(policy.network))
    found = -2 * gradient_of("forward-kl", policy)
    right = softmax(np.asarray(Q_VALUES) / ALPHA + np.asarray(LOG_PRIOR)) - share
    wrong = {
        "Q - α log π": softmax(Q_VALUES + (1 - ALPHA) * np.log(share)) - share,
        "no log π": softmax(Q_VALUES / ALPHA + LOG_PRIOR + np.log(share)) - share,
        "no prior": softmax(np.asarray(Q_VALUES) / ALPHA) - share,
    }
    np.testing.assert_allclose(found, right, atol=0.01)
    for form, other in wrong.items():
        assert np.abs(np.asarray(other) - right).max() > 0.05, form


def test_the_score_form_has_the_log_ratio_of_its_own_step():
    policy = skewed_policy()
    share = softmax(logits_of(policy.network))
    q, log_prior = np.asarray(Q_VALUES), np.asarray(LOG_PRIOR)

    def ascent(weights):
        return share * (weights - np.sum(share * weights, 1, keepdims=True))

    found = -2 * gradient_of("reverse-kl-score", policy)
    right = ascent(q - ALPHA * (np.log(share) - log_prior))
    np.testing.assert_allclose(found, right, atol=0.01)
    assert np.abs(ascent(q) - right).max() > 0.03


def test_only_the_pathwise_form_follows_q_through_the_action():
    policy = squashed_gaussian_policy(2, 1, hidden=())(KEY)
    seen = jnp.eye(2)

    def gradient(name, steep):
        at = AtStates(
            seen,
            lambda a: steep * (a[..., 0] - jax.lax.stop_gradient(a[..., 0])),
            lambda: Q_VALUES,
            lambda a: jnp.full(a.shape[:2], -0.69),
            lambda: LOG_PRIOR,
        )
        found = eqx.filter_grad(
            lambda p: policy_loss(
                name, p, at, KEY, action_samples=8, temperature=ALPHA
            )[0]
        )(policy)
        return np.asarray(found.network.weights[0])

    # Q is 0 wherever it is looked at, and only its slope is not.
    for name in ("forward-kl", "reverse-kl-score"):
        np.testing.assert_array_equal(gradient(name, 5.0), gradient(name, 0.0))
    assert np.abs(gradient("reverse-kl", 5.0) - gradient("reverse-kl", 0.0)).max() > 0.1


# At the door, and at the edge.


@pytest.mark.parametrize("k", [16, 32, 40])
def test_many_actions_are_valued_as_few_are(k):
    critic = state_action_critic(S, 2, hidden=(8,))(KEY)
    states = jax.random.normal(KEY, (256, S))
    actions = jax.random.normal(KEY, (k, 256, 2))
    found = least((critic, critic), discrete=False).of(states, actions)
    assert np.allclose(found, critic(states, actions), atol=1e-6)


def test_nothing_is_learned_before_enough_is_gathered():
    agent = tabular_agent("exact-reverse", buffer_size=20, learning_starts=7)
    state, batch = agent.init(KEY), every_step()
    update = jax.jit(agent.update)
    waited, info = update(state, batch, KEY)
    jax.tree.map(np.testing.assert_array_equal, waited.policy, state.policy)
    jax.tree.map(np.testing.assert_array_equal, waited.critics, state.critics)
    assert info["critic_loss"] == 0
    learned, info = update(waited, batch, KEY)
    assert info["critic_loss"] > 0
    assert np.any(logits_of(learned.policy.network) != logits_of(state.policy.network))


@pytest.mark.parametrize("steps", [1, 6])
def test_an_update_copies_no_buffer(steps):
    room = 200_000
    agent = tabular_agent("exact-reverse", buffer_size=room)
    batch = jax.tree.map(lambda x: x[:steps], every_step())
    compiled = (
        jax.jit(agent.update, donate_argnums=0)
        .lower(jax.eval_shape(agent.init, KEY), batch, KEY)
        .compile()
    )
    assert compiled.memory_analysis().temp_size_in_bytes < room


@pytest.mark.parametrize("reward", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize(
    "policy_loss", ["reverse-kl", "reverse-kl-score", "forward-kl"]
)
def test_nothing_becomes_nan(policy_loss, alpha, reward):
    box = spaces.Box(-2.0, 1.0, (2,), np.float32)
    agent = sac(
        squashed_gaussian_policy(3, 2, hidden=(8,), half_width=(1.5, 1.5)),
        state_action_critic(3, 2, hidden=(8,)),
        optax.adam(0.3),
        scheduled_dual(lambda k: alpha),
        observation_space=SEEN,
        action_space=box,
        policy_loss=policy_loss,
        action_samples=4,
        batch_size=16,
        buffer_size=64,
        learning_starts=1,
    )
    at_bounds = jnp.where(jax.random.bernoulli(KEY, shape=(4, 8, 2)), 1.0, -2.0)
    seen = jax.random.uniform(KEY, (4, 8, 3))
    none = jnp.zeros((4, 8), bool)
    batch = Trajectory(
        *(seen, at_bounds, jnp.full((4, 8), reward), jnp.zeros((4, 8)), none, none),
        *(1 - seen, ~none, jnp.zeros((4, 8), jnp.int32)),
    )
    state, update = agent.init(KEY), jax.jit(agent.update)
    for key in jax.random.split(KEY, 4):
        state, info = update(state, batch, key)
        for leaf in jax.tree.leaves((state, info)):
            assert np.all(np.isfinite(np.asarray(leaf, float)))
    if policy_loss == "forward-kl" and alpha == 0 and reward:
        assert info["ess"] < 2  # ties, where actions meet at a bound, share it


def test_a_path_through_a_finite_set_is_refused():
    with pytest.raises(CapabilityError, match="needs reparameterised") as error:
        tabular_agent("reverse-kl")
    assert "`reverse_kl_score` or `reverse_kl_exact`" in str(error.value)


def test_all_actions_of_a_box_are_refused():
    box = spaces.Box(-1.0, 1.0, (1,), np.float32)
    with pytest.raises(CapabilityError, match="enumerable"):
        sac(
            gaussian_policy(S, 1),
            state_action_critic(S, 1),
            optax.adam(1e-3),
            log_dual(),
            observation_space=SEEN,
            action_space=box,
            policy_loss="exact-forward",
        )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"state_samples": 13}, "13 states of minibatches of 12"),
        ({"action_samples": 0}, "action_samples of at least 1"),
        ({"entropy_floor": 0.1, "kl_ceiling": 0.1}, "both a floor"),
    ],
)
def test_what_cannot_be_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        tabular_agent("exact-reverse", **options)


def test_a_uniform_prior_is_a_density():
    low, high = np.array([[-1.0, 0.0], [1.0, 5.0]], np.float32)
    box = spaces.Box(low, high)
    prior = uniform_prior(box)
    values = prior.log_prob((), jnp.zeros((4, 3)), jnp.zeros((7, 4, 2)))
    assert values.shape == (7, 4)
    np.testing.assert_allclose(values, -np.log(10.0), rtol=1e-6)
    all_of_them = uniform_prior(DONE).log_probs((), jnp.zeros((4, 3)))
    np.testing.assert_allclose(all_of_them, np.full((4, A), -np.log(A)), rtol=1e-6)
    assert init_replay(3, SEEN, box).rows.actions.shape == (3, 2)
