"""Finite MDPs as problems of the lab: a softmax policy, and others that act for it."""

from reins.lab.tables.constraint import MOST_TRAJECTORIES
from reins.lab.tables.population import (
    SMOOTHING,
    Population,
    perturbations,
    population_quantities,
)
from reins.lab.tables.problem import tabular_problem
from reins.lab.tables.spec import TableSpec
from reins.lab.tables.states import StateDraw, StateTables
from reins.lab.tables.trajectories import TrajectoryTables

__all__ = [
    "MOST_TRAJECTORIES",
    "SMOOTHING",
    "Population",
    "StateDraw",
    "StateTables",
    "TableSpec",
    "TrajectoryTables",
    "perturbations",
    "population_quantities",
    "tabular_problem",
]
