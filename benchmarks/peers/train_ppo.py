"""PPO of Stable-Baselines3 or SBX on HalfCheetah-v5, timed in its steady state.

    python train_ppo.py stable-baselines3 '{"environments": 16, "seconds": 20, ...}'

It runs in the peer's own environment, knows nothing of reins, and prints one line of
JSON. What a user gets by default stays as it is: `make_vec_env` (a `DummyVecEnv` of
environments under `Monitor`), and the number of torch's threads unless another one is
asked for. Observations and rewards are not normalised.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import importlib.metadata
import json
import platform
import sys
import time

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

PACKAGES = ("gymnasium", "mujoco", "numpy", "torch", "stable-baselines3")
OF_SBX = ("sbx-rl", "jax", "jaxlib", "flax", "optax")
ENDLESS = 10**9


class Stopwatch(BaseCallback):
    """Times whole updates, each from the beginning of one rollout to the next's."""

    def __init__(self, warm_up: int, seconds: float):
        super().__init__()
        self.warm_up, self.limit = warm_up, seconds
        self.began: list[float] = []
        self.gathered: list[float] = []

    @property
    def measured(self) -> list[float]:
        """When the rollouts began that count, and the one after them."""
        return self.began[self.warm_up :]

    def _on_rollout_start(self) -> None:
        self.began.append(time.perf_counter())

    def _on_rollout_end(self) -> None:
        self.gathered.append(time.perf_counter())

    def _on_step(self) -> bool:
        """Whether to go on."""
        times = self.measured
        return len(times) < 2 or times[-1] - times[0] < self.limit


def learner(library: str, settings: dict):
    """The library's PPO under these settings."""
    if library == "sbx":
        from flax import linen as nn
        from sbx import PPO
    else:
        from stable_baselines3 import PPO
        from torch import nn
    n, hidden = settings["environments"], settings["hidden"]
    return PPO(
        "MlpPolicy",
        make_vec_env(settings["env"], n_envs=n, seed=0),
        learning_rate=settings["learning_rate"],
        n_steps=settings["batch_steps"] // n,
        batch_size=settings["minibatch_steps"],
        n_epochs=settings["epochs"],
        gamma=settings["discount"],
        gae_lambda=settings["gae_lambda"],
        clip_range=settings["clip_epsilon"],
        policy_kwargs={
            "net_arch": {"pi": hidden, "vf": hidden},
            "activation_fn": nn.tanh if library == "sbx" else nn.Tanh,
        },
        seed=0,
        device="cpu",
    )


def main() -> None:
    library, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings["torch_threads"] is not None:
        torch.set_num_threads(settings["torch_threads"])
    watch = Stopwatch(settings["warm_up"], settings["seconds"])
    learner(library, settings).learn(ENDLESS, callback=watch)
    began = watch.measured
    updates = len(began) - 1
    gathered = watch.gathered[watch.warm_up :][:updates]
    gathering = sum(b - a for a, b in zip(began[:-1], gathered, strict=True))
    seconds = began[-1] - began[0]
    names = PACKAGES + (OF_SBX if library == "sbx" else ())
    found = {name: importlib.metadata.version(name) for name in names}
    result = {
        "steps": updates * settings["batch_steps"],
        "seconds": seconds,
        "parts": {"gather": gathering, "update": seconds - gathering},
        "threads": {"torch": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
