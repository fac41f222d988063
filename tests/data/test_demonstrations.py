"""Demonstrations are checked when they are made, and all their faults told at once."""

import numpy as np
import pytest
from gymnasium import spaces

from reins.data import Demonstrations, check_fit
from reins.errors import DataError

LENGTHS = (3, 1, 4)
OBSERVATIONS = spaces.Box(-100.0, 100.0, (2,), np.float32)
DISCRETE = spaces.Discrete(3)
CONTINUOUS = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 2.0]), dtype=np.float64)
ENV = "reins/Some-v0"


def parts(lengths=LENGTHS):
    """Observations that say (episode, step); actions that say 10 episode + step."""
    return {
        "observations": [
            np.stack([np.full(n + 1, i), np.arange(n + 1)], axis=1).astype(np.float32)
            for i, n in enumerate(lengths)
        ],
        "actions": [(10 * i + np.arange(n)) % 3 for i, n in enumerate(lengths)],
        "rewards": [np.full(n, 0.5 + i) for i, n in enumerate(lengths)],
    }


def demonstrations(**changed) -> Demonstrations:
    return Demonstrations(**{**parts(), **changed}, env_id=ENV)


def faults(**changed) -> str:
    with pytest.raises(DataError) as caught:
        demonstrations(**changed)
    return str(caught.value)


def with_episode(name: str, episode: int, array) -> dict[str, list]:
    arrays = parts()[name]
    arrays[episode] = array
    return {name: arrays}


def test_what_is_right_is_accepted_and_summed_up():
    good = demonstrations()
    np.testing.assert_array_equal(good.lengths, LENGTHS)
    np.testing.assert_allclose(good.returns, [1.5, 1.5, 10.0])
    assert good.horizon == 4


def test_pairs_are_aligned_and_padded():
    actions = [10 * i + np.arange(n) for i, n in enumerate(LENGTHS)]
    pairs = demonstrations(actions=actions).pairs()
    assert pairs.observations.shape == (3, 4, 2)
    assert pairs.actions.shape == pairs.mask.shape == (3, 4)
    for i, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(pairs.mask[i], np.arange(4) < n)
        np.testing.assert_array_equal(pairs.observations[i, :n, 0], i)
        np.testing.assert_array_equal(pairs.observations[i, :n, 1], np.arange(n))
        np.testing.assert_array_equal(pairs.actions[i, :n], 10 * i + np.arange(n))
        assert np.all(pairs.observations[i, n:] == 0.0)
        assert np.all(pairs.actions[i, n:] == 0)
    assert np.issubdtype(pairs.actions.dtype, np.integer)


def test_as_many_observations_as_actions_are_refused():
    """The last one, where the episode ended, is missing."""
    short = parts()["observations"][2][:-1]
    message = faults(**with_episode("observations", 2, short))
    assert "4 observations for 4 actions in episode 2" in message
    assert "T+1 = 5" in message


def test_rewards_of_another_length_are_refused():
    message = faults(**with_episode("rewards", 0, np.zeros(7)))
    assert "rewards of shape (7,) for 3 actions in episode 0; expected (3,)" in message


def test_an_empty_episode_is_refused():
    message = faults(**with_episode("actions", 1, np.zeros(0, int)))
    assert "episode 1 is empty" in message


@pytest.mark.parametrize(
    ("name", "odd", "shapes"),
    [
        ("observations", np.zeros((2, 3)), "(2,), (3,)"),
        ("actions", np.zeros((1, 5)), "(), (5,)"),
    ],
)
def test_episodes_of_several_shapes_are_refused(name, odd, shapes):
    assert f"{name} of several shapes: {shapes}" in faults(**with_episode(name, 1, odd))


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
def test_another_number_of_episodes_is_refused(name):
    message = faults(**{name: parts()[name][:2]})
    counts = [2 if x == name else 3 for x in ("observations", "actions", "rewards")]
    assert "found {}, {} and {}".format(*counts) in message


def test_no_episodes_are_refused():
    message = faults(observations=[], actions=[], rewards=[])
    assert "at least one; found 0, 0 and 0" in message


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(name, value):
    arrays = [np.array(x, float) for x in parts()[name]]
    arrays[1].flat[0] = arrays[2].flat[1] = arrays[2].flat[2] = value
    message = faults(**{name: arrays})
    assert f"3 values of {name} are not finite" in message
    assert "in 2 of 3 episodes, first in episode 1" in message


