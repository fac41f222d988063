"""Actor-learners by hand: what one does alone, and what several do to each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import a2c
from reins.agents.a3c import A3CState, a3c, actor_learner, curiosity
from reins.critics import value_critic
from reins.errors import ConfigError, RunError
from reins.experiments.engines.threads import SharedMemory
from reins.policies import categorical_policy
from tests.agents.by_hand import KEY, moved, skewed_policy
from tests.toys import linear_critic, scripted_batch

DISCOUNT, ENTROPY_WEIGHT, SPREAD = 0.9, 0.3, 4.0


def judge(key):
    del key
    return linear_critic([2.0, -1.0], 0.25)


def told(**settings):
    return {"discount": DISCOUNT, "entropy_weight": ENTROPY_WEIGHT, **settings}


def rmsprop():
    return optax.rmsprop(0.05, decay=0.9, eps=1e-5)


@functools.cache
def parts(optimizer=None, workers=1, **settings):
    """An agent, with its gradient and step compiled."""
    made = a3c(
        skewed_policy,
        judge,
        optimizer or rmsprop(),
        workers=workers,
        **told(**settings),
    )
    return made, jax.jit(made.gradient), jax.jit(made.step)


def run(worker, shared, gradient, *, updates, gather=None):
    """So many updates of one worker from the scripted batch; what it told of them."""
    infos, leave = [], iter([True] * updates)
    actor_learner(
        worker,
        shared,
        gather or (lambda own: scripted_batch()[1]),
        gradient,
        more=lambda: next(leave, False),
        tell=infos.append,
    )
    return infos


def test_one_worker_is_a2c():
    """Three steps of RMSProp, in place and without a lock or in one pure function."""
    agent, gradient, step = parts()
    reference = a2c(skewed_policy, judge, rmsprop(), **told())
    update, alone = jax.jit(reference.update), jax.jit(agent.update)
    batch = scripted_batch()[1]
    shared = SharedMemory(agent.init(KEY), step, 1)
    infos = run(0, shared, gradient, updates=3)
    state, also = reference.init(KEY), agent.init(KEY)
    for info in infos:
        state, expected = update(state, batch, KEY)
        also, _ = alone(also, batch, KEY)
        for name in ("entropy", "value_loss", "gradient_norm"):
            np.testing.assert_allclose(info[name], expected[name], rtol=1e-4)
        assert info["staleness"] == 0.0
    for found in (shared.read(), also):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
            tuple(found),
            tuple(state),
        )
    assert np.abs(moved(reference.init(KEY).policy, state.policy)).max() > 0.05


def test_a_shared_trunk_is_that_of_a2c():
    parts = categorical_policy(2, 2, hidden=(4,)), value_critic(4, hidden=())
    found = a3c(*parts, optax.sgd(1.0), shared_trunk=True)
    reference = a2c(*parts, optax.sgd(1.0), shared_trunk=True)
    batch, start = scripted_batch()[1], found.init(KEY)
    after, _ = jax.jit(reference.update)(reference.init(KEY), batch, KEY)
    gradient, _ = jax.jit(found.gradient)(start, batch, 0)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        jax.tree.map(jnp.subtract, (start.policy, start.critic), gradient),
        (after.policy, after.critic),
    )


def test_gather_acts_by_the_copy_and_not_by_what_others_make_of_the_original():
    agent, gradient, step = parts(optax.sgd(1.0))
    start = agent.init(KEY)
    shared = SharedMemory(start, step, 2)
    seen = []

    def gather(own):
        batch = scripted_batch()[1]
        shared.move(1, gradient(shared.read(), batch, 0)[0])
        seen.append(own)
        return batch

    run(0, shared, gradient, updates=1, gather=gather)
    jax.tree.map(np.testing.assert_array_equal, tuple(seen[0]), tuple(start))
    assert np.any(moved(start.policy, shared.read().policy) != 0)


def test_nobodys_step_is_undone():
    """Both start from the same copy: θ moves by the sum of what each of them asks."""
    agent, gradient, step = parts(optax.sgd(1.0))
    start = agent.init(KEY)
    shared = SharedMemory(start, step, 2)
    other = jax.tree.map(lambda x: 3.0 * x, gradient(start, scripted_batch()[1], 0)[0])

    def gather(own):
        shared.move(1, other)
        return scripted_batch()[1]

    run(0, shared, gradient, updates=1, gather=gather)
    single = SharedMemory(start, step, 1)
    run(0, single, gradient, updates=1)
    found = moved(start.critic, shared.read().critic)
    alone = moved(start.critic, single.read().critic)
    np.testing.assert_allclose(found, 4.0 * alone, rtol=1e-4)
    assert shared.moves() == 2


def test_staleness_counts_the_updates_of_others_from_the_copy_to_the_step():
    agent, gradient, step = parts()
    shared = SharedMemory(agent.init(KEY), step, 3)
    others = iter([[], [1, 2, 1], [2]])

    def gather(own):
        batch = scripted_batch()[1]
        for other in next(others):
            shared.move(other, gradient(own, batch, 0)[0])
        return batch

    infos = run(0, shared, gradient, updates=3, gather=gather)
    assert [info["staleness"] for info in infos] == [0.0, 3.0, 1.0]
    assert shared.moves() == 7


def test_counts_are_added_up_and_statistics_written_over():
    """Two workers' steps from one reading: Adam has counted both."""
    agent, gradient, step = parts(optax.adam(0.1))
    start = agent.init(KEY)
    gradients, _ = gradient(start, scripted_batch()[1], 0)
    inner = []

    def interrupted(state, found):
        if len(inner) < 1:
            inner.append(1)
            shared.move(1, jax.tree.map(jnp.zeros_like, gradients))
        return step(state, found)

    shared = SharedMemory(start, interrupted, 2)
    shared.move(0, gradients)
    adam = shared.read().optimizer[0]
    assert adam.count == 2
    mine = step(start, gradients)[1][0].mu
    jax.tree.map(np.testing.assert_array_equal, adam.mu, mine)


