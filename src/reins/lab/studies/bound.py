"""How tight the bound on the improvement S4 (57) is, and what γ^t does in it."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import ConfigError, sentence_of_faults
from reins.lab.studies.trap import trap_mdp, trap_policies
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64
from reins.tabular import (
    TabularMDP,
    improvement_bound,
    max_total_variation,
    policy_gradient,
    random_mdp,
)
from reins.tabular.values import Logits

TRAP_HORIZON, TRAP_DISTANCE = 3, 0.03
SMALLER = 0.95
"""A penalty that much smaller makes the bound false on the trap."""
HORIZONS = (2, 4, 8, 16, 32, 64, 128)


@dataclasses.dataclass(frozen=True)
class BoundConfig:
    """Compare the improvement of a step with its lower bound, exactly."""

    points: int = 25
    """Policies on each path."""
    largest: float = 0.5
    """ε of the last policy on the trap's path: the total variation from the old one."""
    longest_step: float = 1.0
    """The last step on the random MDP, as a length in logits."""
    horizon: int = 5
    """Steps of an episode of the random MDP."""
    discount: float = 0.9
    """γ of both problems."""
    key: int = 0
    """Seed of the random MDP and its old policy."""

    def __post_init__(self) -> None:
        faults = []
        if self.points < 2:
            faults.append(f"{self.points} points; a path needs at least 2")
        if not 0.0 < self.largest < 1.0:
            faults.append(f"the largest ε is {self.largest}; choose it in (0, 1)")
        if not self.longest_step > 0.0:
            faults.append(f"the longest step is {self.longest_step}; choose it above 0")
        if self.horizon < 2:
            faults.append(f"the horizon is {self.horizon}; at 1 there is no penalty")
        if not 0.0 < self.discount <= 1.0:
            faults.append(f"the discount is {self.discount}; choose it in (0, 1]")
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))


class Terms(NamedTuple):
    """Both sides of the bound for one step, and the penalty in its three forms."""

    distance: Float[Array, "*batch"]
    improvement: Float[Array, "*batch"]
    surrogate: Float[Array, "*batch"]
    penalty: Float[Array, "*batch"]
    penalty_constant: Float[Array, "*batch"]
    penalty_reward: Float[Array, "*batch"]


@in_float64
def bound_study(config: BoundConfig, advance: Advance = ignore) -> Study:
    """Improvement, surrogate and bound, S4 (57), along two paths from an old policy.

    On a random MDP along the gradient, where the bound is loose, and on `trap_mdp`,
    where it is nearly tight; and the penalty against the horizon, with γ^t and without.
    """
    rows = _random_path(config)
    advance(0.3, "the trap")
    rows += _trap_path(config)
    advance(0.1, "longer horizons")
    for horizon in HORIZONS:
        rows += _at_horizon(config, horizon)
        advance(0.6 / len(HORIZONS), f"horizon {horizon}")
    return Study("bound", rows, _sheets(rows), _findings(config, rows), {})


@jax.jit
def _terms(mdp: TabularMDP, new: Logits, old: Logits) -> Terms:
    found = improvement_bound(mdp, new, old)
    return Terms(
        distance=max_total_variation(new, old),
        improvement=found.improvement,
        surrogate=found.surrogate,
        penalty=found.penalty,
        penalty_constant=improvement_bound(mdp, new, old, form="constant").penalty,
        penalty_reward=improvement_bound(mdp, new, old, form="reward").penalty,
    )


@jax.jit
def _trap_terms(mdp: TabularMDP, distances: Float[Array, " P"]) -> Terms:
    return jax.vmap(lambda distance: _terms(mdp, *trap_policies(distance)))(distances)


