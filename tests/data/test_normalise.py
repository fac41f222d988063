"""Running moments and the scale of rewards, against NumPy and slow loops."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.data import (
    Moments,
    init_moments,
    init_reward_scale,
    scale_rewards,
    update_moments,
    update_reward_scale,
)
from reins.data.normalise import (
    MOST_STEPS,
    discounted_returns,
    merge_moments,
    moments_of,
)
from reins.types import Trajectory

N, T, D = 3, 7, 4
OFFSET = np.array([0.0, 1e3, -5.0, 0.01])
SPREAD = np.array([1.0, 3.0, 400.0, 1e-3])
update = jax.jit(update_moments)
merge = jax.jit(merge_moments)


def random_batches(count: int, shape=(D,), seed: int = 0):
    """Values whose distribution drifts, a third of them padding, of any size."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        values = rng.gamma(2.0, size=(N, T, *shape)) + 0.5 * i
        if shape == (D,):
            values = OFFSET + SPREAD * values
        yield values.astype(np.float32), rng.random((N, T)) < 2 / 3


def seen_in(batches) -> np.ndarray:
    return np.concatenate([values[mask] for values, mask in batches]).astype(float)


@pytest.mark.parametrize("shape", [(D,), ()])
def test_moments_are_those_of_all_valid_steps(shape):
    moments, batches = init_moments(shape), list(random_batches(6, shape))
    for i, (values, mask) in enumerate(batches):
        moments = update(moments, jnp.asarray(values), jnp.asarray(mask))
        seen = seen_in(batches[: i + 1])
        assert int(moments.count) == len(seen)
        np.testing.assert_allclose(moments.mean, seen.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(moments.variance, seen.var(axis=0), rtol=2e-5)
        np.testing.assert_allclose(moments.scale, 1 / seen.std(axis=0), rtol=2e-5)
        assert moments.mean.shape == moments.scale.shape == shape


def test_padding_enters_nothing():
    values, mask = next(random_batches(1))
    strange = np.where(mask[..., None], values, np.inf)
    strange[0, ~mask[0]] = np.nan
    start = update(init_moments((D,)), jnp.ones((N, T, D)), jnp.ones((N, T), bool))
    expected = update(start, jnp.asarray(values), jnp.asarray(mask))
    found = update(start, jnp.asarray(strange), jnp.asarray(mask))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_batch_of_padding_changes_nothing():
    values, mask = next(random_batches(1))
    for start in (
        init_moments((D,)),
        update(init_moments((D,)), jnp.asarray(values), jnp.asarray(mask)),
    ):
        found = update(start, jnp.asarray(values), jnp.zeros((N, T), bool))
        jax.tree.map(np.testing.assert_array_equal, found, start)


def test_the_order_of_merging_does_not_matter():
    batches = list(random_batches(4))
    parts = [moments_of(jnp.asarray(v), jnp.asarray(m)) for v, m in batches]
    seen = seen_in(batches)
    orders = [functools.reduce(merge, p) for p in itertools.permutations(parts)]
    pairs = merge(merge(parts[3], parts[1]), merge(parts[2], parts[0]))
    for found in [*orders, pairs]:
        assert int(found.count) == len(seen)
        np.testing.assert_allclose(found.mean, seen.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found.variance, seen.var(axis=0), rtol=2e-5)


def test_values_far_from_0_keep_their_variance():
    """Half a thousandth of the mean, over a batch in which sums are rounded."""
    rng = np.random.default_rng(0)
    values = (1e4 + 5.0 * rng.normal(size=(4, 30_000))).astype(np.float32)
    found = update(init_moments(()), jnp.asarray(values), jnp.ones((4, 30_000), bool))
    exact = values.astype(float)
    np.testing.assert_allclose(found.mean, exact.mean(), rtol=1e-7)
    np.testing.assert_allclose(found.variance, exact.var(), rtol=1e-4)


LONG, SMALL, MEAN, VARIANCE = 100_000_000, 5, 1000.0, 4000.0


def after_a_long_past(batches: np.ndarray) -> Moments:
    """Batches of one row of five steps, after 10⁸ steps of known moments."""
    start = init_moments(())
    past = start._replace(
        count=jnp.asarray(LONG, start.count.dtype),
        mean=jnp.asarray(MEAN),
        variance=jnp.asarray(VARIANCE),
    )

    def take_in(moments, values):
        return update_moments(moments, values, jnp.ones((1, SMALL), bool)), None

    return jax.lax.scan(take_in, past, jnp.asarray(batches)[:, None])[0]


def test_small_batches_are_not_lost_after_a_hundred_million_steps():
    """Each moves mean and variance by less than a rounding error, all by many."""
    rng = np.random.default_rng(1)
    values = (1000.0 + 2.0 * rng.normal(size=(20_000, SMALL))).astype(np.float32)
    values[:, 0] += 30.0
    found = after_a_long_past(values)
    exact = values.astype(float).ravel()
    count = LONG + exact.size
    share = exact.size / count
    apart = exact.mean() - MEAN
    mean = MEAN + share * apart
    variance = VARIANCE + share * (exact.var() - VARIANCE + (1 - share) * apart**2)
    assert int(found.count) == count
    for value, rest, expected, start in (
        (found.mean, found.mean_rest, mean, MEAN),
        (found.variance, found.variance_rest, variance, VARIANCE),
    ):
        moved = float(value) + float(rest) - start
        np.testing.assert_allclose(moved, expected - start, rtol=1e-3)
        np.testing.assert_allclose(value, expected, rtol=1e-7)


def test_the_count_stops_before_it_overflows():
    full = init_moments(())._replace(count=jnp.asarray(MOST_STEPS, jnp.int32))
    other = full._replace(mean=jnp.asarray(2.0), variance=jnp.asarray(6.0))
    found = merge(full, other)
    assert int(found.count) == MOST_STEPS
    np.testing.assert_allclose([found.mean, found.variance], [1.0, 4.0], rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1234.567, 3e5])
