"""Minari datasets: there and back again exactly, and what is refused."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

import reins
from reins.data import Demonstrations
from reins.errors import CapabilityError, ConfigError, DataError
from reins.experiments.minari_store import as_shown, read_minari, write_minari

LAP = "reins/LapGridWorld-v0"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "store"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folder))
    return folder


def carts(lengths=(3, 1, 5)) -> Demonstrations:
    rng = np.random.default_rng(0)
    return Demonstrations(
        [rng.normal(size=(n + 1, 4)).astype(np.float32) for n in lengths],
        [rng.integers(2, size=n) for n in lengths],
        [rng.normal(size=n) for n in lengths],
        "CartPole-v1",
        "a hand",
    )


def foreign(name: str, observation_space, observations, **settings):
    """A dataset of somebody else's, of two steps, with one action."""
    import minari
    from minari.data_collector import EpisodeBuffer

    given = {"action_space": spaces.Discrete(2), "actions": np.array([0, 1])}
    given |= settings
    buffer = EpisodeBuffer(
        observations=observations,
        actions=given.pop("actions"),
        rewards=[1.0, 2.0],
        terminations=[False, True],
        truncations=[False, False],
    )
    with warnings.catch_warnings(action="ignore"):  # it misses an author
        return minari.create_dataset_from_buffers(
            name, [buffer], observation_space=observation_space, **given
        )


