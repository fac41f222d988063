"""ζ(s, a): what the network is shown, and the four faces of one logit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.constraints import Constraint, InputSpec, constraint_network
from reins.constraints.indicator import chosen_inputs, network_inputs
from reins.errors import ConfigError
from reins.networks import MLP
from tests import strategies as some

CONTINUOUS = InputSpec(
    observation_size=4,
    action_size=2,
    discrete=False,
    observation_dims=(2, 0),
    action_dims=(1,),
    clip=5.0,
    offset=(1.0, -2.0),
    scale=(2.0, 4.0),
)
DISCRETE = InputSpec(
    observation_size=3,
    action_size=4,
    discrete=True,
    observation_dims=(1,),
    action_dims=(0, 1, 2, 3),
)


def test_dimensions_are_chosen_clipped_then_normalised():
    observations = jnp.array([[6.0, 100.0, 3.0, 7.0], [-9.0, 0.0, -1.0, 0.0]])
    actions = jnp.array([[50.0, 0.25], [50.0, -0.5]])
    found = network_inputs(CONTINUOUS, observations, actions)
    expected = [
        [(3.0 - 1.0) / 2.0, (5.0 + 2.0) / 4.0, 0.25],
        [(-1.0 - 1.0) / 2.0, (-5.0 + 2.0) / 4.0, -0.5],
    ]
    np.testing.assert_allclose(found, expected)
    assert CONTINUOUS.size == 3


def test_discrete_actions_are_one_hot():
    found = network_inputs(DISCRETE, jnp.array([[0.0, 30.0, 9.0]]), jnp.array([2]))
    np.testing.assert_allclose(found, [[20.0, 0.0, 0.0, 1.0, 0.0]])
    assert DISCRETE.size == 5


def test_actions_are_clipped_to_bounds_as_at_the_environment_s_door():
    bounds = {"action_low": (-1.0, 0.0), "action_high": (1.0, 3.0)}
    inputs = InputSpec(1, 2, False, (), (1, 0), **bounds)
    actions = jnp.array([[-7.0, 5.0], [0.5, -0.1], [2.0, 2.0]])
    found = network_inputs(inputs, jnp.zeros((3, 1)), actions)
    np.testing.assert_allclose(found, [[3.0, -1.0], [0.0, 0.5], [2.0, 1.0]])
    with pytest.raises(ConfigError, match=r"2 action dimensions need as.* 2 and 0"):
        InputSpec(1, 2, False, (), (1, 0), action_low=(0.0, 0.0))
    with pytest.raises(ConfigError, match="found 3 and 3"):
        InputSpec(1, 2, False, (), (1,), action_low=(0.0,) * 3, action_high=(1.0,) * 3)


def test_one_side_alone_can_be_seen():
    options = {"observation_size": 2, "action_size": 3, "discrete": True}
    only_actions = InputSpec(observation_dims=(), action_dims=(2, 0), **options)
    observations, actions = jnp.array([[7.0, 8.0]]), jnp.array([0])
    np.testing.assert_allclose(
        network_inputs(only_actions, observations, actions), [[0.0, 1.0]]
    )
    only_states = InputSpec(observation_dims=(1,), action_dims=(), **options)
    np.testing.assert_allclose(
        network_inputs(only_states, observations, actions), [[8.0]]
    )


@given(observations=some.arrays((2, 3, 4), -9.0, 9.0), actions=some.arrays((2, 3, 2)))
def test_any_number_of_leading_axes(observations, actions):
    found = network_inputs(CONTINUOUS, jnp.asarray(observations), jnp.asarray(actions))
    rows = zip(observations.reshape(6, 4), actions.reshape(6, 2), strict=True)
    expected = [
        network_inputs(CONTINUOUS, jnp.asarray(o), jnp.asarray(a)) for o, a in rows
    ]
    np.testing.assert_allclose(found.reshape(6, 3), expected)


def constraint_of(logit: float) -> Constraint:
    """The constraint whose logit is this everywhere."""
    network = MLP(jax.random.key(0), (3, 1))
    network = jax.tree.map(jnp.zeros_like, network)
    moved = [jnp.full(1, logit)]
    return Constraint(
        jax.tree.unflatten(jax.tree.structure(network), [*network.weights, *moved]),
        CONTINUOUS,
    )


@pytest.mark.parametrize("logit", [-40.0, -2.0, 0.0, 1.5, 40.0])
def test_one_logit_four_faces(logit):
    zeta = constraint_of(logit)
    pair = (jnp.ones((1, 4)), jnp.ones((1, 2)))
    np.testing.assert_allclose(zeta.logits(*pair), [logit])
    exact = np.float64(1.0) / (1.0 + np.exp(-np.float64(logit)))
    np.testing.assert_allclose(zeta.zeta(*pair), [exact], rtol=1e-6)
    np.testing.assert_allclose(zeta.cost(*pair), [np.exp(-logit) * exact], rtol=1e-6)
    np.testing.assert_allclose(
        zeta.log_zeta(*pair), [-np.log1p(np.exp(-np.float64(logit)))], rtol=1e-6
    )


def test_at_first_it_is_undecided_and_seeds_differ():
    init = constraint_network(DISCRETE)
    observations = jax.random.normal(jax.random.key(1), (50, 3))
    actions = jax.random.randint(jax.random.key(2), (50,), 0, 4)
    values = [init(jax.random.key(s)).zeta(observations, actions) for s in (0, 1)]
    assert values[0].shape == (50,)
    assert np.all(np.abs(values[0] - 0.5) < 0.15)
    assert np.std(values[0]) > 1e-3
    assert not np.allclose(*values)


def with_ranges(zeta: Constraint, low, high) -> Constraint:
    inputs = dataclasses.replace(zeta.inputs, seen_low=low, seen_high=high)
    return Constraint(zeta.network, inputs)


def test_ranges_are_in_the_environment_s_units_before_clipping():
    """Chosen are 2, 0 and action 1; observations are clipped at 5, ranges are not."""
    zeta = with_ranges(constraint_of(0.0), (-1.0, 0.0, -0.5), (1.0, 9.0, 0.5))
    observations = jnp.array(
        [
            [8.0, 99.0, 0.0, 99.0],
            [9.5, 99.0, 0.0, 99.0],
            [0.0, 99.0, -1.5, 99.0],
            [0.0, 99.0, 1.0, 99.0],
        ]
    )
    actions = jnp.array([[99.0, 0.5], [99.0, 0.0], [99.0, 0.6], [99.0, -0.5]])
    found = zeta.outside(observations, actions)
    expected = [
        [False, False, False],
        [False, True, False],
        [True, False, True],
        [False, False, False],
    ]
    np.testing.assert_array_equal(found, expected)
    assert not constraint_of(0.0).outside(observations, actions).any()


def test_by_a_thousandth_of_its_range_an_input_is_not_outside():
    """The same number, worked out elsewhere, differs in its last bits."""
    zeta = with_ranges(constraint_of(0.0), (-1.0, 3.0, 0.0), (1.0, 3.0, 0.0))
    observations = jnp.array([[3.0, 0.0, 1.001, 0.0], [3.0 + 1e-5, 0.0, 1.01, 0.0]])
    found = zeta.outside(observations, jnp.zeros((2, 2)))
    np.testing.assert_array_equal(found, [[False, False, False], [True, True, False]])


def test_an_action_that_was_never_chosen_is_outside():
    init = constraint_network(DISCRETE)
    low, high = (0.0,) * 5, (1.0, 1.0, 1.0, 0.0, 1.0)
    zeta = with_ranges(init(jax.random.key(0)), low, high)
    found = zeta.outside(jnp.full((4, 3), 0.5), jnp.arange(4))
    np.testing.assert_array_equal(found.any(axis=1), [False, False, True, False])


def test_the_cost_of_inputs_is_that_of_the_pairs_that_have_them():
    zeta = constraint_network(CONTINUOUS)(jax.random.key(0))
    rng = np.random.default_rng(0)
    pair = rng.normal(size=(20, 4), scale=9.0), rng.normal(size=(20, 2))
    found = zeta.cost_at(chosen_inputs(CONTINUOUS, *pair))
    np.testing.assert_array_equal(found, zeta.cost(*pair))
    assert np.ptp(np.asarray(found)) > 1e-3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"observation_dims": (0, 4, -1)}, r"observation dimensions \[4, -1\].*0\.\.3"),
        ({"action_dims": (2,)}, r"action dimensions \[2\].*0\.\.1"),
        ({"observation_dims": (), "action_dims": ()}, "sees nothing"),
        ({"offset": (1.0,)}, "2 observation dimensions need 2.*found 1 and 2"),
        ({"scale": (1.0, 1.0, 1.0)}, "found 2 and 3"),
        ({"scale": (1.0, 0.0)}, "scales must be positive"),
        ({"action_dims": (2,), "clip": 0.0}, "2 faults"),
        ({"seen_low": (0.0,) * 3}, "3 inputs need a range each.*3 lower and 0 upper"),
        ({"seen_low": (0.0,), "seen_high": (1.0,)}, "found 1 lower and 1 upper"),
    ],
)
def test_what_cannot_be_seen_is_refused(changes, sentence):
    options = {
        "observation_size": 4,
        "action_size": 2,
        "discrete": False,
        "observation_dims": (2, 0),
        "action_dims": (1,),
        "offset": (1.0, -2.0),
        "scale": (2.0, 4.0),
    } | changes
    if not options["observation_dims"]:
        options |= {"offset": (), "scale": ()}
    with pytest.raises(ConfigError, match=sentence):
        InputSpec(**options)
