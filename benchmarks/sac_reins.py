"""reins's part of the benchmark of soft actor-critic, and what bounds it.

    python sac_reins.py reins  '{"env": "HalfCheetah-v5", "seeds": 1, ...}'
    python sac_reins.py update '{"policy_loss": "forward-kl", ...}'
    python sac_reins.py limit  '{"flops": 5.8e8, "cores": 1, ...}'

Prints one line of JSON, as the peers' parts do.

    reins    as `reins train sac` trains: its loop, reports and checkpoints included
    update   the update alone, on the same steps again and again
    limit    products of 256 x 256 matrices alone, as many operations as an update has
"""

import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOLD = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
if "cores" in TOLD:  # before JAX starts its threads
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: TOLD["cores"]])

from reins.experiments.engines.local import (  # noqa: E402
    cores,
    group_seeds,
    make_programs,
    use_all_cores,
)

use_all_cores()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.ours import train_config  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.loops import Group, Progress, run_group  # noqa: E402
from reins.experiments.program import keys_of  # noqa: E402
from reins.experiments.record import versions  # noqa: E402
from reins.experiments.report import Terminal  # noqa: E402

ENDLESS = 10**7
"""Steps of a run that is stopped by the clock."""
WIDTH = 256
"""Of the matrices whose products are the limit."""
PRODUCTS = 200
"""In one compiled call."""


class Watch:
    """Times a seed from the end of its warm-up on, and stops it when time is up.

    Attributes:
      steps, seconds: that were measured.
    """

    def __init__(
        self,
        show: Callable[[Progress], None],
        settings: dict[str, Any],
        seconds: float,
        together: threading.Barrier,
    ):
        self.show, self.limit, self.together = show, seconds, together
        self.warm_up = settings["learning_starts"] + settings["warm_up"]
        self.stop = threading.Event()
        self.done, self.steps, self.seconds = 0, 0, 0.0
        self.began: float | None = None

    def __call__(self, progress: Progress) -> None:
        self.show(progress)
        self.done += progress.steps
        if self.began is not None:
            self.steps += progress.steps
            self.seconds = time.perf_counter() - self.began
            if self.seconds > self.limit:
                self.stop.set()
        elif self.done >= self.warm_up:
            self.together.wait()
            self.began = time.perf_counter()


def train(settings: dict[str, Any]) -> dict[str, Any]:
    """All seeds, one after another on each core; the first evaluation is its only one.

    Cores begin to measure together, and a seed has its share of the time.
    """
    # The last steps of a run are not reached, nor is an evaluation on the way.
    config = train_config(
        settings, steps=ENDLESS, evaluation_interval=ENDLESS, evaluation_episodes=1
    )
    grouped = group_seeds(range(settings["seeds"]))
    programs = make_programs(build(config), config.run, grouped)
    devices = jax.local_devices()[: len(grouped)]
    rounds = len(grouped) // len(devices)
    together = threading.Barrier(len(devices))
    watches: list[list[Watch]] = [[] for _ in devices]
    with (
        tempfile.TemporaryDirectory() as folder,
        Terminal(quiet=True).progress(ENDLESS * settings["seeds"]) as show,
    ):
        groups = [
            Group(str(g), config.env, g, p, config.run, Path(folder) / f"{g[0]}.npz")
            for g, p in zip(grouped, programs, strict=True)
        ]

        def work(i: int) -> None:
            for group in groups[i :: len(devices)]:
                watch = Watch(show, settings, settings["seconds"] / rounds, together)
                watches[i].append(watch)
                try:
                    run_group(group, devices[i], watch, watch.stop)
                except Exception:
                    together.abort()  # or the other cores would wait
                    raise

        threads = [
            threading.Thread(target=work, args=(i,)) for i in range(len(devices))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    per_core = [
        [sum(w.steps for w in ws), sum(w.seconds for w in ws)] for ws in watches
    ]
    longest = max(taken for _, taken in per_core)
    rate = sum(steps / taken for steps, taken in per_core)
    return {"steps": rate * longest, "seconds": longest, "parts": {}}


def update(settings: dict[str, Any]) -> dict[str, Any]:
    """Updates from a full batch of random steps, as training calls them."""
    config = train_config(settings)
    task = build(config)
    (program,) = make_programs(task, config.run, [(0,)])
    state = program.init(keys_of([0]))
    while int(state.updates[0]) * config.run.batch_steps <= settings["learning_starts"]:
        state, *_ = program.advance(state, 1)
    _, batch, _ = program.gather(state)
    agent, batch = jax.tree.map(lambda x: jnp.asarray(x[0]), (state.agent, batch))

    def once(agent: Any, key: jax.Array) -> Any:
        key, now = jax.random.split(key)
        return task.agent.update(agent, batch, now)[0], key

    go = jax.jit(once, donate_argnums=(0, 1))
    carry = jax.block_until_ready(go(agent, jax.random.key(0)))
    calls, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        carry = jax.block_until_ready(go(*carry))
        calls += 1
    program.close()
    return {"steps": calls * config.run.batch_steps, "seconds": seconds, "parts": {}}


def limit(settings: dict[str, Any]) -> dict[str, Any]:
    """Products of square matrices, told as updates of so many operations."""

    def products(x: jax.Array, weight: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, PRODUCTS, lambda _, x: x @ weight, x)

    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (WIDTH, WIDTH))
    weight = jnp.linalg.qr(jax.random.normal(keys[1], (WIDTH, WIDTH)))[0]
    go = jax.jit(products)
    x = jax.block_until_ready(go(x, weight))
    calls, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        x = jax.block_until_ready(go(x, weight))
        calls += 1
    operations = calls * PRODUCTS * 2 * WIDTH**3
    return {"steps": operations / settings["flops"], "seconds": seconds, "parts": {}}


WORK = {"reins": train, "update": update, "limit": limit}


def main() -> None:
    """Do what is asked for, and print the line."""
    result = WORK[sys.argv[1]](TOLD)
    result["threads"] = {"devices": cores()}
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result | {"versions": versions()}))


if __name__ == "__main__":
    main()
