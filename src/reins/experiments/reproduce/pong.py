"""Pong from pixels: the lecture's own example, 80 x 80 numbers and 200 hidden units.

Settings were chosen on seeds 100 to 102; the table is of seeds 0 to 2.
"""

from reins.experiments.config import PPOConfig, RunConfig, TrainConfig
from reins.experiments.reproduce.cell import Cell


def pong_from_pixels() -> list[Cell]:
    """PPO on the difference of two frames: 1.28 million parameters."""
    run = RunConfig(
        steps=800_000,
        environments=16,
        rollout_steps=256,
        evaluation_interval=100_000,
        evaluation_episodes=10,
    )
    agent = PPOConfig(
        hidden=(200,),
        shared_trunk=True,
        epochs=4,
        minibatches=4,
        entropy_weight=0.01,
        normalise_rewards="off",
    )
    config = TrainConfig("ppo", "reins/PongFromPixels-v0", run=run, ppo=agent)
    return [Cell("PongFromPixels-v0", "ppo", config)]
