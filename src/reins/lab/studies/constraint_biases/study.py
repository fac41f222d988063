"""The study: five known biases, each on a corridor where the truth is exact."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from reins.errors import ConfigError, sentence_of_faults
from reins.lab.studies.constraint_biases.corridor import Corridor
from reins.lab.studies.constraint_biases.episodes import climb, episodes_of
from reins.lab.studies.constraint_biases.learning import learned_each
from reins.lab.studies.constraint_biases.lessons import (
    length_rows,
    lesson_of,
    margin_rows,
    novice_rows,
    rule_rows,
    shown,
)
from reins.lab.studies.constraint_biases.multiplier import (
    Priced,
    log_reward_rows,
    multiplier_rows,
)
from reins.lab.studies.constraint_biases.rows import Row
from reins.lab.studies.constraint_biases.said import findings_of, sheets_of
from reins.lab.studies.constraint_biases.stops import factor_rows, stop_rows
from reins.lab.studies.constraint_biases.weights import (
    behind_rows,
    competence_rows,
    horizon_rows,
)
from reins.lab.study import Advance, Study, ignore, in_float64

LONG_EPISODE = 1000
"""Steps, as of a robot."""
EVERY = 10
"""Steps of ζ from one look at the KLs to the next."""


@dataclasses.dataclass(frozen=True)
class ConstraintBiasesConfig:
    """Reproduce the known biases of constraint learning, where the truth is exact."""

    behind: tuple[int, ...] = (0, 1, 2, 5, 10, 20)
    """Steps of ζ since the agent's episodes were sampled."""
    climb: int = 200
    """The same, at most, for the KLs that stop a phase."""
    samples: tuple[int, ...] = (10, 100, 1000)
    """Numbers M of episodes."""
    draws: int = 500
    """How often M episodes are drawn."""
    demonstrations: int = 10
    """Where they are drawn too; elsewhere there is no end of them."""
    horizons: tuple[int, ...] = (10, 100, 1000)
    """Steps of an episode."""
    steps: int = 1000
    """Steps of Adam in which ζ is learned."""
    updates: int = 1000
    """Updates of the multiplier."""
    key: int = 0
    """Seed of all draws."""

    def __post_init__(self) -> None:
        numbers = {
            "climb": self.climb,
            "draws": self.draws,
            "demonstrations": self.demonstrations,
            "steps": self.steps,
            "updates": self.updates,
            "horizons": min(self.horizons, default=0),
        }
        faults = [f"{n} is {x}; at least 1" for n, x in numbers.items() if x < 1]
        if min(self.behind, default=-1) < 0 or max(self.behind, default=0) < 1:
            faults.append(f"behind is {self.behind}; numbers from 0, one above it")
        if min(self.samples, default=0) < 2:
            faults.append(f"samples are {self.samples}; choose numbers of at least 2")
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))


@in_float64
def constraint_biases_study(
    config: ConstraintBiasesConfig, advance: Advance = ignore
) -> Study:
    """Per-step weights, KL stops, multipliers, unequal lengths, a wall not approached.

    Source: S2 (6)-(12).   Every comparison is with the exact answer.
    """
    key = jax.random.key(config.key)
    corridor = Corridor()
    episodes = episodes_of(corridor, config.demonstrations, key)
    furthest = max(config.climb, *config.behind)
    path = climb(episodes.mdp, episodes.shown, steps=furthest)
    advance(0.1, "gradients")
    fewest = min(config.samples)
    rows = behind_rows(
        episodes,
        path,
        behind=config.behind,
        samples=fewest,
        draws=config.draws,
        key=config.key,
    )
    rows += competence_rows(episodes)
    advance(0.15, "long episodes")
    rows += horizon_rows(
        corridor,
        horizons=config.horizons,
        behind=tuple(k for k in config.behind if k > 0),
        samples=fewest,
        demonstrations=config.demonstrations,
        key=jax.random.fold_in(key, 1),
    )
    advance(0.2, "what stops a phase")
    rows += stop_rows(
        episodes,
        path[: config.climb + 1],
        every=EVERY,
        samples=config.samples,
        draws=config.draws,
        key=config.key + 1,
    )
    rows += factor_rows(horizon=LONG_EPISODE, samples=fewest)
    advance(0.15, "multipliers")
    rows += _multipliers(corridor, config)
    advance(0.1, "lengths")
    rows += length_rows(steps=config.steps) + novice_rows(steps=config.steps)
    advance(0.15, "margins")
    rows += margin_rows(steps=config.steps) + rule_rows()
    advance(0.15, "")
    return _study(rows, config)


def _study(rows: list[Row], config: ConstraintBiasesConfig) -> Study:
    shape: dict[str, Any] = {
        "fewest": min(config.samples),
        "most": max(config.samples),
        "behind": max(config.behind),
        "longest": max(config.horizons),
    }
    findings = findings_of(rows, **shape)
    return Study("constraint-biases", rows, sheets_of(rows), findings, {})


def _multipliers(corridor: Corridor, config: ConstraintBiasesConfig) -> list[Row]:
    """The forward step on a ζ that was learned without and with a regulariser."""
    of = shown(corridor)
    regularisers = (0.0, 0.1)
    lessons = [lesson_of(of, regulariser=regulariser) for regulariser in regularisers]
    tables = learned_each(of.mdp, lessons, steps=config.steps)
    rows = []
    for regulariser, log_zeta in zip(regularisers, tables, strict=True):
        costs = -jnp.expm1(log_zeta)
        mean = of.demonstrators.visits @ costs / of.demonstrators.length
        problem = Priced(of.mdp, of.forbidden, costs)
        for name, origin in (("cost", 0.0), ("relative-cost", mean)):
            priced = problem._replace(prices=costs - origin)
            label = f"{name}, δ = {regulariser:g}"
            rows += multiplier_rows(label, priced, updates=config.updates)
        rows += log_reward_rows(f"log-reward, δ = {regulariser:g}", problem, log_zeta)
    return rows
