"""Demonstrations from Minari datasets, and to them (the optional package `minari`)."""

import contextlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from reins.data import Demonstrations, check_fit
from reins.envs import is_image, make_env
from reins.errors import CapabilityError, ConfigError, DataError, unknown_name
from reins.experiments.files import DEMONSTRATIONS_SCHEMA, read_json
from reins.experiments.published import Imported

DATASET_ID = re.compile(r"([-\w]+/)*[-\w]+-v\d+", re.ASCII)


def read_minari(dataset: str, env_id: str | None = None) -> Imported:
    """Demonstrations from a dataset in the local Minari store, or in a folder.

    Observations become what `reins.make_env` shows of the environment: one vector, as
    Gymnasium's FlattenObservation makes it, or an image as it is. An episode ends where
    it ended; why it did is not kept.

    Args:
      dataset: an id, or the path of a dataset's folder.
      env_id: the environment to record; the one that the dataset names when None.

    Raises: DataError when it is missing or cannot be used, ConfigError when no
      environment is named, CapabilityError without the package.
    """
    minari = _package()
    folder = _folder(minari, dataset)
    record = read_json(folder / "metadata.json", f"the Minari dataset {dataset}")
    missing = [f"{kind}_space" for kind in ("observation", "action")]
    missing = [name for name in missing if name not in record]
    if missing:
        raise DataError(
            f"the Minari dataset {dataset} does not say its {' and '.join(missing)}. "
            "Minari would ask its environment, and so run what the file names; nothing "
            "that is read here may run code. Write it anew with a newer Minari."
        )
    with _refusals(f"the Minari dataset {dataset} cannot be read"):
        found = minari.MinariDataset(folder)
        episodes = list(found.iterate_episodes())
    env_id = env_id or (found.env_spec.id if found.env_spec is not None else None)
    if env_id is None:
        raise ConfigError(
            f"the Minari dataset {dataset} names no environment. Name it with --env."
        )
    if not episodes:
        raise DataError(f"the Minari dataset {dataset} holds no episode.")
    if not isinstance(found.action_space, spaces.Box | spaces.Discrete):
        raise DataError(
            f"the Minari dataset {dataset} has actions in {found.action_space}; only "
            "Box and Discrete actions can be demonstrations here."
        )
    made = Demonstrations(
        [as_shown(found.observation_space, e.observations, dataset) for e in episodes],
        [np.asarray(e.actions) for e in episodes],
        [np.asarray(e.rewards) for e in episodes],
        env_id,
        _made_by(record),
    )
    return Imported(made, {"format": "minari", "dataset": record.get("dataset_id")})


def write_minari(dataset_id: str, demonstrations: Demonstrations) -> Path:
    """Write demonstrations into the local Minari store; returns the dataset's folder.

    Each episode is marked truncated at its last step: whether it terminated is not
    known, and a step that is truncated claims nothing about what would have followed.

    Args:
      dataset_id: a new one, `name-v0` or `space/name-v0`.

    Raises: ConfigError for an id that cannot be or is taken, and for an environment
      that Gymnasium does not know; CapabilityError without the package.
    """
    minari = _package()
    if DATASET_ID.fullmatch(dataset_id) is None:
        raise ConfigError(
            f"{dataset_id!r} was asked for as the id of a Minari dataset, which is "
            "letters, digits, - and _, with a version: `name-v0` or `space/name-v0`."
        )
    env_id = demonstrations.env_id
    if env_id not in gymnasium.registry:
        raise ConfigError(
            f"demonstrations of {env_id} cannot become a Minari dataset: it has to say "
            "the environment's spaces, and Gymnasium knows no environment of that id. "
            "Import the module that registers it, or record another id."
        )
    folder = minari.storage.get_dataset_path(dataset_id)
    if folder.exists():
        raise ConfigError(
            f"{folder} already holds a Minari dataset {dataset_id}. Choose another id."
        )
    env = make_env(env_id)
    check_fit(demonstrations, [env_id], env.observation_space, env.action_space)
    store = minari.storage.get_dataset_path("")
    # Written aside and renamed, so that nobody finds half of it.
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=store) as aside:
        with _refusals(f"the Minari dataset {dataset_id} cannot be written"):
            with _store_at(aside):
                written = minari.create_dataset_from_buffers(
                    dataset_id,
                    _buffers(minari, demonstrations),
                    env=env_id,
                    observation_space=env.observation_space,
                    action_space=env.action_space,
                    description=demonstrations.made_by,
                    jpeg_encoding=False,  # which would change the pictures
                )
            written.storage.update_metadata({"reins_schema": DEMONSTRATIONS_SCHEMA})
            space = dataset_id.rpartition("/")[0]
            if space and space not in minari.namespace.list_local_namespaces():
                minari.namespace.create_namespace(space)
        os.replace(Path(aside) / dataset_id, folder)
    return folder


