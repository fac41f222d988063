"""How far estimates are from the truth: bias, variance, error and direction.

One row of the table is one estimator on one problem at one sample size: the estimate is
made `repeats` times from fresh samples and held against the exact gradient of its
target.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import CapabilityError, ConfigError, DataError, unknown_name
from reins.estimators import Estimator
from reins.lab.estimators import LAB, LabEstimator, arguments_for, design_of
from reins.lab.problem import Design, Options, Problem, single_precision
from reins.lab.problems import lab_problem
from reins.lab.statistics import Statistics, statistics
from reins.types import Key

ROWS = 2**15
"""Samples drawn at once, and dealt out to as many estimates as they are enough for."""
QUICK_SAMPLES = 256
"""Up to so many an estimate takes less time than compiling it well."""
_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


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


def lab_estimator(
    estimator: str | Callable | Estimator | LabEstimator,
    name: str | None = None,
    target: str | None = None,
    options: Options | None = None,
) -> tuple[str, LabEstimator]:
    """A name and what the lab needs to know, of whatever was handed over.

    Raises: ConfigError for a name that is not in the lab.
    """
    if isinstance(estimator, str):
        if estimator not in LAB:
            raise ConfigError(unknown_name("estimator", estimator, LAB))
        name, found = name or estimator, LAB[estimator]
    elif isinstance(estimator, LabEstimator):
        found = estimator
    elif isinstance(estimator, Estimator):
        found = LabEstimator(estimator.loss, estimator.target, estimator.unbiased)
    else:
        known = {id(entry.loss): entry for entry in LAB.values()}
        found = known.get(id(estimator), LabEstimator(estimator, "J"))
    if target is not None:
        found = found._replace(target=target)
    if options is not None:
        found = found._replace(options=options)
    loss = found.loss.func if isinstance(found.loss, partial) else found.loss
    return name or getattr(loss, "__name__", "estimator"), found


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


class Subject(NamedTuple):
    """An estimator joined to a problem, checked."""

    name: str
    of: LabEstimator
    problem: str
    design: Design
    arguments: tuple[str, ...]
    exact: Float[np.ndarray, " D"]


def prepare(name: str, estimator: LabEstimator, problem: Problem) -> Subject:
    """Join an estimator to a problem.

    Raises: CapabilityError when the problem lacks its design or target, ConfigError
    when it lacks an array that is asked for, DataError when no scalar comes out.
    """
    estimator.options.check()
    wanted = design_of(estimator, name)
    if wanted not in problem.designs:
        raise CapabilityError(
            f"`{name}` needs samples of the design {wanted!r}; the problem "
            f"{problem.name} has {', '.join(problem.designs)}. Measure it elsewhere."
        )
    exact = problem.gradient(estimator.target, estimator.options)
    whole = problem.design(wanted, estimator.options)
    if exact.shape != whole.params.shape:
        raise CapabilityError(
            f"`{name}` was to be held against {estimator.target}, whose gradient in "
            f"the problem {problem.name} has {exact.size} parameters; the design "
            f"{wanted!r} estimates {whole.params.size}. Name another target."
        )
    design = in_single(whole)
    least = max(2, estimator.least)
    draw = jax.eval_shape(
        lambda tables, key: design.draw(tables, key, least),
        design.tables,
        jax.random.key(0),
    )
    offered: set[str] = set()

    def offers(params: Array, tables: Any, draw: Any) -> Array:
        offered.update(design.quantities(params, tables, draw))
        return params

    jax.eval_shape(offers, design.params, design.tables, draw)
    arguments = arguments_for(estimator, name, offered, problem.name)
    _check_loss(name, estimator.loss, design, draw, arguments)
    return Subject(name, estimator, problem.name, whole, tuple(arguments), exact)


def in_single(design: Design) -> Design:
    """The same with float32 arrays: samples are drawn and weighed in those."""
    arrays = single_precision((design.params, design.tables))
    return design._replace(params=arrays[0], tables=arrays[1])


def _check_loss(
    name: str, loss: Callable, design: Design, draw: Any, arguments: Sequence[str]
) -> None:
    """Raises: DataError when what comes out is not a scalar."""

    def call(params: Array, tables: Any, draw: Any) -> Any:
        offered = design.quantities(params, tables, draw)
        return loss(**{name: offered[name]() for name in arguments})

    found = jax.eval_shape(call, design.params, design.tables, draw)
    value = found[0] if isinstance(found, tuple) else found
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape != () or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        seen = "no array" if shape is None else f"shape {shape} of {dtype}"
        raise DataError(
            f"`{name}` was to be measured, but it returned {seen}; the lab "
            "differentiates a scalar loss, of shape () and floating. Return the mean "
            "over samples (as `loss`, or as (loss, info))."
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
    return lowered.compile(compiler_options=_QUICK if quick else None)


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