def _random_path(config: BoundConfig) -> list[dict[str, Any]]:
    mdp_key, logits_key = jax.random.split(jax.random.key(config.key))
    options = {"horizon": config.horizon, "discount": config.discount}
    mdp = random_mdp(mdp_key, 4, 3, **options)
    old = jax.random.normal(logits_key, (4, 3))
    uphill = policy_gradient(mdp, old)
    direction = uphill / jnp.linalg.norm(uphill)
    steps = jnp.linspace(0.0, config.longest_step, config.points + 1)[1:]
    path = jax.vmap(lambda step: _terms(mdp, old + step * direction, old))
    return _rows("random MDP", config.horizon, path(steps))


def _trap_path(config: BoundConfig) -> list[dict[str, Any]]:
    mdp = trap_mdp(horizon=TRAP_HORIZON, discount=config.discount)
    distances = jnp.linspace(0.0, config.largest, config.points + 1)[1:]
    return _rows("trap", TRAP_HORIZON, _trap_terms(mdp, distances))


def _at_horizon(config: BoundConfig, horizon: int) -> list[dict[str, Any]]:
    mdp = trap_mdp(horizon=horizon, discount=config.discount)
    distances = jnp.array([TRAP_DISTANCE])
    return _rows("trap by horizon", horizon, _trap_terms(mdp, distances))


def _rows(part: str, horizon: int, terms: Terms) -> list[dict[str, Any]]:
    """A line for each policy; `needed` is the share of the penalty that is."""
    lines = []
    for values in zip(*map(np.asarray, terms), strict=True):
        line = dict(zip(Terms._fields, map(float, values), strict=True))
        lost = line["surrogate"] - line["improvement"]
        line["bound"] = line["surrogate"] - line["penalty"]
        line["needed"] = lost / line["penalty"]
        lines.append({"part": part, "horizon": horizon} | line)
    return lines


def _part(rows: list[dict[str, Any]], part: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["part"] == part]


def _sheets(rows: list[dict[str, Any]]) -> list[Sheet]:
    path = ["distance", "improvement", "surrogate", "bound", "needed"]
    heads = ["ε", "improvement", "surrogate", "bound", "share of the penalty needed"]
    horizon = ["horizon", "penalty", "penalty_constant", "penalty_reward"]
    sheets = []
    for part in ("random MDP", "trap"):
        mine = _part(rows, part)[:: max(1, len(_part(rows, part)) // 5)]
        cells = [[row[name] for name in path] for row in mine]
        sheets.append(Sheet(f"{part}: improvement ≥ bound", heads, cells))
    cells = [[row[name] for name in horizon] for row in _part(rows, "trap by horizon")]
    heads = ["horizon", "with γ^t", "one C, as (56) is printed", "C = 2 T max |r|"]
    return [*sheets, Sheet(f"penalty on the trap, ε = {TRAP_DISTANCE}", heads, cells)]


def _findings(config: BoundConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    mdp = trap_mdp(horizon=TRAP_HORIZON, discount=config.discount)
    (tight,) = _rows("trap", TRAP_HORIZON, _trap_terms(mdp, jnp.array([TRAP_DISTANCE])))
    random = _part(rows, "random MDP")
    assured = [row["distance"] for row in random if row["bound"] > 0]
    best = max(random, key=lambda row: row["bound"])
    return {
        "violations_of_the_bound": sum(
            row["improvement"] < row["bound"] - 1e-12 for row in rows
        ),
        "trap_distance": TRAP_DISTANCE,
        "trap_share_of_penalty_needed": tight["needed"],
        "trap_improvement": tight["improvement"],
        "trap_bound": tight["bound"],
        "trap_bound_with_penalty_5_percent_smaller": (
            tight["surrogate"] - SMALLER * tight["penalty"]
        ),
        "random_mdp_largest_share_of_penalty_needed": max(
            row["needed"] for row in random
        ),
        "random_mdp_largest_distance_with_assured_improvement": max(
            assured, default=0.0
        ),
        "random_mdp_best_assured_improvement": max(best["bound"], 0.0),
        "random_mdp_improvement_there": best["improvement"],
    }
