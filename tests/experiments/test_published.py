"""Archives in the layout of 2021: off by one, and the last row of another episode."""

from pathlib import Path

import numpy as np
import pytest

from reins.data.alignment import alignment
from reins.errors import DataError
from reins.experiments.published import read_icrl_2021

ENV = "reins/Robot-v0"
EPISODES, STEPS = 6, 60


def robot():
    """States, actions and rewards of a cart, T + 1 states to T actions."""
    rng = np.random.default_rng(0)
    states = np.zeros((EPISODES, STEPS + 1, 2))
    actions = rng.uniform(-1, 1, (EPISODES, STEPS, 1))
    states[:, 0] = rng.normal(size=(EPISODES, 2))
    for t in range(STEPS):
        states[:, t + 1, 1] = 0.9 * states[:, t, 1] + 0.5 * actions[:, t, 0]
        states[:, t + 1, 0] = states[:, t, 0] + 0.2 * states[:, t + 1, 1]
    rewards = 100 * np.arange(EPISODES)[:, None] + np.arange(STEPS)
    return states.astype(np.float32), actions.astype(np.float32), rewards


def archive(path: Path, **changed) -> Path:
    """Row t is the state after action t; the last one is the next episode's first."""
    states, actions, rewards = robot()
    observations = states[:, 1:].copy()
    observations[:, -1] = np.roll(states[:, 0], -1, axis=0)
    known = np.ones((EPISODES, STEPS), bool)
    known[:, -1] = False
    arrays = {
        "observations": observations,
        "actions": actions,
        "rewards": np.where(known, rewards, np.nan).astype(np.float32),
        "reward_known": known,
        "lengths": np.full(EPISODES, STEPS),
        "returns": rewards.sum(axis=1).astype(np.float64),
        "last_row_is_reset": np.ones(EPISODES, bool),
        **changed,
    }
    np.savez(path, **{name: x for name, x in arrays.items() if x is not None})
    return path


def laps(path: Path, **changed) -> Path:
    """Twenty times one lap, cells mapped so that 0 is -1 and 40 would be 1."""
    cells = (np.arange(41)[1:] % 40) / 20 - 1.0
    n, steps = 20, 40
    return archive(
        path,
        **{
            "observations": np.tile(cells.astype(np.float32), (n, 1))[..., None],
            "actions": np.zeros((n, steps, 1), np.int64),
            "rewards": np.tile(np.arange(steps, dtype=np.float32), (n, 1)),
            "reward_known": np.ones((n, steps), bool),
            "lengths": np.full(n, steps),
            "returns": np.full(n, 12.0),
            "last_row_is_reset": np.ones(n, bool),
            "synthetic": np.asarray(True),
            **changed,
        },
    )


def test_actions_come_to_stand_beside_what_they_answered(tmp_path):
    states, actions, rewards = robot()
    found, about = read_icrl_2021(archive(tmp_path / "a.npz"), ENV)
    assert len(found.actions) == EPISODES
    for i in range(EPISODES):
        np.testing.assert_array_equal(found.observations[i], states[i, 1:STEPS])
        np.testing.assert_array_equal(found.actions[i], actions[i, 1 : STEPS - 1])
        np.testing.assert_array_equal(found.rewards[i], rewards[i, 1 : STEPS - 1])
    assert found.env_id == ENV
    assert about["pairs"].startswith("aligned")
    assert (about["steps_stored"], about["steps"]) == (360, 348)
    assert about["published_returns"] == rewards.sum(axis=1).tolist()
    assert about["synthetic"] is False
    assert "a.npz OUT --env reins/Robot-v0 --format icrl-2021" in found.made_by
    assert str(tmp_path) not in found.made_by


def test_pairs_can_stay_as_they_are_stored(tmp_path):
    states, actions, rewards = robot()
    file = archive(tmp_path / "a.npz")
    found, about = read_icrl_2021(file, ENV, keep_pairs=True)
    for i in range(EPISODES):
        np.testing.assert_array_equal(found.observations[i][:-1], states[i, 1:STEPS])
        np.testing.assert_array_equal(
            found.observations[i][-1], states[(i + 1) % EPISODES, 0]
        )
        np.testing.assert_array_equal(found.actions[i], actions[i, : STEPS - 1])
        np.testing.assert_array_equal(found.rewards[i], rewards[i, : STEPS - 1])
    assert about["pairs"].startswith("as stored")
    assert found.made_by.endswith("--keep-pairs")