def test_what_never_changes_keeps_its_scale(constant):
    moments = init_moments((2,))
    for size in (7, 1000, 3):
        values = jnp.full((N, size, 2), constant, jnp.float32)
        values = values.at[..., 1].set(jnp.arange(size))
        moments = update(moments, values, jnp.ones((N, size), bool))
        assert moments.scale[0] == 1.0
        assert moments.scale[1] != 1.0
    np.testing.assert_allclose(moments.mean[0], constant, rtol=1e-6)


@pytest.mark.parametrize(
    ("centre", "size", "changes"),
    [
        (3e5, 0.03, False),
        (-3e5, 30.0, True),
        (1.0, 1e-7, False),
        (1.0, 1e-4, True),
        (0.0, 1e-9, False),
        (0.0, 1e-4, True),
    ],
)
def test_rounding_is_no_change(centre, size, changes):
    values = centre + size * np.random.default_rng(0).choice([-1.0, 1.0], (N, T))
    values = jnp.asarray(values, jnp.float32)
    moments = update(init_moments(()), values, jnp.ones((N, T), bool))
    assert moments.variance > 0.0
    assert (moments.scale != 1.0) == changes


def test_before_the_first_step_nothing_is_shifted_or_scaled():
    start = init_moments((3,))
    np.testing.assert_array_equal(start.mean, 0.0)
    np.testing.assert_array_equal(start.scale, 1.0)


# Discounted returns, and the scale of rewards.

DISCOUNT = 0.8
BATCHES = 4


def reward_batches(seed: int = 0) -> list[Trajectory]:
    """One stream of 28 steps in each of three environments, cut into four batches.

    Episodes end in both ways, at the edges of batches too; half of the ends are
    followed by a step that does nothing but reset.
    """
    rng = np.random.default_rng(seed)
    steps = BATCHES * T
    rewards = rng.normal(2.0, 3.0, (N, steps)).astype(np.float32)
    terminated, truncated = np.zeros((2, N, steps), bool)
    mask, times = np.ones((N, steps), bool), np.zeros((N, steps), np.int32)
    for row in range(N):
        time = 0
        for t in range(steps):
            times[row, t] = time
            time += 1
            if t and not mask[row, t]:
                time = 0  # a reset step: junk, then a new episode
                rewards[row, t] = 1e6
                terminated[row, t] = True
            elif rng.random() < 0.25 or (row == 0 and t == T - 1):
                kind = terminated if rng.random() < 0.5 else truncated
                kind[row, t] = True
                time = 0
                if t + 1 < steps and rng.random() < 0.5:
                    mask[row, t + 1] = False
    zeros = np.zeros((N, steps), np.float32)
    whole = Trajectory(
        zeros, zeros, rewards, zeros, terminated, truncated, zeros, mask, times
    )
    cuts = [slice(i * T, (i + 1) * T) for i in range(BATCHES)]
    return [jax.tree.map(lambda x, c=cut: jnp.asarray(x[:, c]), whole) for cut in cuts]


def slow_returns(batches: list[Trajectory]) -> list[np.ndarray]:
    """Σ γ^k r_{t−k} back to the episode's first step; NaN where there is no step."""
    whole = [np.concatenate(x, axis=1) for x in zip(*batches, strict=True)]
    whole = Trajectory(*whole)
    found = np.full(whole.rewards.shape, np.nan)
    for row in range(N):
        episode: list[float] = []
        for t in np.flatnonzero(whole.mask[row]):
            episode.insert(0, float(whole.rewards[row, t]))
            found[row, t] = sum(DISCOUNT**k * r for k, r in enumerate(episode))
            if whole.terminated[row, t] or whole.truncated[row, t]:
                episode = []
    return np.split(found, BATCHES, axis=1)


