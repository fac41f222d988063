"""Environment steps per second on LapGridWorld, and what one more seed costs.

    make bench                      or    python -m benchmarks.lapgridworld

Every variant is compiled and warmed up first; then they take turns (A B C A B C), so
that a slow moment of the machine hits all of them. Medians and ranges over the turns.

    1 seed              one seed on one core
    1 seed, sorted      the same with `jax.random.permutation` for the shuffle
    5 seeds, cores      dealt out to the cores, as training does it
    5 seeds, vmap       one vmapped program on one device
    env alone           the limit: the same environments under a random policy
"""

import argparse
import dataclasses
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from unittest import mock

from rich.console import Console
from rich.table import Table

from reins.experiments.engines.local import use_all_cores

use_all_cores()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from reins.data import rollout, start_rollout  # noqa: E402
from reins.envs import make_env  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.config import LearnConfig, RunConfig, TrainConfig  # noqa: E402
from reins.experiments.program import Program, compiled_program  # noqa: E402
from reins.experiments.record import versions  # noqa: E402

LAP = "reins/LapGridWorld-v0"
RUN = RunConfig()
CONFIGS: dict[str, TrainConfig | LearnConfig] = {
    "ppo": TrainConfig("ppo", LAP),
    "ppo-lagrangian": TrainConfig("ppo-lagrangian", LAP),
    "icrl": LearnConfig(LAP, "lapgridworld"),
}


@dataclasses.dataclass
class Variant:
    """Something to time: `run` takes a number of updates and returns steps."""

    name: str
    run: Callable[[int], int]
    rates: list[float] = dataclasses.field(default_factory=list)

    def time(self, updates: int) -> None:
        began = time.perf_counter()
        steps = self.run(updates)
        self.rates.append(steps / (time.perf_counter() - began))


def keys(seeds: int) -> jax.Array:
    return jax.vmap(jax.random.key)(jnp.arange(seeds))


def on_one_device(program: Program, seeds: int) -> Callable[[int], int]:
    state = [program.init(keys(seeds))]

    def run(updates: int) -> int:
        done = 0
        while done < updates:
            state[0], _, n = program.advance(state[0], updates - done)
            done += n
        jax.block_until_ready(state[0])
        return updates * RUN.batch_steps * seeds

    return run


def on_cores(program: Program, seeds: int) -> Callable[[int], int]:
    devices = jax.local_devices()
    states = [
        program.init(jax.device_put(keys(seeds)[i : i + 1])) for i in range(seeds)
    ]

    def work(device: jax.Device, waiting: SimpleQueue, updates: int) -> None:
        while True:
            try:
                seed = waiting.get_nowait()
            except Empty:
                return
            state = jax.device_put(states[seed], device)
            done = 0
            while done < updates:
                state, _, n = program.advance(state, updates - done)
                done += n
            states[seed] = jax.block_until_ready(state)

    def run(updates: int) -> int:
        waiting: SimpleQueue = SimpleQueue()
        for seed in range(seeds):
            waiting.put(seed)
        threads = [
            threading.Thread(target=work, args=(device, waiting, updates))
            for device in devices
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return updates * RUN.batch_steps * seeds

    return run


def environment_alone() -> Callable[[int], int]:
    env = make_env(LAP)

    @jax.jit
    def go(state, key):
        def act(observations, key):
            return jax.random.bernoulli(key, 0.5, observations.shape[:1]).astype(int)

        return rollout(env, act, state, key, steps=RUN.rollout_steps)

    start = start_rollout(env, jax.random.key(0), RUN.environments)

    def run(updates: int) -> int:
        state = start
        for i in range(updates):
            state, _ = go(state, jax.random.key(i))
        jax.block_until_ready(state)
        return updates * RUN.batch_steps

    return run


@contextmanager
def sorted_shuffle() -> Iterator[None]:
    # `reins.agents.ppo` is the builder; its module of the same name is found here.
    module = sys.modules["reins.agents.ppo"]
    with mock.patch.object(module, "cheap_permutation", jax.random.permutation):
        yield


def variants(name: str) -> list[Variant]:
    def program(seeds: int) -> Program:
        return compiled_program(build(CONFIGS[name]), RUN, seeds)

    found = [Variant("1 seed", on_one_device(program(1), 1))]
    with sorted_shuffle():
        slow = on_one_device(program(1), 1)
        slow(1)  # compiled while the shuffle is replaced
    found += [
        Variant("1 seed, sorted", slow),
        Variant("5 seeds, cores", on_cores(program(1), 5)),
        Variant("5 seeds, vmap", on_one_device(program(5), 5)),
        Variant("env alone", environment_alone()),
    ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", choices=list(CONFIGS), nargs="*", default=list(CONFIGS)
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--updates", type=int, default=30, help="updates in a turn")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    found = ", ".join(f"{k} {v}" for k, v in versions().items())
    console.print(f"{os.cpu_count()} cores; {found}")
    for name in arguments.only:
        contestants = variants(name)
        for variant in contestants:
            variant.run(2)
        for _ in range(arguments.turns):
            for variant in contestants:
                variant.time(arguments.updates)
        show(console, name, contestants)


def show(console: Console, name: str, contestants: list[Variant]) -> None:
    table = Table(title=f"{name}: environment steps per second", title_justify="left")
    for heading in ("variant", "median", "lowest", "highest", "against 1 seed"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    medians = {v.name: statistics.median(v.rates) for v in contestants}
    for variant in contestants:
        median = medians[variant.name]
        table.add_row(
            variant.name,
            *[f"{x:,.0f}" for x in (median, min(variant.rates), max(variant.rates))],
            f"{median / medians['1 seed']:.2f}",
        )
    console.print(table)
    alone = 1 / medians["1 seed"]
    for placed in ("cores", "vmap"):
        more = (5 / medians[f"5 seeds, {placed}"] - alone) / 4
        console.print(
            f"one seed more, {placed}: {100 * more / alone:.0f} % of the first one"
        )


if __name__ == "__main__":
    main()
