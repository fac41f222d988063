"""Known ways in which a constraint is learned wrong, each on a corridor, exactly."""

from reins.lab.studies.constraint_biases.study import (
    ConstraintBiasesConfig,
    constraint_biases_study,
)

__all__ = ["ConstraintBiasesConfig", "constraint_biases_study"]
