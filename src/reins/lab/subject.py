"""An estimator joined to a problem, which has what it asks for."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import CapabilityError, ConfigError, DataError, unknown_name
from reins.estimators import ESTIMATORS, Estimator
from reins.lab.estimators import (
    LAB,
    LabEstimator,
    arguments_for,
    design_of,
    of_record,
)
from reins.lab.problem import Design, Options, Problem, single_precision


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
        found = of_record(estimator)
    else:
        known = {id(record.loss): record for record in ESTIMATORS.values()}
        record = known.get(id(estimator))
        found = of_record(record) if record else LabEstimator(estimator, "J")
    if target is not None:
        found = found._replace(target=target)
    if options is not None:
        found = found._replace(options=options)
    loss = found.loss.func if isinstance(found.loss, partial) else found.loss
    return name or getattr(loss, "__name__", "estimator"), found


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
