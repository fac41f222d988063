"""The studies of the lab by name: how each is configured, made and drawn."""

from collections.abc import Callable
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from reins.experiments.lab.draw_baselines import draw_baselines
from reins.experiments.lab.draw_bound import draw_bound
from reins.experiments.lab.draw_constraint import draw_constraint
from reins.experiments.lab.draw_constraint_biases import draw_constraint_biases
from reins.experiments.lab.draw_estimators import draw_estimators
from reins.experiments.lab.draw_fisher import draw_fisher
from reins.experiments.lab.draw_gradient_variance import draw_gradient_variance
from reins.experiments.lab.draw_grid_constraints import draw_grid_constraints
from reins.experiments.lab.draw_horizon import draw_horizon
from reins.experiments.lab.draw_inference import draw_inference
from reins.experiments.lab.draw_kl_fit import draw_kl_fit
from reins.experiments.lab.draw_spaces import draw_spaces
from reins.lab.comparison import EstimatorsConfig, estimators_study
from reins.lab.studies.baselines import BaselinesConfig, baselines_study
from reins.lab.studies.bound import BoundConfig, bound_study
from reins.lab.studies.constraint import ConstraintConfig, constraint_study
from reins.lab.studies.constraint_biases import (
    ConstraintBiasesConfig,
    constraint_biases_study,
)
from reins.lab.studies.fisher import FisherConfig, fisher_study
from reins.lab.studies.gradient_variance import (
    GradientVarianceConfig,
    gradient_variance_study,
)
from reins.lab.studies.grid_constraints import (
    GridConstraintsConfig,
    grid_constraints_study,
)
from reins.lab.studies.horizon import HorizonConfig, horizon_study
from reins.lab.studies.inference import InferenceConfig, inference_study
from reins.lab.studies.kl_fit import KlFitConfig, kl_fit_study
from reins.lab.studies.spaces import SpacesConfig, spaces_study
from reins.lab.study import Study


class StudyKind(NamedTuple):
    """What a study's command takes, what it does, and its picture."""

    config: type
    make: Callable[..., Study]
    draw: Callable[[Study], Figure]


STUDIES: dict[str, StudyKind] = {
    "estimators": StudyKind(EstimatorsConfig, estimators_study, draw_estimators),
    "horizon": StudyKind(HorizonConfig, horizon_study, draw_horizon),
    "baselines": StudyKind(BaselinesConfig, baselines_study, draw_baselines),
    "gradient-variance": StudyKind(
        GradientVarianceConfig, gradient_variance_study, draw_gradient_variance
    ),
    "kl-fit": StudyKind(KlFitConfig, kl_fit_study, draw_kl_fit),
    "bound": StudyKind(BoundConfig, bound_study, draw_bound),
    "fisher": StudyKind(FisherConfig, fisher_study, draw_fisher),
    "inference": StudyKind(InferenceConfig, inference_study, draw_inference),
    "constraint": StudyKind(ConstraintConfig, constraint_study, draw_constraint),
    "constraint-biases": StudyKind(
        ConstraintBiasesConfig, constraint_biases_study, draw_constraint_biases
    ),
    "grid-constraints": StudyKind(
        GridConstraintsConfig, grid_constraints_study, draw_grid_constraints
    ),
    "spaces": StudyKind(SpacesConfig, spaces_study, draw_spaces),
}


def kind_of(config: Any) -> tuple[str, StudyKind]:
    """The study that a configuration belongs to."""
    return next((n, kind) for n, kind in STUDIES.items() if type(config) is kind.config)
