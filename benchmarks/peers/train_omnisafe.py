"""OmniSafe's PPOLag on SafetyHalfCheetahVelocity-v1, timed in its steady state.

    python train_omnisafe.py omnisafe '{"environments": 1, "batch_steps": 4096, ...}'

It runs in the peer's own environment, knows nothing of reins, and prints one line of
JSON. The loop is its own; the clock is looked at where a rollout begins and ends. Its
KL stop is off, so that every batch has all its passes, as ours have, and so is
TensorBoard, which we do not write here either. Observations are normalised and rewards
are not, which are its defaults.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import contextlib
import dataclasses
import functools
import importlib.metadata
import inspect
import json
import platform
import resource
import sys
import time
from typing import Any

import numpy as np
import torch

PACKAGES = ("omnisafe", "safety-gymnasium", "gymnasium", "mujoco", "numpy", "torch")
ENV = "SafetyHalfCheetahVelocity-v1"
ENDLESS = 10_000
"""Batches of a run that is stopped by the clock."""


def allow_arrays_as_defaults() -> None:
    """Let safety-gymnasium be imported in a Python above 3.10, which forbids these."""
    strict = dataclasses.dataclass

    def lenient(cls: Any = None, **told: Any) -> Any:
        if cls is None:
            return functools.partial(lenient, **told)
        for name in inspect.get_annotations(cls):
            value = cls.__dict__.get(name)
            if isinstance(value, np.ndarray):
                shared = dataclasses.field(default_factory=lambda value=value: value)
                setattr(cls, name, shared)
        return strict(cls, **told)

    dataclasses.dataclass = lenient


class TimeIsUpError(Exception):
    """Ends the training loop, which has no other way out."""


class Stopwatch:
    """Takes the place of a rollout, and times whole updates between two of them."""

    def __init__(self, rollout: Any, warm_up: int, seconds: float):
        self.rollout, self.warm_up, self.limit = rollout, warm_up, seconds
        self.began: list[float] = []
        self.gathered: list[float] = []

    @property
    def measured(self) -> list[float]:
        """When the rollouts began that count, and the one after them."""
        return self.began[self.warm_up :]

    def __call__(self, **told: Any) -> None:
        self.began.append(time.perf_counter())
        since = self.measured
        if len(since) > 1 and since[-1] - since[0] >= self.limit:
            raise TimeIsUpError
        self.rollout(**told)
        self.gathered.append(time.perf_counter())


def configured(settings: dict) -> dict:
    """These settings in OmniSafe's words."""
    network = {"hidden_sizes": settings["hidden"], "lr": settings["learning_rate"]}
    return {
        "train_cfgs": {
            "total_steps": ENDLESS * settings["batch_steps"],
            "vector_env_nums": settings["environments"],
            "torch_threads": settings["torch_threads"],
        },
        "algo_cfgs": {
            "steps_per_epoch": settings["batch_steps"],
            "update_iters": settings["epochs"],
            "batch_size": settings["minibatch_steps"],
            "gamma": settings["discount"],
            "lam": settings["gae_lambda"],
            "clip": settings["clip_epsilon"],
            "kl_early_stop": False,
        },
        "logger_cfgs": {"use_tensorboard": False, "save_model_freq": ENDLESS},
        "model_cfgs": {"actor": network, "critic": network},
    }


def main() -> None:
    settings = json.loads(sys.argv[2])
    allow_arrays_as_defaults()
    import omnisafe

    agent = omnisafe.Agent("PPOLag", ENV, custom_cfgs=configured(settings)).agent
    torch.set_num_threads(settings["torch_threads"])
    adapter = agent._env
    watch = Stopwatch(adapter.rollout, settings["warm_up"], settings["seconds"])
    adapter.rollout = watch
    with contextlib.suppress(TimeIsUpError):
        agent.learn()
    began = watch.measured
    updates = len(began) - 1
    gathered = watch.gathered[watch.warm_up :][:updates]
    gathering = sum(b - a for a, b in zip(began[:-1], gathered, strict=True))
    seconds = began[-1] - began[0]
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    result = {
        "steps": updates * settings["batch_steps"],
        "seconds": seconds,
        "parts": {"gather": gathering, "update": seconds - gathering},
        "threads": {"torch": torch.get_num_threads()},
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
