"""The lab: how far every estimate is from the truth."""

from reins.lab.comparison import compare
from reins.lab.estimators import LAB, LabEstimator
from reins.lab.expectation import Expectation, expected_estimate
from reins.lab.measure import Measurement, measure
from reins.lab.problem import Options, Problem
from reins.lab.problems import DEFAULT_PROBLEMS, PROBLEMS, lab_problem, problem_of
from reins.lab.study import Study

__all__ = [
    "DEFAULT_PROBLEMS",
    "LAB",
    "PROBLEMS",
    "Expectation",
    "LabEstimator",
    "Measurement",
    "Options",
    "Problem",
    "Study",
    "compare",
    "expected_estimate",
    "lab_problem",
    "measure",
    "problem_of",
]
