"""A run of several actor-learners: a program whose updates come as workers make them.

Each worker has environments of its own and one thread. Nobody waits at an update: the
loop takes the updates in the order in which they were told, each with a copy of the
parameters right after it, so that a checkpoint, an evaluation or Ctrl-C need not stop
anybody. Workers may be a few updates ahead of what the loop has taken; what is ahead
when a run is stopped is lost.

With one worker it is the sequential algorithm, and as repeatable. With more, which
update comes first is left to chance.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from reins.agents.a3c import A3CState, AsynchronousAgent, actor_learner
from reins.data import FaultyEnvError
from reins.envs import HostEnv
from reins.experiments.build import Task
from reins.experiments.config import RunConfig
from reins.experiments.engines.threads import Crew, Failure, More, SharedMemory, Tell
from reins.experiments.host import host_parts, host_program
from reins.experiments.program import (
    HaltedError,
    Program,
    SeedState,
    compiled_program,
    left_by,
    seen_in,
)
from reins.types import Info, Trajectory

WORKER = 3
"""Folded into a seed's key for the keys of all workers but the first."""

AHEAD = 2
"""Updates that a worker may be ahead of the loop, on average."""


class Learned(NamedTuple):
    """What a worker tells of one update.

    Attributes:
      worker: its number.
      place: its own state after it, without parameters.
      agent: what all share, right after it.
      info: by name, one number in each array.
    """

    worker: int
    place: SeedState
    agent: A3CState
    info: Info


class Steps(NamedTuple):
    """What is compiled of the learning, for all workers of all seeds."""

    gradient: Callable[[A3CState, Trajectory, int | Array], tuple[Any, Info]]
    step: Callable[[A3CState, Any], tuple[Any, Any]]


