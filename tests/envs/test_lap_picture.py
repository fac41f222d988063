"""The picture of the lap: where the driver is, and which way it came."""

import gymnasium
import numpy as np
import pytest

from reins.envs import CompiledEnv, make_env, with_cost
from reins.envs.gridworld import CELLS, COINS
from reins.envs.lap_picture import (
    ANTICLOCKWISE_COLOUR,
    CELL,
    CLOCKWISE_COLOUR,
    COIN,
    MARGIN,
    STILL_COLOUR,
    TRACK,
    lap_corners,
    lap_picture,
)
from reins.errors import CapabilityError
from tests.toys import point_env

NOMINAL, TWIN = "reins/LapGridWorld-v0", "reins/LapGridWorldConstrained-v0"


def picture(cell, before):
    return lap_picture(cell % CELLS, before % CELLS, cells=CELLS, coins=COINS)


def tile(image, cell):
    """The pixels of one cell."""
    column, row = lap_corners(CELLS)[cell]
    top, left = MARGIN + CELL * (10 - row), MARGIN + CELL * column
    return image[top : top + CELL, left : left + CELL]


def middle(image, cell):
    return tuple(tile(image, cell)[CELL // 2, CELL // 2])


def test_the_lap_goes_clockwise_through_neighbours():
    corners = np.asarray(lap_corners(CELLS))
    assert len({tuple(c) for c in corners}) == CELLS
    steps = np.diff(np.vstack([corners, corners[:1]]), axis=0)
    np.testing.assert_array_equal(np.abs(steps).sum(axis=1), np.ones(CELLS))
    assert corners[0].tolist() == [0, 10]  # the upper left one
    assert steps[0].tolist() == [1, 0]  # to the right
    assert steps[10].tolist() == [0, -1]  # then down


@pytest.mark.parametrize(
    ("move", "colour"),
    [(1, CLOCKWISE_COLOUR), (-1, ANTICLOCKWISE_COLOUR), (0, STILL_COLOUR)],
)
def test_the_driver_is_in_its_cell_alone_in_the_colour_of_its_way(move, colour):
    for cell in range(CELLS):
        image = picture(cell, cell - move)
        assert image.shape == (352, 352, 3)
        assert image.dtype == np.uint8
        assert middle(image, cell) == colour
        for other in set(range(CELLS)) - {cell}:
            # A coin's middle is plain, away from its glint.
            assert middle(image, other) == (COIN if other in COINS else TRACK)


@pytest.mark.parametrize("move", [1, -1])
@pytest.mark.parametrize("cell", [3, 13, 23, 33])
def test_the_driver_points_the_way_it_goes(cell, move):
    colour = CLOCKWISE_COLOUR if move == 1 else ANTICLOCKWISE_COLOUR
    inked = np.all(tile(picture(cell, cell - move), cell) == colour, axis=2)
    corners = np.asarray(lap_corners(CELLS))
    ahead = corners[(cell + move) % CELLS] - corners[cell]
    rows, columns = np.nonzero(inked)
    along = ahead[0] * (columns - 14.5) - ahead[1] * (rows - 14.5)
    widths = [np.sum((along >= low) & (along < low + 3)) for low in (-5, 0, 6)]
    assert widths[0] > 1.3 * widths[1] > 1.3 * 1.3 * widths[2] > 0


@pytest.mark.parametrize("move", [1, -1])
def test_the_ring_in_the_middle_turns_the_same_way(move):
    image = picture(3, 3 - move)[100:252, 100:252]
    colour = CLOCKWISE_COLOUR if move == 1 else ANTICLOCKWISE_COLOUR
    columns = np.nonzero(np.all(image == colour, axis=2)[:40])[1]
    # Its head is the widest thing in the upper part: left of the gap when clockwise.
    assert np.sign(np.mean(columns) - 75.5) == -move
    # The head is even about the way it points, which is a little upwards.
    rows, columns = np.nonzero(np.all(image == colour, axis=2))
    x, y = columns + 0.5 - 76 + move * 20.5, rows + 0.5 - 76 + 45.9
    along = move * np.cos(0.3) * x - np.sin(0.3) * y
    across = move * np.cos(0.3) * y + np.sin(0.3) * x
    front = (along > 4) & (np.hypot(x, y) < 16)
    assert 20 < front.sum() < 80
    assert abs(np.mean(across[front])) < 0.3
    assert np.abs(across[front]).max() < 6
    still = picture(3, 3)[100:252, 100:252]
    np.testing.assert_array_equal(still, still[:, ::-1])


def test_a_picture_leaves_nothing_behind():
    first = picture(7, 6)
    picture(8, 7)
    np.testing.assert_array_equal(picture(7, 6), first)
    assert len(np.unique(np.argwhere(picture(8, 7) != first)[:, 1])) < 3 * CELL


@pytest.mark.parametrize("name", [NOMINAL, TWIN])
def test_gymnasium_draws_both_twins(name):
    env = gymnasium.make(name, render_mode="rgb_array")
    assert env.metadata["render_modes"] == ["rgb_array"]
    env.reset(seed=0)
    np.testing.assert_array_equal(env.render(), picture(0, 0))
    env.step(0)
    env.step(0)
    np.testing.assert_array_equal(env.render(), picture(2, 1))
    env.step(1)
    after = 1 if name == NOMINAL else 2  # the twin does not carry it out
    np.testing.assert_array_equal(env.render(), picture(after, 2))
    env.reset()
    np.testing.assert_array_equal(env.render(), picture(0, 0))


def test_a_cost_around_it_leaves_the_picture():
    priced = with_cost(make_env(NOMINAL), lambda o, a: 0.5 + 0 * a)
    env = CompiledEnv(priced, "rgb_array")
    env.reset(seed=0)
    env.step(1)
    np.testing.assert_array_equal(env.render(), picture(-1, 0))


def test_no_render_mode_draws_nothing():
    env = gymnasium.make(NOMINAL)
    env.reset(seed=0)
    assert env.unwrapped.render() is None


def test_another_mode_and_a_mode_of_what_has_no_picture_are_refused():
    with pytest.raises(CapabilityError, match=r"'human'; it can be drawn as 'rgb_arr"):
        CompiledEnv(make_env(NOMINAL), "human")
    plain = CompiledEnv(point_env())
    assert plain.metadata["render_modes"] == []
    with pytest.raises(CapabilityError, match="it has no picture"):
        CompiledEnv(point_env(), "rgb_array")
