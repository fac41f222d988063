"""Demonstrations in the layout of the archives of 2021, S2's experiments.

One `.npz` of plain arrays: `observations` (n, T, ...), `actions` (n, T, ...),
`rewards` (n, T) and `reward_known` (n, T), `lengths`, `returns` and `last_row_is_reset`
(n,). Row t of the observations is what was seen *after* action t, and the last row of
an episode is the first observation of the next, where `last_row_is_reset` says so.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reins.data import Demonstrations
from reins.envs import true_rule
from reins.errors import DataError, sentence_of_faults
from reins.experiments.files import read_arrays

ARRAYS = (
    *("observations", "actions", "rewards", "reward_known"),
    *("lengths", "returns", "last_row_is_reset"),
)


class Imported(NamedTuple):
    """Demonstrations, and what else their source says, for the file beside them."""

    demonstrations: Demonstrations
    about: dict[str, Any]


def read_icrl_2021(file: Path, env_id: str, *, keep_pairs: bool = False) -> Imported:
    """Demonstrations from an archive of 2021, paired as they were acted.

    An episode becomes (s_1, a_1, ..., s_n): the first state was never recorded, and so
    the first action has nothing to stand beside; what the last action led to was
    overwritten by the reset, and so that action is left out with it. A reward that is
    not known is not invented: steps without one are cut from the ends of an episode.

    Args:
      file: the archive.
      env_id: the environment to record; the archive names none.
      keep_pairs: pair row t of the observations with action t, as they are stored and
        as the experiments of 2021 used them.

    Raises: DataError that lists what is missing or cannot be.
    """
    subject = f"the archive {file}"
    if not file.is_file():
        raise DataError(f"{subject}: there is no such file. Check the path.")
    advice = "It has to be an archive in the layout of 2021."
    arrays = read_arrays(file, ARRAYS, subject, advice, optional=["synthetic"])
    faults = _faults(arrays)
    if faults:
        raise DataError(sentence_of_faults(f"{subject} cannot be imported", faults))
    if (
        np.issubdtype(arrays["actions"].dtype, np.integer)
        and arrays["actions"].ndim > 2
    ):
        arrays["actions"] = arrays["actions"][..., 0]  # one number, as Discrete has it
    parts = [_episode(arrays, i, keep_pairs) for i in range(len(arrays["lengths"]))]
    gaps = [i for i, part in enumerate(parts) if not np.isfinite(part[2]).all()]
    empty = [i for i, part in enumerate(parts) if len(part[2]) == 0]
    if gaps or empty:
        raise DataError(
            f"{subject} cannot be imported: rewards are unknown inside "
            f"{len(gaps)} episodes {gaps[:5]}, and everywhere in {len(empty)} "
            f"{empty[:5]}. Only steps at the ends can be left out."
        )
    observations, actions, rewards = (list(x) for x in zip(*parts, strict=True))
    _check_rule(observations, env_id, subject)
    option = " --keep-pairs" if keep_pairs else ""
    made_by = (
        f"{file.name}, an archive in the layout of 2021; reins demonstrations import "
        f"{file.name} OUT --env {env_id} --format icrl-2021{option}"
    )
    made = Demonstrations(observations, actions, rewards, env_id, made_by)
    return Imported(made, _about(arrays, made, keep_pairs))


def _faults(arrays: dict[str, np.ndarray]) -> list[str]:
    observations, lengths = arrays["observations"], arrays["lengths"]
    if observations.ndim < 3 or 0 in observations.shape[:2]:
        return [
            f"`observations` have shape {observations.shape}; expected (episodes, "
            "steps, dimensions), none of them 0"
        ]
    n, steps = observations.shape[:2]
    faults = []
    for name, wanted in {
        "actions": (n, steps),
        "rewards": (n, steps),
        "reward_known": (n, steps),
        "lengths": (n,),
        "returns": (n,),
        "last_row_is_reset": (n,),
    }.items():
        found = arrays[name].shape
        if found[: len(wanted)] != wanted or (name != "actions" and found != wanted):
            faults.append(f"`{name}` have shape {found}; expected {wanted}")
    faults += [
        f"`{name}` are {arrays[name].dtype}; expected booleans"
        for name in ("reward_known", "last_row_is_reset")
        if arrays[name].dtype != np.bool_
    ]
    if not np.issubdtype(lengths.dtype, np.integer):
        faults.append(f"`lengths` are {lengths.dtype}; expected whole numbers")
    elif lengths.min() < 3 or lengths.max() > steps:
        faults.append(
            f"`lengths` are {lengths.min()} to {lengths.max()}; expected 3 to {steps}"
        )
    if not np.isfinite(arrays["returns"]).all():
        faults.append("`returns` are not all finite")
    return faults


def _episode(
    arrays: dict[str, np.ndarray], i: int, keep_pairs: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, actions and rewards of episode i, without unknown ends."""
    n = int(arrays["lengths"][i])
    if keep_pairs:
        first, end = 0, n  # the last pair has no observation after it
    else:
        first, end = 1, n - int(arrays["last_row_is_reset"][i])
    observations = arrays["observations"][i, :end]
    stop = n - 1 if keep_pairs else end
    actions = arrays["actions"][i, first:stop]
    known = arrays["reward_known"][i, first:stop]
    rewards = np.where(known, arrays["rewards"][i, first:stop], np.nan)
    where = np.flatnonzero(known)
    if len(where) == 0:
        return observations[:0], actions[:0], rewards[:0]
    begin, after = int(where[0]), int(where[-1]) + 1
    return observations[begin : after + 1], actions[begin:after], rewards[begin:after]


def _check_rule(observations: list[np.ndarray], env_id: str, subject: str) -> None:
    """Refuse observations that a small environment, known as a table, never shows."""
    rule = true_rule(env_id)
    if rule is None:
        return
    shown = np.unique(rule.observations, axis=0)
    rows = np.concatenate(observations)
    if rows.shape[1:] != shown.shape[1:]:
        raise DataError(
            f"{subject} has observations of shape {rows.shape[1:]}; those of {env_id} "
            f"have shape {shown.shape[1:]}. Name another environment with --env."
        )
    kinds = np.unique(rows, axis=0)
    distance = np.abs(kinds[:, None] - shown[None]).sum(axis=2).min(axis=1)
    if distance.max() > 1e-5:
        odd = kinds[distance.argmax()].tolist()
        raise DataError(
            f"{subject} has observations that {env_id} never shows: "
            f"{int((distance > 1e-5).sum())} of {len(kinds)} different ones, as {odd}. "
            "It was recorded in another environment, or in other units."
        )


def _about(
    arrays: dict[str, np.ndarray], made: Demonstrations, keep_pairs: bool
) -> dict[str, Any]:
    pairs = "as stored: (s_{t+1}, a_t)" if keep_pairs else "aligned: (s_t, a_t)"
    return {
        "format": "icrl-2021",
        "pairs": pairs,
        "steps_stored": int(arrays["lengths"].sum()),
        "steps": int(made.lengths.sum()),
        "published_returns": arrays["returns"].tolist(),
        "synthetic": bool(np.any(arrays.get("synthetic", False))),
    }
