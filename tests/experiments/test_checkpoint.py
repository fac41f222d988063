import tracemalloc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from reins.errors import DataError
from reins.experiments.checkpoint import (
    KINDS,
    load_checkpoint,
    load_record,
    save_checkpoint,
)
from reins.experiments.record import wall_seconds


class State(NamedTuple):
    weights: list[jax.Array]
    key: jax.Array
    count: jax.Array
    flags: jax.Array


def state() -> State:
    weights = [jnp.asarray([[1.5, -0.0, jnp.inf]]), jnp.zeros((0, 3))]
    return State(weights, jax.random.key(7), jnp.asarray(3), jnp.asarray([True, False]))


def test_every_leaf_and_the_record_come_back_exactly(tmp_path):
    path = tmp_path / "state.safetensors"
    record = {"updates": 3, "history": [0.1, 1e-300]}
    save_checkpoint(path, state(), record)
    found, found_record = load_checkpoint(path, jax.eval_shape(state))
    assert found_record == record == load_record(path)
    for a, b in zip(found.weights, state().weights, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert jax.random.uniform(found.key) == jax.random.uniform(state().key)
    assert (int(found.count), found.flags.tolist()) == (3, [True, False])


def test_any_reader_of_safetensors_finds_every_kind_of_number(tmp_path):
    path, rng = tmp_path / "kinds.safetensors", np.random.default_rng(0)
    drawn = rng.integers(0, 2, (2, 1, 3))
    arrays = {
        name: drawn.astype(name) for name in KINDS if name not in ("bfloat16", "bool")
    }
    arrays |= {"bool": drawn > 0, "none": np.zeros((0, 4)), "one": np.float32(2.5)}
    arrays["turned"] = rng.normal(size=(3, 5)).T
    arrays["bfloat16"] = np.asarray(jnp.asarray(drawn, jnp.bfloat16))
    save_checkpoint(path, arrays, {"name": 'umlaut ü and "quotes"'})
    found = load_file(path)
    assert len(found) == len(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[f"['{name}']"], array)
        assert found[f"['{name}']"].dtype == np.asarray(array).dtype
    assert load_record(path) == {"name": 'umlaut ü and "quotes"'}


def test_writing_copies_no_array(tmp_path):
    large = np.zeros(10_000_000, np.float32)
    tracemalloc.start()
    save_checkpoint(tmp_path / "large.safetensors", {"x": large}, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < large.nbytes / 10


def test_all_differences_from_the_template_are_listed_at_once(tmp_path):
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, {"a": jnp.zeros(2), "b": jnp.zeros(3)}, {})
    template = {"a": jnp.zeros(4), "c": jnp.zeros(1)}
    with pytest.raises(DataError) as error:
        load_checkpoint(path, template)
    text = str(error.value)
    assert "3 faults" in text
    assert "['a'] is float32[2]; expected float32[4]" in text
    assert "['b'] is not expected" in text
    assert "['c'] is missing" in text


def test_a_learner_from_before_ranges_were_kept_is_read_with_unknown_ones(tmp_path):
    """Other arrays that are missing are still refused."""

    class Part(NamedTuple):
        zeta: jax.Array
        seen: jax.Array

    class Whole(NamedTuple):
        agent: Part | dict
        key: jax.Array

    path = tmp_path / "state.safetensors"
    whole = Whole(Part(jnp.ones(3), jnp.zeros((2, 4))), jnp.ones(()))
    save_checkpoint(path, whole, {})
    assert load_checkpoint(path, whole)[0].agent.seen.sum() == 0.0
    arrays = load_file(path)
    del arrays[".agent.seen"]
    save_file(arrays, path, {"reins": "{}"})
    found, _ = load_checkpoint(path, whole)
    assert np.isnan(found.agent.seen).all()
    assert found.agent.seen.shape == (2, 4)
    np.testing.assert_array_equal(found.agent.zeta, np.ones(3))
    del arrays[".agent.zeta"]
    save_file(arrays, path, {"reins": "{}"})
    with pytest.raises(DataError, match=r"\.agent\.zeta is missing"):
        load_checkpoint(path, whole)


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_damaged_file_is_refused(tmp_path, cut):
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, state(), {})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="damaged"):
        load_record(path)


def test_a_missing_file_and_a_strangers_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="no file"):
        load_record(tmp_path / "nothing")
    save_file({"x": np.zeros(1)}, tmp_path / "other", {"made_by": "another"})
    with pytest.raises(DataError, match="not a file that reins wrote"):
        load_record(tmp_path / "other")


def test_the_record_must_be_json(tmp_path):
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path / "x", {}, {"what": object()})
    assert list(tmp_path.iterdir()) == []


def test_wall_time_counts_what_overlaps_once(tmp_path):
    spans = {"seed-0": [[0.0, 4.0], [10.0, 11.0]], "seed-1": [[1.0, 3.0], [3.0, 6.0]]}
    for name, found in spans.items():
        path = tmp_path / "checkpoints" / f"{name}.safetensors"
        save_checkpoint(path, {}, {"spans": found})
    assert wall_seconds([tmp_path]) == 7.0
