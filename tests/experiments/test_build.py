import jax.numpy as jnp
import numpy as np
import pytest

from reins.constraints import InputSpec
from reins.experiments.build import build, normalised_by
from reins.experiments.config import CostConfig, LearnConfig, TrainConfig
from reins.types import Pairs

LAP = "reins/LapGridWorld-v0"


def test_normalisation_is_by_what_the_demonstrator_saw():
    observations = jnp.asarray([[[1.0, 7.0], [3.0, 7.0], [999.0, 999.0]]])
    mask = jnp.asarray([[True, True, False]])
    expert = Pairs(observations, jnp.zeros((1, 3), int), mask)
    found = normalised_by(InputSpec(2, 2, True, (1, 0), (0, 1)), expert)
    np.testing.assert_allclose(found.offset, [7.0, 2.0])
    np.testing.assert_allclose(found.scale, [1.0, 1.0])
    wider = normalised_by(InputSpec(2, 2, True, (0,), (), clip=2.0), expert)
    np.testing.assert_allclose((wider.offset, wider.scale), [[1.5], [0.5]])


def test_training_is_judged_where_it_was_named_and_violations_where_they_can_be():
    task = build(TrainConfig("ppo", "reins/LapGridWorldConstrained-v0"))
    assert task.env.name == task.return_env.name == "reins/LapGridWorldConstrained-v0"
    assert task.violation_env.name == LAP


@pytest.mark.parametrize("method", ["icrl", "classifier", "gail-constraint"])
def test_learning_happens_in_the_nominal_twin_and_is_judged_in_the_other(method):
    task = build(LearnConfig(LAP, "lapgridworld", method))
    assert task.env.name == task.violation_env.name == LAP
    assert task.return_env.name == "reins/LapGridWorldConstrained-v0"


@pytest.mark.parametrize("dual", ["projected", "softplus", "pid"])
def test_every_multiplier_can_be_chosen(dual):
    task = build(TrainConfig("ppo-lagrangian", LAP, cost=CostConfig(dual=dual)))
    assert task.agent.init is not None
