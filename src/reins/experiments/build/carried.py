"""A learned constraint around the environment that it is carried to."""

from reins.constraints import Constraint
from reins.experiments.config import TrainConfig
from reins.experiments.constraint_file import load_constraint


def carried(config: TrainConfig, seed: int | None = None) -> Constraint | None:
    """The learned constraint itself, if there is one."""
    del seed
    return None if config.constraint is None else load_constraint(config.constraint)
