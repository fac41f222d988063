"""What the commands that train are told, and which agent listens to which setting."""

import dataclasses
from typing import Annotated, Any

import tyro

from reins.agents.icrl import Forward
from reins.errors import ConfigError, unknown_name
from reins.experiments.config.agents import (
    AsynchronousConfig,
    CostConfig,
    GradientConfig,
    OffPolicyConfig,
    PopulationConfig,
    PPOConfig,
    RegionConfig,
)
from reins.experiments.config.constraint import ConstraintConfig, ForwardAgentConfig
from reins.experiments.config.imitation import ImitationConfig
from reins.experiments.config.improvement import ImprovementConfig
from reins.experiments.config.presets import check_preset
from reins.experiments.config.run import EnvConfig, RunConfig
from reins.experiments.config.soft import SACConfig
from reins.experiments.config.usual import with_usual

AGENTS: dict[str, str] = {
    "ppo": "Clipped surrogate, value critic, several passes over each batch.",
    "ppo-lagrangian": "PPO under a budget of cost, held by one dual variable.",
    "reinforce": "Score function of whole episodes, with every baseline (S3).",
    "actor-critic": "Score function with advantages of a V or Q critic (S3).",
    "a2c": "Synchronous advantage actor-critic: one step a batch (S3).",
    "off-policy-pg": "Score function on data of older policies too, by ratios (S4).",
    "a3c": "Actor-learners that move shared parameters without a lock (S3).",
    "npg": "Natural policy gradient, by conjugate gradients (S4).",
    "trpo": "Natural gradient with a line search under a KL bound (S4).",
    "kl-dual": "Surrogate under a KL bound, held by one dual variable (S4).",
    "sac": "Off-policy, twin critics, a policy loss by any divergence (S1).",
    "sac-lagrangian": "SAC under a budget of cost, held by one dual variable.",
    "mpo": "Off-policy: imitates its old policy, weighted by exp Q, within a KL.",
    "v-mpo": "On-policy: imitates the better half of a batch, within a KL.",
    "awr": "Off-policy: likelihood of what is remembered, weighted by exp A.",
    "gail": "Imitates demonstrations: rewarded for being taken for the expert.",
    "es": "Evolution strategies: a population, one environment to each (S3).",
    "hill-climbing": "The best of a policy and its perturbations (S3).",
    "genetic": "Truncation selection: the best survive, the rest are children (S3).",
}
UNDER_BUDGET = ("ppo-lagrangian", "sac-lagrangian")
"""Agents that know a cost."""
METHODS: dict[str, str] = {
    "icrl": "Constraint by maximum likelihood with importance weights (S2).",
    "classifier": "Baseline: constraint by telling expert from nominal.",
    "gail-constraint": "Baseline: GAIL's discriminator added to the reward.",
}
EXPERIMENTS: dict[str, str] = {
    "demo": "Learn LapGridWorld's hidden rule by every method, beside a nominal agent.",
}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train one agent in one environment."""

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """The agent's name, out of those that `reins list` shows."""
    env: str
    """The environment's id."""
    constraint: str | None = None
    """A learned constraint's file; or the folder of a run, each seed of which learned
    one for the same seed of this."""
    forward: Forward = "cost"
    """What the agent gets of it: cost 1 - zeta; that less what it is in the
    demonstrations; or reward r + forward_temperature * log zeta."""
    forward_temperature: float = 1.0
    """Units of reward per nat of log zeta, for log-reward."""
    return_env: str | None = None
    """The environment in which return is measured; None for the one trained in."""
    preset: str | None = None
    """Settings under a name, behind those that are said: `reins list` has them."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = dataclasses.field(
        default_factory=RunConfig
    )
    host: tyro.conf.OmitArgPrefixes[EnvConfig] = dataclasses.field(
        default_factory=EnvConfig
    )
    ppo: tyro.conf.OmitArgPrefixes[PPOConfig] = dataclasses.field(
        default_factory=PPOConfig
    )
    cost: tyro.conf.OmitArgPrefixes[CostConfig] = dataclasses.field(
        default_factory=CostConfig
    )
    gradient: tyro.conf.OmitArgPrefixes[GradientConfig] = dataclasses.field(
        default_factory=GradientConfig
    )
    off_policy: tyro.conf.OmitArgPrefixes[OffPolicyConfig] = dataclasses.field(
        default_factory=OffPolicyConfig
    )
    region: tyro.conf.OmitArgPrefixes[RegionConfig] = dataclasses.field(
        default_factory=RegionConfig
    )
    asynchronous: tyro.conf.OmitArgPrefixes[AsynchronousConfig] = dataclasses.field(
        default_factory=AsynchronousConfig
    )
    population: tyro.conf.OmitArgPrefixes[PopulationConfig] = dataclasses.field(
        default_factory=PopulationConfig
    )
    soft: tyro.conf.OmitArgPrefixes[SACConfig] = dataclasses.field(
        default_factory=SACConfig
    )
    improvement: tyro.conf.OmitArgPrefixes[ImprovementConfig] = dataclasses.field(
        default_factory=ImprovementConfig
    )
    imitation: tyro.conf.OmitArgPrefixes[ImitationConfig] = dataclasses.field(
        default_factory=ImitationConfig
    )

    def __post_init__(self) -> None:
        if self.agent not in AGENTS:
            raise ConfigError(unknown_name("agent", self.agent, AGENTS))
        self._check_constraint()
        check_preset(self.preset)
        _refuse_ignored(f"`{self.agent}`", self.parts(), self.used)
        for name in ("run", "ppo", "region", "soft", "improvement"):
            object.__setattr__(self, name, with_usual(getattr(self, name), self.usual))
        if "minibatches" in self.used:
            _check_minibatches(self.run, self.ppo)

    def _check_constraint(self) -> None:
        """Refuse a constraint that the agent would hear nothing of."""
        paid = self.forward == "log-reward"
        if self.constraint is None and self.forward != "cost":
            raise ConfigError(
                f"--forward {self.forward} was asked for without a constraint that the "
                "agent would get it of. Name one with --constraint."
            )
        if self.constraint is None or (self.agent in UNDER_BUDGET and not paid):
            return
        if not paid:
            raise ConfigError(
                f"a constraint ({self.constraint}) was given to `{self.agent}`, which "
                "has no cost and would ignore it. Use "
                f"{' or '.join(f'`{name}`' for name in UNDER_BUDGET)}, or --forward "
                "log-reward."
            )
        if self.agent in (*UNDER_BUDGET, "a3c", "gail"):
            raise ConfigError(
                f"`{self.agent}` was to be paid by a constraint (--forward "
                "log-reward), which cannot be beside its own cost or reward. Use `ppo`."
            )
        if not self.forward_temperature > 0:
            raise ConfigError(
                "forward_temperature must be positive; found "
                f"{self.forward_temperature}"
            )

    @property
    def usual(self) -> dict[str, Any]:
        """Where the agent's defaults are other than those of the options."""
        return USUAL.get(self.agent, {})

    @property
    def used(self) -> set[str]:
        """The settings that the agent listens to; of gail, its imitator's as well."""
        own = USED[self.agent]
        return own | USED[self.imitation.imitator] if self.agent == "gail" else own

    def parts(self) -> tuple[Any, ...]:
        """The settings that some agents listen to, and others do not."""
        return (
            *(self.ppo, self.cost, self.gradient),
            *(self.off_policy, self.asynchronous, self.region, self.population),
            *(self.soft, self.improvement, self.imitation),
        )


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Learn a constraint from demonstrations, by one method."""

    env: str
    """The environment's id."""
    demonstrations: str
    """A file of demonstrations, or the name of a set that ships with reins."""
    method: str = "icrl"
    """icrl, classifier or gail-constraint."""
    preset: str | None = None
    """Settings under a name, behind those that are said: `reins list` has them."""
    run: tyro.conf.OmitArgPrefixes[RunConfig] = dataclasses.field(
        default_factory=RunConfig
    )
    host: tyro.conf.OmitArgPrefixes[EnvConfig] = dataclasses.field(
        default_factory=EnvConfig
    )
    constraint: tyro.conf.OmitArgPrefixes[ConstraintConfig] = dataclasses.field(
        default_factory=ConstraintConfig
    )
    ppo: tyro.conf.OmitArgPrefixes[PPOConfig] = dataclasses.field(
        default_factory=PPOConfig
    )
    cost: tyro.conf.OmitArgPrefixes[CostConfig] = dataclasses.field(
        default_factory=CostConfig
    )
    learner: tyro.conf.OmitArgPrefixes[ForwardAgentConfig] = dataclasses.field(
        default_factory=ForwardAgentConfig
    )

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(unknown_name("method", self.method, METHODS))
        check_preset(self.preset)
        if self.ppo.shared_trunk:
            raise ConfigError(
                "--shared-trunk was given to learn-constraint, whose agents have "
                "critics of reward and of cost apart. `train ppo` and `train a2c` "
                "take it."
            )
        object.__setattr__(self, "ppo", with_usual(self.ppo, self.usual))
        name = self.learner.forward_agent
        used = USED[f"{name}-lagrangian"]
        parts = (self.ppo, self.cost, self.learner)
        _refuse_ignored(f"--forward-agent {name}", parts, used | {"forward_agent"})
        if "minibatches" in used:
            _check_minibatches(self.run, self.ppo)

    @property
    def agent(self) -> str:
        """The method, by which the summary names the agent."""
        return self.method

    @property
    def usual(self) -> dict[str, Any]:
        """Where the defaults of who learns are other than those of the options."""
        return _NETWORKS if self.learner.forward_agent == "sac" else {}

    @property
    def soft(self) -> SACConfig:
        """The settings of a soft actor-critic that learns under the constraint."""
        return self.learner.soft()


