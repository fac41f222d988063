"""Many estimators on several problems at several sample sizes: the lab's main table."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from reins.errors import CapabilityError, ConfigError, unknown_name
from reins.lab.estimators import LAB, LabEstimator, design_of
from reins.lab.measure import Measurement, check_sizes, measure_together
from reins.lab.problem import Problem
from reins.lab.problems import DEFAULT_PROBLEMS, lab_problem
from reins.lab.study import Advance, Sheet, Study, ignore
from reins.lab.subject import Subject, lab_estimator, prepare
from reins.types import Key

COLUMNS = [
    *("problem", "estimator", "target", "samples", "bias_norm", "bias_low"),
    *("bias_high", "trace_covariance", "mse", "cosine", "ess", "unbiased", "seconds"),
]
CONTRADICTION = 12.0
"""Standard deviations of bias beyond which a claim of none is called wrong."""


@dataclasses.dataclass(frozen=True)
class EstimatorsConfig:
    """Every gradient estimator's bias, variance and error, against the exact truth."""

    problem: tuple[str, ...] = DEFAULT_PROBLEMS
    """Problems to measure on; `random-7` is the random one of seed 7."""
    samples: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    """Sample sizes: trajectories, or draws, that one estimate is made of."""
    only: tuple[str, ...] = ()
    """Estimators by name, or module:function for your own; none means all."""
    repeats: int = 1000
    """Estimates behind each row."""
    key: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        check_sizes(self.samples, self.repeats)
        if not self.problem:
            raise ConfigError("no problem was named; leave --problem out for three.")
        for name in self.only:
            if name not in LAB and ":" not in name:
                raise ConfigError(unknown_name("estimator", name, LAB))


class Job(NamedTuple):
    """Estimators that share their samples, at one size, still to be measured."""

    subjects: list[Subject]
    samples: int


def estimators_study(
    config: EstimatorsConfig,
    advance: Advance = ignore,
    *,
    own: Mapping[str, Callable] | None = None,
    run: Callable[..., Iterable[list[Measurement]]] = map,
) -> Study:
    """What `reins lab estimators` measures.

    Args:
      own: the user's functions, by the names under which `config.only` asks for them.
      run: how rows are worked off; `map`, or that of a pool of threads.
    """
    names = config.only or tuple(LAB)
    chosen = {name: (own or {}).get(name, name) for name in names}
    return compare(
        chosen,
        config.problem,
        key=jax.random.key(config.key),
        samples=config.samples,
        repeats=config.repeats,
        advance=advance,
        run=run,
    )


def compare(
    estimators: Mapping[str, str | Callable | LabEstimator],
    problems: str | Problem | Sequence[str | Problem] = DEFAULT_PROBLEMS,
    *,
    key: Key,
    samples: Sequence[int] = (1, 4, 16, 64, 256),
    repeats: int = 1000,
    advance: Advance = ignore,
    run: Callable[..., Iterable[list[Measurement]]] = map,
) -> Study:
    """Measure several estimators, yours among them, as one study.

    Where a problem cannot give what one of the lab's own needs, that pair is left out.

    Args:
      estimators: by the name in the table: anything that `measure` takes.
      problems: one or several, by name or as `Problem`.
      key: all estimators of one design see the same samples.
      samples, repeats: as `measure` takes them.
      advance: told how far it is. run: `map`, or that of a pool of threads.
    Raises: as `measure`; CapabilityError when nothing at all can be measured.
    """
    check_sizes(list(samples), repeats)
    single = isinstance(problems, str | Problem)
    listed: Sequence[Any] = [problems] if single else problems
    found = [lab_problem(x) if isinstance(x, str) else x for x in listed]
    subjects, refusals = _subjects(estimators, found)
    if not subjects:
        raise CapabilityError("nothing was left to measure:\n" + "\n".join(refusals))
    jobs = _jobs(subjects, samples)
    total = sum(len(job.subjects) for job in jobs)

    def measured(job: Job) -> list[Measurement]:
        result = measure_together(job.subjects, job.samples, repeats, key)
        first = job.subjects[0]
        doing = f"{first.problem}: {first.name} ({job.samples})"
        advance(len(result) / total, doing)
        return result

    rows = {
        (m.problem, m.estimator, m.samples): m
        for measurements in run(measured, jobs)
        for m in measurements
    }
    names = [(one.problem, one.name) for one in subjects]
    order = [(*pair, n) for pair, n in itertools.product(names, samples)]
    return study_of([rows[one] for one in order if one in rows], refusals)


