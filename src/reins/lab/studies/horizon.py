"""How variance grows with the horizon, and what weights of whole trajectories cost.

One random MDP is played for T = 1, 2, 4, .. steps, undiscounted and without terminal
states. Another policy gathers the off-policy data. The variance of whole-trajectory
estimators is also known exactly, which shows what samples miss of it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, ScalarLike

from reins.errors import ConfigError, sentence_of_faults
from reins.estimators import ESTIMATORS
from reins.lab.measure import measure
from reins.lab.problem import Options
from reins.lab.statistics import Interval, Z
from reins.lab.studies.cut import cut_problem, first_steps
from reins.lab.studies.moments import masses, second_moments
from reins.lab.study import QUICK, Advance, Sheet, Study, ignore, in_float64
from reins.lab.tables import TableSpec
from reins.tabular import (
    action_values,
    backward_messages,
    occupancies,
    random_mdp,
    soft_action_values,
)
from reins.tabular.sampling import sample_trajectories
from reins.types import Key
from reins.weights import (
    cumulative_log_ratios,
    effective_sample_size,
    posterior_log_weights,
    smoothing_log_weights,
)

ON_POLICY = ("score_total_return", "score_reward_to_go", "score_advantage")
OFF_POLICY = ("trajectory_ratio", "per_decision", "past_ratios", "per_step_ratio")
REVERSE_KL = ("reverse_kl_trajectory", "reverse_kl_causal", "reverse_kl_score")
MEASURED = (*ON_POLICY, *OFF_POLICY, *REVERSE_KL)
WEIGHTS = ("trajectory ratio", "trajectory posterior", "state posterior, two filters")
J, SOFT = "J", ESTIMATORS["reverse_kl_trajectory"].target
LONG = 8
"""Growth is fitted from this horizon on: before, the start still shows."""


@dataclasses.dataclass(frozen=True)
class HorizonConfig:
    """Variance and effective sample size against the length of an episode."""

    horizons: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Steps of an episode, increasing."""
    trajectories: int = 1
    """Trajectories of one estimate."""
    repeats: int = 8000
    """Estimates of each estimator at each horizon."""
    samples: int = 100
    """Trajectories among which the weights of one sample are normalised."""
    batches: int = 200
    """Such samples, over which the effective sample size is averaged."""
    spread: float = 0.5
    """How far the behaviour policy is from the policy, in logits."""
    temperature: float = 2.0
    """Of the posterior, in units of reward per nat."""
    key: int = 0
    """Seed of the MDP, the policies and the samples."""

    def __post_init__(self) -> None:
        faults = []
        if len(self.horizons) < 2 or min(np.diff((0, *self.horizons))) < 1:
            faults.append(
                f"horizons {self.horizons}; growth needs two or more, each at least 1 "
                "and above the one before"
            )
        if self.trajectories < 1:
            faults.append(f"{self.trajectories} trajectories; an estimate needs one")
        if min(self.repeats, self.batches, self.samples) < 2:
            faults.append(
                f"{self.repeats} repeats, {self.batches} batches of {self.samples}; a "
                "spread needs at least 2 of each"
            )
        if not (self.spread >= 0.0 and self.temperature > 0.0):
            faults.append(
                f"spread {self.spread}, temperature {self.temperature}; choose them "
                "≥ 0 and > 0"
            )
        if faults:
            raise ConfigError(sentence_of_faults("no study of the horizon", faults))


@in_float64
def horizon_study(config: HorizonConfig, advance: Advance = ignore) -> Study:
    """Variance over the squared norm of the exact gradient, and ESS/N, for each T."""
    spec = horizon_spec(config)
    truth = exact_answers(spec)
    rows, total = [], 2 + len(config.horizons)
    advance(1 / total, "exact moments")
    for horizon in config.horizons:
        rows += _variances(config, spec, truth, horizon)
        rows += _sizes(config, spec, truth, horizon)
        advance(1 / total, f"after horizon {horizon}")
    advance(1 / total, "fitting growth")
    return Study("horizon", rows, _sheets(config, rows), _findings(spec, rows), {})


