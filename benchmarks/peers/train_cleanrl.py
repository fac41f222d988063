"""CleanRL's sac_continuous_action.py, timed in its steady state.

    python train_cleanrl.py cleanrl '{"env": "HalfCheetah-v5", "seconds": 20, ...}'

It runs in the peer's own environment, knows nothing of reins, and prints one line of
JSON. The script is the package's own, run as it is. It was written for gym 0.23, which
has no HalfCheetah-v5: what it uses of gym is played here by today's Gymnasium, and its
clock is the vector of environments, which it asks for one step in every round.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import contextlib
import importlib.metadata
import io
import json
import platform
import resource
import runpy
import site
import sys
import time
import types
from pathlib import Path

import gymnasium
import numpy as np
import torch

PACKAGES = ("gymnasium", "mujoco", "numpy", "torch", "stable-baselines3", "cleanrl")
SCRIPT = "cleanrl/sac_continuous_action.py"
ENDLESS = 10**9


class TimeIsUpError(Exception):
    """Ends the script's endless training."""


class Episodes(gymnasium.wrappers.RecordEpisodeStatistics):
    """It could be seeded by itself."""

    def seed(self, seed: int) -> None:
        self.reset(seed=seed)


class Vector(gymnasium.vector.SyncVectorEnv):
    """Steps as gym 0.23 gave them; counts them, and looks at the clock.

    Attributes:
      warm_up, limit: steps before those that count, and seconds to count for.
      taken: steps so far.
      began: when those began that count.
    """

    warm_up = 0
    limit = 0.0
    taken = 0
    began = 0.0

    def __init__(self, make):
        mode = gymnasium.vector.AutoresetMode.SAME_STEP
        super().__init__(make, autoreset_mode=mode)

    def reset(self, **told):
        return super().reset(**told)[0]

    def step(self, actions):
        now = time.perf_counter()
        if Vector.taken == Vector.warm_up:
            Vector.began = now
        elif Vector.taken > Vector.warm_up and now - Vector.began > Vector.limit:
            raise TimeIsUpError(Vector.taken - Vector.warm_up, now - Vector.began)
        Vector.taken += 1
        observations, rewards, terminated, truncated, seen = super().step(actions)
        infos: list[dict] = [{} for _ in rewards]
        for i in np.flatnonzero(terminated | truncated):
            episode = {k: v[i] for k, v in seen["final_info"]["episode"].items()}
            infos[i] = {
                "episode": episode,
                "terminal_observation": seen["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return observations, rewards, terminated | truncated, infos


def old_gym() -> types.ModuleType:
    """As much of gym 0.23 as the script uses."""
    gym = types.ModuleType("gym")
    parts = {
        "make": gymnasium.make,
        "spaces": gymnasium.spaces,
        "wrappers": types.SimpleNamespace(RecordEpisodeStatistics=Episodes),
        "vector": types.SimpleNamespace(SyncVectorEnv=Vector),
    }
    vars(gym).update(parts)
    return gym


def main() -> None:
    settings = json.loads(sys.argv[2])
    if settings.get("torch_threads") is not None:
        torch.set_num_threads(settings["torch_threads"])
    if settings["hidden"] != [256, 256]:
        raise ValueError("CleanRL's networks are two layers of 256.")
    Vector.warm_up = settings["learning_starts"] + settings["warm_up"]
    Vector.limit = settings["seconds"]
    told = {
        "env-id": settings["env"],
        "total-timesteps": ENDLESS,
        "buffer-size": settings["buffer_size"],
        "gamma": settings["discount"],
        "tau": settings["polyak"],
        "batch-size": settings["batch_size"],
        "learning-starts": settings["learning_starts"],
        "policy-lr": settings["learning_rate"],
        "q-lr": settings["learning_rate"],
    }
    sys.argv[1:] = [f"--{name}={value}" for name, value in told.items()]
    sys.modules["gym"] = old_gym()
    (folder,) = site.getsitepackages()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            runpy.run_path(str(Path(folder) / SCRIPT), run_name="__main__")
    except TimeIsUpError as end:
        steps, seconds = end.args
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    result = {
        "steps": steps,
        "seconds": seconds,
        "parts": {},
        "threads": {"torch": torch.get_num_threads()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
