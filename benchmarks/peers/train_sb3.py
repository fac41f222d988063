"""Stable-Baselines3, sb3-contrib or SBX, timed in its steady state.

    python train_sb3.py stable-baselines3 '{"agent": "ppo", "environments": 16, ...}'

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
import resource
import sys
import time

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

PACKAGES = ("gymnasium", "mujoco", "numpy", "torch", "stable-baselines3")
MORE = {
    "sbx": ("sbx-rl", "jax", "jaxlib", "flax", "optax"),
    "sb3-contrib": ("sb3-contrib",),
}
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
        n = len(self.began) - self.warm_up
        return n < 2 or self.began[-1] - self.began[self.warm_up] < self.limit


def algorithm(library: str, agent: str, settings: dict):
    """The library's class, and what this algorithm alone is told."""
    if agent == "ppo":
        if library == "sbx":
            from sbx import PPO
        else:
            from stable_baselines3 import PPO
        return PPO, {
            "batch_size": settings["minibatch_steps"],
            "n_epochs": settings["epochs"],
            "clip_range": settings["clip_epsilon"],
        }
    if agent == "sac":
        if library == "sbx":
            from sbx import SAC
        else:
            from stable_baselines3 import SAC
        return SAC, {
            "buffer_size": settings["buffer_size"],
            "learning_starts": settings["learning_starts"],
            "batch_size": settings["batch_size"],
            "tau": settings["polyak"],
        }
    if agent == "a2c":
        from stable_baselines3 import A2C

        return A2C, {
            "use_rms_prop": False,  # Adam then, with its ε at 1e-5 as ours
            "ent_coef": settings["entropy_weight"],
            "vf_coef": settings["value_weight"],
            "max_grad_norm": settings["max_gradient_norm"],
        }
    from sb3_contrib import TRPO

    return TRPO, {
        "batch_size": settings["minibatch_steps"],
        "n_critic_updates": settings["critic_epochs"],
        "cg_max_steps": settings["cg_iterations"],
        "cg_damping": settings["damping"],
        "line_search_shrinking_factor": settings["shrink"],
        "target_kl": settings["kl_bound"],
    }


def on_policy(library: str, settings: dict) -> dict:
    """What those are told that learn from whole rollouts: their sizes and networks."""
    if library == "sbx":
        from flax import linen as nn

        tanh = nn.tanh
    else:
        tanh = torch.nn.Tanh
    hidden = settings["hidden"]
    return {
        "n_steps": settings["batch_steps"] // settings["environments"],
        "gae_lambda": settings["gae_lambda"],
        "policy_kwargs": {
            "net_arch": {"pi": hidden, "vf": hidden},
            "activation_fn": tanh,
        },
    }


def learner(library: str, settings: dict):
    """The library's agent under these settings."""
    agent, n = settings["agent"], settings["environments"]
    made, told = algorithm(library, agent, settings)
    if agent == "sac":
        # One step and one update at a time, and ReLU, are its defaults.
        told["policy_kwargs"] = {"net_arch": settings["hidden"]}
    else:
        told |= on_policy(library, settings)
    rate = settings.get("learning_rate", settings.get("critic_learning_rate"))
    return made(
        "MlpPolicy",
        make_vec_env(settings["env"].removeprefix("reins/"), n_envs=n, seed=0),
        learning_rate=rate,
        gamma=settings["discount"],
        seed=0,
        device="cpu",
        **told,
    )


def main() -> None:
    library, settings = sys.argv[1], json.loads(sys.argv[2])
    if settings.get("torch_threads") is not None:
        torch.set_num_threads(settings["torch_threads"])
    # Before that many steps nothing is learned, where there is a replay memory.
    warm_up = settings["warm_up"] + settings.get("learning_starts", 0)
    watch = Stopwatch(warm_up, settings["seconds"])
    learner(library, settings).learn(ENDLESS, callback=watch)
    began = watch.measured
    updates = len(began) - 1
    gathered = watch.gathered[watch.warm_up :][:updates]
    gathering = sum(b - a for a, b in zip(began[:-1], gathered, strict=True))
    seconds = began[-1] - began[0]
    names = PACKAGES + MORE.get(library, ())
    found = {name: importlib.metadata.version(name) for name in names}
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
