"""What is drawn of a constraint: its inputs, their ranges, and mean costs over them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.constraints import Constraint, InputSpec, constraint_network
from reins.data import Demonstrations
from reins.envs import Boundary, make_env
from reins.errors import ConfigError
from reins.experiments.cost_map import (
    cost_map,
    crossings,
    input_names,
    other_inputs,
)

INPUTS = InputSpec(3, 2, False, (2, 0), (1,), clip=5.0)


def linear(inputs: InputSpec, weights: list[float], bias: float = 0.0) -> Constraint:
    """cost = sigmoid(w · inputs + bias)."""
    made = constraint_network(inputs, hidden=())(jax.random.key(0))
    network = jax.tree.map(
        lambda x: -jnp.asarray(weights)[:, None] if x.ndim == 2 else jnp.full(1, -bias),
        made.network,
    )
    return Constraint(network, inputs)


def episodes(n: int = 3, steps: int = 40, scale: float = 1.0) -> Demonstrations:
    rng = np.random.default_rng(n)
    return Demonstrations(
        [scale * rng.normal(size=(steps + 1, 3)) for _ in range(n)],
        [rng.uniform(-1, 1, (steps, 2)) for _ in range(n)],
        [np.zeros(steps)] * n,
        "Some-v0",
    )


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-np.asarray(x, float)))


def test_the_map_is_the_mean_over_what_the_other_inputs_are_in_the_data():
    weights = [1.0, -0.7, 2.0]
    zeta, data = linear(INPUTS, weights, 0.3), {"demonstrations": episodes()}
    found = cost_map(zeta, data, dims=(2, 0))
    rows, _ = other_inputs(INPUTS, data)
    across, up = found.axes
    (surface,) = found.costs.values()
    for i, j in ((0, 0), (7, 60), (80, 3)):
        logits = across.values[i] - 0.7 * up.values[j] + 2.0 * rows[:, 2] + 0.3
        assert surface[j, i] == pytest.approx(sigmoid(logits).mean(), abs=1e-5)
    curve = across.curves[""]
    each = sigmoid(across.values[9] - 0.7 * rows[:, 1] + 2.0 * rows[:, 2] + 0.3)
    assert curve.mean[9] == pytest.approx(each.mean(), abs=1e-5)
    low, high = np.quantile(each, [0.1, 0.9])
    assert (curve.low[9], curve.high[9]) == pytest.approx((low, high), abs=1e-5)
    assert found.forbidden_share == np.mean(surface > 0.5)


def test_rows_are_of_all_sets_alike_and_in_order_of_time():
    many, few = episodes(9, 50), episodes(1, 30, scale=100.0)
    rows, told = other_inputs(INPUTS, {"demonstrations": many, "agent": few})
    assert rows.shape == (100, 3)
    assert "100 steps" in told
    first = [many.observations[0][0, 2], many.observations[0][0, 0]]
    np.testing.assert_allclose(rows[0, :2], first, rtol=1e-6)
    last = [few.observations[0][29, 2], few.observations[0][29, 0]]
    np.testing.assert_allclose(rows[99, :2], last, rtol=1e-6)


def test_without_data_the_others_are_in_the_middle_of_what_was_seen():
    rows, told = other_inputs(INPUTS, {})
    np.testing.assert_array_equal(rows, np.zeros((1, 3)))
    assert "are 0" in told
    ranges = {"seen_low": (-2.0, 0.0, -1.0), "seen_high": (4.0, 1.0, 1.0)}
    rows, told = other_inputs(dataclasses.replace(INPUTS, **ranges), {})
    np.testing.assert_allclose(rows, [[1.0, 0.5, 0.0]])
    assert "mid-range" in told


def test_the_inputs_on_which_the_cost_depends_most_are_drawn():
    """Over its own range, an input of small weight can matter more than another."""
    data = {"demonstrations": episodes()}
    found = cost_map(linear(INPUTS, [0.1, 3.0, 0.5]), data)
    assert [axis.name for axis in found.axes] == ["observation 0", "action 1"]
    found = cost_map(linear(INPUTS, [2.0, 0.0, 0.1]), data)
    assert [axis.name for axis in found.axes] == ["observation 2", "action 1"]


def test_ranges_reach_what_was_seen_and_hardly_more_than_the_clip():
    ranges = {"seen_low": (-3.0, -9.0, -1.0), "seen_high": (2.0, 700.0, 1.0)}
    zeta = linear(dataclasses.replace(INPUTS, **ranges), [1.0, 1.0, 1.0])
    found = cost_map(zeta, {}, dims=(2, 0))
    across, up = found.axes
    assert (across.seen, up.seen) == ((-3.0, 2.0), (-9.0, 700.0))
    assert (across.values[0], across.values[-1]) == pytest.approx((-3.25, 2.25))
    assert (up.values[0], up.values[-1]) == pytest.approx((-6.05, 6.05))
    assert across.clip == 5.0
    # Beyond the clip nothing changes any more.
    beyond = up.values > 5.0
    assert np.ptp(up.curves[""].mean[beyond]) == 0.0 < np.ptp(up.curves[""].mean)


def test_the_true_boundary_is_in_the_picture_and_drawn_by_default():
    env = make_env("reins/PointCircleWall-v0")
    inputs = InputSpec(9, 2, False, (1, 0), ())
    zeta = linear(inputs, [5.0, -0.01])
    found = cost_map(zeta, {}, env=env)
    assert [axis.name for axis in found.axes] == ["x (m)", "y (m)"]
    x, y = found.axes
    assert (x.boundary, y.boundary) == (env.boundary, None)
    assert env.boundary == Boundary(0, -3.0)
    assert x.values[0] < -3.0 < x.values[-1]
    assert cost_map(zeta, {}, env=env, dims=(1,)).axes[0].boundary is None


def test_each_discrete_action_has_its_own_costs():
    """cost = sigmoid(4 s) of the first action, sigmoid(4 s - 2) of the second."""
    inputs = InputSpec(1, 2, True, (0,), (0, 1))
    zeta = linear(inputs, [4.0, 0.0, -2.0])
    env = make_env("reins/LapGridWorld-v0")
    found = cost_map(zeta, {}, env=env)
    (axis,) = found.axes
    assert found.costs == {}
    assert axis.name == "cell / 20 − 1"
    found_crossings = axis.crossings
    assert found_crossings["clockwise"] == pytest.approx([0.0], abs=1e-3)
    assert found_crossings["anti-clockwise"] == pytest.approx([0.5], abs=1e-3)
    assert found.forbidden_share == pytest.approx(0.38, abs=0.02)


def test_where_a_curve_crosses_a_half():
    values = np.array([0.0, 1.0, 2.0, 4.0])
    found = crossings(values, np.array([0.2, 0.6, 0.9, 0.4]))
    assert found == pytest.approx([0.75, 3.6])
    assert crossings(values, np.full(4, 0.7)) == []


def test_names_are_the_environment_s_or_numbers():
    env = make_env("reins/HalfCheetahWall-v0")
    inputs = InputSpec(18, 6, False, (0, 9), (1,))
    names = ["x (m)", "speed along x (m/s)", "motor of bshin"]
    assert input_names(inputs, env) == names
    assert input_names(inputs, None) == ["observation 0", "observation 9", "action 1"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"dims": (1,)}, "observation 1 was to be drawn; the constraint sees.*2, 0"),
        ({"dims": (2, 0), "action_dims": (1,)}, "3 entries were to be drawn"),
        ({"action_dims": (0, 1)}, "action 0 was"),
    ],
)
def test_what_cannot_be_drawn_is_refused(asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        cost_map(linear(INPUTS, [1.0] * 3), {}, **asked)
    discrete = linear(InputSpec(1, 2, True, (0,), (0, 1)), [1.0] * 3)
    with pytest.raises(ConfigError, match="each of them is drawn anyway"):
        cost_map(discrete, {}, action_dims=(0,))
