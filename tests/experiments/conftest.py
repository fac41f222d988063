"""One small trained run and one small learned constraint, shared by these tests."""

from pathlib import Path

import pytest

import reins
from reins.experiments.api import Trained

LAP = "reins/LapGridWorld-v0"
SMALL = {
    "seeds": 2,
    "steps": 1_600,
    "environments": 2,
    "rollout_steps": 200,
    "evaluation_interval": 800,
    "evaluation_episodes": 2,
    "hidden": (8,),
    "epochs": 1,
    "minibatches": 2,
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("trained") / "run"
    return reins.train("ppo-lagrangian", LAP, out=out, quiet=True, **SMALL)


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("learned") / "run"
    return reins.learn_constraint(LAP, "lapgridworld", out=out, quiet=True, **SMALL)


@pytest.fixture(scope="session")
def constraint_path(learned: Trained) -> Path:
    return learned.folder / "constraint-seed-0.safetensors"
