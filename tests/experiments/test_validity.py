"""Who applies a constraint outside of what it was learned from is told so, once."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import reins
from reins.cli import main
from reins.constraints import InputSpec, constraint_network
from reins.envs import make_env
from reins.experiments.api import Trained
from reins.experiments.constraint_file import save_constraint
from reins.experiments.record import read_curves
from reins.experiments.validity import OUTSIDE, outside, validity_news
from tests.experiments.conftest import LAP, SMALL


def half_seen(folder: Path, low: float = -1.0, high: float = 0.0, **kept) -> Path:
    """A constraint that has seen no cell beyond these."""
    ranges: dict[str, Any] = {
        "seen_low": (low, 0.0, 0.0),
        "seen_high": (high, 1.0, 1.0),
    }
    inputs = InputSpec(1, 2, True, (0,), (0, 1), **(ranges | kept))
    zeta = constraint_network(inputs, hidden=(4,))(jax.random.key(0))
    path = folder / "half.safetensors"
    save_constraint(path, zeta, {})
    return path


def obeying(path: Path, out: Path) -> Trained:
    told = {**SMALL, "seeds": 1, "constraint": str(path), "out": out, "quiet": True}
    return reins.train("ppo-lagrangian", LAP, **told)


def test_each_input_is_told_with_both_ranges_worst_first():
    inputs = InputSpec(
        4,
        2,
        False,
        (0, 2),
        (1,),
        clip=3.0,
        seen_low=(-1.0, 0.0, -1.0),
        seen_high=(1.0, 5.0, 1.0),
    )
    zeta = constraint_network(inputs, hidden=())(jax.random.key(0))
    observations = np.zeros((10, 4), np.float32)
    observations[:4, 2] = -0.5
    observations[3:9, 0] = [1.5, -2.0, 1.1, 4.0, 1.2, 1.3]
    share, worst = outside(zeta, None, observations, np.zeros((10, 2), np.float32))
    assert share == pytest.approx(0.9)
    assert [one.name for one in worst] == ["observation 0", "observation 2"]
    assert [one.share for one in worst] == pytest.approx([0.6, 0.4])
    assert worst[0].found == (-2.0, 4.0)
    assert worst[1].seen == (0.0, 5.0)
    assert str(worst[0]) == (
        "observation 0 was -2 to 4, and -1 to 1 in the data, beyond ±3 all the same to "
        "it (outside in 60 % of the steps)"
    )
    assert "all the same" not in str(worst[1])


def test_names_are_the_environment_s():
    inputs = InputSpec(9, 2, False, (1,), (), seen_low=(0.0,), seen_high=(1.0,))
    zeta = constraint_network(inputs, hidden=())(jax.random.key(0))
    env = make_env("reins/PointCircleWall-v0")
    share, (one,) = outside(zeta, env, np.full((3, 9), 2.0), np.zeros((3, 2)))
    assert (share, one.name) == (1.0, "y (m)")


def test_a_trained_agent_is_told_once_and_again_when_it_is_evaluated(tmp_path, capsys):
    """Cells above 0 are half of the lap; an agent that begins drives about there."""
    run = obeying(half_seen(tmp_path, high=-0.9), tmp_path / "run")
    (share,) = run.summary["constraint_outside"]
    assert 0.01 < share <= 1.0
    (news,) = run.summary["news"]
    assert f"seed 0: {OUTSIDE}:" in news
    assert "an extrapolation in" in news
    assert "cell / 20 − 1 was" in news
    assert "and -1 to -0.9 in the data" in news
    assert main(["evaluate", str(run.folder), "--episodes", "2"]) == 0
    assert "Warning: seed 0: the learned cost is an extrapolation" in (
        " ".join(capsys.readouterr().out.split())
    )
    summary = json.loads((run.folder / "evaluation" / "summary.json").read_text())
    assert 0.01 < summary["constraint_outside"][0] <= 1.0


def test_the_share_is_that_of_the_batches(tmp_path):
    """All cells were seen but the first, on which every episode begins."""
    run = obeying(half_seen(tmp_path, low=-0.99, high=1.0), tmp_path / "run")
    _, curves = read_curves(run.folder)
    shares = curves.values[OUTSIDE]
    assert np.isnan(shares[0]).all()
    assert (shares[1:] >= 1 / 200).all()
    assert (shares[1:] < 0.5).all()


@pytest.mark.parametrize(
    "kept", [{"seen_low": (), "seen_high": ()}, {"seen_high": (1.0,) * 3}]
)
def test_nothing_is_said_where_ranges_are_kept_or_unknown(tmp_path, kept):
    run = obeying(half_seen(tmp_path, **kept), tmp_path / "run")
    known = bool(kept.get("seen_low", True))
    assert run.summary.get("constraint_outside") == ([0.0] if known else None)
    assert "news" not in run.summary


def test_news_is_for_each_seed_and_told_once():
    row = {OUTSIDE: [0.3, 0.005, 0.02]}
    told = list(validity_news(row, (7, 8, 9), [], lambda place: f"place {place}"))
    assert [sentence[:7] for sentence in told] == ["seed 7:", "seed 9:"]
    assert told[0].endswith("place 0")
    assert told[1].endswith("place 2")
    again = list(validity_news(row, (7, 8, 9), told[:1], lambda place: "again"))
    assert [sentence[:7] for sentence in again] == ["seed 9:"]
    assert list(validity_news(row, (7, 8, 9), [], lambda place: "")) == []
    assert list(validity_news({}, (7, 8, 9), [], lambda place: "")) == []
