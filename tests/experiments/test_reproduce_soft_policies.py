"""soft-policies: its cells can be built, and its pictures show what policies do."""

import numpy as np
import pytest
from gymnasium import spaces
from matplotlib.colors import to_hex

from reins.cli import main
from reins.envs import env_entry
from reins.experiments.build import build
from reins.experiments.record import Curves
from reins.experiments.reproduce.cell import Asked, fewer_steps
from reins.experiments.reproduce.draw_soft_policies import (
    CLUB_COLOURS,
    draw_clubs,
    draw_curves_of,
    draw_doors,
)
from reins.experiments.reproduce.soft_policies import (
    DISCRETE,
    DOORS,
    GOLF,
    compare,
    soft_policies,
)

TINY = (
    *("--seeds", "2", "--steps", "24", "--hidden", "8", "--batch-size", "8"),
    *("--learning-starts", "12", "--evaluation-episodes", "2"),
    *("--evaluation-interval", "24", "--policy-loss", "forward-kl", "--quiet"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("soft")
    for table, more in ((DOORS, ("--policy-kind", "mixture")), (GOLF, ())):
        folder = str(out / table / "a cell")
        told = ("--env", f"reins/{table}", "--out", folder, *TINY, *more)
        assert main(["train", "sac", *told]) == 0
    return out


def test_every_loss_of_discrete_actions_is_there_for_every_task():
    found = {(c.table, c.config.soft.policy_loss) for c in soft_policies()}
    losses = ("exact-reverse", "exact-forward", "forward-kl", "reverse-kl-score")
    assert {(task, loss) for task in DISCRETE for loss in losses} <= found


def test_single_gaussians_and_mixtures_differ_in_nothing_but_policy_and_loss():
    cells = [c for c in soft_policies() if c.table == DOORS]
    kinds = [c.config.soft.policy_kind for c in cells]
    assert kinds == ["squashed", "squashed", "mixture", "mixture"]
    assert len({(c.config.run, c.config.ppo) for c in cells}) == 1
    assert {c.config.soft.temperature for c in cells} == {"0.1"}


@pytest.mark.parametrize(
    "cell",
    [c for c in soft_policies() if env_entry(c.config.env)],
    ids=lambda cell: cell.label,
)
def test_cells_in_compiled_environments_can_be_built_at_any_size(cell):
    for scale in (1, 0.02):
        config = fewer_steps(cell, scale).config
        assert build(config).env.name == f"reins/{cell.table}"
        assert config.soft.learning_starts == round(1000 * scale)


@pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")
def test_cells_of_the_lander_can_be_built_where_box2d_is():
    pytest.importorskip("Box2D")
    (cell, *_) = [c for c in soft_policies() if c.table == "LunarLander-v3"]
    env = build(cell.config).env
    assert env.action_space == spaces.Discrete(4)
    assert env.observation_space.shape == (8,)


def test_densities_along_the_wall_are_densities(runs):
    figure = draw_doors({"a": runs / DOORS / "a cell"}, {"a": np.array([1.0, -2.0])})
    (axes,) = figure.axes
    assert len(axes.lines) == 2
    for line in axes.lines:
        place, density = line.get_data()
        assert abs(np.trapezoid(density, place) - 1) < 0.02
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["seed 0: 1.0", "seed 1: -2.0"]
    walls = sum(patch.get_width() for patch in axes.patches)
    np.testing.assert_allclose(walls, 2 - 2 * 0.3)


def test_every_club_has_its_colour_and_all_are_taken_by_an_untrained_policy(runs):
    figure = draw_clubs({"a": runs / GOLF / "a cell"}, {"a": np.array([-9.0, -8.5])})
    above, below = figure.axes
    assert above.get_title() == "a\nreturns -9.00, -8.50"
    assert len(above.collections) == len(CLUB_COLOURS)
    assert {to_hex(line.get_color()) for line in below.lines[:-1]} == set(
        CLUB_COLOURS.values()
    )


def some_curves(*last):
    values = np.stack([np.zeros(len(last)), np.asarray(last)])
    return Curves(np.array([0, 10]), {"return": values})


def test_returns_along_training_are_drawn_for_each_task():
    results = {"a": {"x": some_curves(1.0, 3.0), "y": some_curves(5.0, 6.0)}}
    results["b"] = {"x": some_curves(7.0)}
    one, other = draw_curves_of(results).axes
    means = [line.get_ydata()[-1] for line in one.lines if line.get_linewidth() > 1]
    assert means == [2.0, 5.5]
    assert [line.get_ydata()[-1] for line in other.lines] == [7.0, 7.0]


def test_what_is_there_is_compared(runs):
    results = {
        DOORS: {"a cell": some_curves(9.876, 1.0)},
        GOLF: {"a cell": some_curves(-2.2, -2.345)},
        "CartPole-v1": {"exact-reverse": some_curves(1.0, 2.0)},
    }
    kept = runs / "results"
    kept.mkdir()
    found = compare(results, kept, Asked("reins reproduce soft-policies", 1.0))
    assert {p.name for p in kept.iterdir()} == {
        *("discrete.png", "two-doors.png", "golf.png"),
    }
    assert "| TwoDoors-v0, a cell | 9.88, 1.00 | at best 10" in found.page
    assert "| -2.20, -2.35 | at best −2.15" in found.page
