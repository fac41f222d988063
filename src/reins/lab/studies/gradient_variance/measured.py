"""A frozen policy: batches of its episodes, and the variance of every estimate."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.credit import returns_to_go
from reins.data import run_episodes
from reins.envs import Env
from reins.lab.studies.gradient_variance.critics import (
    FittedValues,
    features_of,
    fit_values,
)
from reins.lab.studies.gradient_variance.estimates import (
    Name,
    Values,
    batch_gradients,
    step_weights,
)
from reins.lab.studies.gradient_variance.training import Learner, acting
from reins.lab.studies.gradient_variance.variance import (
    Draws,
    resampling,
    signals,
    variances,
)
from reins.types import Key, Trajectory

STATES = ("state", "state, refitted", "state and time")
"""V(s) as the agent has it; V(s) and V(s, t) fitted to this policy's own episodes."""


class Steps(NamedTuple):
    """By step t, over the episodes that are still running: what there is to follow.

    Attributes:
      running: share of the episodes that are.
      returns, deviations: mean and standard deviation of G_t.
      agents, refitted: mean of V(s_t), as the agent has it and fitted again.
    """

    running: Float[Array, " T"]
    returns: Float[Array, " T"]
    deviations: Float[Array, " T"]
    agents: Float[Array, " T"]
    refitted: Float[Array, " T"]


class Measured(NamedTuple):
    """Of one policy and one number of episodes.

    Attributes:
      earned: mean return of an episode, undiscounted.
      variances: tr Cov ĝ. signals: ‖E ĝ‖². Both by credit and baseline.
      squares: mean square of the weight of a step.
      steps: as above.
    """

    earned: float
    variances: dict[Name, Draws]
    signals: dict[Name, Draws]
    squares: dict[Name, float]
    steps: Steps


def measuring(
    env: Env,
    *,
    episodes: tuple[int, ...],
    batches: int,
    fit_episodes: int,
    hidden: tuple[int, ...],
    discount: float,
) -> Callable[[Learner, Key], list[Measured]]:
    """(learner, key) -> what is measured, for each number of episodes of an estimate.

    Args: `fit_episodes` are for the refitted critics, and never those of a batch.
    """

    counts = resampling(batches)

    @jax.jit
    def refit(learner: Learner, key: Key) -> list[FittedValues]:
        play_key, *keys = jax.random.split(key, 3)
        seen = run_episodes(env, acting(learner.policy), play_key, fit_episodes)
        return [
            fit_values(
                seen.trajectory, key, clock=clock, hidden=hidden, discount=discount
            )
            for clock, key in zip((False, True), keys, strict=True)
        ]

    @partial(jax.jit, static_argnames="n")
    def play(learner: Learner, refitted: list[FittedValues], key: Key, n: int):
        critics = _critics(learner, refitted)
        played = run_episodes(env, acting(learner.policy), key, n * batches)

        def one(batch: Trajectory):
            weights = step_weights(learner.policy, critics, batch, discount=discount)
            gradients = batch_gradients(learner.policy, weights, batch)
            steps = jnp.sum(batch.mask)
            squares = {
                name: jnp.sum(jnp.where(batch.mask, w**2, 0.0)) / steps
                for name, w in weights.items()
            }
            return gradients, squares

        rows = jax.tree.map(lambda x: x.reshape(-1, n, *x.shape[1:]), played.trajectory)
        estimates, squares = jax.lax.map(one, rows)
        steps = _by_step(played.trajectory, critics, discount)
        return estimates, squares, jnp.mean(played.returns), steps

    def measure(learner: Learner, key: Key) -> list[Measured]:
        refitted = refit(learner, jax.random.fold_in(key, 0))
        found = []
        for n in episodes:
            each = play(learner, refitted, jax.random.fold_in(key, n), n)
            estimates, squares, earned, steps = jax.tree.map(np.asarray, each)
            doubles = {name: x.astype(np.float64) for name, x in estimates.items()}
            both = variances(doubles, counts), signals(doubles, counts)
            means = {name: float(np.mean(x)) for name, x in squares.items()}
            found.append(Measured(float(earned), *both, means, steps))
        return found

    return measure


def _critics(learner: Learner, refitted: list[FittedValues]) -> dict[str, Values]:
    alone, timed = refitted
    return {
        STATES[0]: lambda batch: learner.critic(batch.observations),
        STATES[1]: lambda batch: alone(features_of(batch, clock=False)),
        STATES[2]: lambda batch: timed(features_of(batch, clock=True)),
    }


def _by_step(played: Trajectory, critics: dict[str, Values], discount: float) -> Steps:
    mask = played.mask
    returns = returns_to_go(played.rewards, mask, discount=discount)
    values = [critics[name](played) for name in STATES[:2]]
    mean = partial(jnp.mean, axis=0, where=mask)
    return Steps(
        jnp.mean(mask, axis=0),
        mean(returns),
        jnp.std(returns, axis=0, where=mask),
        *map(mean, values),
    )