def asynchronous_programs(
    task: Task, run: RunConfig, seeds: int, *, cores: int
) -> list[Program]:
    """A program for each of so many seeds, which are to go one after another.

    Args:
      cores: that the simulators of all workers may use.
    """
    agent: Any = task.agent

    def gradient(
        state: A3CState, batch: Trajectory, worker: int | Array
    ) -> tuple[Any, Info]:
        batch = inner(batch)
        gradients, info = agent.gradient(state, batch, worker)
        return gradients, info | seen_in(batch) | left_by(task.constraint, batch)

    steps = Steps(jax.jit(gradient), jax.jit(agent.step))
    if not isinstance(task.env, HostEnv):
        bases = [compiled_program(task, run, 1)] * agent.workers
        return [_program(agent, run, steps, bases) for _ in range(seeds)]
    parts, threads = host_parts(task, run, 1), max(1, cores // agent.workers)
    return [
        _program(
            agent,
            run,
            steps,
            [
                host_program(task, run, parts, seeds=1, threads=threads)
                for _ in range(agent.workers)
            ],
        )
        for _ in range(seeds)
    ]


def _program(
    agent: AsynchronousAgent, run: RunConfig, steps: Steps, bases: list[Program]
) -> Program:
    workers = Workers(run, steps, bases)
    return Program(
        init=workers.init,
        gather=bases[0].gather,
        advance=workers.advance,
        evaluate=lambda state: bases[0].evaluate(state._replace(rollout=None)),
        template=workers.template,
        exact=bases[0].exact,
        put=lambda state, device: state,
        close=workers.close,
        repeatable=agent.workers == 1,
        takes_all=True,
        news=workers.news,
    )


class Workers:
    """One seed's actor-learners, from the first `advance` until they are closed.

    Args:
      bases: for each worker the program of its environments, of one seed.
    """

    def __init__(
        self,
        run: RunConfig,
        steps: Steps,
        bases: list[Program],
    ):
        self.run, self.steps, self.bases = run, steps, bases
        self.crew: Crew | None = None
        self.ungranted = 0
        self.lost: dict[int, str] = {}
        self.untold: list[str] = []

    def init(self, keys: Array) -> SeedState:
        """The first worker has the seed's own key, as if it were alone."""
        first = self.bases[0].init(keys)
        apart = jax.random.fold_in(first.key[0], WORKER)
        places = [first] + [
            base.init(jax.random.fold_in(apart, i)[None])
            for i, base in enumerate(self.bases[1:], 1)
        ]
        return first._replace(rollout=tuple(p._replace(agent=None) for p in places))

    def template(self) -> SeedState:
        """The shapes of a state: parameters once, and a place for each worker."""
        one = self.bases[0].template()
        return one._replace(rollout=(one._replace(agent=None),) * len(self.bases))

    def advance(self, state: SeedState, most: int) -> tuple[SeedState, Info, int]:
        """Take the next update that a worker tells of.

        Raises: HaltedError when there is no worker left to wait for.
        """
        del most
        if self.crew is None:
            self.crew = self._begin(state)
        learned = self.crew.hear()
        while isinstance(learned, Failure):
            self._lose(learned, state)
            learned = self.crew.hear()
        if self.ungranted > 0:
            self.ungranted -= 1
            self.crew.allow(1)
        places = list(state.rollout)
        places[learned.worker] = learned.place
        alive = {"workers_alive": np.asarray([len(self.bases) - len(self.lost)])}
        state = SeedState(
            outer(learned.agent), tuple(places), state.key, state.updates + 1
        )
        return state, learned.info | alive, 1

    def news(self) -> list[str]:
        """Failures that nobody has been told of yet."""
        told, self.untold = self.untold, []
        return told

    def close(self) -> None:
        """Halt all workers and let go of their environments."""
        if self.crew is not None:
            self.crew.stop()
        self.crew = None
        for base in self.bases:
            base.close()

    def _begin(self, state: SeedState) -> Crew:
        shared = SharedMemory(inner(state.agent), self.steps.step, len(self.bases))
        devices = jax.local_devices()

        def work(i: int, more: More, tell: Tell) -> None:
            with jax.default_device(devices[i % len(devices)]):
                place = self.bases[i].put(state.rollout[i], devices[i % len(devices)])
                self._work(i, place, shared, more, tell)

        remaining = self.run.updates - int(state.updates[0])
        granted = min(remaining, AHEAD * len(self.bases))
        self.ungranted = remaining - granted
        self.lost.clear()
        crew = Crew(work, len(self.bases))
        crew.allow(granted)
        return crew

    def _work(
        self, i: int, place: SeedState, shared: SharedMemory, more: More, tell: Tell
    ) -> None:
        """One worker's loop, in its own thread."""
        seen: Info = {}

        def gather(own: A3CState) -> Trajectory:
            nonlocal place, seen
            state = place._replace(agent=outer(own))
            state, batch, seen = self.bases[i].gather(state)
            place = state._replace(agent=None, updates=np.asarray(state.updates) + 1)
            return batch  # with its axis of one seed, which only compiled code drops

        def heard(info: Info) -> None:
            found = {name: np.asarray(x)[None] for name, x in info.items()}
            tell(Learned(i, place, shared.read(), found | seen))

        actor_learner(i, shared, gather, self.steps.gradient, more=more, tell=heard)

    def _lose(self, failure: Failure, state: SeedState) -> None:
        i, n = failure.worker, len(self.bases)
        step = int(state.rollout[i].updates[0]) * self.run.rollout_steps
        self.lost[i] = f"worker {i} of {n} (from 0) failed {_cause(failure, step)}"
        left = n - len(self.lost)
        if left == 0:
            whole = "; ".join(self.lost.values())
            raise HaltedError(f"no worker is left: {whole}") from failure.error
        self.untold.append(f"{self.lost[i]}. The other {left} go on.")


def _cause(failure: Failure, step: int) -> str:
    """Where and why, as far as it can be told."""
    error = failure.error
    if not isinstance(error, FaultyEnvError):
        return f"after step {step} of each of its copies: {_sentence(error)}"
    place = "" if error.place is None else f", in its copy {error.place}"
    return f"at step {step + error.step} of each of its copies{place}: {error.what}"


def _sentence(error: Exception) -> str:
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}"


def outer(tree: Any) -> Any:
    """A state of one seed with the seeds as first axis."""
    return jax.tree.map(lambda x: x[None], tree)


def inner(tree: Any) -> Any:
    """The state of the only seed."""
    return jax.tree.map(lambda x: x[0], tree)
