"""Demonstrations: episodes of somebody who obeyed a rule, checked when made."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from reins.envs.actions import kept_actions
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
        faults = faults_of_episodes(self.observations, self.actions, self.rewards)
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
            jnp.asarray([np.sum(r) for r in self.rewards], jnp.float32),
        )


def check_fit(
    demonstrations: Demonstrations,
    env_ids: Sequence[str],
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> None:
    """Check that demonstrations could have been recorded in an environment.

    Observations outside the bounds of a box are let through: bounds are often rough,
    and nothing depends on them. `reins.data.findings` warns of them.

    Args:
      env_ids: the ids that count as the same environment (itself and its twins).
      observation_space, action_space: the environment's.

    Raises: DataError that lists every fault.
    """
    faults = [
        *faults_of_env(demonstrations.env_id, env_ids),
        *faults_of_fit(
            demonstrations.observations,
            demonstrations.actions,
            observation_space,
            action_space,
        ),
    ]
    if faults:
        subject = f"demonstrations do not fit {env_ids[0]}"
        advice = "Record demonstrations in this environment, or name theirs with --env."
        raise DataError(f"{sentence_of_faults(subject, faults)}\n{advice}")


def faults_of_episodes(
    observations: Sequence[np.ndarray],
    actions: Sequence[np.ndarray],
    rewards: Sequence[np.ndarray],
) -> list[str]:
    """Why episodes cannot be demonstrations at all: shapes first, then values."""
    return _faults_of_shape(observations, actions, rewards) or _faults_of_values(
        observations, actions, rewards
    )


def faults_of_env(found: str, env_ids: Sequence[str]) -> list[str]:
    """Why demonstrations recorded in `found` are not of these environments."""
    if found in env_ids:
        return []
    return [f"they were recorded in {found}; this is {env_ids[0]}"]


def faults_of_fit(
    observations: Sequence[np.ndarray],
    actions: Sequence[np.ndarray],
    observation_space: spaces.Space,
    action_space: spaces.Space,
) -> list[str]:
    """Why episodes cannot come from an environment with these spaces."""
    faults = _faults_of_space("observations", observations, observation_space)
    if not faults and not isinstance(observation_space, spaces.Box):
        faults += values_outside("observations", observations, observation_space)
    action_space = kept_actions(action_space)
    found = _faults_of_space("actions", actions, action_space)
    return faults + (found or values_outside("actions", actions, action_space))


def values_outside(
    name: str, arrays: Sequence[np.ndarray], space: spaces.Space
) -> list[str]:
    """The sentence for values outside the bounds of a space whose shape they have."""
    values = np.concatenate([np.asarray(x) for x in arrays])
    low, high = _bounds(space)
    # 1e-6: published actions are float32, the bounds they were clipped to are not.
    outside = (values < low - 1e-6) | (values > high + 1e-6)
    if not outside.any():
        return []
    return [
        f"{int(outside.sum())} values of {name} lie outside {space}: found "
        f"{np.nanmin(values):.6g} to {np.nanmax(values):.6g}"
    ]


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


def _faults_of_space(
    name: str, arrays: Sequence[np.ndarray], space: spaces.Space
) -> list[str]:
    shape = np.shape(arrays[0])[1:]
    if shape != space.shape:
        return [f"{name} have shape {shape}; the environment's have {space.shape}"]
    if isinstance(space, spaces.Discrete):
        kind = np.result_type(*arrays)
        if not np.issubdtype(kind, np.integer):
            return [f"{name} are {kind}; the environment's are whole numbers"]
    elif not isinstance(space, spaces.Box):
        return [f"{name} of a {type(space).__name__} space cannot be checked or used"]
    return []


def _bounds(space: spaces.Space) -> tuple[Any, Any]:
    if isinstance(space, spaces.Discrete):
        return int(space.start), int(space.start + space.n - 1)
    if isinstance(space, spaces.Box):
        return space.low, space.high
    raise TypeError(f"no bounds of {space}")


def _pad(arrays: Sequence[np.ndarray], length: int) -> np.ndarray:
    first = np.asarray(arrays[0])
    padded = np.zeros((len(arrays), length, *first.shape[1:]), first.dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
