"""The exact mean of an estimator: no samples, everything that can be drawn."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from reins.errors import CapabilityError
from reins.estimators import Estimator
from reins.lab.estimators import LabEstimator, design_of
from reins.lab.measure import estimate_of
from reins.lab.problem import Options, Problem
from reins.lab.problems import lab_problem
from reins.lab.study import in_float64
from reins.lab.subject import lab_estimator, prepare

MOST_DRAWS = 200_000
_AT_ONCE = 4096


class Expectation(NamedTuple):
    """The exact mean of an estimate.

    Attributes:
      mean: E[ĝ] from so many samples.
      exact: the gradient of the target.
      bias: their difference.
    """

    mean: Float[np.ndarray, " D"]
    exact: Float[np.ndarray, " D"]
    bias: Float[np.ndarray, " D"]


@in_float64
def expected_estimate(
    estimator: str | Callable | Estimator | LabEstimator,
    problem: str | Problem,
    *,
    samples: int = 1,
    target: str | None = None,
    options: Options | None = None,
    name: str | None = None,
) -> Expectation:
    """Σ p(x_1)..p(x_N) ĝ(x_1, .., x_N) over all that N samples can be, in float64.

    For designs of whole trajectories, of problems small enough to enumerate; pairs
    (`samples=2`) show what a leave-one-out baseline does.

    Args:
      estimator, problem, target, options, name: as `measure` takes them.
      samples: N ≥ 1.
    Raises: CapabilityError where there is no enumeration, or too much to enumerate.
    """
    label, found = lab_estimator(estimator, name, target, options)
    problem = lab_problem(problem) if isinstance(problem, str) else problem
    subject = prepare(label, found, problem)
    design = subject.design
    if design.every is None:
        raise CapabilityError(
            f"the exact mean of `{label}` was asked for; samples of the design "
            f"{design_of(found, label)!r} of the problem {problem.name} cannot be "
            "enumerated. Use reins.lab.measure."
        )
    rows, log_masses = design.every(design.tables)
    if (draws := len(log_masses) ** samples) > MOST_DRAWS:
        raise CapabilityError(
            f"the exact mean of `{label}` from {samples} samples was asked for; that "
            f"is a sum over {draws:,} draws, more than {MOST_DRAWS:,}. Take fewer "
            "samples or a smaller problem, or use reins.lab.measure."
        )
    chosen = jnp.asarray(
        list(itertools.product(range(len(log_masses)), repeat=samples))
    )
    weights = jnp.exp(jnp.sum(log_masses[chosen], axis=1))
    estimate = estimate_of(found.loss, subject.arguments, design.quantities)

    @jax.jit
    def mean() -> jax.Array:
        def one(index: jax.Array) -> jax.Array:
            draw = jax.tree.map(lambda x: x[index], rows)
            return estimate(design.params, design.tables, draw)[0]

        estimates = jax.lax.map(one, chosen, batch_size=_AT_ONCE)
        return weights @ estimates

    found_mean = np.asarray(mean())
    return Expectation(found_mean, subject.exact, found_mean - subject.exact)
