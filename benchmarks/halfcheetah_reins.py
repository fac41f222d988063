"""reins's part of the benchmarks in HalfCheetah: an agent, or the simulator alone.

    python halfcheetah_reins.py reins     '{"agent": "ppo", "environments": 16, ...}'
    python halfcheetah_reins.py simulator '{"environments": 16, "seconds": 5, ...}'

Prints one line of JSON, as the peers' parts do. The training loop is the one that
`reins train --seeds 1` runs, without evaluations and checkpoints: a thread of the
simulator on every core, and compiled updates on one device.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from reins.experiments.engines.local import cores, make_programs, use_all_cores

use_all_cores()

import jax  # noqa: E402
import numpy as np  # noqa: E402

sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.ours import train_config  # noqa: E402
from reins.envs import HostEnv, make_env  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.host import SECONDS  # noqa: E402
from reins.experiments.program import keys_of  # noqa: E402
from reins.experiments.record import versions  # noqa: E402

STEPS_BETWEEN_LOOKS = 100
"""Steps of the simulator from one look at the clock to the next."""


def train(settings: dict[str, Any]) -> dict[str, Any]:
    """Whole updates until the time is up: steps, seconds, and what each part took."""
    config = train_config(settings)
    run = config.run
    (program,) = make_programs(build(config), run, [(0,)])
    parts: dict[str, float] = {}
    updates = 0
    with jax.default_device(jax.local_devices()[0]):
        state = program.init(keys_of([0]))
        for _ in range(settings["warm_up"]):
            state, *_ = program.advance(state, 1)
        began = time.perf_counter()
        while (seconds := time.perf_counter() - began) < settings["seconds"]:
            state, info, _ = program.advance(state, 1)
            updates += 1
            for name, value in info.items():
                if name.startswith(SECONDS):
                    part = name.removeprefix(SECONDS)
                    parts[part] = parts.get(part, 0.0) + float(value)
    program.close()
    return {"steps": updates * run.batch_steps, "seconds": seconds, "parts": parts}


def simulate(settings: dict[str, Any]) -> dict[str, Any]:
    """Random actions, drawn beforehand, until the time is up."""
    env, n = make_env(settings["env"]), settings["environments"]
    assert isinstance(env, HostEnv)
    low, high = env.action_space.low, env.action_space.high  # pyright: ignore
    size = (STEPS_BETWEEN_LOOKS, n, *low.shape)
    actions = np.random.default_rng(0).uniform(low, high, size).astype(np.float32)
    vector = env.make(n, cores())
    vector.reset(range(n))

    def some_steps() -> None:
        for chosen in actions:
            vector.step(chosen)

    some_steps()
    steps, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        some_steps()
        steps += n * STEPS_BETWEEN_LOOKS
    vector.close()
    return {"steps": steps, "seconds": seconds, "parts": {}}


def main() -> None:
    work = {"reins": train, "simulator": simulate}[sys.argv[1]]
    result = work(json.loads(sys.argv[2]))
    result["threads"] = {"simulator": cores()}
    print(json.dumps(result | {"versions": versions()}))


if __name__ == "__main__":
    main()