_ANY = {
    *("hidden", "log_std", "policy_scale", "discount"),
    *("normalise_observations", "normalise_rewards"),
}
_STEPPED = {*_ANY, "learning_rate", "learning_rate_decay", "max_gradient_norm"}
_PPO = {field.name for field in dataclasses.fields(PPOConfig)}
_CRITIC = {"critic_epochs", "critic_learning_rate"}
_REGION = {"gae_lambda", "minibatches", "kl_bound", "kl_direction"}
_PERTURBED = {"std", "deterministic"}
_SOFT = {field.name for field in dataclasses.fields(SACConfig)}
_COST = {field.name for field in dataclasses.fields(CostConfig)}
_REPLAY = {
    *("hidden", "learning_rate", "discount", "policy_kind", "branches"),
    *("buffer_size", "batch_size", "learning_starts", "updates_per_step", "polyak"),
}
_IMPROVED = {
    *("improvement_kl", "temperature_initial", "temperature_learning_rate"),
    *("kl_bound", "kl_multiplier", "kl_dual_learning_rate"),
}
_NATURAL = {*_ANY, *_CRITIC, *_REGION, "cg_iterations", "damping"}
USED: dict[str, set[str]] = {
    "ppo": _PPO,
    "ppo-lagrangian": (_PPO - {"shared_trunk"}) | _COST,
    "reinforce": {
        *(*_STEPPED, *_CRITIC, "entropy_weight"),
        *("baseline", "credit", "discount_states"),
    },
    "actor-critic": {
        *(*_STEPPED, *_CRITIC, "entropy_weight"),
        *("critic_kind", "critic_target", "advantage"),
    },
    "a2c": {
        *(*_STEPPED, "shared_trunk"),
        *("gae_lambda", "entropy_weight", "value_weight"),
    },
    "off-policy-pg": {
        *(*_STEPPED, "baseline", "discount_states"),
        *(field.name for field in dataclasses.fields(OffPolicyConfig)),
    }
    # Remembered episodes would be in the units of their time.
    - {"normalise_observations", "normalise_rewards"},
    "a3c": {
        *(*_STEPPED, "gae_lambda", "entropy_weight", "value_weight"),
        *("shared_trunk", "workers", "exploration_spread"),
    }
    - {"normalise_observations", "normalise_rewards"},
    "npg": _NATURAL,
    "trpo": _NATURAL,
    "kl-dual": {
        *(*_STEPPED, *_REGION, "value_weight", "epochs"),
        *("dual_steps", "kl_multiplier", "kl_dual_learning_rate"),
    },
    "sac": {*_REPLAY, *_SOFT} - {"cost_critics"},
    "sac-lagrangian": {*_REPLAY, *_SOFT, *_COST} - {"cost_gae_lambda"},
    "mpo": {
        *(*_REPLAY, *_IMPROVED),
        *("action_samples", "state_samples", "target_period"),
    },
    "v-mpo": {
        *(*_STEPPED, *_IMPROVED, "gae_lambda", "value_weight"),
        *("epochs", "minibatches", "temperature_steps"),
    },
    "awr": {*_REPLAY, "temperature", "weight_maximum"},
    "gail": {
        "demonstrations",
        *(field.name for field in dataclasses.fields(ImitationConfig)),
    },
    "es": {*_STEPPED, *_PERTURBED, "ranked", "weight_decay"} - {"discount"},
    "hill-climbing": {*_ANY, *_PERTURBED} - {"discount"},
    "genetic": {*_ANY, *_PERTURBED, "elite"} - {"discount"},
}
"""The settings that each agent listens to; others are refused, not ignored."""

