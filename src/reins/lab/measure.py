"""How far estimates are from the truth: bias, variance, error and direction.

One row of the table is one estimator on one problem at one sample size: the estimate is
made `repeats` times from fresh samples and held against the exact gradient of its
target.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import ConfigError, DataError
from reins.estimators import Estimator
from reins.lab.estimators import LabEstimator
from reins.lab.problem import Options, Problem
from reins.lab.problems import lab_problem
from reins.lab.statistics import Statistics, statistics
from reins.lab.study import QUICK
from reins.lab.subject import Subject, in_single, lab_estimator, prepare
from reins.types import Key

ROWS = 2**15
"""Samples drawn at once, and dealt out to as many estimates as they are enough for."""
QUICK_SAMPLES = 256
"""Up to so many an estimate takes less time than compiling it well."""


class Measurement(NamedTuple):
    """What was measured of one estimator on one problem at one sample size.

    Attributes:
      problem, estimator, target: names.
      samples: trajectories (or draws) that one estimate is made of.
      statistics: bias, variance, error and cosine, with intervals.
      ess: mean effective sample size that the estimator reports, or None.
      unbiased: what is claimed of it, or None.
      seconds: time of one estimate from its samples, without drawing them.
      mean: the mean estimate. exact: the gradient of the target.
    """

    problem: str
    estimator: str
    target: str
    samples: int
    statistics: Statistics
    ess: float | None
    unbiased: str | None
    seconds: float
    mean: Float[np.ndarray, " D"]
    exact: Float[np.ndarray, " D"]


def measure(
    estimator: str | Callable | Estimator | LabEstimator,
    problem: str | Problem,
    *,
    key: Key,
    samples: int | Sequence[int] = (1, 4, 16, 64, 256),
    repeats: int = 1000,
    target: str | None = None,
    options: Options | None = None,
    name: str | None = None,
) -> list[Measurement]:
    """Measure an estimator against the exact gradient of its target.

    The estimator is a function of arrays that returns a loss, or (loss, info). Its
    arguments' names say which arrays it is given, out of what the problem offers; one
    that has a default and is not offered keeps it. The negative gradient of the loss
    is the estimate.

    Args:
      estimator: such a function, a record of `reins.estimators.ESTIMATORS`, or a name.
      problem: a `Problem`, or a name (`reins.lab.PROBLEMS`).
      key: the same key draws the same samples for every estimator of one design.
      samples: sample sizes, each ≥ 1.
      repeats: estimates per size, ≥ 2.
      target: the objective whose gradient is the truth; J when nobody says otherwise.
      options: how a marginal estimator is fed.
      name: what to call it in tables; the function's own name when not given.
    Returns: one measurement for each sample size.
    Raises: ConfigError, CapabilityError or DataError for what cannot be measured.
    """
    label, found = lab_estimator(estimator, name, target, options)
    if isinstance(problem, str):
        problem = lab_problem(problem)
    sizes = [samples] if isinstance(samples, int) else list(samples)
    check_sizes(sizes, repeats)
    subject = prepare(label, found, problem)
    enough = [n for n in sizes if n >= found.least]
    return [measure_together([subject], n, repeats, key)[0] for n in enough]


def check_sizes(sizes: Sequence[int], repeats: int) -> None:
    """Refuse sample sizes and repeats that measure nothing.

    Raises: ConfigError.
    """
    if not sizes or min(sizes) < 1:
        raise ConfigError(
            f"sample sizes {sizes} were asked for; name one or more, each at least 1."
        )
    if repeats < 2:
        raise ConfigError(
            f"{repeats} repeats were asked for; a variance needs at least 2, and an "
            "interval many more (1000, say)."
        )


def measure_together(
    subjects: Sequence[Subject], n: int, repeats: int, key: Key
) -> list[Measurement]:
    """One row each for estimators that share a draw: the same samples for all.

    Raises: DataError when an estimate is not finite.
    """
    subjects = [one._replace(design=in_single(one.design)) for one in subjects]
    design = subjects[0].design
    batch = max(1, min(repeats, ROWS // n))
    draw = _drawing(design.draw, max(ROWS, n))
    keys = jax.random.split(jax.random.fold_in(key, n), -(-repeats // batch))
    first = draw(design.tables, keys[0])
    programs = [_compiled(subject, n, batch, first) for subject in subjects]
    found: list[list[Any]] = [[] for _ in subjects]
    seconds = np.zeros(len(subjects))
    for i, one in enumerate(keys):
        rows = jax.block_until_ready(draw(design.tables, one) if i else first)
        for j, (subject, program) in enumerate(zip(subjects, programs, strict=True)):
            began = time.perf_counter()
            given = subject.design.params, subject.design.tables, rows
            result = jax.block_until_ready(program(*given))
            seconds[j] += time.perf_counter() - began
            found[j].append([np.asarray(x, np.float64) for x in result])
    return [
        _measurement(subject, n, repeats, chunks, float(time) / (len(keys) * batch))
        for subject, chunks, time in zip(subjects, found, seconds, strict=True)
    ]


def _measurement(
    subject: Subject, n: int, repeats: int, chunks: list[Any], seconds: float
) -> Measurement:
    estimates, sizes = (
        np.concatenate(parts)[:repeats] for parts in zip(*chunks, strict=True)
    )
    _check_finite(subject, n, estimates)
    ess = float(np.mean(sizes))
    return Measurement(
        problem=subject.problem,
        estimator=subject.name,
        target=subject.of.target,
        samples=n,
        statistics=statistics(estimates, subject.exact),
        ess=None if np.isnan(ess) else ess,
        unbiased=subject.of.unbiased,
        seconds=seconds,
        mean=estimates.mean(axis=0),
        exact=subject.exact,
    )


@lru_cache(maxsize=512)
def _drawing(draw: Callable, rows: int) -> Callable:
    return jax.jit(lambda tables, key: draw(tables, key, rows))


def _compiled(subject: Subject, n: int, batch: int, rows: Any) -> Callable:
    """(params, tables, rows) -> `batch` estimates from n rows each, and their ESS."""
    estimate = _estimates(
        subject.of.loss, subject.arguments, subject.design.quantities, n, batch
    )
    shapes = jax.tree.map(
        jax.typeof, (subject.design.params, subject.design.tables, rows)
    )
    leaves, structure = jax.tree.flatten(shapes)
    return _program(estimate, tuple(leaves), structure, n <= QUICK_SAMPLES)


@lru_cache(maxsize=512)
def _program(
    estimate: Callable, leaves: tuple, structure: Any, quick: bool
) -> Callable:
    shapes = jax.tree.unflatten(structure, leaves)
    lowered = jax.jit(estimate).lower(*shapes)
    return lowered.compile(compiler_options=QUICK if quick else None)


def estimate_of(
    loss: Callable, arguments: tuple[str, ...], quantities: Callable
) -> Callable[[Array, Any, Any], tuple[Array, Array]]:
    """(params, tables, draw) -> the estimate, and the ESS that the loss reports."""

    def value(params: Array, tables: Any, draw: Any) -> tuple[Array, Array]:
        offered = quantities(params, tables, draw)
        result = loss(**{name: offered[name]() for name in arguments})
        scalar, info = result if isinstance(result, tuple) else (result, {})
        ess = info.get("ess", jnp.nan) if isinstance(info, dict) else jnp.nan
        return scalar, jnp.asarray(ess, scalar.dtype)

    def estimate(params: Array, tables: Any, draw: Any) -> tuple[Array, Array]:
        gradient, ess = jax.grad(value, has_aux=True)(params, tables, draw)
        return -gradient, ess

    return estimate


@lru_cache(maxsize=512)
def _estimates(
    loss: Callable, arguments: tuple[str, ...], quantities: Callable, n: int, batch: int
) -> Callable:
    estimate = estimate_of(loss, arguments, quantities)

    def estimates(params: Array, tables: Any, rows: Any) -> tuple[Array, Array]:
        dealt = jax.tree.map(
            lambda x: x[: batch * n].reshape(batch, n, *x.shape[1:]), rows
        )
        return jax.vmap(estimate, in_axes=(None, None, 0))(params, tables, dealt)

    return estimates


def _check_finite(subject: Subject, n: int, estimates: np.ndarray) -> None:
    wrong = int(np.sum(~np.all(np.isfinite(estimates), axis=1)))
    if wrong:
        raise DataError(
            f"`{subject.name}` gave NaN or infinity in {wrong} of {len(estimates)} "
            f"estimates from {n} samples of the problem {subject.problem}; a bias "
            "cannot be measured. Mask the padding before what can overflow "
            "(jnp.where(mask, x, 0.0)), and keep weights in logs."
        )
