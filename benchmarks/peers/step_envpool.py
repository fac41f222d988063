"""EnvPool's HalfCheetah-v5 under random actions, timed in its steady state.

    python step_envpool.py envpool '{"environments": 10, "seconds": 5, ...}'

It runs in the peer's own environment, knows nothing of reins, and prints one line of
JSON. It simulates in a MuJoCo of its own, which it does not tell the version of. Its
half-cheetah is Gymnasium's: no wall, no pay for running backwards, and the position is
shown, as in ours.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import importlib.metadata
import json
import platform
import sys
import time

import envpool
import numpy as np

PACKAGES = ("envpool", "gymnasium", "numpy")
STEPS_BETWEEN_LOOKS = 100


def main() -> None:
    settings = json.loads(sys.argv[2])
    n, threads = settings["environments"], settings["threads"]
    env = envpool.make(
        "HalfCheetah-v5",
        env_type="gymnasium",
        num_envs=n,
        num_threads=threads,
        exclude_current_positions_from_observation=False,
    )
    low, high = env.action_space.low, env.action_space.high
    size = (STEPS_BETWEEN_LOOKS, n, *low.shape)
    actions = np.random.default_rng(0).uniform(low, high, size)
    env.reset()

    def some_steps() -> None:
        for chosen in actions:
            env.step(chosen)

    some_steps()
    steps, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        some_steps()
        steps += n * STEPS_BETWEEN_LOOKS
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    result = {
        "steps": steps,
        "seconds": seconds,
        "parts": {},
        "threads": {"simulator": threads},
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
