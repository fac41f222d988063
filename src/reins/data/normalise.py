"""Running moments, and what they are used for: units of observations and of rewards.

The moments are explicit states of arrays, moved by pure functions. They stay right over
any number of steps in single precision: steps are counted by integers, and what the
addition of a small batch to a long past rounds away is kept and added later.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Real

from reins.types import Trajectory

MOST_STEPS = 2**30 - 1
"""The count stops here, before integers overflow; from then on old steps fade."""
STILL = 1e-6
"""Deviations up to this, absolute or relative to the mean, are taken for rounding."""


class Moments(NamedTuple):
    """Count, mean and variance of all that was seen, for each dimension.

    Attributes:
      count: steps seen.
      mean, variance: of each dimension; both 0 before the first step.
      mean_rest, variance_rest: what is missing in these, below their rounding.
    """

    count: Int[Array, ""]
    mean: Float[Array, "..."]
    variance: Float[Array, "..."]
    mean_rest: Float[Array, "..."]
    variance_rest: Float[Array, "..."]

    @property
    def scale(self) -> Float[Array, "..."]:
        """1/standard deviation; 1 for a dimension that never changes, or not yet."""
        changes = self.variance > jnp.square(
            STILL * jnp.maximum(1.0, jnp.abs(self.mean))
        )
        return jax.lax.rsqrt(jnp.where(changes, self.variance, 1.0))


def init_moments(shape: tuple[int, ...]) -> Moments:
    """Nothing seen yet, of values of this shape."""
    zeros = [jnp.zeros(shape, jnp.float32) for _ in range(4)]
    return Moments(jnp.zeros((), jnp.int32), *zeros)


def update_moments(
    moments: Moments, values: Real[Array, "N T ..."], mask: Bool[Array, "N T"]
) -> Moments:
    """Take in a batch: the moments of all that was seen, valid steps only."""
    return merge_moments(moments, moments_of(values, mask))


def moments_of(values: Real[Array, "N T ..."], mask: Bool[Array, "N T"]) -> Moments:
    """The moments of one batch; variances divide by the count."""
    steps = jnp.maximum(jnp.sum(mask), 1)
    there = mask.reshape(mask.shape + (1,) * (values.ndim - 2))

    def average(terms: Array) -> Array:
        return jnp.sum(jnp.where(there, terms, 0.0), axis=(0, 1)) / steps

    # Twice, since a long sum far from 0 is rounded where its differences are not.
    mean = average(values)
    mean = mean + average(values - mean)
    variance = average(jnp.square(values - mean))
    nothing = jnp.zeros_like(mean)
    return Moments(jnp.sum(mask), mean, variance, nothing, nothing)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of two sets of steps together, in any order.

    With w = n_b/(n_a + n_b) and δ = mean_b − mean_a:

    mean = mean_a + w δ
    variance = variance_a + w (variance_b − variance_a + (1−w) δ²)

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, *Updating formulae and a pairwise
      algorithm for computing sample variances*, 1979, divided by the count: sums of
      squares outgrow single precision, their means do not.
    """
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1)
    apart = (b.mean - a.mean) + (b.mean_rest - a.mean_rest)
    wider = (b.variance - a.variance) + (b.variance_rest - a.variance_rest)
    wider = wider + (1.0 - share) * jnp.square(apart)
    mean, mean_rest = _add(a.mean, a.mean_rest + share * apart)
    variance, variance_rest = _add(a.variance, a.variance_rest + share * wider)
    return Moments(
        jnp.minimum(count, MOST_STEPS), mean, variance, mean_rest, variance_rest
    )


def _add(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b as a rounded sum and its rounding error, which is exact (D. E. Knuth)."""
    total = a + b
    b_taken = total - a
    return total, (a - (total - b_taken)) + (b - b_taken)


class RewardScale(NamedTuple):
    """How large rewards are: the spread of discounted returns.

    Attributes:
      returns: R_t of the episode that runs in each environment; 0 where none does.
      moments: of all R_t so far.
    """

    returns: Float[Array, " N"]
    moments: Moments


def init_reward_scale(environments: int) -> RewardScale:
    """No reward seen yet, in any of N parallel environments."""
    return RewardScale(jnp.zeros(environments, jnp.float32), init_moments(()))


def update_reward_scale(
    scale: RewardScale, batch: Trajectory, *, discount: float
) -> RewardScale:
    """Take in the rewards of a batch whose rows go on from those of the last one."""
    returns, discounted = discounted_returns(scale.returns, batch, discount=discount)
    return RewardScale(returns, update_moments(scale.moments, discounted, batch.mask))


def discounted_returns(
    before: Float[Array, " N"], batch: Trajectory, *, discount: float
) -> tuple[Float[Array, " N"], Float[Array, "N T"]]:
    """R_t = r_t + γ R_{t−1} within an episode, which may have begun batches ago.

    A masked step is none: it is neither counted nor discounted.

    Args:
      before: R of the running episode before the batch, in each environment.
      batch: N rows of T steps; an episode begins after an end, and at time 0.
      discount: γ.
    Returns: R to go on from, 0 where an episode has ended; and every R_t.
    """

    def one(running: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, first, end, real = step
        total = reward + discount * jnp.where(first, 0.0, running)
        return jnp.where(real, jnp.where(end, 0.0, total), running), total

    steps = (batch.rewards, batch.times == 0, batch.ends, batch.mask)
    steps = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), steps)
    after, totals = jax.lax.scan(one, before, steps)
    return after, jnp.swapaxes(totals, 0, 1)


def scale_rewards(
    scale: RewardScale, rewards: Float[Array, "N T"], *, clip: float
) -> Float[Array, "N T"]:
    """Rewards in units of the deviation of returns: not shifted, cut to ± clip."""
    return jnp.clip(rewards * scale.moments.scale, -clip, clip)
