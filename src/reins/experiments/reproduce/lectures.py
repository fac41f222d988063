"""The policy-gradient agents of the lectures, from CartPole to HalfCheetah and Hopper.

Settings were chosen on seeds 100 to 104, on 100 and 101 for the robots; tables are of
seeds 0 to 4.
"""

import dataclasses
from typing import Any, get_args

from reins.agents.off_policy_weights import Form
from reins.experiments.config import (
    GradientConfig,
    OffPolicyConfig,
    PopulationConfig,
    PPOConfig,
    RunConfig,
    TrainConfig,
)
from reins.experiments.reproduce.cell import Cell


def lectures() -> list[Cell]:
    """Every agent of the lectures, on tasks from the lectures' size to a robot's."""
    return [*_cartpole(), *_pendulum(), *_robot("HalfCheetah"), *_robot("Hopper")]


_WHOLE = RunConfig(steps=300_000, environments=4, rollout_steps=1000)
_LONG = RunConfig(steps=500_000, environments=8, rollout_steps=32)
_SHORT = RunConfig(steps=300_000, environments=8, rollout_steps=32)
_BATCH = RunConfig(steps=300_000, environments=10, rollout_steps=200)
_POPULATION = RunConfig(steps=600_000, environments=20, rollout_steps=1000)
_FAST = PPOConfig(learning_rate=3e-3)
_FADING = PPOConfig(learning_rate=3e-3, learning_rate_decay="linear")
_FASTEST = PPOConfig(learning_rate=0.05)

_CARTPOLE_PUBLISHED = {
    "ppo": "500 at 100,000 (zoo); 490 ± 6 at 500,000 (CleanRL)",
    "a2c": "500 at 500,000 (zoo)",
    "trpo": "500 at 100,000 (zoo)",
    "es": "ARS: 500 at 50,000 (zoo)",
}


def _cartpole() -> list[Cell]:
    cells: list[tuple[str, str, dict[str, Any]]] = [("ppo", "ppo", {"run": _BATCH})]
    for baseline in ("none", "constant", "optimal-constant", "time", "state"):
        settings = GradientConfig(baseline=baseline)
        parts = {"run": _WHOLE, "ppo": _FAST, "gradient": settings}
        cells.append((f"reinforce, {baseline}", "reinforce", parts))
    cells += [
        ("actor-critic, V", "actor-critic", {"run": _SHORT}),
        (
            "actor-critic, Q",
            "actor-critic",
            {"run": _SHORT, "gradient": GradientConfig(critic_kind="q")},
        ),
        *(
            (
                f"off-policy-pg, {form}",
                "off-policy-pg",
                {"run": _WHOLE, "ppo": _FADING, "off_policy": OffPolicyConfig(form)},
            )
            for form in get_args(Form)
        ),
        ("a2c", "a2c", {"run": _SHORT, "ppo": PPOConfig(3e-3, gae_lambda=1.0)}),
        (
            "a3c",
            "a3c",
            {"run": _LONG, "ppo": dataclasses.replace(_FADING, gae_lambda=1.0)},
        ),
        *((name, name, {"run": _BATCH}) for name in ("npg", "trpo", "kl-dual")),
        ("es", "es", {"run": _POPULATION, "ppo": _FASTEST}),
        (
            "hill-climbing",
            "hill-climbing",
            {"run": _POPULATION, "population": PopulationConfig(std=0.1)},
        ),
        ("genetic", "genetic", {"run": _POPULATION}),
    ]
    return [
        Cell(
            "CartPole-v1",
            name,
            TrainConfig(agent, "reins/CartPole-v1", **parts),
            _CARTPOLE_PUBLISHED.get(name, ""),
        )
        for name, agent, parts in cells
    ]


def _pendulum() -> list[Cell]:
    run = RunConfig(steps=600_000, environments=10, rollout_steps=200)
    return [
        Cell(
            "Pendulum-v1",
            agent,
            TrainConfig(
                agent, "reins/Pendulum-v1", run=run, ppo=PPOConfig(discount=0.95)
            ),
        )
        for agent in ("ppo", "npg", "trpo", "kl-dual")
    ]


_ROBOTS_PUBLISHED = {
    "HalfCheetah": {
        "ppo": "5784 ± 1244 (Tianshou), 5819 ± 664 (zoo), 1733 (Spinning Up)",
        "trpo": "4471 ± 805 (Tianshou), 1785 (zoo)",
        "npg": "3485 ± 717 (Tianshou)",
        "a2c": "1830 ± 1068 (Tianshou), 3041 (zoo)",
    },
    "Hopper": {
        "ppo": "2609 ± 701 (Tianshou), 2410 (zoo), 1770 (Spinning Up)",
        "trpo": "2046 ± 1038 (Tianshou), 3618 (zoo)",
        "npg": "1915 ± 551 (Tianshou)",
        "a2c": "1253 ± 458 (Tianshou), 733 (zoo)",
    },
}
"""At a million steps of the -v3 tasks; Tianshou's are of 10 seeds, the zoo's of one."""

_ROBOTS_CREDIT = {
    "HalfCheetah": {"discount": 0.98, "gae_lambda": 0.92},
    "Hopper": {},
}


def _robot(robot: str) -> list[Cell]:
    """Every agent with a critic, on one of MuJoCo's robots for a million steps."""
    runs = {
        "ppo": RunConfig(steps=1_000_000, environments=8, rollout_steps=128),
        "a2c": RunConfig(steps=1_000_000, environments=16, rollout_steps=16),
    }
    large = RunConfig(steps=1_000_000, environments=16, rollout_steps=128)
    fading = {"learning_rate_decay": "linear"}
    passes: dict[str, dict[str, Any]] = {
        "ppo": {"learning_rate": 3e-4, "minibatches": 16, **fading},
        "trpo": {"minibatches": 32},
        "npg": {"minibatches": 32},
        "kl-dual": {"learning_rate": 3e-4, "minibatches": 32},
        "a2c": {"learning_rate": 2e-3, **fading},
    }
    return [
        Cell(
            f"{robot}-v5",
            agent,
            TrainConfig(
                agent,
                f"{robot}-v5",
                run=runs.get(agent, large),
                ppo=PPOConfig(log_std=-1.0, **_ROBOTS_CREDIT[robot], **told),
            ),
            _ROBOTS_PUBLISHED[robot].get(agent, ""),
        )
        for agent, told in passes.items()
    ]