def horizon_spec(config: HorizonConfig) -> TableSpec:
    """The MDP at its longest, a policy, and the one other policy that gathers data."""
    keys = jax.random.split(jax.random.key(config.key), 4)
    mdp = random_mdp(keys[0], 4, 3, horizon=max(config.horizons))
    logits, apart, prior = (jax.random.normal(key, (4, 3)) for key in keys[1:])
    return TableSpec(
        mdp=mdp,
        logits=logits,
        behaviours=(logits + config.spread * apart)[None],
        log_shares=jnp.zeros(1),
        log_prior=jax.nn.log_softmax(0.5 * prior),
        log_zeta=jnp.zeros_like(logits),
        sampled_log_zeta=jnp.zeros_like(logits),
        demonstrations=None,
        temperature=config.temperature,
        log_z0=float(jnp.max(mdp.rewards)) / config.temperature,
    )


# What is known exactly.


class Exact(NamedTuple):
    """What is true at T = 1, 2, .. of the longest, in the first axis of each array.

    Attributes:
      gradients: by target.
      moments: E[‖ĝ‖²] of an estimate from one trajectory, by estimator.
      means: of the estimators that are biased in the limit.
      shares: what ESS/N comes to as N grows, by weights.
    """

    gradients: dict[str, Float[np.ndarray, "T D"]]
    moments: dict[str, Float[np.ndarray, " T"]]
    means: dict[str, Float[np.ndarray, "T D"]]
    shares: dict[str, Float[np.ndarray, " T"]]


def exact_answers(spec: TableSpec) -> Exact:
    """Gradients, means, second moments and weights at every horizon.

    Σ_t Σ_s d_t(s) Σ_a π(a|s) Q_t(s, a) ∇log π(a|s) is, with d and Q of π, the gradient
    of J; with Q of β the mean of `past_ratios_loss` on data of β; with d of β as well
    that of `per_step_ratio_loss`; with a soft Q the gradient of the soft return.

    Source: S3, off-policy (correction 4), (correction 6); S4 (22).
    Identities: at the longest horizon the gradients are those of `policy_gradient` and
    of `soft_return`.
    Args: one behaviour policy, γ = 1, no terminal states.
    """
    mdp, behaviour = spec.mdp, spec.behaviours[0]
    log_policy, _, log_prior = (table[:, :, 0] for table in _log_tables(spec))
    soft = soft_action_values(
        mdp, spec.logits, spec.log_prior, temperature=spec.temperature
    )
    soft = soft - spec.temperature * (log_policy - log_prior)
    own, other = occupancies(mdp, spec.logits), occupancies(mdp, behaviour)
    theirs = action_values(mdp, behaviour)
    mean = partial(_means, np.asarray(jnp.exp(log_policy)))
    return Exact(
        gradients={
            J: mean(own, action_values(mdp, spec.logits)),
            SOFT: mean(own, soft),
        },
        moments=_exact_moments(spec),
        means={
            "past_ratios": mean(own, theirs),
            "per_step_ratio": mean(other, theirs),
        },
        shares=_exact_shares(spec),
    )


def _means(
    policy: Float[np.ndarray, "S A"], visits: ArrayLike, q_values: ArrayLike
) -> Float[np.ndarray, "T D"]:
    visits, q = np.asarray(visits), np.asarray(q_values)
    excess = policy * (q - np.sum(policy * q, axis=-1, keepdims=True))
    last = len(q)
    sums = [
        np.einsum("ts,tsa->sa", visits[:horizon], excess[last - horizon :])
        for horizon in range(1, last + 1)
    ]
    return np.reshape(sums, (last, -1))


def _log_tables(spec: TableSpec) -> tuple[Array, Array, Array]:
    """log π, log β, log π₀ of state and action."""
    tables = (spec.logits, spec.behaviours[0], spec.log_prior)
    policy, behaviour, prior = (jax.nn.log_softmax(x)[:, :, None] for x in tables)
    return policy, behaviour, prior


def _exact_moments(spec: TableSpec) -> dict[str, np.ndarray]:
    policy, behaviour, prior = _log_tables(spec)
    rewards = spec.mdp.rewards
    like = jnp.zeros_like(rewards)
    soft = rewards - spec.temperature * (policy - prior)
    found = {
        "score_total_return": (policy + like, rewards),
        "trajectory_ratio": (2 * policy - behaviour + like, rewards),
        "reverse_kl_trajectory": (policy + like, soft),
    }
    return {
        name: np.asarray(second_moments(spec.mdp, *given, spec.logits))
        for name, given in found.items()
    }


