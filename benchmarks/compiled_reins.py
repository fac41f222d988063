"""reins's part of the benchmarks in a compiled environment, and what bounds it.

    python compiled_reins.py reins       '{"agent": "a2c", "environments": 16, ...}'
    python compiled_reins.py compiled    ...
    python compiled_reins.py environment ...
    python compiled_reins.py update      ...

Prints one line of JSON, as the peers' parts do.

    reins          as `reins train` trains: its loop around compiled updates, every
                   report checked; evaluated before and after only
    compiled       the same compiled updates, and nothing reported
    environment    the environments alone, random actions, in one compiled call
    update         the update alone, on one batch again and again, in one compiled call
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reins.experiments.engines.local import (
    cores,
    group_seeds,
    make_programs,
    run_groups,
    use_all_cores,
)

use_all_cores()

import jax  # noqa: E402
import numpy as np  # noqa: E402

sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.ours import train_config  # noqa: E402
from reins.data import rollout, start_rollout  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.loops import Group  # noqa: E402
from reins.experiments.program import compiled_program, keys_of  # noqa: E402
from reins.experiments.record import versions  # noqa: E402
from reins.experiments.report import Terminal  # noqa: E402

STEPS_IN_A_CALL = 160_000
"""Of what is compiled into one call: so many that the call itself costs nothing."""


def train(settings: dict[str, Any]) -> dict[str, Any]:
    """All seeds to their end, dealt out to the cores: as long as the time suggests."""
    seeds = settings["seeds"]
    config = train_config(settings, evaluation_episodes=1)
    grouped = group_seeds(range(seeds))
    programs = make_programs(build(config), config.run, grouped)

    def run(updates: int) -> float:
        """Seconds that it takes every seed to make so many updates."""
        steps = updates * config.run.batch_steps
        told = train_config(settings, steps=steps, evaluation_interval=steps).run
        with tempfile.TemporaryDirectory() as folder:
            groups = [
                Group(str(g), config.env, g, p, told, Path(folder) / f"{g[0]}.npz")
                for g, p in zip(grouped, programs, strict=True)
            ]
            began = time.perf_counter()
            with Terminal(quiet=True).progress(steps * seeds) as show:
                failures = run_groups(groups, show)
            seconds = time.perf_counter() - began
        for error in failures.values():
            raise error
        return seconds

    updates = settings["warm_up"]
    run(updates)
    seconds = run(updates)
    while seconds < settings["seconds"] / 2:
        more = min(10.0, max(2.0, settings["seconds"] / seconds))
        updates = round(updates * more)
        seconds = run(updates)
    return {"steps": updates * config.run.batch_steps * seeds, "seconds": seconds}


def compiled(settings: dict[str, Any]) -> dict[str, Any]:
    """Updates of one seed, as many in a call as training has in one."""
    config = train_config(settings)
    program = compiled_program(build(config), config.run, 1)
    state = program.init(keys_of([0]))
    state, _, length = program.advance(state, config.run.updates)

    def go(state: Any, _: Any) -> Any:
        return program.advance(state, length)[0]

    return timed(go, state, length * config.run.batch_steps, settings)


def environment(settings: dict[str, Any]) -> dict[str, Any]:
    """The compiled environments, reset on the way, under random actions."""
    env: Any = build(train_config(settings)).env
    n = settings["environments"]
    steps = STEPS_IN_A_CALL // n

    def act(observations: jax.Array, key: jax.Array) -> jax.Array:
        return jax.random.randint(key, (n,), 0, env.action_space.n)

    def go(state: Any, key: jax.Array) -> Any:
        place, seen = rollout(env, act, state[0], key, steps=steps)
        return place, seen.rewards.sum()  # so that no step can be left out

    start = start_rollout(env, jax.random.key(0), n), np.float32(0.0)
    return timed(jax.jit(go), start, n * steps, settings)


def update(settings: dict[str, Any]) -> dict[str, Any]:
    """Many updates on the same batch in one compiled call."""
    config = train_config(settings)
    task = build(config)
    program = compiled_program(task, config.run, 1)
    state, batch, _ = program.gather(program.init(keys_of([0])))
    agent, batch = jax.tree.map(lambda x: x[0], (state.agent, batch))
    length = max(1, STEPS_IN_A_CALL // config.run.batch_steps)

    def go(agent: Any, key: jax.Array) -> Any:
        return jax.lax.scan(
            lambda a, k: (task.agent.update(a, batch, k)[0], None),
            agent,
            jax.random.split(key, length),
        )[0]

    return timed(jax.jit(go), agent, length * config.run.batch_steps, settings)


def timed(
    go: Callable[[Any, jax.Array], Any], state: Any, steps: int, settings: Any
) -> dict[str, Any]:
    """Calls of so many steps each, after a first one, until the time is up."""
    state = jax.block_until_ready(go(state, jax.random.key(0)))
    calls, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        calls += 1
        state = jax.block_until_ready(go(state, jax.random.key(calls)))
    return {"steps": calls * steps, "seconds": seconds}


WORK = {
    "reins": train,
    "compiled": compiled,
    "environment": environment,
    "update": update,
}


def main() -> None:
    """Do what is asked for, and print the line."""
    result = WORK[sys.argv[1]](json.loads(sys.argv[2])) | {"parts": {}}
    result["threads"] = {"devices": cores()}
    print(json.dumps(result | {"versions": versions()}))


if __name__ == "__main__":
    main()
