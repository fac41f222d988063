"""What a group of seeds does: start, advance by some updates, be evaluated.

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

from reins.constraints import Constraint
from reins.data import rollout, start_rollout
from reins.errors import RunError
from reins.experiments.build import Task
from reins.experiments.config import RunConfig
from reins.experiments.judge import judge
from reins.experiments.validity import OUTSIDE, policy_of, teller
from reins.types import Info, Key, Trajectory

ACTING, EVALUATION, EXPLAINING = 0, 1, 3
"""Folded into a seed's key: evaluations so never disturb the training."""


class SeedState(NamedTuple):
    """All that must survive of one seed."""

    agent: Any
    rollout: Any
    key: Key
    updates: Int[Array, ""]


class HaltedError(RunError):
    """A program that cannot go on, and whose last state is whole."""


class Program(NamedTuple):
    """One group's run as functions of its state.

    Attributes:
      init: keys of the seeds -> state.
      gather: a batch, and what was seen beside it; the state moves on in its
        environments only.
      advance: gather a batch and learn from it; again, up to so many times. Tells how
        often, and the mean of what each of these updates reported.
      evaluate: return and violations of each seed, by name.
      template: () -> the shapes of a state.
      exact: whether a state is all that it takes to go on exactly.
      put: a state from a checkpoint, and a device -> the state on the device.
      close: let go of what is held outside the state.
      repeatable: whether the same seed gives the same numbers again.
      takes_all: whether it uses every device, so that groups go one after another.
      news: what befell since it was last asked, in sentences for people.
      explain: a state, and the place of a seed in it -> where its agent leaves what its
        constraint was learned from, in a sentence.
    """

    init: Callable[[Array], SeedState]
    gather: Callable[[SeedState], tuple[SeedState, Trajectory, Info]]
    advance: Callable[[SeedState, int], tuple[SeedState, Info, int]]
    evaluate: Callable[[SeedState], Info]
    template: Callable[[], SeedState]
    exact: bool = True
    put: Callable[[SeedState, Any], SeedState] = jax.device_put
    close: Callable[[], None] = lambda: None
    repeatable: bool = True
    takes_all: bool = False
    news: Callable[[], list[str]] = list
    explain: Callable[[SeedState, int], str] = lambda state, place: ""


def compiled_program(task: Task, run: RunConfig, seeds: int) -> Program:
    """The loop in a compiled environment, for groups of so many seeds.

    It is compiled once on each device.
    """
    env: Any = task.env
    agent: Any = task.agent

    def init(key: Key) -> SeedState:
        agent_key, env_key, run_key = jax.random.split(key, 3)
        start = start_rollout(env, env_key, run.environments)
        return SeedState(
            agent.init(agent_key), start, run_key, jnp.zeros((), jnp.int32)
        )

    def gather(state: SeedState) -> tuple[SeedState, Trajectory, Info]:
        place, batch = rollout(
            env,
            lambda observations, key: agent.act(state.agent, observations, key),
            state.rollout,
            acting_key(state),
            steps=run.rollout_steps,
        )
        return state._replace(rollout=place), batch, {}

    def once(state: SeedState) -> tuple[SeedState, Info]:
        state, batch, _ = gather(state)
        return learn(task, state, batch)

    at_once = max(1, task.steps_at_once // run.batch_steps)
    several = jax.jit(repeated(lift(once, seeds)), donate_argnums=0)

    def advance(state: SeedState, most: int) -> tuple[SeedState, Info, int]:
        n = min(most, at_once)
        return *several(state, n), n

    def evaluate(state: SeedState) -> Info:
        key = stream(state, EVALUATION)
        return judge(task, state.agent.policy, key, task.evaluation_episodes)

    start = jax.jit(lift(init, seeds))
    return Program(
        init=start,
        gather=jax.jit(lift(gather, seeds)),
        advance=advance,
        evaluate=jax.jit(lift(evaluate, seeds)),
        template=lambda: jax.eval_shape(start, keys_of(range(seeds))),
        explain=explainer(task),
    )


def learn(task: Task, state: SeedState, batch: Trajectory) -> tuple[SeedState, Info]:
    """One update of the agent from a batch, and what the batch was like."""
    agent: Any = task.agent
    _, update_key = jax.random.split(stream(state, ACTING))
    trained, info = agent.update(state.agent, batch, update_key)
    info |= seen_in(batch) | left_by(task.constraint, batch)
    return state._replace(agent=trained, updates=state.updates + 1), info


def seen_in(batch: Trajectory) -> Info:
    """What a batch was like, whatever was learned from it."""
    return {
        "train/reward_per_step": jnp.mean(batch.rewards, where=batch.mask),
        "train/cost_per_step": jnp.mean(batch.costs, where=batch.mask),
    }


def left_by(constraint: Constraint | None, batch: Trajectory) -> Info:
    """In which share of a batch an input lies outside of what a constraint has seen."""
    if constraint is None or not constraint.inputs.seen_low:
        return {}
    left = constraint.outside(batch.observations, batch.actions).any(axis=-1)
    return {OUTSIDE: jnp.mean(left, where=batch.mask)}


def explainer(task: Task) -> Callable[[SeedState, int], str]:
    """See `Program.explain`."""
    tell = teller(task)

    def explain(state: SeedState, place: int) -> str:
        one = SeedState(None, None, state.key[place], state.updates[place])
        return tell(policy_of(state, place), stream(one, EXPLAINING))

    return explain


def repeated(
    once: Callable[[SeedState], tuple[SeedState, Info]],
) -> Callable[..., tuple[SeedState, Info]]:
    """So many times in one program, whatever their number: last state, mean info."""
    once = jax.jit(once)  # so that it is traced once, and not for its shapes too

    def several(state: SeedState, n: Int[Array, ""]) -> tuple[SeedState, Info]:
        def again(_: Any, carry: tuple[SeedState, Info]) -> tuple[SeedState, Info]:
            state, found = once(carry[0])
            return state, jax.tree.map(jnp.add, carry[1], found)

        nothing = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(once, state)[1]
        )
        state, total = jax.lax.fori_loop(0, n, again, (state, nothing))
        return state, jax.tree.map(lambda x: x / n, total)

    return several


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
