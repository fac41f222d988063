"""Values beside their spaces: what is found, where, and what is let pass."""

import numpy as np
import pytest
from gymnasium import spaces

from reins.envs.check.values import leaves, measures, short, value_findings

LOW, HIGH = (np.asarray([x, x * np.inf], np.float32) for x in (-1, 1))
BOX = spaces.Box(LOW, HIGH)
BYTES = spaces.Box(0, 255, (2, 2, 3), np.uint8)
TREE = spaces.Dict(arm=BOX, pair=spaces.Tuple([spaces.Discrete(3), BYTES]))


def told(space, value):
    return [
        (f.level, f.subject, f.expected, f.found) for f in value_findings(space, value)
    ]


def array(*numbers, dtype=np.float32):
    return np.asarray(numbers, dtype)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (BOX, array(1, -1e30)),
        (BOX, array(1 + 5e-6, 0)),  # rounding
        (spaces.Box(-100.0, 100.0, ()), np.float32(100.0005)),
        (spaces.Discrete(3), 2),
        (spaces.Discrete(3, start=-1), np.int64(-1)),
        (spaces.Discrete(3), np.asarray(0)),
        (spaces.MultiDiscrete([2, 3], start=[1, 0]), np.asarray([2, 2])),
        (spaces.MultiBinary(2), array(0, 1, dtype=np.int8)),
        (BYTES, np.full((2, 2, 3), 255, np.uint8)),
        (spaces.Text(4), "ab"),
        (TREE, {"arm": array(0, 0), "pair": (1, np.zeros((2, 2, 3), np.uint8))}),
    ],
)
def test_members_pass(space, value):
    assert told(space, value) == []


@pytest.mark.parametrize(
    ("space", "value", "expected", "found"),
    [
        (BOX, array(1.5, 0), "bounds", "1.5 at [0], 0.5 outside of -1 to 1; 1"),
        (BOX, array(-3, 0), "bounds", "-3 at [0], 2 outside of -1 to 1; 1 of"),
        (
            BOX,
            array(0, np.inf),
            "finite numbers",
            "1 of 2 are not, the first at [1]: i",
        ),
        (BOX, array(0, 0, 0), "shape (2,)", "shape (3,)"),
        (BOX, array("a", "b", dtype=object), "dtype float32", "dtype object"),
        (BOX, array(1j, 0, dtype=complex), "dtype float32", "dtype complex128"),
        (BOX, 3.0, "a NumPy array of shape (2,)", "a float: 3"),
        (BYTES, np.zeros((2, 2, 3)), "dtype uint8", "dtype float64"),
        (spaces.Box(0.0, 1.0, ()), np.float32(2), "bounds", "2, 1 outside of 0 to 1"),
        (spaces.Discrete(3), 3, "an integer from 0 to 2", "3"),
        (spaces.Discrete(3), -1, "an integer from 0 to 2", "-1"),
        (spaces.Discrete(3), 1.0, "an integer from 0 to 2", "1, a float"),
        (spaces.Discrete(3), array(1, dtype=int), "an integer", "[1], a ndarray"),
        (
            spaces.MultiDiscrete([2, 3]),
            array(0, 3, dtype=int),
            "bounds",
            "3 at [1], 1 outside of 0 ",
        ),
        (
            spaces.MultiBinary(2),
            array(0, 2, dtype=np.int8),
            "bounds",
            "2 at [1], 1 outs",
        ),
        (spaces.Text(2), "abc", "a member of Text", "'abc'"),
        (TREE, [], "a dict of arm, pair", "a list"),
    ],
)
def test_a_misfit_is_an_error_with_its_numbers(space, value, expected, found):
    ((level, subject, wanted, seen),) = told(space, value)
    assert (level, subject) == ("error", "observation")
    assert expected in wanted
    assert seen.startswith(found)


def test_a_type_that_converts_without_loss_of_kind_is_a_warning():
    for dtype in (np.float64, np.int64):
        ((level, _, expected, found),) = told(BOX, array(0, 0, dtype=dtype))
        assert level == "warning"
        assert expected.startswith("dtype float32")
        assert found == f"dtype {np.dtype(dtype)}"


def test_all_that_is_wrong_with_one_array_is_told():
    found = told(BOX, array(2, np.nan, dtype=np.float64))
    assert [line[2] for line in found] == [
        "dtype float32, as its space says",
        "finite numbers",
        "numbers within the bounds of its space",
    ]


def test_the_farthest_outside_is_told():
    space = spaces.Box(0.0, 1.0, (2, 2))
    value = np.asarray([[1.5, -2], [0, 2]], np.float32)
    ((_, _, expected, found),) = told(space, value)
    assert expected == "numbers within the bounds of its space"
    assert found == "-2 at [0, 1], 2 outside of 0 to 1; 3 of 4 are out"


def test_parts_are_named():
    value = {"arm": array(2, 0), "pair": (3, None), "leg": 1}
    assert [line[1:] for line in told(TREE, value)] == [
        ("observation", "a dict of arm, pair", "also ['leg']"),
        (
            "observation['arm']",
            "numbers within the bounds of its space",
            "2 at [0], 1 outside of -1 to 1; 1 of 2 are out",
        ),
        ("observation['pair'][0]", "an integer from 0 to 2", "3"),
        (
            "observation['pair'][1]",
            "a NumPy array of shape (2, 2, 3)",
            "a NoneType: None",
        ),
    ]
    assert told(TREE, {"arm": array(0, 0)})[0][3] == "no ['pair']"
    pair = {"arm": array(0, 0), "pair": (1,)}
    assert told(TREE, pair) == [
        ("error", "observation['pair']", "a tuple of 2", "a tuple of 1")
    ]
    pair["pair"] = [1, 2]
    assert told(TREE, pair)[0][2:] == ("a tuple of 2", "a list")


def test_leaves_are_the_arrays_themselves():
    arm, picture = array(0, 0), np.zeros((2, 2, 3), np.uint8)
    found = leaves({"arm": arm, "pair": (1, [picture])})
    assert found[0] is arm
    assert found[1] == 1
    assert found[2] is picture


def test_measures_leave_images_and_choices_out():
    value = {"arm": array(7, 8), "pair": (1, np.full((2, 2, 3), 9, np.uint8))}
    (found,) = measures(TREE, value)
    np.testing.assert_array_equal(found, [7, 8])
    assert list(measures(TREE, {"arm": "text"})) == []
    (found,) = measures(spaces.Tuple([BOX]), (array(1, 2),))
    assert found.tolist() == [1, 2]


def test_short_values():
    assert short(np.arange(8) / 3) == (
        "[0, 0.333333, 0.666667, 1, 1.33333, 1.66667, ...]"
    )
    assert short((1, [2.5, None])) == "[1, [2.5, None]]"
    assert short("x" * 99) == "'" + "x" * 56 + "..."
