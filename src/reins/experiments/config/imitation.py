"""Settings of gail."""

import dataclasses

from reins.agents.gail import ImitationReward
from reins.errors import ConfigError, unknown_name
from reins.experiments.config.checks import not_negative, positive, refuse

IMITATORS = (
    *("ppo", "a2c", "reinforce", "actor-critic"),
    *("npg", "trpo", "kl-dual", "v-mpo"),
)
"""Agents that learn from the batch that they gathered, and from nothing older."""


@dataclasses.dataclass(frozen=True)
class ImitationConfig:
    """Settings of gail."""

    imitator: str = "ppo"
    """gail: the agent that imitates; it takes its own settings as well."""
    imitation_reward: ImitationReward = "positive"
    """gail: -log(1-D), log D - log(1-D), or log D; D is high for the expert."""
    discriminator_hidden: tuple[int, ...] = (64, 64)
    """gail: units of the hidden layers of D (ReLU)."""
    discriminator_learning_rate: float = 1e-3
    """gail: step size of Adam for D."""
    discriminator_steps: int = 5
    """gail: steps of D before every update of the agent."""
    discriminator_decay: float = 0.0
    """gail: pull of D's weights towards 0 (AdamW)."""

    def __post_init__(self) -> None:
        if self.imitator not in IMITATORS:
            known = dict.fromkeys(IMITATORS, "")
            raise ConfigError(unknown_name("imitator", self.imitator, known))
        faults = [
            positive(name, getattr(self, name))
            for name in ("discriminator_learning_rate", "discriminator_steps")
        ]
        faults += [
            positive(
                "units of `discriminator_hidden`",
                min(self.discriminator_hidden, default=1),
            ),
            not_negative("discriminator_decay", self.discriminator_decay),
        ]
        refuse("gail's settings", faults)
