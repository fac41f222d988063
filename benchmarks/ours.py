"""reins's side of a benchmark: its configuration out of the settings of a turn."""

import dataclasses
from typing import Any

from reins.experiments.config import (
    GradientConfig,
    PPOConfig,
    RegionConfig,
    RunConfig,
    SACConfig,
    TrainConfig,
)


def train_config(settings: dict[str, Any], **run: Any) -> TrainConfig:
    """What `reins train` would be told for the same work.

    Args:
      settings: `agent`, `env`, `environments`, `seeds`, `batch_steps`,
        `minibatch_steps` where there are minibatches, and options in reins's words.
      run: more settings of the run.
    """
    n, batch_steps = settings["environments"], settings["batch_steps"]
    told = settings | {"hidden": tuple(settings["hidden"])}
    if "minibatch_steps" in settings:
        told["minibatches"] = batch_steps // settings["minibatch_steps"]

    def part(kind: Any) -> Any:
        names = [field.name for field in dataclasses.fields(kind)]
        return kind(**{name: told[name] for name in names if name in told})

    return TrainConfig(
        settings["agent"],
        settings["env"],
        run=RunConfig(
            seeds=settings["seeds"],
            environments=n,
            rollout_steps=batch_steps // n,
            **run,
        ),
        ppo=part(PPOConfig),
        gradient=part(GradientConfig),
        region=part(RegionConfig),
        soft=part(SACConfig),
    )
