"""Settings of the agents, in parts: an agent listens to some of them."""

import dataclasses
from typing import Literal

from reins.agents.off_policy_checks import Behaviour, Denominator, Weights
from reins.agents.off_policy_weights import Form
from reins.agents.reinforce import Baseline, Credit
from reins.agents.trust_region_step import KLDirection
from reins.experiments.config.checks import not_negative, positive, refuse, unit
from reins.experiments.config.usual import usual_number, usual_sizes
from reins.policies import Scale


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO."""

    learning_rate: float = usual_number(1e-3)
    """Step size of Adam, of policy and critics (with replay: 3e-4)."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    hidden: tuple[int, ...] = usual_sizes(64, 64)
    """Units of the hidden layers of policy and critics (with replay: 256 256)."""
    log_std: float = 0.0
    """First log of a Gaussian policy's scale, in units of half the action bounds."""
    policy_scale: Scale = "free"
    """A Gaussian's scale: learned, constant, or from the network for each state."""
    shared_trunk: bool = False
    """Policy and critic share their hidden layers (ppo, a2c)."""
    discount: float = 0.99
    """Discount per step, in [0, 1]."""
    gae_lambda: float = 0.95
    """Decay of the advantage estimate, in [0, 1]."""
    clip_epsilon: float = 0.2
    """Half-width of the ratio's clip range."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus, per nat."""
    value_weight: float = 0.5
    """Weight of the critics' loss."""
    epochs: int = 10
    """Passes over each batch."""
    minibatches: int = 8
    """Parts of a batch in each pass."""
    kl_stop: float | None = None
    """End the passes once the mean KL(old, new) exceeds this, in nats."""
    learning_rate_decay: Literal["none", "linear"] = "none"
    """Keep Adam's step size, or let it fall to 0 over the run."""
    normalise_observations: Literal["auto", "on", "off"] = "auto"
    """Observations in units of their running deviation; auto: unless compiled."""
    normalise_rewards: Literal["auto", "on", "off"] = "auto"
    """Rewards in units of the return's running deviation; auto: unless compiled."""

    def __post_init__(self) -> None:
        faults = [
            positive("learning_rate", self.learning_rate),
            positive("max_gradient_norm", self.max_gradient_norm),
            positive("clip_epsilon", self.clip_epsilon),
            positive("epochs", self.epochs),
            positive("minibatches", self.minibatches),
            unit("discount", self.discount),
            unit("gae_lambda", self.gae_lambda),
            positive("kl_stop", 1.0 if self.kl_stop is None else self.kl_stop),
            positive("units of `hidden`", min(self.hidden, default=1)),
        ]
        refuse("PPO's settings", faults)


@dataclasses.dataclass(frozen=True)
class CostConfig:
    """Settings of the cost budget and its multiplier."""

    budget: float = 0.0
    """Allowed cost per episode, undiscounted."""
    dual: Literal["projected", "softplus", "pid"] = "projected"
    """How the multiplier moves with the violation."""
    dual_initial: float = 1.0
    """Multiplier at the start, in units of reward per unit of cost."""
    dual_learning_rate: float = 0.02
    """Multiplier gained per unit of episode cost over the budget (PID: integral)."""
    dual_maximum: float | None = None
    """A ceiling for the multiplier; None for none."""
    cost_gae_lambda: float = 0.95
    """Decay of the cost advantages, in [0, 1]."""

    def __post_init__(self) -> None:
        initial = self.dual_initial
        needs_positive = self.dual == "softplus"
        faults = [
            not_negative("budget", self.budget),
            (positive if needs_positive else not_negative)("dual_initial", initial),
            positive("dual_learning_rate", self.dual_learning_rate),
            unit("cost_gae_lambda", self.cost_gae_lambda),
        ]
        refuse("the cost's settings", faults)


@dataclasses.dataclass(frozen=True)
class GradientConfig:
    """Settings of reinforce and actor-critic, and of critics fitted on their own."""

    baseline: Baseline = "time"
    """What reinforce subtracts from returns."""
    credit: Credit = "reward-to-go"
    """What reinforce weighs a step by."""
    discount_states: bool = False
    """Weigh step t of the reward-to-go by discount^t, as the gradient of J asks."""
    critic_kind: Literal["v", "q"] = "v"
    """The critic of actor-critic: V(s), or Q(s, .) of discrete actions."""
    critic_target: Literal["mc", "td"] = "td"
    """What it is fitted to: returns, or r + discount V(s')."""
    advantage: Literal["mc", "td"] | None = None
    """Return less V(s), or TD error; None: td, and with a Q critic its own."""
    critic_epochs: int = 10
    """Steps (npg, trpo: passes) of a critic that is fitted on its own, per batch."""
    critic_learning_rate: float = 1e-3
    """Step size of Adam for such a critic."""

    def __post_init__(self) -> None:
        faults = [
            positive("critic_epochs", self.critic_epochs),
            positive("critic_learning_rate", self.critic_learning_rate),
        ]
        refuse("the policy gradient's settings", faults)


