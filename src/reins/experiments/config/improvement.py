"""Settings of the agents that imitate their own improvement."""

import dataclasses

from reins.experiments.config.checks import positive, refuse
from reins.experiments.config.usual import usual_number


@dataclasses.dataclass(frozen=True)
class ImprovementConfig:
    """Settings of mpo, beside those of sac."""

    improvement_kl: float = usual_number(0.1)
    """How far the improved weights may be from the old policy, in nats."""
    target_period: int = 100
    """Updates of mpo from one old policy to the next."""

    def __post_init__(self) -> None:
        faults = [
            positive("improvement_kl", self.improvement_kl),
            positive("target_period", self.target_period),
        ]
        refuse("the improvement's settings", faults)