def _exact_shares(spec: TableSpec) -> dict[str, np.ndarray]:
    """E[w]²/E[w²]."""
    policy, behaviour, prior = _log_tables(spec)
    like = jnp.zeros_like(spec.mdp.rewards)
    optimality = spec.mdp.rewards / spec.temperature + prior
    squares = masses(spec.mdp, 2 * policy - behaviour + like)
    evidence = masses(spec.mdp, optimality)
    posterior = jnp.square(evidence) / masses(spec.mdp, 2 * optimality - policy)
    found = dict(zip(WEIGHTS, (1.0 / squares, posterior), strict=False))
    return {name: np.asarray(value) for name, value in found.items()}


# What is measured.


def _variances(
    config: HorizonConfig, spec: TableSpec, truth: Exact, horizon: int
) -> list[dict[str, Any]]:
    gradients = {name: table[horizon - 1] for name, table in truth.gradients.items()}
    problem = cut_problem(spec, horizon, gradients)
    rows = []
    for name in MEASURED:
        (found,) = measure(
            name,
            problem,
            key=jax.random.fold_in(jax.random.key(config.key), horizon),
            samples=config.trajectories,
            repeats=config.repeats,
            options=Options(actions=2),
        )
        norm = float(np.linalg.norm(found.exact))
        line = _line("variance", horizon, name)
        _put(line, "variance", found.statistics.trace_covariance, norm**2)
        _put(line, "bias", found.statistics.bias_norm, norm)
        if name in truth.moments:
            exact = (truth.moments[name][horizon - 1] - norm**2) / config.trajectories
            line["exact_variance"] = float(exact) / norm**2
        mean = truth.means[name][horizon - 1] if name in truth.means else found.exact
        line["exact_bias"] = float(np.linalg.norm(mean - found.exact)) / norm
        rows.append(line)
    return rows


def _sizes(
    config: HorizonConfig, spec: TableSpec, truth: Exact, horizon: int
) -> list[dict[str, Any]]:
    """ESS/N, its mean and interval over batches; of states, the mean over steps."""
    key = jax.random.fold_in(jax.random.key(config.key), 1)
    shares = _shares(spec, horizon, key, n=config.samples, batches=config.batches)
    rows = []
    for name, values in zip(WEIGHTS, map(np.asarray, shares), strict=True):
        values = values[:horizon]
        line = _line("ess", horizon, name)
        error = Z * np.std(np.mean(values, axis=0), ddof=1) / np.sqrt(config.batches)
        mean = float(np.mean(values))
        _put(line, "share", Interval(mean, mean - error, mean + error), 1.0)
        if name in truth.shares:
            line["exact_share"] = float(truth.shares[name][horizon - 1])
        # The last step has all the past in its weights.
        line["first_share"] = float(np.mean(values[0]))
        line["last_share"] = float(np.mean(values[-1]))
        rows.append(line)
    return rows


@partial(jax.jit, static_argnames=("n", "batches"), compiler_options=QUICK)
def _shares(
    spec: TableSpec, horizon: ScalarLike, key: Key, *, n: int, batches: int
) -> tuple[Float[Array, "one B"], Float[Array, "one B"], Float[Array, "T B"]]:
    """ESS/N of the weights in the order of `WEIGHTS`, of each step and each batch."""
    keys, none = jax.random.split(key), jnp.zeros(1)
    policy, behaviour, prior = (table[:, :, 0] for table in _log_tables(spec))
    given = {"temperature": spec.temperature, "log_z0": spec.log_z0}
    acting = (spec.behaviours, spec.logits[None])
    off, on = (
        first_steps(
            sample_trajectories(spec.mdp, logits, none, key, n * batches), horizon
        )
        for logits, key in zip(acting, keys, strict=True)
    )

    def share(log_weights: Float[Array, "M T"]) -> Float[Array, "T B"]:
        return effective_sample_size(log_weights.T.reshape(-1, batches, n)) / n

    taken = off.states[:, :-1], off.actions
    ratios = cumulative_log_ratios((policy - behaviour)[taken], off.mask)[:, -1:]
    taken = on.states[:, :-1], on.actions
    steps = posterior_log_weights(
        policy[taken], prior[taken], on.rewards, on.mask, **given
    )
    messages = backward_messages(spec.mdp, spec.log_prior, **given).log_state
    messages = jnp.roll(messages, horizon - spec.mdp.horizon, axis=0)
    ahead = messages[jnp.arange(spec.mdp.horizon), on.states[:, :-1]]
    paths = smoothing_log_weights(steps, on.mask)[:, :1]
    states = smoothing_log_weights(steps, on.mask, ahead)
    return share(ratios), share(paths), share(states)


