"""Tianshou's NPG on HalfCheetah-v5, timed in its steady state.

    python train_tianshou.py tianshou '{"agent": "npg", "environments": 16, ...}'

It runs in the peer's own environment, knows nothing of reins, and prints one line of
JSON. The loop is the one of its on-policy trainer, without logging and tests: collect
from a `DummyVectorEnv`, update, empty the buffer. Observations and rewards are not
normalised. Conjugate gradients take 10 iterations and a damping of 0.1 there, whatever
one asks for.
"""

# The peers' packages are not in this checkout's environment.
# pyright: reportMissingImports=false

import importlib.metadata
import json
import platform
import sys
import time

import gymnasium
import torch
from tianshou.algorithm import NPG
from tianshou.algorithm.algorithm_base import policy_within_training_step
from tianshou.algorithm.modelfree.reinforce import ProbabilisticActorPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import (
    ContinuousActorProbabilistic,
    ContinuousCritic,
)

PACKAGES = ("gymnasium", "mujoco", "numpy", "torch", "tianshou")
STEP = 0.1
"""Of the natural gradient; no KL bound scales it."""


def gaussian(parts: tuple[torch.Tensor, torch.Tensor]) -> torch.distributions.Normal:
    """Independent in every dimension, as a distribution of vectors."""
    normal = torch.distributions.Normal(*parts)
    return torch.distributions.Independent(normal, 1)


def learner(settings: dict, env: gymnasium.Env) -> NPG:
    """Tianshou's NPG under these settings."""
    if (settings["cg_iterations"], settings["damping"]) != (10, 0.1):
        raise ValueError("Tianshou's NPG has 10 iterations and a damping of 0.1.")
    seen, done = env.observation_space.shape, env.action_space.shape

    def network() -> Net:
        return Net(
            state_shape=seen,
            hidden_sizes=settings["hidden"],
            activation=torch.nn.Tanh,
        )

    actor = ContinuousActorProbabilistic(
        preprocess_net=network(), action_shape=done, unbounded=True
    )
    return NPG(
        policy=ProbabilisticActorPolicy(
            actor=actor,
            dist_fn=gaussian,
            action_space=env.action_space,
            action_bound_method="clip",
        ),
        critic=ContinuousCritic(preprocess_net=network()),
        optim=AdamOptimizerFactory(lr=settings["critic_learning_rate"], eps=1e-5),
        optim_critic_iters=settings["critic_epochs"],
        trust_region_size=STEP,
        gae_lambda=settings["gae_lambda"],
        gamma=settings["discount"],
        max_batchsize=settings["batch_steps"],
    )


def main() -> None:
    settings = json.loads(sys.argv[2])
    if settings.get("torch_threads") is not None:
        torch.set_num_threads(settings["torch_threads"])
    n, batch_steps = settings["environments"], settings["batch_steps"]
    envs = DummyVectorEnv([lambda: gymnasium.make(settings["env"]) for _ in range(n)])
    agent = learner(settings, gymnasium.make(settings["env"]))
    collector = Collector(agent, envs, VectorReplayBuffer(batch_steps, n))
    collector.reset()
    parts = {"gather": 0.0, "update": 0.0}

    def one_update() -> None:
        began = time.perf_counter()
        with policy_within_training_step(agent.policy):
            collector.collect(n_step=batch_steps)
            gathered = time.perf_counter()
            agent.update(collector.buffer, batch_size=None, repeat=1)
        collector.reset_buffer(keep_statistics=True)
        parts["gather"] += gathered - began
        parts["update"] += time.perf_counter() - gathered

    for _ in range(settings["warm_up"]):
        one_update()
    parts |= {"gather": 0.0, "update": 0.0}
    updates, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        one_update()
        updates += 1
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    result = {
        "steps": updates * batch_steps,
        "seconds": seconds,
        "parts": parts,
        "threads": {"torch": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), **found},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