@contextlib.contextmanager
def _store_at(folder: str) -> Iterator[None]:
    """Minari's store elsewhere for a while; it asks for no path, but this variable."""
    name = "MINARI_DATASETS_PATH"
    before = os.environ.get(name)
    os.environ[name] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _buffers(minari: ModuleType, demonstrations: Demonstrations) -> list[Any]:
    episodes = zip(
        demonstrations.observations,
        demonstrations.actions,
        demonstrations.rewards,
        strict=True,
    )
    return [
        minari.data_collector.EpisodeBuffer(
            observations=np.asarray(o),
            actions=np.asarray(a),
            rewards=np.asarray(r),
            terminations=np.zeros(len(a), bool),
            truncations=np.arange(len(a)) == len(a) - 1,
        )
        for o, a, r in episodes
    ]


def _package() -> ModuleType:
    try:
        import h5py  # noqa: F401
        import minari
        import minari.data_collector
        import minari.namespace
        import minari.storage
    except ImportError as error:
        raise CapabilityError(
            f"a Minari dataset was asked for, and {error.name or 'minari'} is not "
            'installed. Install it beside reins: pip install "reins[minari]".'
        ) from None
    return minari


def _folder(minari: ModuleType, dataset: str) -> Path:
    for folder in (Path(dataset), Path(dataset) / "data"):
        if (folder / "metadata.json").is_file():
            return folder
    if DATASET_ID.fullmatch(dataset):
        folder = minari.storage.get_dataset_path(dataset) / "data"
        if (folder / "metadata.json").is_file():
            return folder
    with warnings.catch_warnings(action="ignore"):
        known = minari.list_local_datasets()
    if known:
        raise DataError(unknown_name("Minari dataset", dataset, known))
    store = os.fspath(minari.storage.get_dataset_path(""))
    raise DataError(
        f"the Minari dataset {dataset} was asked for; it is no folder with a "
        f"metadata.json, and there is no dataset in {store}. Download it first: "
        f"minari download {dataset}"
    )


@contextlib.contextmanager
def _refusals(subject: str) -> Iterator[None]:
    """Minari's own complaints as errors of ours; its advice to authors is left out."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except ImportError as error:  # another format than HDF5
        raise CapabilityError(f"{subject}: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise DataError(f"{subject}: {type(error).__name__}: {error}") from error


def as_shown(space: spaces.Space, observations: Any, dataset: str) -> np.ndarray:
    """Observations of an episode as `reins.make_env` shows them, one row each.

    Args:
      space: theirs, in the dataset.
      observations: as Minari gives them: arrays over all steps, in each of their parts.
      dataset: what to call it in a complaint.

    Raises: DataError where they cannot be one vector.
    """
    if isinstance(space, spaces.Box) and (len(space.shape) == 1 or is_image(space)):
        return np.asarray(observations)
    if not space.is_np_flattenable:
        raise DataError(
            f"the Minari dataset {dataset} has observations in {space}, which cannot "
            "be made one vector."
        )
    steps = _steps(space, observations)
    return np.stack([np.asarray(spaces.flatten(space, step)) for step in steps])


def _steps(space: spaces.Space, observations: Any) -> list[Any]:
    """Observations one by one, from arrays over all steps in each part of the space."""
    if isinstance(space, spaces.Dict):
        parts = {key: _steps(space[key], observations[key]) for key in space}
        n = len(next(iter(parts.values())))
        return [{key: part[t] for key, part in parts.items()} for t in range(n)]
    if isinstance(space, spaces.Tuple):
        pairs = zip(space, observations, strict=True)
        return list(zip(*(_steps(part, seen) for part, seen in pairs), strict=True))
    return list(observations)


def _made_by(record: dict[str, Any]) -> str:
    description = record.get("description", "")
    if record.get("reins_schema") == DEMONSTRATIONS_SCHEMA:
        return description
    said = [f"the Minari dataset {record.get('dataset_id')}"]
    if "algorithm_name" in record:
        said.append(f"by {record['algorithm_name']}")
    return " ".join(said) + (f": {description}" if description else "")
