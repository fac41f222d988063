"""What a group of seeds does: start, advance by one update, be evaluated.

A *group* of seeds advances together and has one checkpoint. Its arrays have the seeds
as their first axis. On a CPU a group is one seed, and groups are dealt out to the
cores; on a GPU all seeds are one group under `vmap`
(docs/decisions/0003-seeds-on-cores.md).
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from reins.agents import Agent
from reins.data import rollout, start_rollout
from reins.experiments.build import Task
from reins.experiments.config import RunConfig
from reins.experiments.judge import judge
from reins.types import Info, Key, Trajectory

ACTING, EVALUATION = 0, 1
"""Folded into a seed's key: evaluations so never disturb the training."""


class SeedState(NamedTuple):
    """All that must survive of one seed."""

    agent: Any
    rollout: Any
    key: Key
    updates: Int[Array, ""]


class Program(NamedTuple):
    """One group's run as functions of its state.

    Attributes:
      init: keys of the seeds -> state.
      advance: gather a batch and learn from it.
      evaluate: return and violations of each seed, by name.
      template: () -> the shapes of a state.
      exact: whether a state is all that it takes to go on exactly.
      put: a state from a checkpoint, and a device -> the state on the device.
      close: let go of what is held outside the state.
    """

    init: Callable[[Array], SeedState]
    advance: Callable[[SeedState], tuple[SeedState, Info]]
    evaluate: Callable[[SeedState], Info]
    template: Callable[[], SeedState]
    exact: bool = True
    put: Callable[[SeedState, Any], SeedState] = jax.device_put
    close: Callable[[], None] = lambda: None


def compiled_program(task: Task, run: RunConfig, seeds: int) -> Program:
    """The loop in a compiled environment, for groups of so many seeds.

    It is compiled once on each device.
    """
    env: Any = task.env
    agent = task.agent

    def init(key: Key) -> SeedState:
        agent_key, env_key, run_key = jax.random.split(key, 3)
        start = start_rollout(env, env_key, run.environments)
        return SeedState(
            agent.init(agent_key), start, run_key, jnp.zeros((), jnp.int32)
        )

    def advance(state: SeedState) -> tuple[SeedState, Info]:
        place, batch = rollout(
            env,
            lambda observations, key: agent.act(state.agent, observations, key),
            state.rollout,
            acting_key(state),
            steps=run.rollout_steps,
        )
        return learn(agent, state._replace(rollout=place), batch)

    def evaluate(state: SeedState) -> Info:
        key = stream(state, EVALUATION)
        return judge(task, state.agent.policy, key, task.evaluation_episodes)

    start = jax.jit(lift(init, seeds))
    return Program(
        init=start,
        advance=jax.jit(lift(advance, seeds), donate_argnums=0),
        evaluate=jax.jit(lift(evaluate, seeds)),
        template=lambda: jax.eval_shape(start, keys_of(range(seeds))),
    )


def learn(agent: Agent, state: SeedState, batch: Trajectory) -> tuple[SeedState, Info]:
    """One update of the agent from a batch, and what the batch was like."""
    _, update_key = jax.random.split(stream(state, ACTING))
    trained, info = agent.update(state.agent, batch, update_key)
    info |= {
        "train/reward_per_step": jnp.mean(batch.rewards, where=batch.mask),
        "train/cost_per_step": jnp.mean(batch.costs, where=batch.mask),
    }
    return state._replace(agent=trained, updates=state.updates + 1), info


def acting_key(state: SeedState) -> Key:
    """The key of the next batch's actions."""
    return jax.random.split(stream(state, ACTING))[0]


def stream(state: SeedState, purpose: int) -> Key:
    """A key for this purpose at this update; the same however the run came here."""
    return jax.random.fold_in(jax.random.fold_in(state.key, purpose), state.updates)


def lift(function: Callable, seeds: int) -> Callable:
    """The same function with the seeds as first axis of everything.

    One seed is taken out of its axis rather than vmapped, so that conditions stay
    conditions and its numbers do not depend on how many others there are.
    """
    if seeds > 1:
        return jax.vmap(function)

    def single(*args: Any) -> Any:
        return jax.tree.map(
            lambda x: x[None], function(*jax.tree.map(lambda x: x[0], args))
        )

    return single


def keys_of(seeds: Iterable[int]) -> Array:
    """One random key for each seed."""
    return jax.vmap(jax.random.key)(np.asarray(list(seeds), np.uint32))
