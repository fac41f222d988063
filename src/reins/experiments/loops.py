"""The compiled loop: one update at a time, evaluated and saved on the way.

A *group* of seeds advances together and has one checkpoint. Its arrays have the seeds
as their first axis. On a CPU a group is one seed, and groups are dealt out to the
cores; on a GPU all seeds are one group under `vmap`
(docs/decisions/0003-seeds-on-cores.md).
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from reins.data import RolloutState, rollout, run_episodes, start_rollout
from reins.errors import RunError
from reins.experiments.build import Task
from reins.experiments.checkpoint import load_checkpoint, save_checkpoint
from reins.experiments.config import RunConfig
from reins.types import Info, Key

SCHEMA = "reins.checkpoint/1"
EVALUATION_STREAM = 1
"""Folded into a seed's key for evaluations, which so never disturb the training."""


class SeedState(NamedTuple):
    """All that must survive of one seed."""

    agent: Any
    rollout: RolloutState
    key: Key
    updates: Int[Array, ""]


class Program(NamedTuple):
    """One seed's run as pure functions."""

    init: Callable[[Key], SeedState]
    advance: Callable[[SeedState], tuple[SeedState, Info]]
    evaluate: Callable[[SeedState], Info]


class Group(NamedTuple):
    """A group of seeds of one run: what is compiled, and where it is kept."""

    name: str
    seeds: tuple[int, ...]
    program: Program
    run: RunConfig
    checkpoint: Path

    @property
    def template(self) -> SeedState:
        """The shapes of the group's state."""
        return jax.eval_shape(self.program.init, _keys(self.seeds))


class Progress(NamedTuple):
    """What a group reports: the steps just taken, and its latest evaluation if any."""

    group: Group
    steps: int
    row: dict[str, Any] | None


def make_program(task: Task, run: RunConfig) -> Program:
    """The loop of one seed: gather a batch, update, and evaluate now and then."""
    agent = task.agent

    def init(key: Key) -> SeedState:
        agent_key, env_key, run_key = jax.random.split(key, 3)
        start = start_rollout(task.env, env_key, run.environments)
        return SeedState(
            agent.init(agent_key), start, run_key, jnp.zeros((), jnp.int32)
        )

    def advance(state: SeedState) -> tuple[SeedState, Info]:
        act_key, update_key = jax.random.split(_stream(state, 0))
        place, batch = rollout(
            task.env,
            lambda observations, key: agent.act(state.agent, observations, key),
            state.rollout,
            act_key,
            steps=run.rollout_steps,
        )
        trained, info = agent.update(state.agent, batch, update_key)
        info |= {
            "train/reward_per_step": jnp.mean(batch.rewards),
            "train/cost_per_step": jnp.mean(batch.costs),
        }
        return SeedState(trained, place, state.key, state.updates + 1), info

    def evaluate(state: SeedState) -> Info:
        return judge(
            task,
            lambda observations, key: agent.act(state.agent, observations, key),
            _stream(state, EVALUATION_STREAM),
            run.evaluation_episodes,
        )

    return Program(init, advance, evaluate)


def judge(task: Task, act: Callable, key: Key, episodes: int) -> Info:
    """Mean return, and violations of the true rule per step, of a way to act."""
    judged = run_episodes(task.return_env, act, key, episodes)
    counted = run_episodes(task.violation_env, act, key, episodes)
    return {
        "return": jnp.mean(judged.returns),
        "violation_rate": counted.violation_rate,
    }


def _stream(state: SeedState, purpose: int) -> Key:
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


def compile_program(program: Program, seeds: int) -> Program:
    """The program for groups of this many seeds; compiled once on each device."""
    return Program(
        init=jax.jit(lift(program.init, seeds)),
        advance=jax.jit(lift(program.advance, seeds), donate_argnums=0),
        evaluate=jax.jit(lift(program.evaluate, seeds)),
    )


def template(program: Program, seeds: int) -> SeedState:
    """The shapes of a group's state, from the program of one seed."""
    return jax.eval_shape(lift(program.init, seeds), _keys(tuple(range(seeds))))


def _keys(seeds: tuple[int, ...]) -> Array:
    return jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))


def run_group(
    group: Group,
    device: Any,
    report: Callable[[Progress], None],
    stop: threading.Event,
) -> None:
    """Train a group to its end, from its checkpoint if it has one.

    Raises: RunError when a quantity is no longer finite; the checkpoint before stays.
    """
    with jax.default_device(device):
        state, record = _start(group, device)
        run, program = group.run, group.program
        done = int(record["updates"])
        report(Progress(group, done * run.batch_steps * len(group.seeds), None))
        span = [time.time(), time.time()]
        record["spans"].append(span)

        def save() -> None:
            record["updates"] = done
            span[1] = time.time()
            save_checkpoint(group.checkpoint, state, record)

        while True:
            due = done % run.updates_per_evaluation == 0 or done == run.updates
            if due and (not record["history"] or _last_update(record) < done):
                row = _row(group, done, program.evaluate(state), record.pop("pending"))
                record |= {"pending": [], "history": [*record["history"], row]}
                save()
                report(Progress(group, 0, row))
            if done == run.updates:
                return
            if stop.is_set():
                save()
                return
            state, info = program.advance(state)
            done += 1
            record["pending"].append(_check(group, done, _host(info)))
            report(Progress(group, run.batch_steps * len(group.seeds), None))


def _start(group: Group, device: Any) -> tuple[SeedState, dict[str, Any]]:
    if group.checkpoint.exists():
        state, record = load_checkpoint(group.checkpoint, group.template)
    else:
        state = group.program.init(jax.device_put(_keys(group.seeds), device))
        record = {
            "schema": SCHEMA,
            "seeds": list(group.seeds),
            "updates": 0,
            "spans": [],
            "pending": [],
            "history": [],
        }
    return jax.device_put(state, device), record


def _last_update(record: dict[str, Any]) -> int:
    return record["history"][-1]["updates"]


def _host(info: Info) -> dict[str, list[float]]:
    return {
        name: np.asarray(value, np.float64).tolist() for name, value in info.items()
    }


def _check(group: Group, update: int, info: dict[str, list[float]]) -> dict[str, Any]:
    for name, values in info.items():
        for seed, value in zip(group.seeds, values, strict=True):
            if not np.isfinite(value):
                raise RunError(
                    f"{group.name}, seed {seed}, update {update}: `{name}` became "
                    f"{value}. The run stops here; its last checkpoint, "
                    f"{group.checkpoint}, is from before. A smaller learning rate "
                    "helps most often."
                )
    return info


def _row(
    group: Group, updates: int, evaluation: Info, pending: list[dict[str, list[float]]]
) -> dict[str, Any]:
    """One line of the curves: the evaluation, and means of the updates' reports."""
    names = pending[0] if pending else {}
    means = {n: np.mean([p[n] for p in pending], axis=0).tolist() for n in names}
    steps = updates * group.run.batch_steps
    return {"updates": updates, "steps": steps, **_host(evaluation), **means}
