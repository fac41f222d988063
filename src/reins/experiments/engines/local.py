"""This machine: groups of seeds dealt out to its devices, one thread to a device.

On a CPU every core is made a device of its own, and each takes the next group when it
is done with one, so five seeds on two cores take two and a half seeds' time. On a GPU
all seeds of a run are one group.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax

from reins.agents.a3c import AsynchronousAgent
from reins.envs import HostEnv
from reins.experiments.asynchronous import asynchronous_programs
from reins.experiments.build import Task
from reins.experiments.config import RunConfig
from reins.experiments.host import host_parts, host_program
from reins.experiments.loops import Group, Progress, run_group
from reins.experiments.program import Program, compiled_program


def use_all_cores() -> None:
    """Make each core a device. Has no effect once JAX has been used in this process.

    Each thread then computes what it asks for itself: with work queued up for two
    devices, JAX 0.10.2 can stall (docs/decisions/0003-seeds-on-cores.md).
    """
    try:
        jax.config.update("jax_num_cpu_devices", cores())
    except RuntimeError:
        return
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def group_seeds(seeds: Sequence[int], *, apart: bool = False) -> list[tuple[int, ...]]:
    """How this machine wants seeds grouped: one by one on a CPU, together on a GPU.

    Args:
      apart: one by one wherever it is, as several actor-learners to a seed need it.
    """
    use_all_cores()
    if apart or jax.default_backend() == "cpu":
        return [(seed,) for seed in seeds]
    return [tuple(seeds)]


def make_programs(
    task: Task,
    run: RunConfig,
    grouped: Sequence[tuple[int, ...]],
    *,
    of: int | None = None,
) -> list[Program]:
    """The program of each group, compiled once for all on each device.

    Groups that are trained at the same time share the cores between their simulators.

    Args:
      of: groups of the whole run, where these are not all.
    """
    if isinstance(task.agent, AsynchronousAgent):
        return asynchronous_programs(task, run, len(grouped), cores=cores())
    seeds = len(grouped[0])
    if not isinstance(task.env, HostEnv):
        return [compiled_program(task, run, seeds)] * len(grouped)
    parts = host_parts(task, run, seeds)
    at_once = min(of or len(grouped), len(jax.local_devices()))
    threads = max(1, cores() // at_once)
    return [
        host_program(task, run, parts, seeds=seeds, threads=threads) for _ in grouped
    ]


def run_groups(
    groups: Sequence[Group], report: Callable[[Progress], None]
) -> dict[Group, Exception]:
    """Train all groups; returns the ones that failed, with their errors.

    A failure ends its own group only. Ctrl-C and SIGTERM stop every group at its next
    update, with a checkpoint.

    Raises: KeyboardInterrupt when stopped so.
    """
    waiting = list(groups)
    started: set[Program] = set()
    lock = threading.Lock()
    failures: dict[Group, Exception] = {}
    stop = threading.Event()

    def take(mine: set[Program]) -> Group | None:
        """The next group, best one whose program is already compiled on this device."""
        with lock:
            if not waiting or stop.is_set():
                return None
            here = [g for g in waiting if g.program in mine]
            new = [g for g in waiting if g.program not in started]
            group = [*here, *new, *waiting][0]
            waiting.remove(group)
            started.add(group.program)
            mine.add(group.program)
            return group

    def work(device: Any) -> None:
        mine: set[Program] = set()
        while (group := take(mine)) is not None:
            try:
                run_group(group, device, report, stop)
            except Exception as error:
                failures[group] = error

    alone = any(group.program.takes_all for group in groups)
    devices = jax.local_devices()[: 1 if alone else len(groups)]
    threads = [threading.Thread(target=work, args=(d,)) for d in devices]
    with stopping_by_signal(stop):
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(timeout=0.2)
    if stop.is_set():
        raise KeyboardInterrupt
    return failures


@contextmanager
def stopping_by_signal(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM set an event instead of interrupting wherever they hit.

    Python tells signals to its main thread only; elsewhere this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
