"""Rollouts of environments outside JAX, stepped together as numpy arrays."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, Int, Shaped

from reins.data.rollout import Episodes, Totals
from reins.envs import HostEnv, VectorEnv, VectorStep, is_image
from reins.types import Trajectory

HostAct = Callable[[np.ndarray, int], np.ndarray]
"""(observations of all environments, step) -> their actions."""

EPISODE_STEPS = 100
"""Whole episodes are run by so many steps at once, until all have ended."""


class FaultyEnvError(Exception):
    """An environment that broke its promise at a step of a rollout.

    Attributes:
      step: of the rollout, from 0.
      place: which of the parallel environments, or None where it cannot be known.
      what: what was found, and what was expected.
    """

    def __init__(self, step: int, place: int | None, what: str):
        super().__init__(what)
        self.step, self.place, self.what = step, place, what


class Standing(NamedTuple):
    """Where every parallel environment stands.

    Attributes:
      observations: what the next actions answer.
      times: steps taken in the present episode.
      returns: rewards summed over it so far.
    """

    observations: Shaped[np.ndarray, "N ..."]
    times: Int[np.ndarray, " N"]
    returns: Float[np.ndarray, " N"]


class Finished(NamedTuple):
    """The episodes that ended in a rollout: where, how long, with what return."""

    places: Int[np.ndarray, " E"]
    lengths: Int[np.ndarray, " E"]
    returns: Float[np.ndarray, " E"]


def start_host_rollout(env: HostEnv, vector: VectorEnv, seeds: np.ndarray) -> Standing:
    """Begin an episode in every environment.

    Raises: FaultyEnvError when that cannot be done.
    """
    try:
        observations = as_kept(env, vector.reset([int(seed) for seed in seeds]))
    except Exception as error:
        raise FaultyEnvError(0, None, f"reset raised {_named(error)}") from error
    _check(env, observations[:, None])
    n = len(observations)
    return Standing(observations, np.zeros(n, np.int32), np.zeros(n, np.float32))


def host_rollout(
    env: HostEnv, vector: VectorEnv, act: HostAct, standing: Standing, *, steps: int
) -> tuple[Standing, Trajectory, Finished]:
    """Act for `steps` steps in every environment; the same contract as `rollout`.

    A step that did nothing but reset its environment is masked out; its time is -1.

    Returns: where the environments stand, N rows of T steps as numpy arrays, and the
      episodes that ended.

    Raises: FaultyEnvError when an environment raises, or shows something that is not
      finite or not in its observation space.
    """
    observations, seen, done, results = standing.observations, [], [], []
    for t in range(steps):
        try:
            actions = act(observations, t)
            result = vector.step(actions)
        except Exception as error:
            raise FaultyEnvError(t, None, f"step raised {_named(error)}") from error
        if result.observations.shape != observations.shape:
            found, expected = result.observations.shape[1:], observations.shape[1:]
            what = f"it showed an observation of shape {found}; expected {expected}"
            raise FaultyEnvError(t, None, what)
        seen.append(observations)
        done.append(actions)
        results.append(result)
        observations = result.following
    batch: Any = _rows(env, seen, done, results)
    _check(env, batch.next_observations, batch.rewards, batch.costs)
    last = as_kept(env, observations)
    if observations is not results[-1].observations:  # which have been looked at
        _check(env, last[:, None])
    ends, mask = batch.terminated | batch.truncated, batch.mask
    rewards = np.where(mask, batch.rewards, 0.0).astype(np.float64)
    lengths = _since_ends(np.cumsum(mask, 1) + standing.times[:, None], ends)
    returns = _since_ends(np.cumsum(rewards, 1) + standing.returns[:, None], ends)
    times: Any = np.where(mask, lengths - 1, -1).astype(np.int32)
    where = np.nonzero(ends)
    return (
        Standing(
            last,
            np.where(ends[:, -1], 0, lengths[:, -1]).astype(np.int32),
            np.where(ends[:, -1], 0.0, returns[:, -1]).astype(np.float32),
        ),
        batch._replace(times=times),
        Finished(where[0], lengths[where], returns[where]),
    )


def run_host_episodes(
    env: HostEnv, vector: VectorEnv, act: HostAct, seeds: np.ndarray
) -> Episodes:
    """One episode in each environment, from reset to end; as `run_episodes`.

    Raises: FaultyEnvError as `host_rollout`.
    """
    parts = list(_stretches(env, vector, act, seeds))
    joined: Any = [np.concatenate(x, axis=1) for x in zip(*parts, strict=True)]
    whole = Trajectory(*joined)
    return Episodes(whole, *_totals(whole))


def total_host_episodes(
    env: HostEnv, vector: VectorEnv, act: HostAct, seeds: np.ndarray
) -> Totals:
    """The same episodes' totals alone: of their steps no more than a stretch is kept.

    Raises: FaultyEnvError as `host_rollout`.
    """
    found = [_totals(part) for part in _stretches(env, vector, act, seeds)]
    totals: Any = [np.sum(x, axis=0) for x in zip(*found, strict=True)]
    return Totals(*totals)


def _stretches(
    env: HostEnv, vector: VectorEnv, act: HostAct, seeds: np.ndarray
) -> Iterator[Trajectory]:
    """The first episode of each environment, some steps at a time, until all ended."""
    standing = start_host_rollout(env, vector, seeds)
    going = np.ones(len(seeds), bool)
    done = 0
    while going.any() and done < env.horizon:
        steps, before = min(EPISODE_STEPS, env.horizon - done), done
        standing, part, _ = host_rollout(
            env, vector, lambda o, t, at=before: act(o, at + t), standing, steps=steps
        )
        ends = part.terminated | part.truncated
        earlier = np.cumsum(ends, axis=1) - ends
        mask: Any = going[:, None] & (earlier == 0) & part.mask
        yield part._replace(mask=mask)
        going, done = going & ~ends.any(axis=1), done + steps


def _totals(rows: Trajectory) -> Totals:
    """What each row's steps come to, summed in 64 bits."""
    found: Any = [
        np.sum(np.where(rows.mask, x, 0.0), axis=1, dtype=np.float64)
        for x in (rows.rewards, rows.costs)
    ] + [np.sum(rows.mask, axis=1)]
    return Totals(*found)


