"""REINFORCE: its gradient written out, which episodes it uses, and what it logs."""

import functools
from typing import get_args

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

from reins.agents import reinforce
from reins.agents.policy_gradient import episodes_with_room
from reins.agents.reinforce import Baseline
from reins.critics import value_critic
from reins.data import rollout, start_rollout
from reins.errors import ConfigError
from reins.policies import categorical_policy
from tests.agents.by_hand import (
    KEY,
    entropy_gradient,
    moved,
    probabilities,
    score,
    skewed_policy,
)
from tests.toys import (
    delayed_bandit,
    linear_critic,
    scripted_batch,
    slow_whole_episodes,
)

HORIZON, DISCOUNT, ENTROPY_WEIGHT = 5, 0.8, 0.1
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
START = jnp.array([1.0, 0.0])


def critic(key):
    del key
    return linear_critic([2.0, -1.0], 0.25)


def with_baseline(name: Baseline, optimizer, *, policy=skewed_policy, **options):
    if name == "state":
        options = {"critic": critic, "critic_optimizer": optax.adam(0.1)} | options
    return reinforce(policy, optimizer, baseline=name, **options)


# The gradient, against loops.


def episodes_of(batch, horizon):
    """(observations, actions, rewards) of each whole episode that had room."""
    steps = batch.rewards.shape[1]
    return [
        tuple(
            np.asarray(x, np.float64)[row, first:stop]
            for x in (batch.observations, batch.actions, batch.rewards)
        )
        for row, first, stop in slow_whole_episodes(batch, horizon)
        if first <= steps - horizon
    ]


def slow_to_go(rewards):
    return [
        sum(DISCOUNT ** (k - t) * rewards[k] for k in range(t, len(rewards)))
        for t in range(len(rewards))
    ]


def slow_gradients(episodes, baseline, credit, discount_states):
    """The contribution of each episode to the mean, by hand."""
    to_go = [slow_to_go(rewards) for _, _, rewards in episodes]
    totals = np.array([g[0] for g in to_go])
    weights = [[g[0]] * len(g) if credit == "total-return" else list(g) for g in to_go]
    scores = [
        [score(s, int(a)) for s, a in zip(*episode[:2], strict=True)]
        for episode in episodes
    ]
    norms = np.array([np.sum(np.sum(s, axis=0) ** 2) for s in scores])
    found = []
    for i, (observations, _, _) in enumerate(episodes):
        others = [j for j in range(len(episodes)) if j != i]
        gradient = np.zeros(6)
        for t, observation in enumerate(observations):
            if baseline == "constant":
                b = np.mean(totals[others])
            elif baseline == "optimal-constant":
                b = np.sum((norms * totals)[others]) / np.sum(norms[others])
            elif baseline == "time":
                b = np.mean(
                    [weights[j][t] if t < len(weights[j]) else 0.0 for j in others]
                )
            elif baseline == "state":
                b = 2.0 * observation[0] - observation[1] + 0.25
            else:
                b = 0.0
            weight = weights[i][t] - b
            if discount_states and credit == "reward-to-go":
                weight *= DISCOUNT**t
            gradient += weight * scores[i][t]
            gradient += ENTROPY_WEIGHT * entropy_gradient(observation)
        found.append(gradient)
    return np.stack(found)


def ragged_batch():
    """Rows that begin within an episode; one that shows no beginning at all."""
    _, batch = scripted_batch()
    batch = jax.tree.map(lambda x: x[:, 2:], batch)
    return batch._replace(times=batch.times.at[3].add(1))


CASES = [(baseline, "reward-to-go", False) for baseline in BASELINES]
CASES += [("time", "reward-to-go", True), ("constant", "reward-to-go", True)]
CASES += [(baseline, "total-return", False) for baseline in BASELINES[:-1]]