def test_the_two_are_told_apart_afterwards(tmp_path):
    file = archive(tmp_path / "a.npz")
    for keep, shift in ((False, 0), (True, 1)):
        found = read_icrl_2021(file, ENV, keep_pairs=keep).demonstrations
        told = alignment(found.observations, found.actions)
        assert told is not None
        assert told.shift == shift


def test_a_last_row_that_is_no_reset_stays(tmp_path):
    kept = np.arange(EPISODES) % 2 == 0
    every = np.ones((EPISODES, STEPS), bool)
    rewards = robot()[2].astype(np.float32)
    file = archive(
        tmp_path / "a.npz", last_row_is_reset=~kept, reward_known=every, rewards=rewards
    )
    found = read_icrl_2021(file, ENV).demonstrations
    assert found.lengths.tolist() == [59, 58] * 3
    assert found.rewards[0][-1] == rewards[0, -1]


def test_shorter_episodes_are_cut_where_they_end(tmp_path):
    file = archive(tmp_path / "a.npz", lengths=np.array([60, 59, 30, 10, 4, 3]))
    found = read_icrl_2021(file, ENV).demonstrations
    assert found.lengths.tolist() == [58, 57, 28, 8, 2, 1]


def test_steps_of_unknown_reward_are_cut_from_the_ends(tmp_path):
    states, actions, _ = robot()
    known = np.ones((EPISODES, STEPS), bool)
    known[:, :4] = known[:, -3:] = False
    found = read_icrl_2021(archive(tmp_path / "a.npz", reward_known=known), ENV)
    made = found.demonstrations
    assert set(made.lengths) == {53}
    np.testing.assert_array_equal(made.observations[2], states[2, 4:58])
    np.testing.assert_array_equal(made.actions[2], actions[2, 4:57])
    assert made.rewards[2].tolist() == list(range(204, 257))


@pytest.mark.parametrize(
    ("hidden", "text"),
    [
        ((slice(2, 4), 30), r"unknown inside 2 episodes \[2, 3\]"),
        ((slice(1, 2), slice(None)), r"everywhere in 1 \[1\]"),
    ],
)
def test_a_reward_is_never_invented(tmp_path, hidden, text):
    known = np.ones((EPISODES, STEPS), bool)
    known[hidden] = False
    with pytest.raises(DataError, match=text):
        read_icrl_2021(archive(tmp_path / "a.npz", reward_known=known), ENV)


@pytest.mark.parametrize(
    ("changed", "texts"),
    [
        ({"lengths": None, "returns": None}, ["2 faults", "`lengths` is missing"]),
        ({"observations": np.zeros((3, 4))}, ["`observations` have shape (3, 4)"]),
        (
            {"actions": np.zeros((6, 9, 1)), "returns": np.full(6, np.nan)},
            ["2 faults", "`actions` have shape (6, 9, 1)", "not all finite"],
        ),
        ({"lengths": np.full(6, 61)}, ["`lengths` are 61 to 61; expected 3 to 60"]),
        ({"lengths": np.full(6, 2)}, ["`lengths` are 2 to 2"]),
        ({"lengths": np.full(6, 9.0)}, ["`lengths` are float64"]),
        ({"reward_known": np.ones((6, 60))}, ["`reward_known` are float64"]),
        ({"returns": np.array([{}] * 6, object)}, ["not a NumPy archive of plain"]),
    ],
)
def test_another_layout_is_refused(tmp_path, changed, texts):
    with pytest.raises(DataError) as caught:
        read_icrl_2021(archive(tmp_path / "a.npz", **changed), ENV)
    for text in texts:
        assert text in str(caught.value)


def test_a_missing_archive_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_icrl_2021(tmp_path / "none.npz", ENV)


def test_laps_become_laps_of_ours(tmp_path):
    found, about = read_icrl_2021(laps(tmp_path / "l.npz"), "reins/LapGridWorld-v0")
    assert found.actions[0].shape == (38,)
    assert np.issubdtype(found.actions[0].dtype, np.integer)
    cells = np.arange(1, 40) / 20 - 1.0
    np.testing.assert_allclose(found.observations[0][:, 0], cells, atol=1e-6)
    assert about["synthetic"] is True


def test_cells_in_other_units_are_refused(tmp_path):
    cells = np.tile(np.arange(1.0, 41.0)[:, None] / 39 - 0.5, (20, 1, 1))
    file = laps(tmp_path / "l.npz", observations=cells)
    with pytest.raises(
        DataError, match="observations that reins/LapGridWorld-v0 never"
    ):
        read_icrl_2021(file, "reins/LapGridWorld-v0")
    with pytest.raises(DataError, match=r"observations of shape \(2,\)"):
        read_icrl_2021(archive(tmp_path / "a.npz"), "reins/LapGridWorld-v0")
