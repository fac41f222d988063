"""Environments: compiled, as Gymnasium sees them, and wrapped in rules and costs."""

from reins.envs.env import Env, Rule, Step
from reins.envs.gymnasium import CompiledEnv, CostWrapper, with_cost
from reins.envs.registry import (
    ENVS,
    EnvEntry,
    constrained_twin,
    env_entry,
    gymnasium_env,
    make_env,
    nominal_twin,
    register,
)
from reins.envs.walls import forbid

__all__ = [
    "ENVS",
    "CompiledEnv",
    "CostWrapper",
    "Env",
    "EnvEntry",
    "Rule",
    "Step",
    "constrained_twin",
    "env_entry",
    "forbid",
    "gymnasium_env",
    "make_env",
    "nominal_twin",
    "register",
    "with_cost",
]
