"""Files: written whole or not at all, and never able to run code when read."""

import importlib.resources
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zipfile import BadZipFile

import numpy as np

from reins.data import Demonstrations
from reins.errors import ConfigError, DataError, sentence_of_faults, unknown_name

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


def check_out(out: Path) -> None:
    """Raises: ConfigError when results cannot go there."""
    there = next(x for x in (out, *out.absolute().parents) if x.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        what = "cannot be written" if there.is_dir() else "is a file"
        raise ConfigError(
            f"results were to go to {out}, which cannot be a folder: "
            f"{there} {what}. Choose another --out."
        )


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


class StoredDemonstrations(NamedTuple):
    """What a file of demonstrations holds, before anybody has looked at the episodes.

    Attributes:
      file: the `.npz`.
      record: the `.json` beside it.
      observations, actions, rewards: per episode.
    """

    file: Path
    record: dict[str, Any]
    observations: list[np.ndarray]
    actions: list[np.ndarray]
    rewards: list[np.ndarray]

    def demonstrations(self) -> Demonstrations:
        """The same, checked.

        Raises: DataError, all faults at once.
        """
        env_id, made_by = self.record["env"], self.record.get("made_by", "")
        return Demonstrations(*self[2:], env_id=env_id, made_by=made_by)


def save_demonstrations(
    path: str | Path,
    demonstrations: Demonstrations,
    *,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write demonstrations as `.npz`, and a `.json` of the same name beside it.

    The episodes lie one after another; `observation_counts` and `action_counts` say
    where each ends. Returns the `.npz`.

    Args:
      about: more to write into the `.json`, as JSON can hold it.
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
        **(about or {}),
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
    return read_demonstrations(path).demonstrations()


def read_demonstrations(path: str | Path) -> StoredDemonstrations:
    """Read what a file of demonstrations holds, whether or not it can be used.

    Raises: DataError when it is missing, damaged, or not of this kind.
    """
    file = find_demonstrations(path)
    record = read_json(file.with_suffix(".json"), "the description of demonstrations")
    said = record if isinstance(record, dict) else {}
    faults = []
    if (schema := said.get("schema")) != DEMONSTRATIONS_SCHEMA:
        faults.append(
            f"its schema is {schema!r}; this version reads {DEMONSTRATIONS_SCHEMA!r}"
        )
    if not isinstance(said.get("env"), str):
        faults.append("it names no environment (`env`)")
    if faults:
        subject = f"the description of demonstrations {file} cannot be used"
        raise DataError(sentence_of_faults(subject, faults))
    names = ["observations", "actions", "rewards"]
    subject = f"demonstrations {file}"
    arrays = read_arrays(
        file,
        [*names, "observation_counts", "action_counts"],
        subject,
        "Write them with reins.save_demonstrations.",
    )
    counts = ["observation_counts", "action_counts", "action_counts"]
    parts = [_split(arrays, *pair, file) for pair in zip(names, counts, strict=True)]
    return StoredDemonstrations(file, record, *parts)


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


def read_arrays(
    file: Path,
    names: Sequence[str],
    subject: str,
    advice: str,
    *,
    optional: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Read some arrays of a `.npz`; one that needs pickle is refused.

    Args:
      names: those that must be there; `optional` ones may be.
      subject: what to call the file in a complaint, and `advice` what to do then.

    Raises: DataError when it is no archive, or names all arrays that it lacks.
    """
    try:
        with file.open("rb") as stream, np.load(stream) as stored:
            missing = [name for name in names if name not in stored]
            if missing:
                faults = [f"array `{name}` is missing" for name in missing]
                raise DataError(sentence_of_faults(subject, faults))
            found = [name for name in optional if name in stored]
            return {name: stored[name] for name in [*names, *found]}
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error):
        # TypeError: a lone .npy, which is an array and no archive.
        raise DataError(
            f"{subject} are not a NumPy archive of plain arrays, or it is damaged. "
            f"{advice}"
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
