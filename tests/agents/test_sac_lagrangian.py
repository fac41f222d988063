"""SAC under a budget: its box by hand, its multiplier, and what the price buys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from reins.agents import sac_lagrangian
from reins.agents.episode_costs import count_costs, init_episode_costs
from reins.critics import action_value_critic, state_action_critic
from reins.data import add_to_replay, rollout, sample_replay, start_rollout
from reins.duals import log_dual, pid_dual, projected_dual, scheduled_dual
from reins.envs import Env, Step
from reins.errors import CapabilityError, ConfigError
from reins.policies import categorical_policy
from reins.policies.squashed import squashed_gaussian_policy
from reins.tabular import max_entropy_policy, tabular_mdp
from reins.types import Trajectory
from tests.toys import scripted_batch

KEY = jax.random.key(3)
S, A, DISCOUNT, ALPHA, PRICE = 3, 2, 0.8, 0.4, 0.9
SEEN = spaces.Box(0.0, 1.0, (S,), np.float32)
FOLLOWING = np.array([[1, 2], [0, 2], [0, 1]])
REWARDS = np.array([[0.0, 1.0], [-0.5, 0.25], [2.0, 0.5]])
COSTS = np.array([[0.1, 1.5], [0.0, 0.7], [0.6, 0.2]])
ENDS = np.array([[False, False], [False, False], [True, False]])
"""A deterministic task: state 2 ends by its first action."""
HELD = scheduled_dual(lambda k: PRICE)


def every_step() -> Trajectory:
    """Each pair of state and action once, in a row of its own."""
    states, actions = (x.reshape(-1, 1) for x in np.mgrid[:S, :A])
    one_hot = np.eye(S, dtype=np.float32)
    return Trajectory(
        observations=jnp.asarray(one_hot[states]),
        actions=jnp.asarray(actions, jnp.int32),
        rewards=jnp.asarray(REWARDS[states, actions], jnp.float32),
        costs=jnp.asarray(COSTS[states, actions], jnp.float32),
        terminated=jnp.asarray(ENDS[states, actions]),
        truncated=jnp.zeros((S * A, 1), bool),
        next_observations=jnp.asarray(one_hot[FOLLOWING[states, actions]]),
        mask=jnp.ones((S * A, 1), bool),
        times=jnp.zeros((S * A, 1), jnp.int32),
    )


def tabular_agent(policy_loss, *, dual=HELD, optimizer=None, **options):
    settings = {
        "action_samples": 4,
        "discount": DISCOUNT,
        "batch_size": 12,
        "buffer_size": S * A,
        "learning_starts": 1,
        "environments": S * A,
        "temperature": scheduled_dual(lambda k: ALPHA),
    }
    return sac_lagrangian(
        categorical_policy(S, A, hidden=()),
        action_value_critic(S, A, hidden=()),
        optax.sgd(0.1) if optimizer is None else optimizer,
        dual=dual,
        observation_space=SEEN,
        action_space=spaces.Discrete(A),
        policy_loss=policy_loss,
        **(settings | options),
    )


def logits_of(network) -> np.ndarray:
    return np.asarray(network.weights[0] + network.biases[0], np.float64)


def softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


@pytest.mark.parametrize("cost_critics", [1, 2])
@pytest.mark.parametrize("policy_loss", ["exact-reverse", "exact-forward"])
def test_an_update_is_what_its_box_says(policy_loss, cost_critics):
    rate, polyak, budget, dual_rate = 0.05, 0.3, 0.25, 0.5
    agent = tabular_agent(
        policy_loss,
        optimizer=optax.sgd(rate),
        polyak=polyak,
        temperature=log_dual(initial=ALPHA, learning_rate=0.1),
        dual=projected_dual(initial=PRICE, learning_rate=dual_rate),
        entropy_floor=0.65,
        budget=budget,
        cost_critics=cost_critics,
    )
    state, batch = agent.init(KEY), every_step()
    # A second update, so that targets, critics and both duals have come apart.
    state, _ = jax.jit(agent.update)(state, batch, KEY)
    key = jax.random.key(7)
    after, info = jax.jit(agent.update)(state, batch, key)

    replay = add_to_replay(state.replay, batch)
    policy = logits_of(state.policy.network)
    critics = [[logits_of(c.network) for c in kind] for kind in state.critics]
    targets = [[logits_of(c.network) for c in kind] for kind in state.targets]
    assert [len(kind) for kind in critics] == [2, cost_critics]
    alpha = float(state.temperature.multiplier)
    price = float(state.dual.multiplier)
    # The one episode that ends in a batch costs what its last step does.
    np.testing.assert_allclose(price, PRICE + dual_rate * (COSTS[2, 0] - budget))
    log_prior = -np.log(A)
    for step_key in jax.random.split(key, S * A):
        steps = sample_replay(replay, jax.random.split(step_key, 3)[0], 12)
        s = np.argmax(steps.observations, 1)
        s2 = np.argmax(steps.next_observations, 1)
        a, goes_on = np.asarray(steps.actions), ~np.asarray(steps.terminated)
        share = softmax(policy)
        ratio = np.log(share) - log_prior
        least, largest = np.minimum(*targets[0]), np.max(targets[1], axis=0)
        soft = np.sum(share * (least - alpha * ratio), 1)
        charged = np.sum(share * largest, 1)
        y = [
            np.asarray(steps.rewards) + DISCOUNT * goes_on * soft[s2],
            np.asarray(steps.costs) + DISCOUNT * goes_on * charged[s2],
        ]
        # A weight and a bias of a linear network move as one logit and all of them.
        for kind, wanted in zip(critics, y, strict=True):
            for q in kind:
                gradient = np.zeros((S, A))
                np.add.at(gradient, (s, a), (q[s, a] - wanted) / 12)
                q -= rate * (gradient + gradient.sum(0))
        targets = [
            [t + polyak * (q - t) for t, q in zip(*kinds, strict=True)]
            for kinds in zip(targets, critics, strict=True)
        ]
        gradient = np.zeros((S, A))
        best = np.minimum(*critics[0]) - price * np.max(critics[1], axis=0)
        entropy = -np.sum(share * np.log(share), 1)[s].mean()
        for i in s:
            if policy_loss == "exact-forward":
                gradient[i] += (share[i] - softmax(best[i] / alpha + log_prior)) / 12
            else:
                loss = (alpha * ratio[i] - best[i]) / (1 + price)
                gradient[i] += share[i] * (loss - share[i] @ loss) / 12
        policy = policy - rate * (gradient + gradient.sum(0))
        alpha *= np.exp(0.1 * np.clip(0.65 - entropy, -1, 1))

    close = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    close(logits_of(after.policy.network), policy)
    for found, expected in ((after.critics, critics), (after.targets, targets)):
        for kinds in zip(found, expected, strict=True):
            for one, other in zip(*kinds, strict=True):
                close(logits_of(one.network), other)
    close(after.temperature.multiplier, alpha)
    close(after.dual.multiplier, price + dual_rate * (COSTS[2, 0] - budget))
    close(info["episode_cost"], COSTS[2, 0])
    assert info["multiplier"] == after.dual.multiplier


@functools.cache
def best_policy() -> np.ndarray:
    """The policy of greatest soft return where a step pays r − λ c."""
    transitions = np.zeros((S + 1, A, S + 1))
    for s, a in np.ndindex(S, A):
        transitions[s, a, S if ENDS[s, a] else FOLLOWING[s, a]] = 1.0
    transitions[S, :, S] = 1.0
    task = tabular_mdp(
        transitions,
        np.concatenate([REWARDS - PRICE * COSTS, np.zeros((1, A))]),
        initial=[0.5, 0.25, 0.25, 0.0],
        terminal=[False, False, False, True],
        horizon=80,
        discount=DISCOUNT,
    )
    log_prior = jnp.full((S + 1, A), -np.log(A))
    return np.exp(max_entropy_policy(task, log_prior, temperature=ALPHA)[0, :S])


@pytest.mark.parametrize("policy_loss", ["forward-kl", "exact-reverse"])
def test_at_a_fixed_price_it_finds_the_best_policy_of_the_priced_task(policy_loss):
    # K = 32 makes the bias of the re-weighted form small against the tolerance.
    agent = tabular_agent(
        policy_loss,
        optimizer=optax.adam(optax.exponential_decay(0.03, 3000, 0.2)),
        polyak=0.05,
        batch_size=24,
        updates_per_step=100,
        critic_target="soft",
        action_samples=32,
    )
    state, batch = agent.init(KEY), every_step()
    update = jax.jit(agent.update)
    for key in jax.random.split(KEY, 20):
        state, _ = update(state, batch, key)
    policy = softmax(logits_of(state.policy.network))
    assert np.abs(policy - best_policy()).max() < 0.02


# What moves the multiplier.


def slow_episode_costs(batch) -> tuple[list[tuple[int, int, float]], np.ndarray]:
    """(step, row, cost) of episodes that end, and what is open, by plain loops."""
    costs, ends, times, mask = map(
        np.asarray, (batch.costs, batch.ends, batch.times, batch.mask)
    )
    running, ended = np.zeros(len(costs)), []
    for t in range(costs.shape[1]):
        for row in np.flatnonzero(mask[:, t]):
            if times[row, t] == 0:
                running[row] = 0.0
            running[row] += costs[row, t]
            if ends[row, t]:
                ended.append((t, row, running[row]))
                running[row] = 0.0
    return ended, running


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 16])
def test_episodes_cost_the_same_in_whatever_batches_they_come(steps, masked):
    batch = jax.tree.map(jnp.asarray, scripted_batch()[1])
    batch = batch._replace(costs=batch.costs + 1.0)
    if masked:
        batch = batch._replace(mask=jnp.arange(16) < jnp.array([[16], [7], [0], [3]]))
        batch = batch._replace(costs=jnp.where(batch.mask, batch.costs, jnp.nan))
    ended, running = slow_episode_costs(batch)
    costs, count = init_episode_costs(4), jax.jit(count_costs)
    for first in range(0, 16, steps):
        part = jax.tree.map(lambda x, i=first: x[:, i : i + steps], batch)
        costs, any_ended = count(costs, part)
        mine = [c for t, _, c in ended if first <= t < first + steps]
        assert bool(any_ended) == bool(mine)
        if mine:
            np.testing.assert_allclose(costs.latest, np.mean(mine), rtol=1e-6)
    np.testing.assert_allclose(costs.running, running, rtol=1e-6)


def test_what_was_cut_off_by_a_new_beginning_is_forgotten():
    costs = init_episode_costs(4)._replace(running=jnp.full(4, 99.0))
    batch = jax.tree.map(lambda x: jnp.asarray(x)[:, :1], scripted_batch()[1])
    found, _ = count_costs(costs, batch)
    assert np.all(np.asarray(batch.times) == 0)
    assert np.all(np.asarray(found.running) < 2)


def paid(batch, cost, *, ends=True):
    """The same steps, at this cost each; with and without an end."""
    terminated = batch.terminated if ends else jnp.zeros_like(batch.terminated)
    return batch._replace(costs=jnp.full_like(batch.costs, cost), terminated=terminated)


@pytest.mark.parametrize(
    ("multiplier", "cost", "expected"),
    [(1.0, 1.0, 1.05), (1.0, 0.0, 0.95), (0.02, 0.0, 0.0), (0.0, 3.0, 0.25)],
)
def test_the_multiplier_moves_with_the_violation(multiplier, cost, expected):
    dual = projected_dual(initial=multiplier, learning_rate=0.1)
    agent = tabular_agent("exact-reverse", dual=dual, budget=0.5, buffer_size=100)
    state, update = agent.init(KEY), jax.jit(agent.update)
    waiting, info = update(state, paid(every_step(), cost, ends=False), KEY)
    assert waiting.dual.multiplier == np.float32(multiplier)
    assert info["episode_cost"] == 0.0
    after, info = update(waiting, paid(every_step(), cost), KEY)
    np.testing.assert_allclose(after.dual.multiplier, expected, atol=1e-6)
    np.testing.assert_allclose(info["episode_cost"], cost)


def test_it_rests_until_learning_starts():
    dual = projected_dual(initial=1.0, learning_rate=0.1)
    agent = tabular_agent(
        "exact-reverse", dual=dual, buffer_size=100, learning_starts=8
    )
    state, update = agent.init(KEY), jax.jit(agent.update)
    waited, _ = update(state, paid(every_step(), 5.0), KEY)
    assert waited.dual.multiplier == 1.0
    learned, _ = update(waited, paid(every_step(), 5.0), KEY)
    assert learned.dual.multiplier == 1.5


def test_an_end_is_the_end_of_both_streams_and_a_time_limit_of_none():
    agent = tabular_agent("exact-reverse")
    batch, none = every_step(), jnp.zeros((S * A, 1), bool)
    update = jax.jit(agent.update)

    def critics(terminated, truncated):
        told = batch._replace(terminated=terminated, truncated=truncated)
        state, _ = update(agent.init(KEY), told, KEY)
        return [logits_of(kind[0].network) for kind in state.critics]

    going_on, cut, ended = (
        critics(none, none),
        critics(none, ~none),
        critics(~none, none),
    )
    for one, other, third in zip(going_on, cut, ended, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - third).max() > 1e-3


# What the price buys.


def tempting() -> Env:
    """One step: a pays a, and costs a² where a > 0. Of a budget b, a is best at √b."""

    def reset(key):
        del key
        return jnp.zeros(()), jnp.ones(1)

    def step(state, action, key):
        del key
        a = action[0]
        return state, Step(
            observation=jnp.ones(1),
            reward=a,
            cost=jnp.square(jnp.maximum(a, 0.0)),
            terminated=jnp.asarray(True),
            truncated=jnp.asarray(False),
        )

    box = spaces.Box(-1.0, 1.0, (1,), np.float32)
    seen = spaces.Box(0.0, 1.0, (1,), np.float32)
    return Env("tempting", seen, box, 1, reset, step)


@pytest.mark.parametrize("policy_loss", ["reverse-kl", "forward-kl"])
def test_it_earns_what_the_budget_allows_at_the_price_that_it_is_worth(policy_loss):
    env, n, budget = tempting(), 8, 0.25
    agent = sac_lagrangian(
        squashed_gaussian_policy(1, 1, hidden=()),
        state_action_critic(1, 1, hidden=(32,)),
        optax.adam(5e-3),
        scheduled_dual(lambda k: 0.02),
        pid_dual(initial=0.0, integral=0.02, proportional=0.5, derivative=0.0),
        observation_space=env.observation_space,
        action_space=env.action_space,
        environments=n,
        budget=budget,
        policy_loss=policy_loss,
        action_samples=16,
        batch_size=64,
        buffer_size=2000,
        learning_starts=64,
    )

    @jax.jit
    def run(key):
        def once(carry, key):
            state, place = carry
            place, batch = rollout(
                env, lambda o, k: agent.act(state, o, k), place, key, steps=1
            )
            state, info = agent.update(state, batch, key)
            return (state, place), (
                jnp.mean(batch.actions),
                jnp.mean(batch.costs),
                info,
            )

        start = agent.init(key), start_rollout(env, key, n)
        return jax.lax.scan(once, start, jax.random.split(key, 500))[1]

    actions, costs, info = jax.tree.map(lambda x: np.mean(x[-150:]), run(KEY))
    assert abs(costs - budget) < 0.04
    assert abs(actions - np.sqrt(budget)) < 0.08
    # Where a is best, λ 2a = 1.
    assert abs(info["multiplier"] - 1.0) < 0.2


# At the door, and at the edge.


@pytest.mark.parametrize("cost", [0.0, 1e6])
@pytest.mark.parametrize("multiplier", [0.0, 1e30])
@pytest.mark.parametrize("reward", [0.0, 1e6, -1e6])
@pytest.mark.parametrize("policy_loss", ["reverse-kl", "forward-kl"])
def test_nothing_becomes_nan(policy_loss, reward, multiplier, cost):
    """Constant costs at budget 0 gave NaN elsewhere (OmniSafe, issue 384)."""
    state, update, batch = edge_of(policy_loss)
    held = jnp.asarray(multiplier, jnp.float32)
    state = state._replace(dual=state.dual._replace(parameter=held, multiplier=held))
    batch = batch._replace(
        rewards=jnp.full((4, 8), reward), costs=jnp.full((4, 8), cost)
    )
    for key in jax.random.split(KEY, 3):
        state, info = update(state, batch, key)
        for leaf in jax.tree.leaves((state, info)):
            assert np.all(np.isfinite(np.asarray(leaf, float)))
    if cost == 0:
        assert state.dual.multiplier == held


@functools.cache
def edge_of(policy_loss):
    box = spaces.Box(-2.0, 1.0, (2,), np.float32)
    agent = sac_lagrangian(
        squashed_gaussian_policy(3, 2, hidden=(8,), half_width=(1.5, 1.5)),
        state_action_critic(3, 2, hidden=(8,)),
        optax.adam(0.3),
        log_dual(),
        projected_dual(),
        observation_space=SEEN,
        action_space=box,
        environments=4,
        policy_loss=policy_loss,
        action_samples=4,
        entropy_floor=-2.0,
        batch_size=16,
        buffer_size=64,
        learning_starts=1,
    )
    at_bounds = jnp.where(jax.random.bernoulli(KEY, shape=(4, 8, 2)), 1.0, -2.0)
    seen = jax.random.uniform(KEY, (4, 8, 3))
    zeros, none = jnp.zeros((4, 8)), jnp.zeros((4, 8), bool)
    ends = none.at[:, -1].set(True)
    batch = Trajectory(
        *(seen, at_bounds, zeros, zeros, none, ends, 1 - seen, ~none),
        jnp.broadcast_to(jnp.arange(8), (4, 8)),
    )
    return agent.init(KEY), jax.jit(agent.update), batch


def test_a_path_through_a_finite_set_is_refused():
    with pytest.raises(CapabilityError, match="needs reparameterised") as error:
        tabular_agent("reverse-kl")
    assert "`reverse_kl_score` or `reverse_kl_exact`" in str(error.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"state_samples": 13}, "13 states of minibatches of 12"),
        ({"cost_critics": 0}, "cost_critics of at least 1"),
        ({"environments": 0}, "environments of at least 1"),
        ({"entropy_floor": 0.1, "kl_ceiling": 0.1}, "`sac-lagrangian` was given both"),
    ],
)
def test_what_cannot_be_is_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        tabular_agent("exact-reverse", **options)


def test_a_batch_of_other_environments_is_refused():
    agent = tabular_agent("exact-reverse", environments=2)
    with pytest.raises(ConfigError, match="a batch has 6 environments"):
        agent.update(agent.init(KEY), every_step(), KEY)
