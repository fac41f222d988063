"""Chance in actions against chance in parameters: policy gradients and evolution.

Policy gradients differentiate the policy, and learn from what its actions do by chance.
Evolution strategies differentiate nothing, and learn from parameters drawn at random,
with one episode each. Both are held against the exact gradient of J, at equal numbers
of episodes.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from reins.credit import returns_to_go, total_returns
from reins.errors import ConfigError, sentence_of_faults
from reins.estimators import (
    antithetic_normal,
    evolution_loss,
    evolution_ranked_loss,
    score_advantage_loss,
    score_reward_to_go_loss,
)
from reins.lab.statistics import Interval, Statistics, statistics
from reins.lab.studies.cut import first_steps
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64
from reins.tabular import (
    TabularMDP,
    advantages,
    occupancies,
    policy_gradient,
    random_mdp,
    state_values,
    tabular_mdp,
)
from reins.tabular.sampling import sample_trajectories
from reins.types import Key

POLICY_GRADIENTS = ("score, reward-to-go", "score, state baseline")
EVOLUTION = ("evolution", "evolution, antithetic", "evolution, ranked")
ESTIMATORS = (*POLICY_GRADIENTS, *EVOLUTION)
RANKED = EVOLUTION[2]
"""Its scale is that of ranks, so that only its direction is judged."""
PARTS = ("smoothing", "dimension", "horizon")
ACTIONS = 2
STATES = 4  # of the problem on which smoothing and horizon vary
STEPS = 4  # of the one on which the dimension does


@dataclasses.dataclass(frozen=True)
class SpacesConfig:
    """Policy gradients against evolution strategies at equal numbers of episodes."""

    episodes: int = 128
    """Episodes of one estimate, an even number."""
    repeats: int = 200
    """Estimates in each setting."""
    smoothings: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    """Standard deviations of the parameters, in logits, increasing."""
    smoothing: float = 0.3
    """The one where dimension and horizon vary."""
    states: tuple[int, ...] = (4, 8, 16, 32)
    """Numbers of states, increasing; each has two parameters."""
    mdps: int = 5
    """Random MDPs of each number of states: each has its own level of reward."""
    horizons: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """Steps of an episode, increasing."""
    horizon: int = 8
    """The steps of an episode where smoothing varies."""
    draws: int = 2000
    """Exact gradients at parameters drawn at random, which make the smoothed one."""
    key: int = 0
    """Seed of the MDPs, the policies and the samples."""

    def __post_init__(self) -> None:
        faults = []
        if self.mdps < 1:
            faults.append(f"{self.mdps} MDPs of each size; choose 1 or more")
        if self.episodes < 2 or self.episodes % 2:
            faults.append(f"{self.episodes} episodes; opposite pairs need 2, 4, 6, ..")
        if min(self.repeats, self.draws) < 2:
            faults.append(
                f"{self.repeats} repeats, {self.draws} draws; a spread needs at least 2"
            )
        lists = {
            "smoothings": self.smoothings,
            "states": self.states,
            "horizons": self.horizons,
        }
        faults += [
            f"{name} {values}; choose two or more, above 0, each above the one before"
            for name, values in lists.items()
            if len(values) < 2 or min(np.diff((0, *values))) <= 0
        ]
        if not self.smoothing > 0.0:
            faults.append(f"a smoothing of {self.smoothing}; choose it above 0")
        if not 1 <= self.horizon <= max(self.horizons, default=0):
            faults.append(
                f"{self.horizon} steps where smoothing varies; at least 1, at most the "
                f"longest horizon, {max(self.horizons, default=0)}"
            )
        if faults:
            raise ConfigError(sentence_of_faults("no study of spaces", faults))


class Setting(NamedTuple):
    """A policy in an MDP, cut after some steps.

    Attributes:
      values: V_t(s) of the policy at this horizon.
      active: states that there are; tables are padded to the most there may be.
      std: of the parameters around the logits.
    """

    mdp: TabularMDP
    logits: Float[Array, "S A"]
    values: Float[Array, "T_plus_1 S"]
    active: Bool[Array, " S"]
    std: Float[Array, ""]
    horizon: Int[Array, ""]


@in_float64
def spaces_study(config: SpacesConfig, advance: Advance = ignore) -> Study:
    """Error and direction against smoothing, number of parameters, and horizon."""
    mdps, rows = range(config.mdps), []
    settings = [
        *[("smoothing", 0, std, config.horizon) for std in config.smoothings],
        *[("dimension", mdp, n, STEPS) for n in config.states for mdp in mdps],
        *[("horizon", 0, config.smoothing, horizon) for horizon in config.horizons],
    ]
    for part, mdp, value, horizon in settings:
        if part == "dimension":
            setting = _of_states(config, int(value), mdp)
        else:
            setting = _in_time(config, horizon, value)
        rows += _rows(config, part, mdp, setting)
        advance(1 / len(settings), f"after one {part}")
    return Study("spaces", rows, _sheets(rows), _findings(config, rows), {})


def _in_time(config: SpacesConfig, horizon: int, std: float) -> Setting:
    """One random MDP, as long as the longest, cut after `horizon` steps."""
    keys = jax.random.split(jax.random.key(config.key), 2)
    longest = max(config.horizons)
    mdp = random_mdp(keys[0], STATES, ACTIONS, horizon=longest)
    logits = jax.random.normal(keys[1], (STATES, ACTIONS))
    values = np.asarray(state_values(mdp, logits))
    # What lies ahead depends on the steps left.
    moved = jnp.asarray(np.roll(values, horizon - longest, axis=0))
    active = jnp.ones(STATES, bool)
    return Setting(mdp, logits, moved, active, jnp.asarray(std), jnp.asarray(horizon))


def _of_states(config: SpacesConfig, states: int, seed: int) -> Setting:
    """A random MDP of so many states, and others that nothing leads to."""
    most = max(config.states)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.key), seed))
    small = random_mdp(keys[0], states, ACTIONS, horizon=STEPS)
    transitions = np.tile(np.eye(most)[:, None], (1, ACTIONS, 1))
    rewards = np.zeros_like(transitions)
    transitions[:states] = np.pad(
        small.transitions, ((0, 0), (0, 0), (0, most - states))
    )
    rewards[:states, :, :states] = small.rewards
    mdp = tabular_mdp(
        transitions,
        rewards,
        initial=np.pad(small.initial, (0, most - states)),
        horizon=STEPS,
    )
    active = jnp.arange(most) < states
    logits = jax.random.normal(keys[1], (most, ACTIONS)) * active[:, None]
    std, values = jnp.asarray(config.smoothing), state_values(mdp, logits)
    return Setting(mdp, logits, values, active, std, jnp.asarray(STEPS))


# Estimates.


@partial(
    jax.jit,
    static_argnames=("episodes", "repeats"),
    compiler_options={"xla_backend_optimization_level": 1},  # half the time to compile
)
def estimates(
    setting: Setting, key: Key, *, episodes: int, repeats: int
) -> dict[str, Float[Array, "R D"]]:
    """Estimates of ∇J by name, each from as many episodes, in all the parameters.

    Source: S3, "sampling in action space", "sampling in parameter space".
    Target: J for the scores; J smoothed for evolution; J in direction at best, ranked.
    Identities: parameters of states that there are not get 0.
    """

    def once(key: Key) -> dict[str, Array]:
        keys = jax.random.split(key, 4)
        shape = (episodes, setting.logits.size)
        plain = jax.random.normal(keys[1], shape)
        noise = jnp.concatenate([plain, antithetic_normal(keys[2], *shape)])
        played = _population(setting, noise, keys[3])
        single, paired = ([x[half] for x in played] for half in _halves(episodes))
        return _scores(setting, keys[0], episodes) | {
            EVOLUTION[0]: _evolved(setting, evolution_loss, *single),
            EVOLUTION[1]: _evolved(setting, evolution_loss, *paired),
            RANKED: _evolved(setting, evolution_ranked_loss, *paired),
        }

    return jax.vmap(once)(jax.random.split(key, repeats))


def _halves(n: int) -> tuple[slice, slice]:
    return slice(None, n), slice(n, None)


def _scores(setting: Setting, key: Key, episodes: int) -> dict[str, Array]:
    draw = sample_trajectories(
        setting.mdp, setting.logits[None], jnp.zeros(1), key, episodes
    )
    draw = first_steps(draw, setting.horizon)
    before = draw.states[:, :-1]
    values = setting.values[jnp.arange(before.shape[1]), before]
    excess = returns_to_go(draw.rewards, draw.mask) - values

    def losses(logits: Array) -> Array:
        log_probs = jax.nn.log_softmax(logits)[before, draw.actions]
        to_go, _ = score_reward_to_go_loss(log_probs, draw.rewards, draw.mask)
        based, _ = score_advantage_loss(log_probs, excess, draw.mask)
        return jnp.stack([to_go, based])

    gradients = -jax.jacrev(losses)(setting.logits).reshape(2, -1)
    return dict(zip(POLICY_GRADIENTS, gradients, strict=True))


def _population(
    setting: Setting, noise: Float[Array, "N D"], key: Key
) -> tuple[Float[Array, "N D"], Float[Array, " N"]]:
    """Parameters of states that there are, perturbed, and a return of each."""
    tables = noise.reshape(-1, *setting.logits.shape) * setting.active[:, None]
    tables = setting.logits + setting.std * tables

    def play(logits: Array, key: Key) -> Array:
        draw = sample_trajectories(setting.mdp, logits[None], jnp.zeros(1), key, 1)
        draw = first_steps(draw, setting.horizon)
        return total_returns(draw.rewards, draw.mask)[0]

    scores = jax.vmap(play)(tables, jax.random.split(key, len(noise)))
    return tables.reshape(noise.shape), scores


def _evolved(setting: Setting, loss: Any, samples: Array, scores: Array) -> Array:
    def of_mean(mean: Array) -> Array:
        return loss(samples, mean, scores, std=setting.std)[0]

    return -jax.grad(of_mean)(setting.logits.reshape(-1))


def exact_gradient(setting: Setting) -> Float[np.ndarray, " D"]:
    """Σ_t Σ_s d_t(s) π(a|s) A_t(s, a), over the steps that are left by the cut.

    Source: S4 (22).   Identities: `policy_gradient` of the MDP of that horizon.
    """
    last, horizon = setting.mdp.horizon, int(setting.horizon)
    ahead = np.asarray(advantages(setting.mdp, setting.logits))[last - horizon :]
    visits = np.asarray(occupancies(setting.mdp, setting.logits))[:horizon]
    policy = np.asarray(jax.nn.softmax(setting.logits))
    return (policy * np.einsum("ts,tsa->sa", visits, ahead)).reshape(-1)


@partial(jax.jit, static_argnames="draws")
def _nearby_gradients(
    mdp: TabularMDP, setting: Setting, key: Key, *, draws: int
) -> Float[Array, "R D"]:
    """∇J at θ + σ ε, whose mean is the gradient of the smoothed J."""
    noise = jax.random.normal(key, (draws, *setting.logits.shape))
    nearby = setting.logits + setting.std * noise
    found = jax.vmap(partial(policy_gradient, mdp))(nearby)
    return found.reshape(draws, -1)


# What is reported.


def _rows(
    config: SpacesConfig, part: str, mdp: int, setting: Setting
) -> list[dict[str, Any]]:
    key = jax.random.fold_in(jax.random.key(config.key), 1)
    found = estimates(setting, key, episodes=config.episodes, repeats=config.repeats)
    exact = exact_gradient(setting)
    there = np.repeat(np.asarray(setting.active), ACTIONS)
    norm = float(np.linalg.norm(exact))
    smoothed = None
    if part == "smoothing":
        cut = dataclasses.replace(setting.mdp, horizon=int(setting.horizon))
        nearby = _nearby_gradients(cut, setting, key, draws=config.draws)
        bias = statistics(np.asarray(nearby), exact).bias_norm
        smoothed = _scaled(bias, 1 / norm)
    rows = []
    for name in ESTIMATORS:
        measured = statistics(np.asarray(found[name])[:, there], exact[there])
        row = {
            "part": part,
            "mdp": mdp,
            "estimator": name,
            "smoothing": float(setting.std),
            "dimension": int(there.sum()),
            "horizon": int(setting.horizon),
        }
        row |= _numbers(name, measured, norm, config.episodes)
        row |= _named("bias", smoothed if name in EVOLUTION[:2] else None)
        rows.append(row)
    return rows


def _numbers(
    name: str, found: Statistics, norm: float, episodes: int
) -> dict[str, float | None]:
    """Root mean square error over |g|; variance per episode, as is; cosine."""
    error = variance = None
    if name != RANKED:
        error = Interval(*(max(x, 0.0) ** 0.5 / norm for x in found.mse))
        variance = _scaled(found.trace_covariance, episodes)
    return (
        _named("error", error)
        | _named("variance_per_episode", variance)
        | {"gradient_norm": norm}
        | _named("cosine", found.cosine)
    )


def _scaled(found: Interval, by: float) -> Interval:
    return Interval(*(float(x) * by for x in found))


def _named(name: str, found: Interval | None) -> dict[str, float | None]:
    values = (None, None, None) if found is None else map(float, found)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def curve(rows: list[dict[str, Any]], part: str, name: str, column: str) -> list[float]:
    """One column along the part's own axis; the geometric mean of several MDPs."""
    found: dict[float, list[float]] = {}
    for row in rows:
        if (row["part"], row["estimator"]) == (part, name):
            found.setdefault(row[part], []).append(row[column])
    return [
        values[0] if len(values) == 1 else float(np.exp(np.mean(np.log(values))))
        for values in found.values()
    ]