_NETWORKS: dict[str, Any] = {"learning_rate": 3e-4, "hidden": (256, 256)}
_STEP_BY_STEP: dict[str, Any] = {"environments": 1, "rollout_steps": 1, **_NETWORKS}
USUAL: dict[str, dict[str, Any]] = {
    "sac": _STEP_BY_STEP,
    "sac-lagrangian": _STEP_BY_STEP,
    "mpo": {
        **_STEP_BY_STEP,
        "temperature_learning_rate": 0.01,
        "kl_multiplier": 1.0,
        "kl_dual_learning_rate": 1.0,
    },
    "v-mpo": {
        "temperature_learning_rate": 0.1,
        "kl_multiplier": 1.0,
        "kl_dual_learning_rate": 1.0,
    },
    "awr": _STEP_BY_STEP,
}
"""Where an agent's defaults are other than those of the options."""


def option(name: str) -> str:
    """A setting's name on the command line."""
    return "--" + name.replace("_", "-")


def _check_minibatches(run: RunConfig, ppo: PPOConfig) -> None:
    if run.batch_steps % ppo.minibatches:
        raise ConfigError(
            f"a batch of {run.environments} environments x {run.rollout_steps} steps = "
            f"{run.batch_steps} was asked to be cut into {ppo.minibatches} "
            "minibatches; they would not be equal. Choose a divisor."
        )


def _refuse_ignored(who: str, parts: tuple[Any, ...], used: set[str]) -> None:
    """Refuse what was asked for and nobody would listen to.

    Raises: ConfigError when there is such.
    """
    there = [(part, field) for part in parts for field in dataclasses.fields(part)]
    ignored = [
        field.name
        for part, field in there
        if getattr(part, field.name) != field.default and field.name not in used
    ]
    if ignored:
        options = ", ".join(map(option, ignored))
        taken = ", ".join(sorted(option(f.name) for _, f in there if f.name in used))
        raise ConfigError(
            f"{options} was given to {who}, which would ignore it. It takes {taken}."
        )