def as_kept(env: HostEnv, observations: np.ndarray) -> np.ndarray:
    """Observations in the type that batches keep them in."""
    return np.array(observations, env.observation_space.dtype)


def _rows(
    env: HostEnv,
    seen: list[np.ndarray],
    done: list[np.ndarray],
    results: list[VectorStep],
) -> Trajectory:
    """The steps as N rows; their times are not yet known."""

    def rows(values: Any, kind: Any) -> Any:
        if len(values) == 1:
            return np.array(values[0], kind)[:, None]
        # Steps first, then turned: several times faster than np.stack(..., axis=1).
        shape = len(values), *values[0].shape
        whole = np.concatenate(values).reshape(shape)
        return np.ascontiguousarray(whole.swapaxes(0, 1), kind)

    steps = VectorStep(*zip(*results, strict=True))  # pyright: ignore
    kind = env.observation_space.dtype
    discrete = isinstance(env.action_space, spaces.Discrete)
    mask = rows(steps.mask, bool)
    return Trajectory(
        observations=rows(seen, kind),
        actions=rows(done, np.int32 if discrete else np.float32),
        rewards=rows(steps.rewards, np.float32),
        costs=rows(steps.costs, np.float32),
        terminated=rows(steps.terminated, bool),
        truncated=rows(steps.truncated, bool),
        next_observations=rows(steps.observations, kind),
        mask=mask,
        times=mask,
    )


def _since_ends(
    totals: Shaped[np.ndarray, "N T"], ends: Bool[np.ndarray, "N T"]
) -> Shaped[np.ndarray, "N T"]:
    """What was added to running totals since the last end before each step."""
    if not ends.any():
        return totals
    n, steps = ends.shape
    ended = np.maximum.accumulate(np.where(ends, np.arange(1, steps + 1), 0), axis=1)
    column = np.zeros((n, 1), int)
    before = np.concatenate([column, ended[:, :-1]], axis=1)
    padded = np.concatenate([column, totals], axis=1)
    return totals - np.take_along_axis(padded, before, axis=1)


_NUMBER, _FINITE = "expected a number", "expected finite numbers"


def _check(env: HostEnv, observations: Any, *amounts: Any) -> None:
    """Refuse what is not finite, and observations outside their space."""
    for name, values in zip(("reward", "cost"), amounts, strict=False):
        fine = np.isfinite(values)
        _refuse(fine, values, lambda found, name=name: f"{name} {found}; {_NUMBER}")
    space = env.observation_space
    if not isinstance(space, spaces.Box) or is_image(space):
        return
    low, high = space.low, space.high
    if not np.issubdtype(space.dtype, np.integer):
        fine = np.isfinite(observations)
        _refuse(fine, observations, lambda found: f"observation {found}; {_FINITE}")
        if not (space.bounded_below.any() or space.bounded_above.any()):
            return
        low, high = low - _slack(low), high + _slack(high)
    inside = (observations >= low) & (observations <= high)
    _refuse(
        inside,
        observations,
        lambda found: f"observation {found}, outside its space {space}",
    )


def _slack(bounds: np.ndarray) -> np.ndarray:
    """What rounding may add to bounds."""
    return 1e-5 * np.maximum(1.0, np.abs(np.where(np.isfinite(bounds), bounds, 0.0)))


def _refuse(fine: Any, values: np.ndarray, told: Callable[[str], str]) -> None:
    """Raise for the first step that is not all fine; the sentence is made only then."""
    if fine.all():
        return
    bad = ~fine.reshape(*fine.shape[:2], -1).all(axis=2)
    step = int(np.flatnonzero(bad.any(axis=0))[0])
    place = int(np.flatnonzero(bad[:, step])[0])
    found = np.array2string(values[place, step], precision=4, threshold=12)
    raise FaultyEnvError(step, place, f"it showed {told(found)}")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