@pytest.mark.parametrize(("baseline", "credit", "discount_states"), CASES)
def test_one_step_goes_along_the_mean_gradient(baseline, credit, discount_states):
    """And its variance is that of the mean of what each episode adds to it."""
    agent = with_baseline(
        baseline,
        optax.sgd(1.0),
        horizon=HORIZON,
        credit=credit,
        discount=DISCOUNT,
        discount_states=discount_states,
        entropy_weight=ENTROPY_WEIGHT,
    )
    batch = ragged_batch()
    state = agent.init(KEY)
    after, info = jax.jit(agent.update)(state, batch, KEY)
    episodes = episodes_of(batch, HORIZON)
    assert info["episodes"] == len(episodes) in (5, 6)  # of the 8 there is room for
    expected = slow_gradients(episodes, baseline, credit, discount_states)
    mean = np.mean(expected, axis=0)
    np.testing.assert_allclose(moved(state.policy, after.policy), mean, atol=1e-5)
    np.testing.assert_allclose(info["gradient_norm"], np.linalg.norm(mean), rtol=1e-4)
    n = len(expected)
    variance = np.sum(np.var(expected, axis=0, ddof=1)) / n
    np.testing.assert_allclose(info["gradient_variance"], variance, rtol=1e-3)
    entropies = [
        -np.sum(probabilities(s) * np.log(probabilities(s)))
        for observations, _, _ in episodes
        for s in observations
    ]
    np.testing.assert_allclose(info["entropy"], np.mean(entropies), rtol=1e-5)


def test_not_measuring_the_variance_changes_nothing_else():
    _, batch = scripted_batch()
    found = []
    for measured in (True, False):
        agent = with_baseline(
            "time", optax.sgd(1.0), horizon=HORIZON, measure_variance=measured
        )
        found.append(jax.jit(agent.update)(agent.init(KEY), batch, KEY))
    (one, info), (other, less) = found
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one, other)
    assert set(info) - set(less) == {"gradient_variance"}
    np.testing.assert_allclose(info["gradient_norm"], less["gradient_norm"], rtol=1e-5)


# Which episodes.


def test_without_a_whole_episode_nothing_changes():
    """Not even by the momentum of an earlier step."""
    _, batch = scripted_batch()
    agent = with_baseline("state", optax.adam(0.1), horizon=HORIZON)
    update = jax.jit(agent.update)
    moving, _ = update(agent.init(KEY), batch, KEY)
    begun_before = batch._replace(times=batch.times + 1)
    after, info = update(moving, begun_before, KEY)
    assert info["episodes"] == 0
    jax.tree.map(np.testing.assert_array_equal, after, moving)
    assert all(np.isfinite(value) for value in info.values())
    assert info["gradient_norm"] == info["gradient_variance"] == 0.0


def test_an_episode_is_not_chosen_for_being_short():
    """It is kept when there was room for a long one: at step 0 or 1, of 4, for 3."""
    _, batch = scripted_batch()
    row = jax.tree.map(lambda x: x[:1, :4], batch)
    ends = jnp.array([[False, True, True, True]])
    for first, kept in ((1, [1]), (2, [])):
        times = jnp.where(jnp.arange(4) < first, 7, 0)[None]
        one = row._replace(times=times, terminated=ends, truncated=jnp.zeros_like(ends))
        found = episodes_with_room(one, horizon=3)
        assert np.sum(found.mask, axis=1).tolist() == (kept or [0])
        if kept:
            np.testing.assert_array_equal(found.rewards[0, 0], row.rewards[0, first])


def test_rows_shorter_than_the_horizon_are_refused():
    _, batch = scripted_batch()
    agent = with_baseline("none", optax.sgd(1.0), horizon=17)
    with pytest.raises(ConfigError, match=r"16 steps.*17.*33"):
        agent.update(agent.init(KEY), batch, KEY)


# What it learns.

N, T = 16, 8


@functools.cache
def collector(delay: int):
    env = delayed_bandit(delay=delay)

    @jax.jit
    def collect(policy, key):
        start = start_rollout(env, key, N)
        return rollout(env, lambda o, k: policy(o).sample(k), start, key, steps=T)[1]

    return collect


