"""Files: written whole or not at all, and never able to run code when read."""

import importlib.resources
import json
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np

from reins.data import Demonstrations
from reins.errors import DataError, sentence_of_faults, unknown_name

DEMONSTRATIONS_SCHEMA = "reins.demonstrations/1"


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name beside it, then rename it into place.

    Whoever looks sees the old file or the new one, never a part; a crash leaves at
    most a file whose name begins with `.tmp-`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, record: Any) -> None:
    """Write a record as strict JSON, whole or not at all."""
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda stream: stream.write(text.encode()))


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises: DataError when it is missing or not JSON; `what` names it to the reader.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{what}: there is no file {path}. Check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{what}: {path} cannot be read as JSON ({error}).") from None


def save_demonstrations(path: str | Path, demonstrations: Demonstrations) -> Path:
    """Write demonstrations as `.npz`, and a `.json` of the same name beside it.

    The episodes lie one after another; `observation_counts` and `action_counts` say
    where each ends. Returns the `.npz`.
    """
    arrays = {
        "observations": np.concatenate(demonstrations.observations),
        "actions": np.concatenate(demonstrations.actions),
        "rewards": np.concatenate(demonstrations.rewards),
        "observation_counts": np.asarray([len(x) for x in demonstrations.observations]),
        "action_counts": np.asarray([len(x) for x in demonstrations.actions]),
    }
    path = Path(path)
    if path.suffix != ".npz":
        path = path.with_name(f"{path.name}.npz")
    write_whole(path, lambda stream: np.savez_compressed(stream, **arrays))  # pyright: ignore[reportArgumentType]
    record = {
        "schema": DEMONSTRATIONS_SCHEMA,
        "env": demonstrations.env_id,
        "made_by": demonstrations.made_by,
        "episodes": len(demonstrations.actions),
        "returns": demonstrations.returns.tolist(),
    }
    write_json(path.with_suffix(".json"), record)
    return path


def load_demonstrations(path: str | Path) -> Demonstrations:
    """Read demonstrations from a file, or the ones that ship with reins by their name.

    Raises: DataError that lists what is missing or wrong.
    """
    file = find_demonstrations(path)
    record = read_json(file.with_suffix(".json"), "the description of demonstrations")
    if record.get("schema") != DEMONSTRATIONS_SCHEMA:
        raise DataError(
            f"demonstrations {file}: their description says schema "
            f"{record.get('schema')!r}; this version reads {DEMONSTRATIONS_SCHEMA!r}."
        )
    arrays = _read_arrays(file)
    observations = _split(arrays, "observations", "observation_counts", file)
    actions = _split(arrays, "actions", "action_counts", file)
    rewards = _split(arrays, "rewards", "action_counts", file)
    return Demonstrations(
        observations, actions, rewards, record["env"], record.get("made_by", "")
    )


def find_demonstrations(path: str | Path) -> Path:
    """The file of that path, or of the demonstrations that ship under that name.

    Raises: DataError when there is neither.
    """
    file = Path(path)
    if file.exists():
        return file
    shipped = shipped_demonstrations()
    if str(path) in shipped:
        return shipped[str(path)]
    if len(file.parts) == 1 and not file.suffix:
        raise DataError(unknown_name("file or shipped set", str(path), shipped))
    raise DataError(
        f"demonstrations were asked for from {file}; there is no such file. Check the "
        f"path, or use what ships with reins: {', '.join(shipped)}."
    )


def shipped_demonstrations() -> dict[str, Path]:
    """The sets that come with the package, by name."""
    folder = Path(str(importlib.resources.files("reins"))) / "demonstrations"
    return {file.stem: file for file in sorted(folder.glob("*.npz"))}


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    names = [
        "observations",
        "actions",
        "rewards",
        "observation_counts",
        "action_counts",
    ]
    try:
        with file.open("rb") as stream, np.load(stream) as stored:
            missing = [name for name in names if name not in stored]
            if missing:
                faults = [f"array `{name}` is missing" for name in missing]
                raise DataError(sentence_of_faults(f"demonstrations {file}", faults))
            return {name: stored[name] for name in names}
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error):
        # TypeError: a lone .npy, which is an array and no archive.
        raise DataError(
            f"demonstrations {file} are not a NumPy archive of plain arrays, or it is "
            "damaged. Write them with reins.save_demonstrations."
        ) from None


def _split(
    arrays: dict[str, np.ndarray], name: str, counts: str, file: Path
) -> list[np.ndarray]:
    lengths = arrays[counts]
    if int(lengths.sum()) != len(arrays[name]):
        raise DataError(
            f"demonstrations {file}: `{counts}` add up to {int(lengths.sum())}, but "
            f"`{name}` holds {len(arrays[name])} rows. The file was written wrongly."
        )
    return np.split(arrays[name], np.cumsum(lengths)[:-1])
