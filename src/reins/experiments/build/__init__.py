"""From a configuration to everything that its run needs."""

from reins.experiments.build.carried import carried, each_its_own
from reins.experiments.build.inputs import (
    check_constraint,
    check_demonstrations,
    input_spec,
    normalised_by,
)
from reins.experiments.build.task import Task, build, places

__all__ = [
    "Task",
    "build",
    "carried",
    "check_constraint",
    "check_demonstrations",
    "each_its_own",
    "input_spec",
    "normalised_by",
    "places",
]
