"""How far a step may go before the KL leaves its second-order form."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.divergences import (
    categorical_kl,
    fisher_vector_product,
    gaussian_kl,
    hessian_vector_product,
    second_order_kl,
)
from reins.errors import ConfigError, sentence_of_faults
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64
from reins.tabular import policy_fisher, random_mdp, trajectory_kl
from reins.types import Key

Curve = Callable[[Float[Array, ""]], tuple[Float[Array, ""], Float[Array, ""]]]
"""From the length of a step to KL(old ‖ new) and its second-order form."""

SHOWN = (0.01, 0.1, 1.0)
TOLERATED = 0.1


@dataclasses.dataclass(frozen=True)
class FisherConfig:
    """Compare the KL of a step with its second-order form."""

    points: int = 25
    """Lengths of steps, evenly spaced in their logarithm."""
    smallest: float = 1e-3
    """The shortest step, as a Euclidean length in parameters."""
    largest: float = 3.0
    """The longest step."""
    key: int = 0
    """Seed of the policies, the directions, and the MDP."""

    def __post_init__(self) -> None:
        faults = []
        if self.points < 2:
            faults.append(f"{self.points} points; a curve needs at least 2")
        if not 1e-5 <= self.smallest <= self.largest / 10:
            faults.append(
                f"steps from {self.smallest} to {self.largest}; the smallest must be "
                "1e-5 or more, or rounding shows, and the largest ten times that"
            )
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))


@in_float64
def fisher_study(config: FisherConfig, advance: Advance = ignore) -> Study:
    """KL(θ ‖ θ + δ) against δᵀ F δ / 2, S4 (20), as δ grows.

    For a softmax over four actions (F δ by products of scores), a Gaussian (F δ by the
    curvature of its KL) and all trajectories of an MDP (F written out).
    """
    steps = np.geomspace(config.smallest, config.largest, config.points)
    curves = {"categorical": _categorical, "Gaussian": _gaussian, "MDP": _trajectories}
    rows: list[dict[str, Any]] = []
    shown, findings = [], {}
    for key, (name, make) in zip(
        jax.random.split(jax.random.key(config.key), len(curves)),
        curves.items(),
        strict=True,
    ):
        measure = jax.jit(jax.vmap(make(key)))
        rows += _rows(name, steps, *measure(jnp.asarray(steps)))
        shown += _rows(name, np.asarray(SHOWN), *measure(jnp.asarray(SHOWN)))
        findings |= _reach(name, rows[-config.points :])
        decade = np.geomspace(config.smallest, 10 * config.smallest, 5)
        findings |= _slope(name, _rows(name, decade, *measure(jnp.asarray(decade))))
        advance(1.0 / len(curves), name)
    sheet = Sheet(
        "KL(old ‖ new) in nats, and its second-order form",
        ["problem", "step", "KL", "second order", "relative error"],
        [list(row.values()) for row in shown],
    )
    return Study("fisher", rows, [sheet], findings, {})


def _categorical(key: Key) -> Curve:
    logits_key, direction_key = jax.random.split(key)
    logits = 1.5 * jax.random.normal(logits_key, (4,))
    direction = _unit(jax.random.normal(direction_key, (4,)))
    log_masses = jax.nn.log_softmax(logits)

    def measure(step):
        delta = step * direction
        product = fisher_vector_product(
            jax.nn.log_softmax, logits, delta, log_masses=log_masses
        )
        kl = categorical_kl(log_masses, jax.nn.log_softmax(logits + delta))
        return kl, second_order_kl(product, delta)

    return measure


def _gaussian(key: Key) -> Curve:
    terms_key, direction_key = jax.random.split(key)
    old = 0.5 * jax.random.normal(terms_key, (2, 2))  # mean, log-scale
    direction = _unit(jax.random.normal(direction_key, (2, 2)))

    def measure(step):
        delta = step * direction
        product = hessian_vector_product(
            lambda new: gaussian_kl(*old, *new), old, delta
        )
        return gaussian_kl(*old, *(old + delta)), second_order_kl(product, delta)

    return measure


def _trajectories(key: Key) -> Curve:
    mdp_key, logits_key, direction_key = jax.random.split(key, 3)
    mdp = random_mdp(mdp_key, 5, 3, horizon=6, terminal_states=1)
    old = jax.random.normal(logits_key, (5, 3))
    direction = _unit(jax.random.normal(direction_key, (5, 3)))
    fisher = policy_fisher(mdp, old)

    def measure(step):
        delta = step * direction
        product = (fisher @ delta.ravel()).reshape(delta.shape)
        return trajectory_kl(mdp, old, old + delta), second_order_kl(product, delta)

    return measure


def _unit(vector: Float[Array, "..."]) -> Float[Array, "..."]:
    return vector / jnp.linalg.norm(vector.ravel())


def _rows(
    name: str, steps: np.ndarray, kls: Array, second_orders: Array
) -> list[dict[str, Any]]:
    return [
        {
            "problem": name,
            "step": float(step),
            "kl": float(kl),
            "second_order": float(second),
            "relative_error": float(abs(second / kl - 1.0)),
        }
        for step, kl, second in zip(steps, kls, second_orders, strict=True)
    ]


def _slope(name: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of the relative error, in logarithms: 1, where the KL's third order dominates."""
    steps, errors = np.log([[row["step"], row["relative_error"]] for row in rows]).T
    return {f"slope_{name.lower()}": float(np.polyfit(steps, errors, 1)[0])}


def _reach(name: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """How far one may go before the relative error is larger than 10 %."""
    good = list(
        itertools.takewhile(lambda row: row["relative_error"] <= TOLERATED, rows)
    )
    last = good[-1] if good else {"step": 0.0, "kl": 0.0}
    label = name.lower()
    return {
        f"longest_step_within_10_percent_{label}": last["step"],
        f"kl_of_that_step_{label}": last["kl"],
    }