@dataclasses.dataclass(frozen=True)
class OffPolicyConfig:
    """Settings of what off-policy-pg keeps, and how it weighs it."""

    form: Form = "per-decision"
    """Which ratios weigh a step (S4 (34), (35); S3)."""
    denominator: Denominator = "mixture"
    """Ratios to the mixture of all policies in use, or to the own one that acted."""
    weights: Weights = "plain"
    """Weights as they are (unbiased), or self-normalised."""
    memory: int = 4
    """Batches that are kept."""
    passes: int = 4
    """Most steps on each new batch."""
    min_ess_fraction: float = 0.5
    """Share of the samples that must count, or old data are left out and passes end."""
    demonstrations: str | None = None
    """Episodes to learn from as well (gail: to imitate): a file, or a set's name."""
    behaviour: Behaviour | None = None
    """Who acted in them; cloned: a policy fitted to them."""
    clone_steps: int = 500
    """Steps of that fit."""

    def __post_init__(self) -> None:
        faults = [
            positive(name, getattr(self, name))
            for name in ("memory", "passes", "clone_steps")
        ]
        faults.append(unit("min_ess_fraction", self.min_ess_fraction))
        refuse("the settings of older data", faults)


@dataclasses.dataclass(frozen=True)
class RegionConfig:
    """Settings of the trust region of npg, trpo and kl-dual, and of both MPOs."""

    kl_bound: float = 0.01
    """Bound of the mean KL between old and new policy, in nats."""
    kl_direction: KLDirection | None = None
    """Which KL; None: old-new for npg and trpo, new-old for kl-dual (S4 (62))."""
    cg_iterations: int = 10
    """Iterations of conjugate gradients."""
    damping: float = 0.1
    """Added to the Fisher matrix's diagonal."""
    dual_steps: int = 1
    """Ascents, and steps of the multiplier, for each batch of kl-dual."""
    kl_multiplier: float = usual_number(7.0)
    """First multiplier of kl-dual, standardised advantage per nat (mpo, v-mpo: 1)."""
    kl_dual_learning_rate: float = usual_number(10.0)
    """Multiplier gained per nat of KL above the bound (mpo, v-mpo: 1)."""

    def __post_init__(self) -> None:
        faults = [
            positive("kl_bound", self.kl_bound),
            positive("cg_iterations", self.cg_iterations),
            not_negative("damping", self.damping),
            positive("dual_steps", self.dual_steps),
            not_negative("kl_multiplier", self.kl_multiplier),
            positive("kl_dual_learning_rate", self.kl_dual_learning_rate),
        ]
        refuse("the trust region's settings", faults)


@dataclasses.dataclass(frozen=True)
class AsynchronousConfig:
    """Settings of a3c; `environments` is the number that each worker has."""

    workers: int = 4
    """Actor-learners of each seed, that move the same parameters without a lock."""
    exploration_spread: float = 1.0
    """Factor of the most curious worker's entropy weight; of the least, its inverse."""

    def __post_init__(self) -> None:
        spread = self.exploration_spread
        faults = [positive("workers", self.workers)]
        if not spread >= 1.0:
            faults.append(f"exploration_spread must be at least 1; found {spread}")
        refuse("the actor-learners' settings", faults)


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """Settings of es, hill-climbing and genetic; `environments` is the population."""

    std: float = 0.05
    """Deviation of the perturbations of parameters."""
    ranked: bool = True
    """es: shape scores into ranks."""
    weight_decay: float = 0.0
    """es: pull of the parameters towards 0."""
    elite: int | None = None
    """genetic: how many survive; None: a quarter."""
    deterministic: bool = True
    """Act by the policy's mode, so that all chance is in the parameters."""

    def __post_init__(self) -> None:
        faults = [
            positive("std", self.std),
            not_negative("weight_decay", self.weight_decay),
            positive("elite", 1 if self.elite is None else self.elite),
        ]
        refuse("the population's settings", faults)
