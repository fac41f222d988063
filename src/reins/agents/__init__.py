"""Agents: builders of `Agent(init, act, update)`, one file per algorithm."""

from reins.agents.a2c import a2c
from reins.agents.a3c import AsynchronousAgent, a3c, actor_learner
from reins.agents.actor_critic import actor_critic
from reins.agents.agent import Agent
from reins.agents.awr import awr
from reins.agents.evolution import es
from reins.agents.gail import gail
from reins.agents.gradient_free import genetic, hill_climbing
from reins.agents.icrl import (
    binary_classifier,
    constraint_learner,
    gail_constraint,
    icrl,
)
from reins.agents.kl_dual import kl_dual
from reins.agents.mpo import mpo
from reins.agents.normalised import normalised
from reins.agents.npg import npg
from reins.agents.off_policy_pg import off_policy_pg
from reins.agents.ppo import ppo
from reins.agents.ppo_lagrangian import ppo_lagrangian
from reins.agents.priors import Prior, behaviour_prior, policy_prior, uniform_prior
from reins.agents.reinforce import reinforce
from reins.agents.sac import sac
from reins.agents.sac_lagrangian import sac_lagrangian
from reins.agents.trpo import trpo
from reins.agents.v_mpo import v_mpo

__all__ = [
    "Agent",
    "AsynchronousAgent",
    "Prior",
    "a2c",
    "a3c",
    "actor_critic",
    "actor_learner",
    "awr",
    "behaviour_prior",
    "binary_classifier",
    "constraint_learner",
    "es",
    "gail",
    "gail_constraint",
    "genetic",
    "hill_climbing",
    "icrl",
    "kl_dual",
    "mpo",
    "normalised",
    "npg",
    "off_policy_pg",
    "policy_prior",
    "ppo",
    "ppo_lagrangian",
    "reinforce",
    "sac",
    "sac_lagrangian",
    "trpo",
    "uniform_prior",
    "v_mpo",
]