def test_all_faults_are_told_at_once():
    changed = {
        **with_episode("observations", 0, np.zeros((3, 5))),
        **with_episode("rewards", 2, np.zeros(1)),
        **with_episode("actions", 1, np.zeros(0, int)),
    }
    message = faults(**changed)
    assert "(6 faults)" in message
    for fault in (
        "3 observations for 3 actions in episode 0",
        "rewards of shape (1,) for 4 actions in episode 2",
        "episode 1 is empty",
        "2 observations for 0 actions in episode 1",
        "rewards of shape (1,) for 0 actions in episode 1",
        "observations of several shapes: (2,), (5,)",
    ):
        assert fault in message


def test_all_values_that_are_not_finite_are_told_at_once():
    changed = {
        name: [np.full(x.shape, np.nan) for x in arrays]
        for name, arrays in parts().items()
    }
    message = faults(**changed)
    assert "(3 faults)" in message
    assert "22 values of observations" in message
    assert "8 values of actions" in message
    assert "8 values of rewards" in message


def refusal(made: Demonstrations, *, env_ids=(ENV,), action_space=DISCRETE) -> str:
    with pytest.raises(DataError) as caught:
        check_fit(made, env_ids, OBSERVATIONS, action_space)
    return str(caught.value)


def test_what_fits_is_accepted_in_the_environment_and_its_twins():
    check_fit(demonstrations(), [ENV], OBSERVATIONS, DISCRETE)
    check_fit(demonstrations(), ["reins/Twin-v0", ENV], OBSERVATIONS, DISCRETE)


def test_another_environment_is_refused():
    message = refusal(demonstrations(), env_ids=("reins/Other-v0", "reins/Twin-v0"))
    assert f"recorded in {ENV}; this is reins/Other-v0" in message
    assert "do not fit reins/Other-v0" in message
    assert "--env" in message


def test_other_shapes_are_refused():
    wide = [np.zeros((n + 1, 3), np.float32) for n in LENGTHS]
    message = refusal(demonstrations(observations=wide))
    assert "observations have shape (3,); the environment's have (2,)" in message
    wide = [np.zeros((n, 1), int) for n in LENGTHS]
    message = refusal(demonstrations(actions=wide))
    assert "actions have shape (1,); the environment's have ()" in message


def test_actions_that_there_are_not_are_refused():
    actions = [np.array([0, 3, 1]), np.array([-1]), np.array([2, 2, 2, 5])]
    message = refusal(demonstrations(actions=actions))
    assert "3 values of actions lie outside Discrete(3): found -1 to 5" in message


def test_fractions_for_discrete_actions_are_refused():
    actions = [np.zeros(n) for n in LENGTHS]
    message = refusal(demonstrations(actions=actions))
    assert "actions are float64; the environment's are whole numbers" in message


def test_continuous_actions_out_of_bounds_are_refused():
    inside = [np.tile([-1.0, 2.0], (n, 1)) for n in LENGTHS]
    check_fit(demonstrations(actions=inside), [ENV], OBSERVATIONS, CONTINUOUS)
    inside[2][1] = [-1.5, -0.25]
    message = refusal(demonstrations(actions=inside), action_space=CONTINUOUS)
    assert "2 values of actions lie outside" in message
    assert "found -1.5 to 2" in message


def test_an_action_at_its_bound_may_be_rounded():
    """Published actions are float32; the bound is not."""
    rounded = [np.tile([1.0 + 1e-7, 2.0], (n, 1)) for n in LENGTHS]
    check_fit(demonstrations(actions=rounded), [ENV], OBSERVATIONS, CONTINUOUS)


def test_all_that_does_not_fit_is_told_at_once():
    actions = [np.full(n, 7) for n in LENGTHS]
    wide = [np.zeros((n + 1, 3), np.float32) for n in LENGTHS]
    made = demonstrations(actions=actions, observations=wide)
    message = refusal(made, env_ids=("reins/Other-v0",))
    assert "(3 faults)" in message
    for fault in ("recorded in", "observations have shape", "8 values of actions"):
        assert fault in message


def test_a_space_that_cannot_be_checked_is_refused():
    made = demonstrations(actions=[np.zeros((n, 2), np.int8) for n in LENGTHS])
    message = refusal(made, action_space=spaces.MultiBinary(2))
    assert "MultiBinary" in message


def test_observations_out_of_bounds_are_let_through():
    """Bounds are often rough; `findings` warns of them."""
    far = [np.full((n + 1, 2), 500.0, np.float32) for n in LENGTHS]
    check_fit(demonstrations(observations=far), [ENV], OBSERVATIONS, DISCRETE)


def test_discrete_observations_out_of_bounds_are_refused():
    cells = [np.full(n + 1, 3) for n in LENGTHS]
    made = demonstrations(observations=cells)
    check_fit(made, [ENV], spaces.Discrete(4), DISCRETE)
    with pytest.raises(DataError, match=r"11 values of observations lie outside"):
        check_fit(made, [ENV], spaces.Discrete(3), DISCRETE)
