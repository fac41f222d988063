"""Reverse against forward KL in soft actor-critic, with a small and a large replay.

Five robots, two losses, two sizes of replay: S1's Figures 2 and 3.
"""

import dataclasses
from typing import Any

from reins.agents.soft_losses import PolicyLoss
from reins.experiments.config import RunConfig, SACConfig, TrainConfig
from reins.experiments.reproduce.cell import Cell, share_of_steps

TASKS = ("Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "Ant-v5", "Humanoid-v5")
"""The cheap ones first."""
REPLAYS = {"50K": 50_000, "1M": 1_000_000}
LOSSES: tuple[PolicyLoss, ...] = ("reverse-kl", "forward-kl")
STEPS = 1_000_000
EVALUATIONS = 100  # S1's authors evaluate every 10 episodes, of 1,000 steps at most
LEARNING_STARTS = 1000

_PUBLISHED = {
    "Hopper-v5": "3535 (Spinning Up), 2326 ± 1130 (zoo), 2310 ± 343 (CleanRL), "
    "3542 ± 52 (Tianshou)",
    "Walker2d-v5": "4111 (Spinning Up), 3863 ± 254 (zoo), 3591 ± 911 (CleanRL), "
    "5007 ± 252 (Tianshou)",
    "HalfCheetah-v5": "11460 (Spinning Up), 9535 ± 100 (zoo), 9635 ± 1424 (CleanRL), "
    "12139 ± 1049 (Tianshou)",
    "Ant-v5": "3949 (Spinning Up), 4616 ± 1354 (zoo), 5850 ± 476 (Tianshou)",
    "Humanoid-v5": "4996 ± 686 (CleanRL), 5489 ± 81 (Tianshou)",
}
"""SAC with a replay of a million, at a million steps of older versions of the tasks."""


def cell_name(replay: str, loss: str) -> str:
    """Its name within a task: `--only Hopper-v5/50K` finds both losses."""
    return f"{replay}, {loss}"


def rl_as_inference() -> list[Cell]:
    """Task by task, the two losses that are to be compared next to each other."""
    return [
        _cell(task, replay, loss)
        for task in TASKS
        for replay in REPLAYS
        for loss in LOSSES
    ]


def _cell(task: str, replay: str, loss: PolicyLoss) -> Cell:
    run = RunConfig(
        steps=STEPS,
        evaluation_interval=STEPS // EVALUATIONS,
        evaluation_episodes=5,
        evaluation_policy="mode",
    )
    agent = SACConfig(
        policy_loss=loss,
        buffer_size=REPLAYS[replay],
        learning_starts=LEARNING_STARTS,
    )
    config = TrainConfig("sac", task, run=run, soft=agent)
    usual = (replay, loss) == ("1M", "reverse-kl")
    return Cell(task, cell_name(replay, loss), config, _PUBLISHED[task] * usual)


def scaled(cell: Cell, scale: float) -> Cell:
    """Steps and replay shrink together, so that the same share of steps is remembered.

    No more than a tenth of the steps go by before learning. What is published is of a
    million steps, and is left out at any other size.
    """
    config: Any = cell.config
    steps = share_of_steps(config.run, scale)
    run = dataclasses.replace(
        config.run, steps=steps, evaluation_interval=max(1, steps // EVALUATIONS)
    )
    agent = dataclasses.replace(
        config.soft,
        buffer_size=max(1, round(scale * config.soft.buffer_size)),
        learning_starts=min(config.soft.learning_starts, steps // 10),
    )
    same = steps == config.run.steps
    config = dataclasses.replace(config, run=run, soft=agent)
    return Cell(cell.table, cell.name, config, cell.published if same else "")
