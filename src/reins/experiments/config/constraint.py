"""Settings of a constraint that is learned."""

import dataclasses
from typing import Literal, get_args

from reins.agents.icrl import BackwardStep, Forward
from reins.constraints import StopRule
from reins.constraints.likelihood import Weighting
from reins.experiments.config.checks import positive, refuse, unit
from reins.experiments.config.soft import SACConfig


@dataclasses.dataclass(frozen=True)
class ConstraintConfig:
    """Settings of the learned constraint."""

    observation_dims: tuple[int, ...] | None = None
    """Observation dimensions that it sees, from 0; None for all."""
    action_dims: tuple[int, ...] | None = None
    """Action dimensions (or discrete actions) that it sees, from 0; None for all."""
    constraint_hidden: tuple[int, ...] = (20,)
    """Units of its hidden layers (ReLU)."""
    constraint_learning_rate: float = 0.02
    """Step size of Adam."""
    anneal: float = 1.0
    """The step size is multiplied by this after every backward phase."""
    clip: float = 20.0
    """Observations are clipped to plus or minus this, in their own units."""
    normalise: bool = False
    """Shift and scale observations by the demonstrations' mean and deviation."""
    forward: Forward = "cost"
    """What the agent gets: cost 1 - zeta; that less what it is in the demonstrations;
    or reward r + temperature * log zeta."""
    temperature: float = 1.0
    """Units of reward per nat of log zeta, for log-reward and weights by return."""
    forward_updates: int = 2
    """Agent updates from one backward phase to the next."""
    backward_steps: int = 10
    """Gradient steps of zeta in a backward phase (B)."""
    nominal: Literal["once", "afresh"] = "once"
    """Sample nominal episodes once for a phase, or afresh for each of its steps."""
    weighting: Weighting = "trajectory"
    """Importance weights of nominal steps; none switches them off. With return, the
    demonstrations are samples too, and each weighs exp(return / temperature)."""
    cooling: int = 0
    """Phases over which the temperature of weights by return falls to its own."""
    early_stop: Literal["exact", "printed", "off"] = "exact"
    """Early stop of a backward phase: exact KLs, S2 (12) as printed, or none."""
    kl_old_new: float | None = None
    """Stop above this KL(old, new) of trajectories, in nats; None for no bound."""
    kl_new_old: float | None = 0.5
    """Stop above this KL(new, old) of trajectories, in nats; None for no bound."""
    min_ess_fraction: float = 0.2
    """Stop below this share of effective trajectories."""
    regulariser: float = 0.05
    """Weight of the reluctance to forbid (S2 (8)), per unit of zeta."""
    regulariser_form: Literal["step-mean", "trajectory-sum"] = "step-mean"
    """Mean over steps, or the printed sum over trajectories of the product."""

    def __post_init__(self) -> None:
        faults = [
            positive("constraint_learning_rate", self.constraint_learning_rate),
            positive("`constraint_hidden`", min(self.constraint_hidden, default=1)),
            positive("anneal", self.anneal),
            positive("clip", self.clip),
            positive("temperature", self.temperature),
            unit("min_ess_fraction", self.min_ess_fraction),
        ]
        refuse("the constraint's settings", faults)
        self.backward()

    def backward(self) -> BackwardStep:
        """The backward step of these settings, checked."""
        rule = None
        if self.early_stop != "off":
            rule = StopRule(
                self.early_stop,
                self.kl_old_new,
                self.kl_new_old,
                self.min_ess_fraction,
            )
        return BackwardStep(
            forward_updates=self.forward_updates,
            steps=self.backward_steps,
            nominal=self.nominal,
            weighting=self.weighting,
            cooling=self.cooling,
            stop=rule,
            regulariser=self.regulariser,
            regulariser_form=self.regulariser_form,
        )


ForwardAgent = Literal["ppo", "sac"]
FORWARD_AGENTS: tuple[ForwardAgent, ...] = get_args(ForwardAgent)


@dataclasses.dataclass(frozen=True)
class ForwardAgentConfig:
    """Settings of the agent that learns under the constraint."""

    forward_agent: ForwardAgent = "ppo"
    """Who learns under it, with a multiplier where it is told as a cost; sac remembers
    steps, and prices them by the present zeta."""
    buffer_size: int = 1_000_000
    """sac: steps that are remembered."""
    batch_size: int = 256
    """sac: steps of a minibatch."""
    learning_starts: int = 1000
    """sac: steps that are gathered before the first update."""
    updates_per_step: int = 1
    """sac: updates for each environment step."""
    target_entropy: float | None = None
    """sac: floor of the entropy, nats; None: -1 for each action dimension, or half of
    log A. A floor of the entropy is a floor of the violations."""
    temperature_learning_rate: float = 3e-4
    """sac: share that the temperature moves by, per nat and update."""

    def __post_init__(self) -> None:
        self.soft()

    def soft(self) -> SACConfig:
        """These as settings of a soft actor-critic, checked."""
        told = dataclasses.asdict(self)
        del told["forward_agent"]
        return SACConfig(**told)
