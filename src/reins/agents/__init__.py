"""Agents: builders of `Agent(init, act, update)`, one file per algorithm."""

from reins.agents.agent import Agent
from reins.agents.icrl import (
    binary_classifier,
    constraint_learner,
    gail_constraint,
    icrl,
)
from reins.agents.normalised import normalised
from reins.agents.ppo import ppo
from reins.agents.ppo_lagrangian import ppo_lagrangian

__all__ = [
    "Agent",
    "binary_classifier",
    "constraint_learner",
    "gail_constraint",
    "icrl",
    "normalised",
    "ppo",
    "ppo_lagrangian",
]
