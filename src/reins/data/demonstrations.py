"""Demonstrations: episodes of somebody who obeyed a rule, checked when made."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from reins.errors import DataError, sentence_of_faults
from reins.types import Pairs


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """Episodes as arrays: T + 1 observations, T actions and T rewards each.

    Building one checks lengths, shapes and finiteness and lists every fault.

    Attributes:
      observations: per episode, shape (T + 1, ...); the last one is where it ended.
      actions: per episode, shape (T, ...); action t was chosen on seeing observation t.
      rewards: per episode, shape (T,), in units of reward.
      env_id: the environment that they were recorded in.
      made_by: where they come from: a command, or a sentence.

    Raises: DataError, all faults at once.
    """

    observations: Sequence[np.ndarray]
    actions: Sequence[np.ndarray]
    rewards: Sequence[np.ndarray]
    env_id: str
    made_by: str = ""

    def __post_init__(self) -> None:
        faults = _faults_of_shape(self.observations, self.actions, self.rewards)
        faults = faults or _faults_of_values(
            self.observations, self.actions, self.rewards
        )
        if faults:
            raise DataError(sentence_of_faults("demonstrations cannot be used", faults))

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each episode."""
        return np.asarray([len(actions) for actions in self.actions])

    @property
    def returns(self) -> np.ndarray:
        """Undiscounted return of each episode, in units of reward."""
        return np.asarray([float(np.sum(rewards)) for rewards in self.rewards])

    @property
    def horizon(self) -> int:
        """Steps of the longest episode."""
        return int(self.lengths.max())

    def pairs(self) -> Pairs:
        """The aligned pairs (s_t, a_t), padded to the longest episode."""
        return Pairs(
            jnp.asarray(_pad([o[:-1] for o in self.observations], self.horizon)),
            jnp.asarray(_pad(self.actions, self.horizon)),
            jnp.asarray(np.arange(self.horizon) < self.lengths[:, None]),
        )


def check_fit(
    demonstrations: Demonstrations,
    env_ids: Sequence[str],
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> None:
    """Check that demonstrations could have been recorded in an environment.

    Args:
      env_ids: the ids that count as the same environment (itself and its twins).
      observation_space, action_space: the environment's.

    Raises: DataError that lists every fault.
    """
    faults = []
    if demonstrations.env_id not in env_ids:
        faults.append(
            f"they were recorded in {demonstrations.env_id}; this is {env_ids[0]}"
        )
    faults += _faults_of_fit(
        "observations", demonstrations.observations, observation_space
    )
    faults += _faults_of_fit("actions", demonstrations.actions, action_space)
    if faults:
        subject = f"demonstrations do not fit {env_ids[0]}"
        advice = "Record demonstrations in this environment, or name theirs with --env."
        raise DataError(f"{sentence_of_faults(subject, faults)}\n{advice}")


def _faults_of_shape(observations: Any, actions: Any, rewards: Any) -> list[str]:
    counts = len(observations), len(actions), len(rewards)
    if len(set(counts)) > 1 or counts[0] == 0:
        return [
            "expected as many episodes of observations as of actions and of rewards, "
            f"at least one; found {counts[0]}, {counts[1]} and {counts[2]}"
        ]
    faults = []
    for i, (o, a, r) in enumerate(zip(observations, actions, rewards, strict=True)):
        if len(a) == 0:
            faults.append(f"episode {i} is empty; leave it out")
        if len(o) != len(a) + 1:
            faults.append(
                f"{len(o)} observations for {len(a)} actions in episode {i}; expected "
                f"one more observation than actions (T+1 = {len(a) + 1})"
            )
        if np.shape(r) != (len(a),):
            faults.append(
                f"rewards of shape {np.shape(r)} for {len(a)} actions in episode {i}; "
                f"expected ({len(a)},)"
            )
    for name, arrays in (("observations", observations), ("actions", actions)):
        shapes = sorted({np.shape(x)[1:] for x in arrays})
        if len(shapes) > 1:
            faults.append(f"{name} of several shapes: {', '.join(map(str, shapes))}")
    return faults


def _faults_of_values(observations: Any, actions: Any, rewards: Any) -> list[str]:
    faults = []
    named = (("observations", observations), ("actions", actions), ("rewards", rewards))
    for name, arrays in named:
        bad = [(i, int(np.sum(~np.isfinite(x)))) for i, x in enumerate(arrays)]
        bad = [(i, n) for i, n in bad if n]
        if bad:
            total = sum(n for _, n in bad)
            faults.append(
                f"{total} values of {name} are not finite (NaN or infinite), in "
                f"{len(bad)} of {len(arrays)} episodes, first in episode {bad[0][0]}"
            )
    return faults


def _faults_of_fit(
    name: str, arrays: Sequence[np.ndarray], space: spaces.Space
) -> list[str]:
    shape = np.shape(arrays[0])[1:]
    if shape != space.shape:
        return [f"{name} have shape {shape}; the environment's have {space.shape}"]
    values = np.concatenate([np.asarray(x) for x in arrays])
    if isinstance(space, spaces.Discrete):
        low, high = int(space.start), int(space.start + space.n - 1)
        if not np.issubdtype(values.dtype, np.integer):
            return [f"{name} are {values.dtype}; the environment's are whole numbers"]
    elif isinstance(space, spaces.Box):
        low, high = space.low, space.high
    else:
        return [f"{name} of a {type(space).__name__} space cannot be checked or used"]
    outside = (values < low - 1e-6) | (values > high + 1e-6)
    if not outside.any():
        return []
    return [
        f"{int(outside.sum())} values of {name} lie outside {space}: found "
        f"{values.min():.6g} to {values.max():.6g}"
    ]


def _pad(arrays: Sequence[np.ndarray], length: int) -> np.ndarray:
    first = np.asarray(arrays[0])
    padded = np.zeros((len(arrays), length, *first.shape[1:]), first.dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