@pytest.mark.parametrize("dataset", ["carts-v0", "our/own/carts-v3"])
def test_there_and_back_again_is_exact(store, dataset):
    made = carts()
    folder = write_minari(dataset, made)
    assert folder == store / dataset
    for source in (dataset, str(folder), str(folder / "data")):
        found, about = read_minari(source)
        assert (found.env_id, found.made_by) == (made.env_id, made.made_by)
        assert about == {"format": "minari", "dataset": dataset}
        for name in ("observations", "actions", "rewards"):
            for a, b in zip(getattr(found, name), getattr(made, name), strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


def test_minari_reads_what_was_written(store):
    import minari

    write_minari("our/carts-v0", carts())
    assert list(minari.list_local_datasets()) == ["our/carts-v0"]
    found = minari.load_dataset("our/carts-v0")
    assert found.spec.env_spec.id == "CartPole-v1"
    assert found.total_episodes == 3
    episode = found[2]
    assert episode.truncations.tolist() == [False] * 4 + [True]
    assert not episode.terminations.any()
    record = json.loads((store / "our/carts-v0/data/metadata.json").read_text())
    assert record["description"] == "a hand"
    assert not {"author", "author_email"} & record.keys()


def test_demonstrations_that_ship_survive_the_journey(store):
    made = reins.load_demonstrations("lapgridworld")
    write_minari("laps-v0", made)
    found = read_minari("laps-v0").demonstrations
    assert found.made_by == made.made_by
    np.testing.assert_array_equal(found.observations, made.observations)


def test_the_store_is_left_as_it_was_when_writing_fails(store, monkeypatch):
    import minari

    def fail(*args, **kwargs):
        raise OSError("no space left")

    write_minari("first-v0", carts())
    monkeypatch.setattr(minari, "create_dataset_from_buffers", fail)
    with pytest.raises(DataError, match="no space left"):
        write_minari("carts-v0", carts())
    assert [path.name for path in store.iterdir()] == ["first-v0"]


@pytest.mark.parametrize("dataset", ["carts", "../carts-v0", "a b-v0", "/carts-v0", ""])
def test_ids_that_cannot_be_are_refused(store, dataset):
    with pytest.raises(ConfigError, match="as the id of a Minari dataset"):
        write_minari(dataset, carts())


def test_a_dataset_is_not_overwritten(store):
    write_minari("carts-v0", carts())
    with pytest.raises(ConfigError, match="already holds a Minari dataset"):
        write_minari("carts-v0", carts())


def test_an_environment_that_nobody_knows_is_refused(store):
    made = carts()
    unknown = Demonstrations(made.observations, made.actions, made.rewards, "No-v0")
    with pytest.raises(ConfigError, match="knows no environment of that id"):
        write_minari("carts-v0", unknown)


def test_demonstrations_that_do_not_fit_are_refused(store):
    made = carts()
    with pytest.raises(DataError, match="do not fit reins/LapGridWorld-v0"):
        write_minari(
            "carts-v0",
            Demonstrations(made.observations, made.actions, made.rewards, LAP),
        )


def test_parts_become_the_vector_that_gymnasium_makes_of_them(store):
    space = spaces.Dict(
        arm=spaces.Box(-9.0, 9.0, (2, 2), np.float64),
        pair=spaces.Tuple((spaces.Discrete(3), spaces.Box(0.0, 1.0, (1,)))),
    )
    arm = np.arange(12.0).reshape(3, 2, 2) - 6
    level, place = np.array([2, 0, 1]), np.array([[0.1], [0.2], [0.3]], np.float32)
    observations = {"arm": arm, "pair": (level, place)}
    foreign("parts-v0", space, observations)
    found = read_minari("parts-v0", "Some-v0").demonstrations
    wanted = [
        spaces.flatten(space, {"arm": arm[t], "pair": (level[t], place[t])})
        for t in range(3)
    ]
    np.testing.assert_array_equal(found.observations[0], wanted)
    assert found.rewards[0].tolist() == [1.0, 2.0]
    assert found.env_id == "Some-v0"
    assert found.made_by == "the Minari dataset parts-v0"


def test_discrete_observations_become_one_hot_and_the_source_is_named(store):
    foreign(
        "cells-v0",
        spaces.Discrete(3),
        np.array([2, 0, 1]),
        description="by foot",
        algorithm_name="Foot",
    )
    found = read_minari("cells-v0", "Some-v0").demonstrations
    np.testing.assert_array_equal(found.observations[0], np.eye(3)[[2, 0, 1]])
    assert found.made_by == "the Minari dataset cells-v0 by Foot: by foot"


def test_the_environment_must_be_named_by_somebody(store):
    foreign("cells-v0", spaces.Discrete(3), np.array([2, 0, 1]))
    with pytest.raises(ConfigError, match="Name it with --env"):
        read_minari("cells-v0")


def test_actions_of_several_parts_are_refused(store):
    actions = {"action_space": spaces.MultiDiscrete([2, 2])}
    cells = np.array([2, 0, 1])
    foreign(
        "odd-v0", spaces.Discrete(3), cells, actions=np.zeros((2, 2), int), **actions
    )
    with pytest.raises(DataError, match="only Box and Discrete actions"):
        read_minari("odd-v0", "Some-v0")


def test_pictures_stay_and_what_has_no_length_is_refused():
    space = spaces.Box(0, 255, (4, 5, 3), np.uint8)
    pictures = np.arange(120, dtype=np.uint8).reshape(2, 4, 5, 3)
    np.testing.assert_array_equal(as_shown(space, pictures, "odd-v0"), pictures)
    with pytest.raises(DataError, match="cannot be made one vector"):
        as_shown(spaces.Sequence(spaces.Discrete(2)), [(0,), (1, 1)], "odd-v0")


def test_a_dataset_that_would_run_code_is_refused(store, monkeypatch):
    """Without its spaces Minari builds the environment that the file names."""
    folder = write_minari("carts-v0", carts()) / "data" / "metadata.json"
    record = json.loads(folder.read_text())
    del record["observation_space"], record["action_space"]
    spec = json.loads(record["env_spec"])
    spec |= {"entry_point": "os:system", "kwargs": {"command": "touch ran"}}
    folder.write_text(json.dumps(record | {"env_spec": json.dumps(spec)}))
    monkeypatch.chdir(store)
    with pytest.raises(DataError, match="observation_space and action_space"):
        read_minari("carts-v0")
    assert not (store / "ran").exists()


def test_what_is_not_there_is_refused_with_what_is(store):
    with pytest.raises(DataError, match="Download it first: minari download cart-v0"):
        read_minari("cart-v0")
    write_minari("carts-v0", carts())
    with pytest.raises(DataError, match="Did you mean `carts-v0`"):
        read_minari("cart-v0")


def test_a_damaged_dataset_is_refused(store):
    folder = write_minari("carts-v0", carts())
    (folder / "data" / "main_data.hdf5").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        read_minari("carts-v0")
    (folder / "data" / "metadata.json").write_text("{")
    with pytest.raises(DataError, match="JSON"):
        read_minari("carts-v0")


@pytest.mark.parametrize("package", ["minari", "h5py"])
def test_a_missing_package_is_named(store, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    for ask in (lambda: read_minari("a-v0"), lambda: write_minari("a-v0", carts())):
        with pytest.raises(CapabilityError, match=rf"{package} is not installed.*pip"):
            ask()
