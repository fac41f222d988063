"""What a run is told: frozen dataclasses, checked when built."""

from reins.experiments.config.agents import (
    AsynchronousConfig,
    CostConfig,
    GradientConfig,
    OffPolicyConfig,
    PopulationConfig,
    PPOConfig,
    RegionConfig,
)
from reins.experiments.config.commands import (
    AGENTS,
    EXPERIMENTS,
    METHODS,
    USED,
    LearnConfig,
    TrainConfig,
)
from reins.experiments.config.constraint import ConstraintConfig, ForwardAgentConfig
from reins.experiments.config.gathered import gathered
from reins.experiments.config.imitation import IMITATORS, ImitationConfig
from reins.experiments.config.improvement import ImprovementConfig
from reins.experiments.config.presets import PRESETS
from reins.experiments.config.record import (
    COMMANDS,
    command_line,
    config_of,
    from_record,
    to_record,
)
from reins.experiments.config.run import EnvConfig, RunConfig
from reins.experiments.config.soft import SACConfig

__all__ = [
    "AGENTS",
    "COMMANDS",
    "EXPERIMENTS",
    "IMITATORS",
    "METHODS",
    "PRESETS",
    "USED",
    "AsynchronousConfig",
    "ConstraintConfig",
    "CostConfig",
    "EnvConfig",
    "ForwardAgentConfig",
    "GradientConfig",
    "ImitationConfig",
    "ImprovementConfig",
    "LearnConfig",
    "OffPolicyConfig",
    "PPOConfig",
    "PopulationConfig",
    "RegionConfig",
    "RunConfig",
    "SACConfig",
    "TrainConfig",
    "command_line",
    "config_of",
    "from_record",
    "gathered",
    "to_record",
]
