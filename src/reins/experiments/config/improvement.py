"""Settings of the agents that imitate their own improvement."""

import dataclasses

from reins.experiments.config.checks import positive, refuse
from reins.experiments.config.usual import usual_number


@dataclasses.dataclass(frozen=True)
class ImprovementConfig:
    """Settings of mpo, v-mpo and awr, beside those of other parts."""

    improvement_kl: float = usual_number(0.1)
    """How far the improved weights may be from the old policy, in nats."""
    target_period: int = 100
    """Updates of mpo from one old policy to the next."""
    temperature_steps: int = 10
    """Steps of v-mpo's temperature on each batch."""
    weight_maximum: float = 20.0
    """Ceiling of awr's weight of a remembered step."""

    def __post_init__(self) -> None:
        faults = [
            positive("improvement_kl", self.improvement_kl),
            positive("target_period", self.target_period),
            positive("temperature_steps", self.temperature_steps),
            positive("weight_maximum", self.weight_maximum),
        ]
        refuse("the improvement's settings", faults)
