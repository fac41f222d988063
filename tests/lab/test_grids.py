"""Grids with planted rules: moves and items by hand, and rules that can be found."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from reins.lab.grids import (
    MOVES,
    GridLayout,
    grid_log_partition,
    identifiable_grids,
    next_cells,
    published_grid,
    random_layout,
)
from reins.tabular import (
    identifiable,
    infer_constraints,
    item_masses,
    items_used,
    model_passes,
    model_without,
    sample_walks,
    trajectory_model,
)

SMALL = GridLayout(
    *(2, 3, 0, 2),
    colours={"red": (1,)},
    planted=("red", "down-right"),
    horizon=3,
    temperature=0.5,
)
"""  3 4 5
     S . G    with the cell between start and goal forbidden"""


def exact_of(layout):
    """Infer from all that the planted rules allow."""
    problem = layout.problem()
    used = np.asarray(item_masses(problem, layout.chosen(layout.planted))) > 0
    found = infer_constraints(problem, used, threshold=0.0)
    return found, [layout.names[i] for i in found.items]


def test_moves_lead_where_they_say_and_stay_at_the_border():
    following = next_cells(2, 3)
    names = list(MOVES)
    assert following[0, names.index("up-right")] == 4
    assert following[4, names.index("down-left")] == 0
    assert following[1, names.index("right")] == 2
    assert following[2, names.index("right")] == 2
    assert following[3, names.index("up-right")] == 3
    assert following[5, names.index("down-left")] == 1


def test_items_and_names_go_together():
    problem, names = SMALL.problem(), SMALL.names
    assert names[:3] == ["red", "right", "left"]
    assert names[9:] == [f"cell {i}" for i in range(6)]
    assert len(names) == len(problem.items.pairs)
    red, up, cell = (names.index(x) for x in ("red", "up", "cell 5"))
    assert np.flatnonzero(problem.items.places[red]).tolist() == [1]
    assert np.flatnonzero(problem.items.places[cell]).tolist() == [5]
    taken = np.asarray(problem.items.pairs[up])
    assert taken[:, 2].all()
    assert taken.sum() == 6
    assert SMALL.chosen(["up", "cell 5"]).nonzero()[0].tolist() == [up, cell]


def slow_paths(layout):
    """Every sequence of moves from start to goal: cells, moves and reward."""
    following, moves = next_cells(layout.height, layout.width), list(MOVES.values())
    found = []
    for length in range(1, layout.horizon + 1):
        for chosen in itertools.product(range(len(moves)), repeat=length):
            cells = [layout.start]
            for move in chosen:
                cells.append(int(following[cells[-1], move]))
            if layout.goal in cells and cells.index(layout.goal) == length:
                reward = -sum(float(np.hypot(*moves[move])) for move in chosen)
                found.append((cells, chosen, reward))
    return found


def test_masses_are_sums_over_paths():
    paths = slow_paths(SMALL)
    assert len(paths) > 20
    weights = np.array([np.exp(reward / SMALL.temperature) for *_, reward in paths])
    names = SMALL.names
    used = np.zeros((len(paths), len(names)), bool)
    for i, (cells, moves, _) in enumerate(paths):
        used[i, 0] = 1 in cells
        for move in moves:
            used[i, 1 + move] = True
        for cell in cells:
            used[i, 9 + cell] = True
    allowed = ~used[:, SMALL.chosen(SMALL.planted)].any(axis=1)
    assert 0 < allowed.sum() < len(paths)
    for keep, forbidden in ((allowed, SMALL.planted), (~(allowed & False), ())):
        masses = (weights * keep) @ used / (weights * keep).sum()
        found = item_masses(SMALL.problem(), SMALL.chosen(forbidden))
        np.testing.assert_allclose(found, masses, atol=1e-12)


def test_sums_of_products_are_the_partition_function():
    problem = SMALL.problem()
    log_zeta = jax.nn.log_sigmoid(jax.random.normal(jax.random.key(0), (6, 8)))
    model = trajectory_model(
        problem.mdp, log_zeta, arrive=True, temperature=problem.temperature
    )
    lengths = jnp.asarray([np.hypot(*move) for move in MOVES.values()])
    log_weights = log_zeta - lengths / SMALL.temperature
    value, visits = jax.value_and_grad(grid_log_partition, argnums=1)(
        jnp.asarray(next_cells(2, 3)), log_weights, 0, 2, horizon=3
    )
    found = model_passes(model)
    np.testing.assert_allclose(value, found.log_partition, atol=1e-12)
    np.testing.assert_allclose(visits, found.visits, atol=1e-12)


def test_on_the_published_grid_inference_returns_exactly_the_planted_rules():
    layout = published_grid()
    assert identifiable(layout.problem(), layout.chosen(layout.planted)) == []
    found, names = exact_of(layout)
    assert len(names) == 9
    assert set(names) == set(layout.planted)
    # As in Figure 3: a feature first, then an action, then states.
    assert names[:3] == ["blue", "up-right", "cell 31"]
    # So the usual threshold loses nothing.
    assert found.until(0.1) == found
    assert min(found.gains) > 0.1


def test_on_random_grids_inference_returns_exactly_the_planted_rules():
    """Ten here; the study has a hundred."""
    draws = identifiable_grids(10, key=7)
    assert draws.drawn > 10
    left_out = draws.drawn - 10
    assert sum(draws[2:]) == left_out
    for layout in draws.layouts:
        _, names = exact_of(layout)
        assert sorted(names) == sorted(layout.planted)
    kinds = {name.split()[0] for layout in draws.layouts for name in layout.planted}
    assert "cell" in kinds
    assert kinds & set(MOVES)
    assert kinds & {"blue", "green"}


def test_a_layout_has_start_goal_and_rules_apart():
    generator = np.random.default_rng(5)
    for _ in range(20):
        layout = random_layout(generator)
        coloured = {cell for cells in layout.colours.values() for cell in cells}
        assert len(coloured) == 6
        assert not coloured & {layout.start, layout.goal}
        assert layout.start != layout.goal
        cells = {int(n.split()[1]) for n in layout.planted if n.startswith("cell")}
        assert not cells & (coloured | {layout.start, layout.goal})


def test_sampled_demonstrations_break_no_rule():
    layout = published_grid()
    problem, planted = layout.problem(), layout.chosen(layout.planted)
    walks = sample_walks(model_without(problem, planted), jax.random.key(1), 50)
    used = np.asarray(items_used(problem.items, *walks))
    assert not used[:, planted].any()
    assert used[:, layout.names.index("cell 8")].all()
