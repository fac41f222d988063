"""Checkpoints: a pytree of arrays and a JSON record in one safetensors file.

The record lies in the file's own metadata, so one rename puts both in place. Every leaf
is stored under the path that leads to it; random keys as their raw data.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from reins.errors import DataError, sentence_of_faults
from reins.experiments.files import write_whole

RECORD = "reins"
ADDED = {".agent.seen": np.nan}
"""Arrays that older files do not have, and what then stands in their place."""

KINDS = {
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    **{f"int{bits}": f"I{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"U{bits}" for bits in (8, 16, 32, 64)},
    "bool": "BOOL",
    "bfloat16": "BF16",
}
"""Types of numbers as safetensors calls them."""


def save_checkpoint(path: Path, tree: Any, record: dict[str, Any]) -> None:
    """Write a pytree of arrays with a JSON record, whole or not at all."""
    arrays = {name: np.asarray(_raw(leaf)) for name, leaf in _named(tree)}
    write_whole(path, lambda stream: _write(stream, arrays, json.dumps(record)))


def _write(stream: BinaryIO, arrays: Mapping[str, np.ndarray], record: str) -> None:
    """The format of safetensors, array by array: nothing is copied.

    Its own writer makes one string of everything, and a replay buffer may take half of
    the memory. Eight bytes say how long the header is, which says where arrays are.
    """
    header: dict[str, Any] = {"__metadata__": {RECORD: record}}
    place = 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": KINDS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [place, place + array.nbytes],
        }
        place += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    stream.write(len(text).to_bytes(8, "little"))
    stream.write(text)
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def load_record(path: Path) -> dict[str, Any]:
    """The JSON record of a checkpoint, without its arrays.

    Raises: DataError when the file is missing, damaged or not ours.
    """
    return _open(path, with_arrays=False)[0]


def load_checkpoint(path: Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """Read a pytree with the structure of a template, and its record.

    Args:
      path: the file.
      template: the same pytree with arrays or shapes (`jax.eval_shape`) for leaves.

    Raises: DataError that lists every array that is missing, too many, or of another
      shape or type.
    """
    record, arrays = _open(path)
    named = _named(template)
    for name, leaf in named:
        if name in ADDED and name not in arrays:
            arrays[name] = np.full(leaf.shape, ADDED[name], leaf.dtype)
    faults = [f"array {name} is missing" for name, _ in named if name not in arrays]
    faults += [
        f"array {name} is not expected" for name in arrays.keys() - dict(named).keys()
    ]
    for name, leaf in named:
        expected = jax.eval_shape(_raw, leaf) if _is_key(leaf) else leaf
        found = arrays.get(name)
        if found is None:
            continue
        if found.shape != expected.shape or found.dtype != expected.dtype:
            faults.append(
                f"array {name} is {found.dtype}{list(found.shape)}; expected "
                f"{expected.dtype}{list(expected.shape)}"
            )
    if faults:
        raise DataError(sentence_of_faults(f"checkpoint {path} does not fit", faults))
    leaves = [_cooked(arrays[name], leaf) for name, leaf in named]
    return jax.tree.unflatten(jax.tree.structure(template), leaves), record


def _open(
    path: Path, *, with_arrays: bool = True
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with safe_open(path, framework="numpy") as stored:
            record = json.loads((stored.metadata() or {})[RECORD])
            names = stored.keys() if with_arrays else ()
            return record, {name: stored.get_tensor(name) for name in names}
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"there is no file {path}. Check the path.") from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is not a file that reins wrote, or it is damaged ({error})."
        ) from None


def _named(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in leaves]


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _cooked(array: np.ndarray, leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else array