# What is reported.

_NUMBERS = (
    *("variance", "variance_low", "variance_high", "exact_variance"),
    *("bias", "bias_low", "bias_high", "exact_bias"),
    *("share", "share_low", "share_high", "exact_share"),
    *("first_share", "last_share"),
)


def _line(part: str, horizon: int, name: str) -> dict[str, Any]:
    return {"part": part, "horizon": horizon, "name": name} | dict.fromkeys(_NUMBERS)


def _put(line: dict[str, Any], name: str, found: Interval, unit: float) -> None:
    for suffix, value in zip(("", "_low", "_high"), found, strict=True):
        line[name + suffix] = float(value / unit)


def _series(rows: list[dict[str, Any]], name: str, column: str) -> dict[int, float]:
    """The numbers of one curve, by horizon."""
    mine = [row for row in rows if row["name"] == name]
    return {row["horizon"]: row[column] for row in mine}


def _sheets(config: HorizonConfig, rows: list[dict[str, Any]]) -> list[Sheet]:
    heads = [f"T = {horizon}" for horizon in config.horizons]

    def cells(names: Sequence[str], column: str) -> list[list[Any]]:
        return [[name, *_series(rows, name, column).values()] for name in names]

    totals = ("score_total_return", "trajectory_ratio", "reverse_kl_trajectory")
    return [
        Sheet(
            "variance / |gradient|²",
            ["estimator", *heads],
            cells(MEASURED, "variance"),
        ),
        Sheet(
            "the same, exact", ["estimator", *heads], cells(totals, "exact_variance")
        ),
        Sheet(
            "bias / |gradient|, exact",
            ["estimator", *heads],
            cells(("past_ratios", "per_step_ratio"), "exact_bias"),
        ),
        Sheet(
            f"effective sample size / N, N = {config.samples}",
            ["weights", *heads],
            cells(WEIGHTS, "share"),
        ),
    ]


def _findings(spec: TableSpec, rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in MEASURED:
        exact = name == "trajectory_ratio"
        curve = _series(rows, name, "exact_variance" if exact else "variance")
        found[f"growth_per_step_{name}"], found[f"growth_power_{name}"] = _growth(curve)
    last = spec.mdp.horizon
    seen = _series(rows, "trajectory_ratio", "variance")[last]
    there = _series(rows, "trajectory_ratio", "exact_variance")[last]
    policy, behaviour, _ = _log_tables(spec)
    moves = jnp.sum(spec.mdp.transitions * jnp.exp(2 * policy - behaviour), axis=1)
    radius = np.max(np.abs(np.linalg.eigvals(np.asarray(moves))))
    return found | {
        "growth_per_step_of_the_squared_ratio": float(np.log(radius)),
        "longest_horizon": last,
        "share_of_the_trajectory_ratio_variance_that_was_seen": seen / there,
        "exact_bias_past_ratios": _series(rows, "past_ratios", "exact_bias")[last],
        "exact_bias_per_step_ratio": _series(rows, "per_step_ratio", "exact_bias")[
            last
        ],
        **{
            f"ess_share_{name.replace(',', '').replace(' ', '_')}": _series(
                rows, name, "share"
            )[last]
            for name in WEIGHTS
        },
    }


def _growth(curve: Mapping[int, float]) -> tuple[float, float]:
    """Slopes of log variance over T, in nats per step, and over log T."""
    kept = [t for t in curve if t >= LONG]
    kept = kept if len(kept) > 1 else list(curve)[-2:]
    logs = np.log([curve[t] for t in kept])
    by_step, by_power = (np.polyfit(x, logs, 1)[0] for x in (kept, np.log(kept)))
    return float(by_step), float(by_power)
