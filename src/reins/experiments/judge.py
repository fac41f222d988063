"""How good a policy is: return, and violations of the true rule, where it is judged."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from reins.data import (
    Episodes,
    HostAct,
    Totals,
    run_episodes,
    run_host_episodes,
    total_host_episodes,
)
from reins.envs import Env, HostEnv, VectorEnv
from reins.experiments.build import Task
from reins.policies import ModePolicy, Policy, action_noise, has_host_act, host_act
from reins.types import Info, Key

NOISE_STEPS = 200
"""Steps whose noise is drawn at once."""

Found = TypeVar("Found", Episodes, Totals)

OpenVector = Callable[[HostEnv, int], VectorEnv]
"""(environment, copies) -> the copies, ready to be reset."""


def judge(
    task: Task,
    policy: Policy,
    key: Key,
    episodes: int,
    open_vector: OpenVector | None = None,
) -> Info:
    """Mean return of a policy, and its violations per step where known.

    The policy acts as it does in training, or by its most probable actions where the
    task says so. Where no environment tells a true cost, there is no violation rate.

    Args:
      episodes: in each of the two environments (one pass when they are the same).
      open_vector: how copies of environments outside JAX are made.
    """
    policy = ModePolicy(policy) if task.by_mode else policy
    judged = totals_of(task.return_env, policy, key, episodes, open_vector)
    found = {"return": jnp.mean(judged.returns)}
    if not task.violation_env.costs:
        return found
    if task.violation_env is not task.return_env:
        judged = totals_of(task.violation_env, policy, key, episodes, open_vector)
    return found | {"violation_rate": judged.violation_rate}


def totals_of(
    env: Env | HostEnv,
    policy: Policy,
    key: Key,
    episodes: int,
    open_vector: OpenVector | None = None,
) -> Totals:
    """What whole episodes of a stochastic policy came to, one in each copy.

    Their steps are not kept: pictures of endless games would take gigabytes.
    """
    if isinstance(env, Env):
        return run_episodes(env, _sampler(policy), key, episodes).totals
    return _in_copies(env, policy, key, episodes, open_vector, total_host_episodes)


def episodes_of(
    env: Env | HostEnv, policy: Policy, key: Key, episodes: int
) -> Episodes:
    """The same whole episodes with all their steps."""
    if isinstance(env, Env):
        return run_episodes(env, _sampler(policy), key, episodes)
    return _in_copies(env, policy, key, episodes, None, run_host_episodes)


def _sampler(policy: Policy) -> Callable[[Any, Key], Any]:
    return lambda observations, key: policy(observations).sample(key)


def _in_copies(
    env: HostEnv,
    policy: Policy,
    key: Key,
    episodes: int,
    open_vector: OpenVector | None,
    run: Callable[[HostEnv, VectorEnv, HostAct, np.ndarray], Found],
) -> Found:
    vector = (open_vector or open_once)(env, episodes)
    reset_key, act_key = jax.random.split(key)
    seeds = np.asarray(reset_seeds(reset_key, episodes))
    try:
        return run(env, vector, actor(policy, episodes, act_key), seeds)
    finally:
        if open_vector is None:
            vector.close()


def open_once(env: HostEnv, copies: int) -> VectorEnv:
    """Copies for one use, stepped in one thread."""
    return env.make(copies, 1)


def actor(
    policy: Policy, environments: int, key: Key, *, steps: int = NOISE_STEPS
) -> HostAct:
    """A policy outside JAX: actions of all environments at a step, drawn from it.

    Args:
      steps: so many steps' noise is drawn at once.
    """
    if not has_host_act(policy):
        return lambda observations, t: np.asarray(
            _sample(policy, observations, jax.random.fold_in(key, t))
        )
    act = host_act(policy)
    noise: dict[int, np.ndarray] = {}

    def choose(observations: np.ndarray, t: int) -> np.ndarray:
        part, step = divmod(t, steps)
        if part not in noise:
            noise.clear()
            drawn = _noise(policy, jax.random.fold_in(key, part), steps, environments)
            noise[part] = np.asarray(drawn)
        return act(observations, noise[part][step])

    return choose


def reset_seeds(key: Key, n: int) -> Int[Array, " n"]:
    """Seeds for environments outside JAX, from a key."""
    return jax.random.randint(key, (n,), 0, 2**31 - 1)


@partial(jax.jit, static_argnums=(2, 3))
def _noise(policy: Policy, key: Key, steps: int, environments: int) -> Any:
    return action_noise(policy, key, steps=steps, environments=environments)


@jax.jit
def _sample(policy: Policy, observations: Any, key: Key) -> Any:
    return policy(observations).sample(key)