def _sheets(rows: list[dict[str, Any]]) -> list[Sheet]:
    sheets = []
    for part, column, title in (
        ("smoothing", "error", "error / |gradient|, by smoothing"),
        ("smoothing", "cosine", "cosine, by smoothing"),
        ("dimension", "variance_per_episode", "variance per episode, by parameters"),
        ("horizon", "error", "error / |gradient|, by horizon"),
    ):
        heads = [f"{x:g}" for x in curve(rows, part, ESTIMATORS[0], part)]
        shown = ESTIMATORS if column == "cosine" else ESTIMATORS[:-1]
        cells = [[name, *curve(rows, part, name, column)] for name in shown]
        sheets.append(Sheet(title, ["estimator", *heads], cells))
    return sheets


def _findings(config: SpacesConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"episodes": config.episodes}
    for name in ESTIMATORS[:-1]:
        label = name.replace(",", "").replace(" ", "_").replace("-", "_")
        for part in ("dimension", "horizon"):
            x, values, norms = (
                np.log(curve(rows, part, name, column))
                for column in (part, "variance_per_episode", "gradient_norm")
            )
            power, relative = (
                float(np.polyfit(x, y, 1)[0]) for y in (values, values - 2 * norms)
            )
            found[f"growth_power_{label}_{part}"] = power
            found[f"growth_power_relative_{label}_{part}"] = relative
    errors = curve(rows, "smoothing", EVOLUTION[1], "error")
    least = int(np.argmin(errors))
    scored = curve(rows, "smoothing", POLICY_GRADIENTS[0], "error")[least]
    return found | {
        "best_smoothing": config.smoothings[least],
        "relative_bias_by_smoothing": curve(rows, "smoothing", EVOLUTION[0], "bias"),
        "mean_square_error_of_antithetic_evolution_over_score": (errors[least] / scored)
        ** 2,
    }
