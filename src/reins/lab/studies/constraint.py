"""What constraint learning loses to its weights, its forward step, and its stop rule.

S2's model π(τ) ∝ exp(r(τ)) Π ζ on small random problems, every trajectory enumerated.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from reins.constraints import WEIGHTINGS
from reins.divergences import kl_new_old_from_ratios, kl_old_new_from_ratios
from reins.errors import ConfigError, sentence_of_faults
from reins.lab.studies.constraint_cases import Case, Dynamics, draw_case, log_ratios
from reins.lab.studies.constraint_measures import (
    MULTIPLIERS,
    SHARPNESS,
    forward_over,
    kl_table,
    log_shares,
    probabilities,
    ratios_apart,
    relative_errors,
    sampled_errors,
)
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64

SHARES = (0.1, 0.5, 0.9)
"""Quantiles that stand for a range and its middle."""


@dataclasses.dataclass(frozen=True)
class ConstraintConfig:
    """Measure the biases of constraint learning on random problems, exactly."""

    problems: int = 300
    """Random problems for the exact gradients and the forward step."""
    samples: tuple[int, ...] = (10, 100, 1000)
    """Numbers M of nominal trajectories."""
    sampled_problems: int = 40
    """Of the problems, how many are sampled as well."""
    draws: int = 100
    """How often M trajectories are drawn, on each problem."""
    demonstrations: int = 5
    """Trajectories of the expert, on each problem."""
    dynamics: Dynamics = "deterministic"
    """Deterministic, or stochastic with a terminal state."""
    bound: float = 2.5
    """A published bound on KL(new ‖ old), in nats."""
    key: int = 0
    """Seed of problems and draws."""

    def __post_init__(self) -> None:
        faults = []
        if not 0 < self.sampled_problems <= self.problems:
            faults.append(
                f"{self.sampled_problems} of {self.problems} problems are sampled; "
                "choose at least 1, and no more than there are"
            )
        if not self.samples or min(self.samples) < 2:
            faults.append(f"samples are {self.samples}; choose numbers of at least 2")
        if self.draws < 2:
            faults.append(f"{self.draws} draws; a variance needs at least 2")
        if self.demonstrations < 1:
            faults.append(f"{self.demonstrations} demonstrations; at least 1")
        if not self.bound > 0:
            faults.append(f"the bound is {self.bound} nats; a KL is not negative")
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))


@in_float64
def constraint_study(config: ConstraintConfig, advance: Advance = ignore) -> Study:
    """The gradient under each weighting, the forward step, and the KLs of the stop.

    Source: S2 (7)-(12).   Every comparison is with the exact answer by enumeration.
    """
    keys = jax.random.split(jax.random.key(config.key), config.problems)
    cases = _cases(keys, config.dynamics, config.demonstrations)
    advance(0.1, "gradients with all trajectories")
    errors = {name: np.asarray(relative_errors(cases, name)) for name in WEIGHTINGS}
    advance(0.2, "gradients with some")
    sampled = _sampled(cases, config)
    advance(0.3, "the forward step")
    by_multiplier, matching = _forward_distances(cases)
    advance(0.2, "distances of constraints")
    kls = _kls(jax.tree.map(lambda x: x[0], cases), config)
    advance(0.2, "")
    rows = [*_error_rows(errors), *sampled, *_forward_rows(by_multiplier), *kls]
    findings = _findings(errors, by_multiplier, matching, kls, config)
    fields = {f"error {name}": values for name, values in errors.items()}
    fields["bound"] = np.array(config.bound)
    return Study("constraint", rows, _sheets(rows, findings), findings, fields)


@partial(jax.jit, static_argnums=(1, 2))
def _cases(keys: Array, dynamics: Dynamics, demonstrations: int) -> Case:
    return jax.vmap(lambda key: draw_case(key, dynamics, demonstrations))(keys)


# The gradient.


def _sampled(cases: Case, config: ConstraintConfig) -> list[dict[str, Any]]:
    """Error, bias, deviation and effective sample size: medians over problems."""
    cases = jax.tree.map(lambda x: x[: config.sampled_problems], cases)
    masses = probabilities(cases.log_masses)
    ratios = np.exp(jax.vmap(log_ratios)(cases.every, cases.sampled, cases.improved))
    generator = np.random.default_rng(config.key)
    rows = []
    for m in config.samples:
        size = (len(masses), config.draws)
        counts = np.stack([generator.multinomial(m, p, size[1:]) for p in masses])
        weighted = np.einsum("pdn,pn->pd", counts, ratios)
        ess = weighted**2 / np.einsum("pdn,pn->pd", counts, ratios**2)
        drawn = log_shares(counts)
        for name in WEIGHTINGS:
            error, *parts = sampled_errors(cases, drawn, name)
            bias, deviation = (float(np.median(x)) for x in parts)
            rows.append(
                _row("gradient by samples", name, samples=m)
                | _quantiles(error)
                | {"bias": bias, "deviation": deviation, "ess": float(np.median(ess))}
            )
    return rows


# The forward step.


def _forward_distances(
    cases: Case,
) -> tuple[dict[float, np.ndarray], dict[float, np.ndarray]]:
    """For each sharpness: (P, L) with every multiplier, and (P,) with r + log ζ."""
    found = {x: jax.tree.map(np.asarray, forward_over(cases, x)) for x in SHARPNESS}
    return {x: of[0] for x, of in found.items()}, {x: of[1] for x, of in found.items()}


# The distances that stop a backward step.


def _kls(case: Case, config: ConstraintConfig) -> list[dict[str, Any]]:
    """Estimates from M trajectories against the truth, as a constraint moves away."""
    ratios = ratios_apart(case)
    masses = probabilities(case.log_masses)
    generator = np.random.default_rng(config.key + 1)
    estimators = {"old_new": kl_old_new_from_ratios, "new_old": kl_new_old_from_ratios}
    rows = []
    for name, kl in estimators.items():
        exact = np.asarray(kl_table(ratios, case.log_masses[None], kl))[:, 0]
        for m in config.samples:
            counts = generator.multinomial(m, masses, config.draws)
            found = np.asarray(kl_table(ratios, log_shares(counts), kl))
            for at, values in zip(exact, found, strict=True):
                fired = float(np.mean(values > config.bound))
                extra = {"at": float(at), "fired": fired}
                rows.append(_row("kl", name, samples=m) | _quantiles(values) | extra)
    return rows


# What is said of it.


def _row(part: str, name: str, **values: Any) -> dict[str, Any]:
    keys = ("samples", "at", "low", "median", "high", "bias", "deviation", "ess")
    return {"part": part, "name": name, **dict.fromkeys(keys), "fired": None} | values


def _quantiles(values: np.ndarray) -> dict[str, float]:
    found = map(float, np.quantile(values, SHARES))
    return dict(zip(("low", "median", "high"), found, strict=True))


def _error_rows(errors: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        _row("gradient", name) | _quantiles(values) for name, values in errors.items()
    ]


def _forward_rows(distances: dict[float, np.ndarray]) -> list[dict[str, Any]]:
    return [
        _row("forward", f"sharpness {x:g}", at=float(at)) | _quantiles(values)
        for x, table in distances.items()
        for at, values in zip(MULTIPLIERS, table.T, strict=True)
    ]


def _findings(
    errors: dict[str, np.ndarray],
    by_multiplier: dict[float, np.ndarray],
    matching: dict[float, np.ndarray],
    kls: list[dict[str, Any]],
    config: ConstraintConfig,
) -> dict[str, Any]:
    fewest = min(config.samples)
    farthest = [
        row["fired"]
        for row in kls
        if (row["name"], row["samples"]) == ("new_old", fewest)
    ]
    return {
        **{
            f"median_relative_error_{name.replace('-', '_')}": float(np.median(values))
            for name, values in errors.items()
        },
        **{
            f"sharpness_{x:g}_{name}": value
            for x, table in by_multiplier.items()
            for name, value in _left(table).items()
        },
        "total_variation_of_r_plus_log_zeta": float(
            max(x.max() for x in matching.values())
        ),
        "largest_true_kl_new_old": max(
            row["at"] for row in kls if row["name"] == "new_old"
        ),
        "bound": config.bound,
        "fewest_trajectories": fewest,
        "ceiling_of_kl_new_old_with_the_fewest": math.log(fewest),
        "share_of_draws_that_reach_the_bound_with_the_fewest": max(farthest),
    }


_LEFT = (
    "total_variation_left_low",
    "total_variation_left",
    "total_variation_left_high",
    "total_variation_left_most",
)


def _left(distances: np.ndarray) -> dict[str, float]:
    """What the best multiplier of each problem leaves, and which it is."""
    least = distances.min(axis=1)
    return {
        "best_multiplier": float(np.median(MULTIPLIERS[distances.argmin(axis=1)])),
        "total_variation_left_low": float(np.quantile(least, SHARES[0])),
        "total_variation_left": float(np.median(least)),
        "total_variation_left_high": float(np.quantile(least, SHARES[2])),
        "total_variation_left_most": float(least.max()),
        "total_variation_at_multiplier_300": float(np.median(distances[:, -1])),
    }


def _sheets(rows: list[dict[str, Any]], findings: dict[str, Any]) -> list[Sheet]:
    exact = [
        [row["name"], "all", row["median"], row["median"], 0.0, ""]
        for row in rows
        if row["part"] == "gradient"
    ]
    sampled = [
        [row[x] for x in ("name", "samples", "median", "bias", "deviation", "ess")]
        for row in rows
        if row["part"] == "gradient by samples"
    ]
    columns = ["weights", "trajectories", "error", "bias", "deviation", "effective"]
    title = "relative error of the constraint's gradient, medians over problems"
    names = ("best_multiplier", *_LEFT)
    forward = [
        [f"r − λ (1 − ζ), sharpness {x:g}"]
        + [findings[f"sharpness_{x:g}_{name}"] for name in names]
        for x in SHARPNESS
    ]
    matching = findings["total_variation_of_r_plus_log_zeta"]
    forward.append(["r + log ζ", "", "", "", "", matching])
    return [
        Sheet(title, columns, exact + sampled),
        Sheet(
            "total variation that the forward step leaves to the model",
            [
                "forward reward",
                "best λ",
                "1 in 10 below",
                "median",
                "1 in 10 above",
                "most",
            ],
            forward,
        ),
        Sheet(
            "estimates of KL(new ‖ old) as a constraint moves away, in nats; bound "
            f"{findings['bound']:g}",
            ["trajectories", "ceiling", "largest median", "reached the bound"],
            _stops(rows),
        ),
    ]


def _stops(rows: list[dict[str, Any]]) -> list[list[Any]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["part"] == "kl" and row["name"] == "new_old":
            found.setdefault(row["samples"], []).append(row)
    return [
        [m, math.log(m), max(x["median"] for x in of), max(x["fired"] for x in of)]
        for m, of in found.items()
    ]
