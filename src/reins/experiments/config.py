"""What a run is told: frozen dataclasses, checked when built."""

import dataclasses
import json
import shlex
import typing
from typing import Annotated, Any, Literal

import tyro

from reins.agents.icrl import BackwardStep
from reins.agents.reinforce import Baseline, Credit
from reins.agents.trust_region_step import KLDirection
from reins.constraints import StopRule
from reins.constraints.likelihood import Weighting
from reins.envs import HostOptions, Vectorisation
from reins.errors import ConfigError, sentence_of_faults, unknown_name

AGENTS: dict[str, str] = {
    "ppo": "Clipped surrogate, value critic, several passes over each batch.",
    "ppo-lagrangian": "PPO under a budget of cost, held by one dual variable.",
    "reinforce": "Score function of whole episodes, with every baseline (S3).",
    "actor-critic": "Score function with advantages of a V or Q critic (S3).",
    "a2c": "Synchronous advantage actor-critic: one step a batch (S3).",
    "npg": "Natural policy gradient, by conjugate gradients (S4).",
    "trpo": "Natural gradient with a line search under a KL bound (S4).",
    "kl-dual": "Surrogate under a KL bound, held by one dual variable (S4).",
    "es": "Evolution strategies: a population, one environment to each (S3).",
    "hill-climbing": "The best of a policy and its perturbations (S3).",
    "genetic": "Truncation selection: the best survive, the rest are children (S3).",
}
METHODS: dict[str, str] = {
    "icrl": "Constraint by maximum likelihood with importance weights (S2).",
    "classifier": "Baseline: constraint by telling expert from nominal.",
    "gail-constraint": "Baseline: GAIL's discriminator added to the reward.",
}
EXPERIMENTS: dict[str, str] = {
    "demo": "Learn LapGridWorld's hidden rule by every method, beside a nominal agent.",
}


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO."""

    learning_rate: float = 1e-3
    """Step size of Adam, for policy and critics."""
    max_gradient_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of policy and critics (tanh)."""
    log_std: float = 0.0
    """First log of a Gaussian policy's scale, in units of half the action bounds."""
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
            _positive("learning_rate", self.learning_rate),
            _positive("max_gradient_norm", self.max_gradient_norm),
            _positive("clip_epsilon", self.clip_epsilon),
            _positive("epochs", self.epochs),
            _positive("minibatches", self.minibatches),
            _unit("discount", self.discount),
            _unit("gae_lambda", self.gae_lambda),
            _positive("kl_stop", 1.0 if self.kl_stop is None else self.kl_stop),
            _positive("units of `hidden`", min(self.hidden, default=1)),
        ]
        _refuse("PPO's settings", faults)


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
            _not_negative("budget", self.budget),
            (_positive if needs_positive else _not_negative)("dual_initial", initial),
            _positive("dual_learning_rate", self.dual_learning_rate),
            _unit("cost_gae_lambda", self.cost_gae_lambda),
        ]
        _refuse("the cost's settings", faults)


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
            _positive("critic_epochs", self.critic_epochs),
            _positive("critic_learning_rate", self.critic_learning_rate),
        ]
        _refuse("the policy gradient's settings", faults)