@pytest.mark.parametrize("baseline", BASELINES)
def test_one_update_improves_the_better_action(baseline):
    agent = with_baseline(baseline, optax.sgd(0.5), horizon=1)
    update = jax.jit(agent.update)
    start = agent.init(KEY)
    batch = collector(0)(start.policy, KEY)
    before = start.policy(START).log_probs
    for better in (0, 1):
        paid = batch._replace(rewards=(batch.actions == better).astype(jnp.float32))
        state, info = update(start, paid, KEY)
        assert info["episodes"] == N * T
        assert state.policy(START).log_probs[better] > before[better] + 0.02


def test_it_learns_what_pays_later():
    agent = reinforce(categorical_policy(2, 2, hidden=()), optax.adam(0.1), horizon=2)
    update, collect = jax.jit(agent.update), collector(1)
    state = agent.init(KEY)
    assert jnp.exp(state.policy(START).log_probs[1]) < 0.6
    for key in jax.random.split(KEY, 40):
        state, _ = update(state, collect(state.policy, key), key)
    assert jnp.exp(state.policy(START).log_probs[1]) > 0.95


def test_the_state_baseline_is_fitted_to_the_returns():
    """Rewards of 1, γ = 1/2, two steps: G is 3/2 and then 1."""
    agent = with_baseline(
        "state", optax.sgd(0.0), horizon=2, discount=0.5, critic_epochs=300
    )
    state = agent.init(KEY)
    batch = collector(1)(state.policy, KEY)
    batch = batch._replace(rewards=jnp.ones_like(batch.rewards))
    update = jax.jit(agent.update)
    after, first = update(state, batch, KEY)
    values = after.critics[0](jnp.array([[1.0, 0.0], [1.0, 1.0]]))
    np.testing.assert_allclose(values, [1.5, 1.0], atol=1e-2)
    assert update(after, batch, KEY)[1]["value_loss"] < 1e-3 < first["value_loss"]


# What baselines are for.


def variance(batch, baseline: Baseline, **options) -> float:
    agent = with_baseline(baseline, optax.sgd(0.0), **options)
    _, info = jax.jit(agent.update)(agent.init(KEY), batch, KEY)
    return float(info["gradient_variance"])


def test_every_baseline_takes_out_what_all_episodes_are_paid():
    batch = collector(0)(skewed_policy(KEY), KEY)
    batch = batch._replace(rewards=batch.rewards + 10.0)
    expert = {"critic": lambda key: linear_critic([5.0, 0.0], 5.5)}
    without = variance(batch, "none", horizon=1)
    for name in BASELINES[1:]:
        options = expert if name == "state" else {}
        assert variance(batch, name, horizon=1, **options) < 0.1 * without, name


def test_a_time_baseline_knows_that_less_is_left_later():
    """Every step pays 1, whatever is done: G_t is known from t alone."""
    batch = collector(3)(skewed_policy(KEY), KEY)
    batch = batch._replace(rewards=jnp.ones_like(batch.rewards))
    found = [
        variance(batch, name, horizon=4, discount=1.0)
        for name in ("time", "constant", "none")
    ]
    assert found[0] < 1e-10
    assert 1e-3 < found[1] < found[2]


# What is refused.


@pytest.fixture
def unchecked():
    """Annotations are not executed: the builder alone looks at the names."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"baseline": "tim"}, "`time`.*constant, none, optimal-constant, state, time"),
        ({"credit": "reward"}, "`reward-to-go`.*reward-to-go, total-return"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(options, told):
    with pytest.raises(ConfigError, match=told):
        reinforce(skewed_policy, optax.sgd(1.0), horizon=1, **options)


JUDGE = {"critic": value_critic(2), "critic_optimizer": optax.sgd(1.0)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"baseline": "state"}, "without `critic`"),
        ({"baseline": "state", "critic": value_critic(2)}, "`critic_optimizer`"),
        ({"baseline": "time", **JUDGE}, "no use for it"),
        ({"baseline": "state", "credit": "total-return", **JUDGE}, "reward-to-go"),
        ({"baseline": "state", "critic_epochs": 0, **JUDGE}, "at least 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        reinforce(skewed_policy, optax.sgd(1.0), horizon=1, **options)
