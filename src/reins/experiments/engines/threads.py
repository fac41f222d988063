"""Actor-learners as threads of this process, and the memory that they share."""

import queue
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from reins.agents.a3c import Shared

More = Callable[[], bool]
Tell = Callable[[Any], None]


class SharedMemory(Shared):
    """One state in numpy arrays, which all threads read and move without a lock.

    Parameters and counts are added to, so that nobody's step is undone; the optimiser's
    statistics are written over, and the last writer's stay. Readers may see the
    parameters between two layers of somebody's step.
    """

    def __init__(
        self, state: Any, step: Callable[[Any, Any], tuple[Any, Any]], workers: int
    ):
        """A copy of `state`, moved by `step` (see `AsynchronousAgent`)."""
        self._state = jax.tree.map(np.array, state)
        self._step = step
        # Each worker counts in a place of its own: no two ever add to the same one.
        self._moves = [0] * workers

    def read(self) -> Any:
        """A copy of what is there now."""
        return jax.tree.map(np.copy, self._state)

    def moves(self) -> int:
        """The updates of all workers so far."""
        return sum(self._moves)

    def move(self, worker: int, gradients: Any) -> None:
        """One step of the optimiser along these gradients, in place."""
        before = self.read()
        updates, statistics = self._step(before, gradients)
        shared = self._state
        jax.tree.map(_add, (shared.policy, shared.critic), updates)
        jax.tree.map(_follow, shared.optimizer, before.optimizer, statistics)
        self._moves[worker] += 1


def _add(shared: np.ndarray, amount: Any) -> None:
    np.add(shared, np.asarray(amount), out=shared)


def _follow(shared: np.ndarray, before: np.ndarray, after: Any) -> None:
    if np.issubdtype(shared.dtype, np.integer):
        _add(shared, np.asarray(after) - before)
    else:
        shared[...] = np.asarray(after)


class Failure(NamedTuple):
    """A worker that is gone, and why."""

    worker: int
    error: Exception


class Crew:
    """Workers as threads; one that fails leaves the others at work.

    Nobody waits for anybody, but for leave to go on: each entry of a queue lets
    whichever worker takes it do one more update.

    Args:
      work: (worker, more, tell) -> None, each worker's loop: it goes on while `more()`,
        and tells of every update.
      workers: how many.
    """

    def __init__(self, work: Callable[[int, More, Tell], None], workers: int):
        self._work = work
        self._leave: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._halted = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(i,), name=f"worker {i}")
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def allow(self, updates: int) -> None:
        """Give leave for so many updates more."""
        for _ in range(updates):
            self._leave.put(True)

    def hear(self) -> Any:
        """Wait for what a worker tells next, or its `Failure`."""
        return self._heard.get()

    def stop(self) -> None:
        """Let every worker end the update that it is at, and wait for that."""
        self._halted.set()
        for _ in self._threads:
            self._leave.put(False)
        for thread in self._threads:
            thread.join()

    def _run(self, worker: int) -> None:
        held = False

        def more() -> bool:
            nonlocal held
            held = self._leave.get() and not self._halted.is_set()
            return held

        def tell(report: Any) -> None:
            nonlocal held
            held = False
            self._heard.put(report)

        try:
            self._work(worker, more, tell)
        except Exception as error:
            if held:  # somebody else does the update that it did not end
                self._leave.put(True)
            self._heard.put(Failure(worker, error))
