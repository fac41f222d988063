"""Settings of soft actor-critic."""

import dataclasses

from reins.agents.sac import CriticTarget, PolicyCritic
from reins.agents.soft_losses import PolicyLoss
from reins.errors import ConfigError
from reins.experiments.config.checks import not_negative, positive, refuse, unit
from reins.experiments.config.usual import usual_number
from reins.policies import SoftKind


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """Settings of sac; others listen to some."""

    policy_loss: PolicyLoss | None = None
    """Divergence and estimator; None: the reverse KL, as the policy permits it."""
    policy_kind: SoftKind = "auto"
    """The policy's distribution; auto: categorical, or a squashed Gaussian."""
    branches: int = 4
    """Branches of a mixture."""
    action_samples: int | None = None
    """Actions at each state of the policy's update; None: 1, or 16 if re-weighted."""
    state_samples: int | None = None
    """States of the policy's update; None: those of the whole minibatch."""
    critic: CriticTarget | None = None
    """Whether Q counts later entropy; None: soft, and classic for forward KL."""
    policy_critic: PolicyCritic = "least"
    """Q of the policy's update: the least of the two, or the first alone."""
    cost_critics: int = 2
    """sac-lagrangian: critics of cost, of which the largest counts."""
    prior: str = "uniform"
    """The default policy: uniform, behaviour, or the folder of a trained agent."""
    temperature: str = "auto"
    """Units of reward per nat: auto (awr: 1), a number, or START:END over the run."""
    temperature_initial: float = 1.0
    """Where an automatic temperature starts."""
    temperature_learning_rate: float = usual_number(3e-4)
    """Share that it moves by, per nat and update (mpo: 0.01, v-mpo: 0.1)."""
    target_entropy: float | None = None
    """Floor of the entropy, nats; None: -1 for each action dimension."""
    prior_kl: float | None = None
    """Ceiling of the KL to the prior, nats, in place of the floor."""
    buffer_size: int = 1_000_000
    """Steps that are remembered; no more than the run has are kept room for."""
    batch_size: int = 256
    """Steps of a minibatch."""
    learning_starts: int = 1000
    """Steps that are gathered before the first update."""
    updates_per_step: int = 1
    """Updates for each environment step."""
    polyak: float = 0.005
    """How far the target critics follow in each update, in (0, 1]."""

    def __post_init__(self) -> None:
        optional = ("action_samples", "state_samples", "prior_kl")
        counts = ("branches", "buffer_size", "batch_size", "updates_per_step")
        counts += ("cost_critics",)
        faults = [
            *(positive(n, getattr(self, n)) for n in counts),
            *(positive(n, v) for n in optional if (v := getattr(self, n)) is not None),
            positive("temperature_initial", self.temperature_initial),
            positive("temperature_learning_rate", self.temperature_learning_rate),
            positive("polyak", self.polyak),
            unit("polyak", self.polyak),
            not_negative("learning_starts", self.learning_starts),
        ]
        refuse("sac's settings", faults)
        self.temperatures()

    def temperatures(self) -> tuple[float, float] | None:
        """First and last temperature, or None where it is found by itself.

        Raises: ConfigError when it cannot be read as such.
        """
        if self.temperature == "auto":
            return None
        first, _, last = self.temperature.partition(":")
        try:
            found = float(first), float(last or first)
        except ValueError:
            found = (-1.0, -1.0)
        if min(found) < 0:
            raise ConfigError(
                f"--temperature was given {self.temperature!r}; expected auto, a "
                "number that is not negative, or two of them as in 0.2:0.01."
            )
        return found

    def critic_for(self, loss: PolicyLoss) -> CriticTarget:
        """What Q is fitted to, under the policy loss that is used."""
        if self.critic is not None:
            return self.critic
        return "classic" if "forward" in loss else "soft"

    def samples_for(self, loss: PolicyLoss) -> int:
        """Actions at each state, under the policy loss that is used."""
        if self.action_samples is not None:
            return self.action_samples
        return 16 if loss in ("forward-kl", "reverse-kl-score") else 1