@dataclasses.dataclass(frozen=True)
class RegionConfig:
    """Settings of the trust region of npg, trpo and kl-dual."""

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
    kl_multiplier: float = 7.0
    """First multiplier of kl-dual, units of standardised advantage per nat."""
    kl_dual_learning_rate: float = 10.0
    """Multiplier gained per nat of KL above the bound."""

    def __post_init__(self) -> None:
        faults = [
            _positive("kl_bound", self.kl_bound),
            _positive("cg_iterations", self.cg_iterations),
            _not_negative("damping", self.damping),
            _positive("dual_steps", self.dual_steps),
            _not_negative("kl_multiplier", self.kl_multiplier),
            _positive("kl_dual_learning_rate", self.kl_dual_learning_rate),
        ]
        _refuse("the trust region's settings", faults)


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
            _positive("std", self.std),
            _not_negative("weight_decay", self.weight_decay),
            _positive("elite", 1 if self.elite is None else self.elite),
        ]
        _refuse("the population's settings", faults)


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
    forward: Literal["cost", "log-reward"] = "cost"
    """What the agent gets: cost 1 - zeta, or reward r + temperature * log zeta."""
    temperature: float = 1.0
    """Units of reward per nat of log zeta, for log-reward."""
    forward_updates: int = 2
    """Agent updates from one backward phase to the next."""
    backward_steps: int = 10
    """Gradient steps of zeta in a backward phase (B)."""
    nominal: Literal["once", "afresh"] = "once"
    """Sample nominal episodes once for a phase, or afresh for each of its steps."""
    weighting: Weighting = "trajectory"
    """Importance weights of nominal steps; none switches them off."""
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
            _positive("constraint_learning_rate", self.constraint_learning_rate),
            _positive("`constraint_hidden`", min(self.constraint_hidden, default=1)),
            _positive("anneal", self.anneal),
            _positive("clip", self.clip),
            _positive("temperature", self.temperature),
            _unit("min_ess_fraction", self.min_ess_fraction),
        ]
        _refuse("the constraint's settings", faults)
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
            stop=rule,
            regulariser=self.regulariser,
            regulariser_form=self.regulariser_form,
        )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings of any run."""

    seeds: int = 5
    """How many seeds; each is a run of its own, all go at once."""
    first_seed: int = 0
    """The first seed; the others follow."""
    steps: int = 120_000
    """Environment steps of each seed (rounded up to whole batches)."""
    environments: int = 10
    """Parallel environments of each seed."""
    rollout_steps: int = 200
    """Steps of each environment in a batch."""
    evaluation_interval: int | None = None
    """Environment steps between evaluations and checkpoints; None: 1/12 of `steps`."""
    evaluation_episodes: int | None = None
    """Episodes of an evaluation, stochastic policy; None: 100 compiled, else 10."""

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig)}
        first = given.pop("first_seed")
        faults = [_positive(n, v) for n, v in given.items() if v is not None]
        faults.append(_not_negative("first_seed", first))
        _refuse("the run's settings", faults)

    @property
    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

    @property
    def batch_steps(self) -> int:
        """Environment steps of one seed's batch."""
        return self.environments * self.rollout_steps

    @property
    def updates(self) -> int:
        """Batches of each seed."""
        return -(-self.steps // self.batch_steps)

    @property
    def updates_per_evaluation(self) -> int:
        """Batches from one evaluation to the next."""
        interval = self.evaluation_interval or self.steps / 12
        return max(1, round(interval / self.batch_steps))


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """How an environment that is not compiled is made."""

    env_args: str = ""
    """Arguments of the environment's constructor, as JSON: '{"name": value}'."""
    vectorisation: Vectorisation = "auto"
    """What steps the copies: MuJoCo in one batch, or Gymnasium, or EnvPool."""
    horizon: int | None = None
    """Truncate episodes after so many steps; None: the environment's limit, or 1000."""

    def __post_init__(self) -> None:
        found = _positive("horizon", 1 if self.horizon is None else self.horizon)
        _refuse("the environment's settings", [found])
        self.options()

    def options(self) -> HostOptions:
        """The same for `make_env`, with the arguments read.

        Raises: ConfigError when they are not a JSON object.
        """
        try:
            arguments = json.loads(self.env_args or "{}")
        except ValueError as error:
            arguments = str(error)
        if not isinstance(arguments, dict):
            raise ConfigError(
                f"--env-args was given {self.env_args!r}; expected a JSON object such "
                "as '{\"gravity\": 10}'. In a shell, put it in single quotes."
            )
        return HostOptions(arguments, self.vectorisation, self.horizon)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train one agent in one environment."""

    agent: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="AGENT")]
    """The agent's name, out of those that `reins list` shows."""
    env: str
    """The environment's id."""
    constraint: str | None = None
    """A learned constraint's file; its 1 - zeta becomes the cost."""
    return_env: str | None = None
    """The environment in which return is measured; None for the one trained in."""
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
    region: tyro.conf.OmitArgPrefixes[RegionConfig] = dataclasses.field(
        default_factory=RegionConfig
    )
    population: tyro.conf.OmitArgPrefixes[PopulationConfig] = dataclasses.field(
        default_factory=PopulationConfig
    )

    def __post_init__(self) -> None:
        if self.agent not in AGENTS:
            raise ConfigError(unknown_name("agent", self.agent, AGENTS))
        if self.constraint is not None and self.agent != "ppo-lagrangian":
            raise ConfigError(
                f"a constraint ({self.constraint}) was given to `{self.agent}`, which "
                "has no cost and would ignore it. Use `ppo-lagrangian`."
            )
        self._check_used()
        if "minibatches" in USED[self.agent]:
            _check_minibatches(self.run, self.ppo)

    def parts(self) -> tuple[Any, ...]:
        """The settings that some agents listen to, and others do not."""
        return self.ppo, self.cost, self.gradient, self.region, self.population

    def _check_used(self) -> None:
        """Refuse what this agent would ignore."""
        given = [
            field.name
            for part in self.parts()
            for field in dataclasses.fields(part)
            if getattr(part, field.name) != field.default
        ]
        ignored = [name for name in given if name not in USED[self.agent]]
        if ignored:
            options = ", ".join(map(_option, ignored))
            taken = ", ".join(sorted(map(_option, USED[self.agent])))
            raise ConfigError(
                f"{options} was given to `{self.agent}`, which would ignore it. It "
                f"takes {taken}."
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

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(unknown_name("method", self.method, METHODS))
        _check_minibatches(self.run, self.ppo)

    @property
    def agent(self) -> str:
        """The method, by which the summary names the agent."""
        return self.method


_ANY = {
    *("hidden", "log_std", "discount"),
    *("normalise_observations", "normalise_rewards"),
}
_STEPPED = {*_ANY, "learning_rate", "learning_rate_decay", "max_gradient_norm"}
_PPO = {field.name for field in dataclasses.fields(PPOConfig)}
_CRITIC = {"critic_epochs", "critic_learning_rate"}
_REGION = {"gae_lambda", "minibatches", "kl_bound", "kl_direction"}
_PERTURBED = {"std", "deterministic"}
_NATURAL = {*_ANY, *_CRITIC, *_REGION, "cg_iterations", "damping"}
USED: dict[str, set[str]] = {
    "ppo": _PPO,
    "ppo-lagrangian": _PPO | {field.name for field in dataclasses.fields(CostConfig)},
    "reinforce": {
        *(*_STEPPED, *_CRITIC, "entropy_weight"),
        *("baseline", "credit", "discount_states"),
    },
    "actor-critic": {
        *(*_STEPPED, *_CRITIC, "entropy_weight"),
        *("critic_kind", "critic_target", "advantage"),
    },
    "a2c": {*_STEPPED, "gae_lambda", "entropy_weight", "value_weight"},
    "npg": _NATURAL,
    "trpo": _NATURAL,
    "kl-dual": {
        *(*_STEPPED, *_REGION, "value_weight", "epochs"),
        *("dual_steps", "kl_multiplier", "kl_dual_learning_rate"),
    },
    "es": {*_STEPPED, *_PERTURBED, "ranked", "weight_decay"} - {"discount"},
    "hill-climbing": {*_ANY, *_PERTURBED} - {"discount"},
    "genetic": {*_ANY, *_PERTURBED, "elite"} - {"discount"},
}
"""The settings that each agent listens to; others are refused, not ignored."""

COMMANDS: dict[type, str] = {TrainConfig: "train", LearnConfig: "learn-constraint"}


def to_record(config: Any) -> dict[str, Any]:
    """A configuration as JSON."""
    return dataclasses.asdict(config)


def from_record(kind: type, record: dict[str, Any]) -> Any:
    """A configuration from JSON, checked again as it is built."""
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    surplus = sorted(record.keys() - known)
    if surplus:
        raise ConfigError(
            f"a stored {kind.__name__} has settings that this version does not know: "
            f"{', '.join(surplus)}. It was written by another version of reins."
        )
    return kind(**{k: _restore(hints[k], value) for k, value in record.items()})


def command_line(config: TrainConfig | LearnConfig) -> str:
    """The command that asks for this configuration, without what is at its default."""
    words = ["reins", COMMANDS[type(config)]]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "agent":
            words.append(value)
        elif dataclasses.is_dataclass(value):
            words += _options(value)
        elif value != field.default:
            words += [_option(field.name), str(value)]
    return shlex.join(words)


def _options(part: Any) -> list[str]:
    words = []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            words += [_option(field.name), *map(str, values)]
    return words


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def config_of(record: dict[str, Any]) -> TrainConfig | LearnConfig:
    """The configuration in a run's record."""
    kinds = {name: kind for kind, name in COMMANDS.items()}
    return from_record(kinds[record["command"]], record["config"])


def _restore(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_record(hint, value)
    return tuple(value) if isinstance(value, list) else value


def _check_minibatches(run: RunConfig, ppo: PPOConfig) -> None:
    if run.batch_steps % ppo.minibatches:
        raise ConfigError(
            f"a batch of {run.environments} environments x {run.rollout_steps} steps = "
            f"{run.batch_steps} was asked to be cut into {ppo.minibatches} "
            "minibatches; they would not be equal. Choose a divisor."
        )


def _positive(name: str, value: float) -> str | None:
    return None if value > 0 else f"{name} must be positive; found {value}"


def _not_negative(name: str, value: float) -> str | None:
    return None if value >= 0 else f"{name} must not be negative; found {value}"


def _unit(name: str, value: float) -> str | None:
    return None if 0 <= value <= 1 else f"{name} must lie in [0, 1]; found {value}"


def _refuse(subject: str, faults: list[str | None]) -> None:
    found = [fault for fault in faults if fault]
    if found:
        raise ConfigError(sentence_of_faults(f"{subject} cannot be used", found))
