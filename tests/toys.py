"""Small environments whose right answers are known, and slow loops to know them by.

All numbers that they show are exact in float32, so that equal means equal.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Array

from reins.critics import ValueCritic, value_critic
from reins.data import rollout, start_rollout
from reins.envs import Env, Step

LABELS, STEPS, ACTIONS = 4096, 8, 4


class Script(NamedTuple):
    label: Array
    step: Array


def script_length(label):
    """Steps after which the episode of this label ends, if no horizon cuts it."""
    return 1 + label % 7


def script_ending(label):
    """How it ends: 0 terminates, 1 truncates, 2 says both, 3 goes on."""
    return label // 7 % 4


def script_observation(label, step):
    return jnp.stack([label / LABELS, step / STEPS]).astype(jnp.float32)


def script_reward(label, step, action):
    """A number that tells which step of which episode was paid, and for what action."""
    return ((label * STEPS + step) * ACTIONS + action) / (LABELS * STEPS * ACTIONS)


def scripted_env(*, horizon: int = 5, label: int | None = None) -> Env:
    """Each reset draws a label, and the label says how long the episode is and how it
    ends. Observations are (label, step), rewards unique to label, step and action, and
    costs half of them. With a label given, every episode is that one.
    """

    def reset(key):
        drawn = jax.random.randint(key, (), 0, LABELS)
        drawn = drawn if label is None else jnp.full_like(drawn, label)
        state = Script(drawn, jnp.zeros((), jnp.int32))
        return state, script_observation(*state)

    def step(state, action, key):
        del key
        moved = state._replace(step=state.step + 1)
        over = moved.step >= script_length(state.label)
        ending = script_ending(state.label)
        reward = script_reward(state.label, state.step, action)
        return moved, Step(
            observation=script_observation(*moved),
            reward=reward,
            cost=0.5 * reward,
            terminated=over & ((ending == 0) | (ending == 2)),
            truncated=over & ((ending == 1) | (ending == 2)),
        )

    return Env(
        name="scripted",
        observation_space=spaces.Box(0.0, 1.0, (2,), np.float32),
        action_space=spaces.Discrete(2),
        horizon=horizon,
        reset=reset,
        step=step,
    )


def delayed_bandit(*, delay: int = 0, costs: tuple[float, float] = (0.0, 0.0)) -> Env:
    """The first action decides: 1 pays 1, `delay` steps later, when the episode ends.

    Observations are (1, step), so the payment does not show what was done.
    """

    def reset(key):
        del key
        state = jnp.zeros(2, jnp.int32)  # step, first action
        return state, jnp.array([1.0, 0.0])

    def step(state, action, key):
        del key
        step, first = state
        first = jnp.where(step == 0, action, first)
        over = step == delay
        observation = jnp.stack([jnp.ones(()), step + 1.0])
        return jnp.stack([step + 1, first]), Step(
            observation=observation,
            reward=jnp.where(over & (first == 1), 1.0, 0.0),
            cost=jnp.where(over, jnp.asarray(costs)[first], 0.0),
            terminated=over,
            truncated=jnp.asarray(False),
        )

    return Env(
        name="delayed bandit",
        observation_space=spaces.Box(0.0, np.inf, (2,), np.float32),
        action_space=spaces.Discrete(2),
        horizon=delay + 1,
        reset=reset,
        step=step,
    )


def point_env() -> Env:
    """A point on a line pushed by a continuous action; 1/2 is the place to be."""

    def reset(key):
        x = jax.random.uniform(key, (), jnp.float32)
        return x, jnp.stack([x, jnp.ones(())])

    def step(x, action, key):
        moved = x + 0.25 * action[0] + 0.125 * jax.random.normal(key)
        return moved, Step(
            observation=jnp.stack([moved, jnp.ones(())]),
            reward=-jnp.square(moved - 0.5),
            cost=(jnp.abs(action[0]) > 1.0).astype(jnp.float32),
            terminated=jnp.abs(moved) > 2.0,
            truncated=jnp.asarray(False),
        )

    return Env(
        name="point",
        observation_space=spaces.Box(-np.inf, np.inf, (2,), np.float32),
        action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
        horizon=5,
        reset=reset,
        step=step,
    )


def act_at_random(observations, key):
    """One of two actions, whatever is seen."""
    return jax.random.randint(key, observations.shape[:1], 0, 2)


def random_batch(env: Env, *, act=act_at_random, n: int = 4, steps: int = 16):
    """Where a rollout from the start stands after some steps, and what it saw."""

    @jax.jit
    def run(key):
        start_key, run_key = jax.random.split(key)
        start = start_rollout(env, start_key, n)
        return rollout(env, act, start, run_key, steps=steps)

    return run(jax.random.key(5))


@functools.cache
def scripted_batch():
    """The random rollout of the scripted environment that most tests look at."""
    return random_batch(scripted_env())


def linear_critic(weights, bias: float) -> ValueCritic:
    """V(s) = weights · s + bias."""
    critic = value_critic(len(weights), hidden=())(jax.random.key(0))
    column = jnp.asarray(weights, jnp.float32)[:, None]
    return eqx.tree_at(
        lambda c: (c.network.weights[0], c.network.biases[0]),
        critic,
        (column, jnp.full((1,), bias)),
    )


def slow_whole_episodes(trajectory, horizon: int) -> list[tuple[int, int, int]]:
    """(row, first, stop) of each whole episode: seen from its first step until its end,
    or for `horizon` steps, and cut there. At most T // horizon to a row.
    """
    found = []
    ends = np.asarray(trajectory.terminated | trajectory.truncated)
    for row, times in enumerate(np.asarray(trajectory.times)):
        mine = []
        for first in np.flatnonzero(times == 0):
            stop, ended = first, False
            while stop < len(times) and stop - first < horizon and not ended:
                ended = bool(ends[row, stop])
                stop += 1
            if ended or stop - first == horizon:
                mine.append((row, int(first), int(stop)))
        found += mine[: len(times) // horizon]
    return found
