"""What a baseline does for the lecture's two states, one rich and one poor.

In one state every action returns about 3,000, in the other about −4,000; what there is
to learn are small differences within each. Baselines that are fixed numbers have an
exact variance; the ones in use are means over the other trajectories of the batch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.credit import returns_to_go
from reins.errors import ConfigError, sentence_of_faults
from reins.lab.estimators import LAB
from reins.lab.statistics import Interval, Z, statistics
from reins.lab.studies.cut import cut_problem
from reins.lab.study import QUICK, Advance, Sheet, Study, ignore, in_float64
from reins.lab.subject import Subject, prepare
from reins.lab.tables import TableSpec
from reins.tabular import (
    TabularMDP,
    advantages,
    enumerate_trajectories,
    policy_gradient,
    state_values,
    tabular_mdp,
    trajectory_log_probs,
)
from reins.types import Key

BASELINES = {
    "none": "score_total_return",
    "constant": "score_constant_baseline",
    "optimal constant": "score_optimal_baseline",
    "time": "score_time_baseline",
    "state": "score_state_baseline",
    "advantage": "score_advantage",
}
"""Estimators of `reins.lab.LAB`, by the baseline that they take off; the last one has
the exact advantage, and so no return at all."""
HORIZONS = (1, 2)
STATES = ("rich", "poor")
_DIFFERENCES = np.array([[-0.5, 0.0, 1.0], [0.6, -1.0, 0.2]])
_NEXT = np.array([[0.75, 0.25], [0.4, 0.6]])  # whatever the action


@dataclasses.dataclass(frozen=True)
class BaselinesConfig:
    """Variance, and whether updates go the right way, under every baseline."""

    samples: tuple[int, ...] = (2, 8, 32, 128)
    """Trajectories of one estimate."""
    repeats: int = 2000
    """Estimates for each number of trajectories."""
    rich: float = 3000.0
    """What every action earns in one state, about, in units of reward."""
    poor: float = -4000.0
    """What every action earns in the other."""
    difference: float = 100.0
    """How much the best action earns more than others, about, in units of reward."""
    noise: float = 100.0
    """The standard deviation of a reward given state and action."""
    key: int = 0
    """Seed of the samples."""

    def __post_init__(self) -> None:
        faults = []
        if not self.samples or min(self.samples) < 2:
            faults.append(
                f"samples {self.samples}; the mean over the others needs at least 2"
            )
        if self.repeats < 2:
            faults.append(f"{self.repeats} repeats; a variance needs at least 2")
        if not self.difference > 0.0:
            faults.append(
                f"a difference of {self.difference} between actions; with none there "
                "is no right way"
            )
        if not self.noise >= 0.0:
            faults.append(f"noise of {self.noise}; choose it ≥ 0")
        if faults:
            raise ConfigError(sentence_of_faults("no study of baselines", faults))


@in_float64
def baselines_study(config: BaselinesConfig, advance: Advance = ignore) -> Study:
    """Variance, exact and measured, and the share of updates that go the right way.

    An update goes the right way in a state if a step along the estimate makes the best
    action there more likely. Episodes have one step, and two.
    """
    mdp = two_states(config, horizon=max(HORIZONS))
    rows = []
    parts = len(HORIZONS) * len(config.samples)
    for horizon in HORIZONS:
        exact = exact_estimates(dataclasses.replace(mdp, horizon=horizon), LOGITS)
        problem = cut_problem(_spec(mdp), horizon, {"J": exact.gradient.reshape(-1)})
        subjects = {
            name: prepare(name, LAB[estimator], problem)
            for name, estimator in BASELINES.items()
        }
        for n in config.samples:
            rows += _measured(config, subjects, exact, horizon, n)
            advance(1 / parts, f"{n} trajectories of {horizon} steps")
    return Study("baselines", rows, _sheets(config, rows), _findings(config, rows), {})


LOGITS = np.array([[0.6, -0.2, 0.1], [-0.4, 0.9, 0.3]])
"""The policy: in neither state is the best action the likeliest."""


def two_states(config: BaselinesConfig, *, horizon: int = 1) -> TabularMDP:
    """A rich state and a poor one, three actions that differ a little in each.

    r(s, a, s') is the level of s, plus the difference of a, plus noise of mean 0 that
    s' tells; where the next step is does not depend on the action.

    Source: S3, action advantages against action returns.
    """
    levels = np.array([config.rich, config.poor])
    means = levels[:, None] + config.difference * _DIFFERENCES
    # Of mean 0 and deviation 1 under the probabilities of the next state.
    spread = np.sqrt(_NEXT.prod(axis=1, keepdims=True))
    noise = config.noise * (np.eye(2)[0] - _NEXT[:, :1]) / spread
    rewards = means[:, :, None] + noise[:, None, :]
    transitions = np.broadcast_to(_NEXT[:, None, :], rewards.shape)
    return tabular_mdp(transitions, rewards, initial=[0.65, 0.35], horizon=horizon)


class ExactEstimates(NamedTuple):
    """What every trajectory's estimate is, and their means, by baseline.

    Attributes:
      gradient: of J.
      baselines: the fixed number, where there is one number.
      means: E[ĝ], which no baseline moves.
      traces: tr Cov ĝ of one trajectory, in units of reward squared.
    """

    gradient: Float[np.ndarray, "S A"]
    baselines: dict[str, float]
    means: dict[str, Float[np.ndarray, "S A"]]
    traces: dict[str, float]


def exact_estimates(
    mdp: TabularMDP, logits: Float[np.ndarray, "S A"]
) -> ExactEstimates:
    """Score-function estimates from one trajectory, with baselines of fixed numbers.

    none 0, constant E[R], optimal E[‖S‖² R]/E[‖S‖²] with S = ∇log p(τ), all of them off
    R(τ); time E[G_t], and state V_t(s_t), off G_t; and A_t(s_t, a_t) instead.

    Source: S3, baselines and "minimise variance".
    Identities: every mean is the gradient; no constant has less variance than the
    optimal one; with one step `time` is `constant`.
    Args: an undiscounted MDP, small enough to enumerate.
    """
    every = enumerate_trajectories(mdp)
    p = np.exp(np.asarray(trajectory_log_probs(every, jnp.asarray(logits))))
    before, actions = np.asarray(every.states[:, :-1]), np.asarray(every.actions)
    scores = _scores(before, actions, np.asarray(every.mask), logits)
    to_go = np.asarray(returns_to_go(every.rewards, every.mask))
    values = np.asarray(state_values(mdp, jnp.asarray(logits)))
    norms = np.sum(np.square(np.sum(scores, axis=1)), axis=(1, 2))
    total = to_go[:, 0]
    fixed = {
        "none": 0.0,
        "constant": float(p @ total),
        "optimal constant": float(p @ (norms * total) / (p @ norms)),
    }
    weights = {name: (total - b)[:, None] for name, b in fixed.items()}
    weights["time"] = to_go - p @ to_go
    times = np.arange(mdp.horizon)
    weights["state"] = to_go - values[times, before]
    ahead = np.asarray(advantages(mdp, jnp.asarray(logits)))
    weights["advantage"] = ahead[times, before, actions]
    found = {
        name: np.einsum("ntsa,nt->nsa", scores, np.broadcast_to(w, to_go.shape))
        for name, w in weights.items()
    }
    means = {name: np.tensordot(p, each, axes=1) for name, each in found.items()}
    traces = {
        name: float(p @ np.sum(np.square(each - means[name]), axis=(1, 2)))
        for name, each in found.items()
    }
    gradient = np.asarray(policy_gradient(mdp, jnp.asarray(logits)))
    return ExactEstimates(gradient, fixed, means, traces)


def _scores(
    states: np.ndarray, actions: np.ndarray, mask: np.ndarray, logits: np.ndarray
) -> Float[np.ndarray, "N T S A"]:
    """∇ log π(a_t|s_t) in the table of logits."""
    policy = np.asarray(jax.nn.softmax(logits))
    in_state = np.eye(len(policy))[states] * mask[:, :, None]
    excess = np.eye(policy.shape[1])[actions] - policy[states]
    return in_state[..., None] * excess[:, :, None, :]


def _spec(mdp: TabularMDP) -> TableSpec:
    """Only whole trajectories of the policy itself are asked for."""
    logits = jnp.asarray(LOGITS)
    return TableSpec(
        mdp=mdp,
        logits=logits,
        behaviours=logits[None],
        log_shares=jnp.zeros(1),
        log_prior=jax.nn.log_softmax(jnp.zeros_like(logits)),
        log_zeta=jnp.zeros_like(logits),
        sampled_log_zeta=jnp.zeros_like(logits),
        demonstrations=None,
        temperature=1.0,
        log_z0=0.0,
    )


def _measured(
    config: BaselinesConfig,
    subjects: Mapping[str, Subject],
    exact: ExactEstimates,
    horizon: int,
    n: int,
) -> list[dict[str, Any]]:
    """All baselines see the same trajectories."""
    design = subjects["none"].design
    draw = _drawing(design.draw, n)
    draws = draw(design.tables, jax.random.key(config.key), config.repeats)
    losses = tuple((x.of.loss, x.arguments) for x in subjects.values())
    program = _estimates(losses, design.quantities)
    found = np.asarray(program(design.params, design.tables, draws), np.float64)
    rows = []
    for i, (name, subject) in enumerate(subjects.items()):
        estimates = found[:, i]
        spread = statistics(estimates, subject.exact).trace_covariance
        row = {"horizon": horizon, "baseline": name, "samples": n}
        row |= _named("variance", spread)
        row["exact_variance"] = exact.traces[name] / n
        for state, share in zip(STATES, _right(estimates), strict=True):
            row |= _named(f"right_{state}", share)
        rows.append(row)
    return rows


@cache
def _drawing(draw: Callable, n: int) -> Callable:
    def draws(tables: Any, key: Key, repeats: int) -> Any:
        rows = draw(tables, key, n * repeats)
        return jax.tree.map(lambda x: x.reshape(repeats, n, *x.shape[1:]), rows)

    return jax.jit(draws, static_argnums=2, compiler_options=QUICK)


@cache
def _estimates(
    losses: tuple[tuple[Callable, tuple[str, ...]], ...], quantities: Callable
) -> Callable:
    """(params, tables, draws) -> minus the gradients of all losses, for each draw."""

    def values(params: Array, tables: Any, draw: Any) -> Array:
        offered = quantities(params, tables, draw)
        found = [
            loss(**{name: offered[name]() for name in arguments})[0]
            for loss, arguments in losses
        ]
        return -jnp.stack(found)

    each = jax.vmap(jax.jacrev(values), in_axes=(None, None, 0))
    return jax.jit(each, compiler_options=QUICK)


def _right(estimates: Float[np.ndarray, "R D"]) -> list[Interval]:
    """By state: how often a step along ĝ raises π(best) = π_b (ĝ_b − Σ_a π_a ĝ_a)."""
    tables = estimates.reshape(-1, *LOGITS.shape)
    policy = np.asarray(jax.nn.softmax(LOGITS))
    best = np.argmax(_DIFFERENCES, axis=1)
    raised = tables[:, np.arange(len(best)), best] - np.sum(policy * tables, axis=2)
    shares = np.mean(raised > 0.0, axis=0)
    errors = Z * np.sqrt(shares * (1.0 - shares) / len(tables))
    return [
        Interval(float(x), float(x - e), float(x + e))
        for x, e in zip(shares, errors, strict=True)
    ]


def _named(name: str, found: Interval) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _at(
    rows: list[dict[str, Any]], horizon: int, baseline: str
) -> list[dict[str, Any]]:
    return [
        row for row in rows if (row["horizon"], row["baseline"]) == (horizon, baseline)
    ]


def _reductions(rows: list[dict[str, Any]], horizon: int) -> dict[str, float]:
    """By how much less the variance is than without a baseline, exactly."""
    traces = {name: _at(rows, horizon, name)[0]["exact_variance"] for name in BASELINES}
    return {name: traces["none"] / trace for name, trace in traces.items()}


def _sheets(config: BaselinesConfig, rows: list[dict[str, Any]]) -> list[Sheet]:
    last = max(config.samples)
    heads = [
        *("baseline", "variance", "less by"),
        f"of {last}",
        *(f"right, {state}" for state in STATES),
    ]
    sheets = []
    for horizon in HORIZONS:
        factors, cells = _reductions(rows, horizon), []
        for name in BASELINES:
            row = next(x for x in _at(rows, horizon, name) if x["samples"] == last)
            right = [row[f"right_{state}"] for state in STATES]
            exact = row["exact_variance"] * last
            cells.append([name, exact, factors[name], row["variance"], *right])
        title = (
            f"{horizon} step{'s' * (horizon > 1)}: variance (of one trajectory, of "
            f"{last}), and share of updates the right way"
        )
        sheets.append(Sheet(title, heads, cells))
    return sheets


def _findings(config: BaselinesConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"most_samples": max(config.samples)}
    for horizon in HORIZONS:
        for name, factor in _reductions(rows, horizon).items():
            label = name.replace(" ", "_")
            found[f"variance_reduction_{label}_horizon_{horizon}"] = factor
            last = max(_at(rows, horizon, name), key=lambda row: row["samples"])
            for state in STATES:
                share = last[f"right_{state}"]
                found[f"right_{state}_{label}_horizon_{horizon}"] = share
    return found
