import json

import numpy as np
import pytest

from reins.data import Demonstrations
from reins.errors import DataError
from reins.experiments.files import (
    load_demonstrations,
    read_demonstrations,
    save_demonstrations,
    shipped_demonstrations,
    write_json,
    write_whole,
)


def demonstrations() -> Demonstrations:
    lengths = (3, 1, 2)
    return Demonstrations(
        [np.arange(2.0 * (n + 1)).reshape(n + 1, 2) for n in lengths],
        [np.arange(n) for n in lengths],
        [np.full(n, 0.1 * n) for n in lengths],
        env_id="some/Env-v0",
        made_by="hand",
    )


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    write_whole(path, lambda stream: stream.write(b"old"))

    def fail(stream):
        stream.write(b"half of the new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": float("nan")})


def test_demonstrations_come_back_as_they_were(tmp_path):
    made = demonstrations()
    save_demonstrations(tmp_path / "some.npz", made)
    found = load_demonstrations(tmp_path / "some.npz")
    assert (found.env_id, found.made_by) == ("some/Env-v0", "hand")
    for name in ("observations", "actions", "rewards"):
        for a, b in zip(getattr(found, name), getattr(made, name), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", shipped_demonstrations())
def test_what_ships_is_small_and_says_where_it_comes_from(name):
    file = shipped_demonstrations()[name]
    assert file.stat().st_size < 1_000_000
    assert "reins demonstrations make" in load_demonstrations(name).made_by


def test_the_shipped_cheetahs_never_come_to_the_wall():
    found = load_demonstrations("HalfCheetahWall")
    assert found.env_id == "reins/HalfCheetahWall-v0"
    assert found.lengths.tolist() == [1000] * 10
    assert min(x[:, 0].min() for x in found.observations) > -3
    assert found.returns.min() > 3_700


def test_the_shipped_ants_never_come_to_the_wall():
    found = load_demonstrations("AntWall")
    assert found.env_id == "reins/AntWall-v0"
    assert found.lengths.tolist() == [500] * 10
    assert min(x[:, 0].min() for x in found.observations) > -3
    assert found.returns.min() > 20_000


def test_the_shipped_laps_obey_the_rule_and_are_optimal():
    found = load_demonstrations("lapgridworld")
    assert found.returns.tolist() == [60.0] * 20
    assert all((actions == 0).all() for actions in found.actions)
    assert "reins demonstrations make" in found.made_by


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lapgridwold", "Did you mean `lapgridworld`"),
        ("folder/nothing.npz", "no such file"),
    ],
)
def test_missing_demonstrations_are_refused(name, text):
    with pytest.raises(DataError, match=text):
        load_demonstrations(name)


def test_demonstrations_without_their_description_are_refused(tmp_path):
    save_demonstrations(tmp_path / "some.npz", demonstrations())
    (tmp_path / "some.json").unlink()
    with pytest.raises(DataError, match="description of demonstrations"):
        load_demonstrations(tmp_path / "some.npz")


def test_missing_arrays_are_all_named(tmp_path):
    save_demonstrations(tmp_path / "some.npz", demonstrations())
    np.savez(tmp_path / "some.npz", observations=np.zeros(3), actions=np.zeros(3))
    with pytest.raises(DataError, match="3 faults") as error:
        load_demonstrations(tmp_path / "some.npz")
    assert "`rewards` is missing" in str(error.value)


def test_counts_that_do_not_add_up_are_refused(tmp_path):
    save_demonstrations(tmp_path / "some.npz", demonstrations())
    with np.load(tmp_path / "some.npz") as stored:
        arrays = dict(stored)
    arrays["action_counts"] = np.asarray([3, 1, 1])
    np.savez(tmp_path / "some.npz", **arrays)
    with pytest.raises(DataError, match="add up to 5"):
        load_demonstrations(tmp_path / "some.npz")


def test_an_observation_too_few_is_told_with_its_numbers(tmp_path):
    save_demonstrations(tmp_path / "some.npz", demonstrations())
    with np.load(tmp_path / "some.npz") as stored:
        arrays = dict(stored)
    arrays["observation_counts"] = np.asarray([3, 3, 3])
    np.savez(tmp_path / "some.npz", **arrays)
    with pytest.raises(DataError, match=r"3 observations for 3 actions in episode 0"):
        load_demonstrations(tmp_path / "some.npz")


def test_another_schema_is_refused(tmp_path):
    save_demonstrations(tmp_path / "some.npz", demonstrations())
    record = json.loads((tmp_path / "some.json").read_text())
    write_json(tmp_path / "some.json", record | {"schema": "reins.demonstrations/9"})
    with pytest.raises(DataError, match="demonstrations/9"):
        load_demonstrations(tmp_path / "some.npz")


def test_more_can_be_said_beside_demonstrations_and_nothing_overwritten(tmp_path):
    made = demonstrations()
    about = {"published_returns": [1.0], "env": "another", "schema": "another"}
    file = save_demonstrations(tmp_path / "some.npz", made, about=about)
    record = read_demonstrations(file).record
    assert record["published_returns"] == [1.0]
    assert record["env"] == "some/Env-v0"
    assert load_demonstrations(file).env_id == "some/Env-v0"


@pytest.mark.parametrize("record", [[], {"schema": "reins.demonstrations/1"}])
def test_a_description_without_an_environment_is_refused(tmp_path, record):
    file = save_demonstrations(tmp_path / "some.npz", demonstrations())
    write_json(tmp_path / "some.json", record)
    with pytest.raises(DataError, match="names no environment"):
        load_demonstrations(file)


def test_what_cannot_be_used_can_be_read(tmp_path):
    file = save_demonstrations(tmp_path / "some.npz", demonstrations())
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["rewards"] = arrays["rewards"] + np.inf
    np.savez(file, **arrays)
    assert np.isinf(read_demonstrations(file).rewards[0]).all()
    with pytest.raises(DataError, match="not finite"):
        load_demonstrations(file)