def _jobs(subjects: Sequence[Subject], samples: Sequence[int]) -> list[Job]:
    """The largest first, so that two threads end together."""
    shared: dict[Any, list[Subject]] = {}
    for one in subjects:
        name = design_of(one.of, one.name)
        shared.setdefault((one.problem, name, one.design.draw), []).append(one)
    return [
        Job(enough, n)
        for n in sorted(set(samples), reverse=True)
        for together in shared.values()
        if (enough := [one for one in together if n >= one.of.least])
    ]


def _subjects(
    estimators: Mapping[str, Any], problems: Sequence[Problem]
) -> tuple[list[Subject], list[str]]:
    """What can be measured, and a sentence for each pair that cannot."""
    subjects, refusals = [], []
    for problem in problems:
        for name, given in estimators.items():
            label, estimator = lab_estimator(given, name)
            try:
                subjects.append(prepare(label, estimator, problem))
            except CapabilityError as refusal:
                refusals.append(str(refusal))
    return subjects, refusals


def study_of(
    measurements: Sequence[Measurement], refusals: Sequence[str] = ()
) -> Study:
    """Measurements as a study: table, rows, and what contradicts its claim."""
    rows = [_row(m) for m in measurements]
    wrong = [_pair(m) for m in measurements if contradicts(m)]
    return Study(
        name="estimators",
        rows=rows,
        sheets=_sheets(measurements),
        findings={
            "contradictions": list(dict.fromkeys(wrong)),
            "not_measured": list(refusals),
            "exact_norms": {
                f"{m.problem}: {m.target}": float(np.linalg.norm(m.exact))
                for m in measurements
            },
            "intervals": [_intervals(m) for m in measurements],
        },
        fields={},
    )


def contradicts(measurement: Measurement) -> bool:
    """Whether what is claimed to be without bias is plainly biased."""
    claimed = measurement.unbiased in ("yes", "with an exact critic")
    return claimed and measurement.statistics.bias_score > CONTRADICTION


def _pair(measurement: Measurement) -> str:
    return f"{measurement.estimator} on {measurement.problem}"


def _row(m: Measurement) -> dict[str, Any]:
    s = m.statistics
    bias, trace = s.bias_norm, s.trace_covariance
    values = [
        *(m.problem, m.estimator, m.target, m.samples, bias.value, bias.low, bias.high),
        *(trace.value, s.mse.value, s.cosine.value, m.ess, m.unbiased, m.seconds),
    ]
    return dict(zip(COLUMNS, values, strict=True))


def _intervals(m: Measurement) -> dict[str, Any]:
    kinds = ("trace_covariance", "mse", "cosine")
    named = {name: list(getattr(m.statistics, name)) for name in kinds}
    pair = {"problem": m.problem, "estimator": m.estimator, "samples": m.samples}
    return {**pair, **named, "bias_score": m.statistics.bias_score}


def _sheets(measurements: Sequence[Measurement]) -> list[Sheet]:
    """One table to a problem, at the largest size; lengths relative to the truth's."""
    sheets = []
    for problem in dict.fromkeys(m.problem for m in measurements):
        here = [m for m in measurements if m.problem == problem]
        largest = max(m.samples for m in here)
        rows: list[list[Any]] = []
        for target in dict.fromkeys(m.target for m in here):
            rows.append([f"∇ {target}", *[""] * 5])
            rows += [
                _cells(m) for m in here if (m.target, m.samples) == (target, largest)
            ]
        title = f"{problem}: estimates from {largest} samples, in % of the exact ‖∇‖"
        columns = ["estimator", "claim", "bias [95 %]", "noise", "cos", "ess"]
        sheets.append(Sheet(title, columns, rows))
    return sheets


_CLAIMS = {
    "yes": "unbiased",
    "with an exact critic": "exact critic",
    "no": "biased",
    None: "",
}


def _cells(m: Measurement) -> list[Any]:
    s, length = m.statistics, float(np.linalg.norm(m.exact)) or 1.0
    bias, low, high = (_percent(x / length) for x in s.bias_norm)
    claim = {"yes": "unbiased", "no": "biased", None: ""}.get(
        m.unbiased, "exact critic"
    )
    return [
        f" {m.estimator}",
        "WRONG" if contradicts(m) else claim,
        f"{bias} [{low}, {high}]",
        _percent(np.sqrt(s.trace_covariance.value) / length),
        f"{s.cosine.value:.2f}",
        "" if m.ess is None else f"{m.ess:.0f}" if m.ess > 99.5 else f"{m.ess:.2g}",
    ]


def _percent(share: float) -> str:
    """Two digits or so, and none below a hundredth of a percent."""
    x = 100 * share
    return f"{x:.0f}" if x >= 9.95 else f"{x:.1f}" if x >= 0.995 else f"{x:.2f}"