def test_curiosity_is_spread_evenly_about_the_weight_that_was_asked_for():
    assert curiosity(1).tolist() == [0.0]
    assert curiosity(2).tolist() == [-1.0, 1.0]
    assert curiosity(5).tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


@pytest.mark.parametrize(("worker", "factor"), [(0, 1 / SPREAD), (1, 1.0), (2, SPREAD)])
def test_each_worker_has_an_entropy_weight_of_its_own(worker, factor):
    agent, gradient, _ = parts(workers=3, exploration_spread=SPREAD)
    weight = factor * ENTROPY_WEIGHT
    reference = a2c(skewed_policy, judge, optax.sgd(1.0), **told(entropy_weight=weight))
    state, batch = agent.init(KEY), scripted_batch()[1]
    after, _ = reference.update(reference.init(KEY), batch, KEY)
    found, _ = gradient(state, batch, worker)
    expected = -moved(state.policy, after.policy)
    found = np.concatenate([np.ravel(x) for x in jax.tree.leaves(found[0])])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_gradient_that_is_not_finite_moves_nothing():
    agent, gradient, step = parts()
    start = agent.init(KEY)
    shared = SharedMemory(start, step, 1)
    batch = scripted_batch()[1]
    bad = batch._replace(rewards=batch.rewards.at[0, 0].set(jnp.nan))
    with pytest.raises(RunError, match="norm of its gradient became nan"):
        run(0, shared, gradient, updates=1, gather=lambda own: bad)
    assert shared.moves() == 0
    state: A3CState = shared.read()
    jax.tree.map(np.testing.assert_array_equal, tuple(state), tuple(start))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"workers": 0}, "`workers` is 0; it must be at least 1"),
        ({"exploration_spread": 0.5}, "`exploration_spread` is 0.5"),
        ({"exploration_spread": float("nan")}, "`exploration_spread` is nan"),
        (
            {"exploration_spread": 2.0, "entropy_weight": 0.0},
            "would do nothing. Give `entropy_weight`",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_built(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        a3c(skewed_policy, judge, rmsprop(), **settings)