def test_the_script_has_what_can_go_wrong():
    batches = reward_batches()
    first, *_ = batches
    assert np.any(first.ends[:, -1])
    assert not np.all(first.ends[:, -1])
    for kind in ("terminated", "truncated"):
        assert any(np.any(getattr(b, kind) & b.mask) for b in batches)
    assert not all(np.all(b.mask) for b in batches)


def test_discounted_returns_go_on_across_batches_and_stop_at_ends():
    running, batches = jnp.zeros(N), reward_batches()
    for batch, expected in zip(batches, slow_returns(batches), strict=True):
        running, found = discounted_returns(running, batch, discount=DISCOUNT)
        found = np.asarray(found)[batch.mask]
        np.testing.assert_allclose(found, expected[batch.mask], rtol=1e-5)
        assert np.all(np.asarray(running)[batch.ends[:, -1]] == 0.0)


def test_an_episode_that_begins_without_an_end_has_no_past():
    """As when a run goes on, and its environments could not be saved."""
    batch = reward_batches()[0]
    fresh = batch._replace(times=batch.times - batch.times[:, :1])
    stale = jnp.full(N, 1e5)
    _, expected = discounted_returns(jnp.zeros(N), fresh, discount=DISCOUNT)
    _, found = discounted_returns(stale, fresh, discount=DISCOUNT)
    np.testing.assert_array_equal(found, expected)
    continued = fresh._replace(times=fresh.times + 3)
    _, found = discounted_returns(stale, continued, discount=DISCOUNT)
    assert np.all(found[:, 0] > 1e4)


def test_padding_neither_pays_nor_discounts_nor_ends():
    """An episode runs on behind it, in the same batch and in the next."""
    batch = reward_batches()[0]
    none = jnp.zeros((N, T), bool)
    long = batch._replace(
        rewards=jnp.ones((N, T)),
        times=jnp.arange(5, 5 + T) + jnp.zeros((N, 1), int),
        terminated=none,
        truncated=none,
        mask=~none,
    )
    there = np.array([0, 1, 4])
    padded = long._replace(
        rewards=jnp.full((N, T), jnp.nan).at[:, there].set(1.0),
        terminated=~none.at[:, there].set(True),
        mask=none.at[:, there].set(True),
    )
    before = jnp.array([3.0, -1.0, 0.0])
    after, found = discounted_returns(before, padded, discount=DISCOUNT)
    _, expected = discounted_returns(before, long, discount=DISCOUNT)
    np.testing.assert_array_equal(found[:, there], expected[:, :3])
    np.testing.assert_array_equal(after, expected[:, 2])


def test_rewards_are_divided_by_the_deviation_of_all_returns_so_far():
    scale, batches = init_reward_scale(N), reward_batches()
    slow = slow_returns(batches)
    for i, batch in enumerate(batches):
        scale = update_reward_scale(scale, batch, discount=DISCOUNT)
        deviation = np.nanstd(
            np.concatenate(
                [r[b.mask] for r, b in zip(slow[: i + 1], batches, strict=False)]
            )
        )
        found = scale_rewards(scale, batch.rewards, clip=1e9)
        expected = np.asarray(batch.rewards) / deviation
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_junk_in_masked_steps_enters_nothing():
    scale = other = init_reward_scale(N)
    for batch in reward_batches():
        junk = jnp.where(batch.mask, batch.rewards, jnp.nan)
        scale = update_reward_scale(scale, batch, discount=DISCOUNT)
        other = update_reward_scale(
            other, batch._replace(rewards=junk), discount=DISCOUNT
        )
        jax.tree.map(np.testing.assert_array_equal, other, scale)


def test_rewards_keep_their_sign_and_0_and_are_cut_on_both_sides():
    moments = init_moments(())._replace(
        count=jnp.asarray(9), mean=jnp.asarray(50.0), variance=jnp.asarray(4.0)
    )
    scale = init_reward_scale(1)._replace(moments=moments)
    found = scale_rewards(scale, jnp.array([[0.0, 3.0, -3.0, 21.0, -21.0]]), clip=10.0)
    np.testing.assert_allclose(found, [[0.0, 1.5, -1.5, 10.0, -10.0]], rtol=1e-6)


def test_rewards_that_never_differ_are_left_as_they_are():
    batch = reward_batches()[0]
    for constant in (0.0, 5.0):
        paid = batch._replace(rewards=jnp.full((N, T), constant))
        scale = update_reward_scale(init_reward_scale(N), paid, discount=0.0)
        found = scale_rewards(scale, paid.rewards, clip=10.0)
        np.testing.assert_array_equal(found, constant)
