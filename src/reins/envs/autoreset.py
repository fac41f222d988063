"""Gymnasium's vector environments in each autoreset mode, brought to one contract.

Gymnasium lets a vector environment reset itself in three ways, and each shows the last
observation of an episode, its reward and its info in another place:

- *next-step*: the step after the last one ignores its action and only resets;
- *same-step*: the last step already shows the first observation of the next episode;
  its own observation and info are in `info["final_obs"]` and `info["final_info"]`;
- *disabled*: nothing is reset until it is asked for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from jaxtyping import Bool, Shaped

from reins.envs.actions import hybrid_space, hybrid_tuple
from reins.envs.vector import VectorEnv, VectorStep
from reins.errors import CapabilityError


class AutoresetVector(VectorEnv):
    """A Gymnasium vector environment, or one with the same methods, as a `VectorEnv`.

    Costs are `info["cost"]`, 0 where there is none. A step that is both terminated and
    truncated counts as terminated. A step that says terminated and
    `info["TimeLimit.truncated"]`, as environments do that know no `truncated`, counts
    as truncated.

    Args:
      inner: the environments.
      mode: how they reset themselves; what their metadata say when None.

    Raises: CapabilityError when neither says so.
    """

    def __init__(self, inner: Any, mode: AutoresetMode | None = None):
        self.inner = inner
        self.mode = autoreset_mode(inner) if mode is None else mode
        self.clip = action_clip(inner.single_action_space)
        self._ended = np.zeros(inner.num_envs, bool)

    def reset(self, seeds: Sequence[int]) -> Shaped[np.ndarray, "N ..."]:
        self._ended = np.zeros(len(seeds), bool)
        # Gymnasium's copies take a seed each, other vector environments take one.
        copies = isinstance(self.inner, SyncVectorEnv | AsyncVectorEnv)
        each = list(seeds) if copies else int(seeds[0])
        observations, _ = self.inner.reset(seed=each)
        return np.array(observations)

    def step(self, actions: Shaped[np.ndarray, "N ..."]) -> VectorStep:
        observations, rewards, terminated, truncated, info = self.inner.step(
            self.clip(actions)
        )
        # Only in next-step mode is there a step that did nothing but reset.
        mask = ~self._ended
        ended = (np.asarray(terminated, bool) | np.asarray(truncated, bool)) & mask
        if self.mode == AutoresetMode.SAME_STEP:
            info = _of_the_last_steps(info, ended)
        if "TimeLimit.truncated" in info:
            truncated = np.asarray(info["TimeLimit.truncated"], bool) & ended
            terminated = ended & ~truncated
        shown = np.array(observations)
        costs = np.asarray(info.get("cost", np.zeros(len(mask))), np.float64)
        result = VectorStep(
            observations=shown,
            rewards=np.where(mask, np.asarray(rewards, np.float64), 0.0),
            costs=np.where(mask, costs, 0.0),
            terminated=np.asarray(terminated, bool) & ended,
            truncated=ended & ~np.asarray(terminated, bool),
            mask=mask,
            following=shown,
        )
        if self.mode == AutoresetMode.NEXT_STEP:
            self._ended = ended
            return result
        if not ended.any():
            return result
        if self.mode == AutoresetMode.SAME_STEP:
            return result._replace(observations=_last_shown(shown, ended, info))
        following, _ = self.inner.reset(options={"reset_mask": ended})
        return result._replace(following=np.array(following))

    def close(self) -> None:
        self.inner.close()


def autoreset_mode(inner: Any) -> AutoresetMode:
    """How a vector environment resets itself, by its metadata.

    Raises: CapabilityError when they do not say.
    """
    mode = (inner.metadata or {}).get("autoreset_mode")
    if isinstance(mode, AutoresetMode):
        return mode
    modes = {m.value: m for m in AutoresetMode} | {m.name: m for m in AutoresetMode}
    if mode not in modes:
        raise CapabilityError(
            f"a vector environment ({type(inner).__name__}) says autoreset_mode "
            f"{mode!r} in its metadata; without one of {', '.join(modes)} nobody can "
            "know which observation ends an episode. Set its metadata, or use the "
            "single environment and let reins make copies of it."
        )
    return modes[mode]


def action_clip(space: spaces.Space) -> Callable[[np.ndarray], Any]:
    """What is done to actions at an environment's door: bounds, and its type."""
    hybrid = hybrid_space(space)
    if hybrid is not None:
        return lambda actions: hybrid_tuple(hybrid, actions)
    if not isinstance(space, spaces.Box):
        return lambda actions: np.asarray(actions)
    low, high, kind = space.low, space.high, space.dtype

    def clip(actions: np.ndarray) -> np.ndarray:
        return np.minimum(np.maximum(actions, low), high).astype(kind, copy=False)

    return clip


def _of_the_last_steps(
    info: dict[str, Any], ended: Bool[np.ndarray, " N"]
) -> dict[str, Any]:
    """The info of steps; in same-step mode that of a last one is kept apart."""
    last, merged, none = info.get("final_info", {}), dict(info), np.zeros(len(ended))
    for name in ("cost", "TimeLimit.truncated"):
        if name in last or name in info:
            merged[name] = np.where(ended, last.get(name, none), info.get(name, none))
    return merged


def _last_shown(
    shown: np.ndarray, ended: Bool[np.ndarray, " N"], info: dict[str, Any]
) -> np.ndarray:
    """Observations before the reset: `final_obs` where an episode ended.

    Raises: CapabilityError when they are not told.
    """
    final = info.get("final_obs")
    if final is None:
        raise CapabilityError(
            "a vector environment in same-step mode ended an episode without "
            '`info["final_obs"]`; the last observation is lost, and with it the value '
            "of a truncated episode. Use another autoreset mode."
        )
    observations = shown.copy()
    for i in np.flatnonzero(ended):
        observations[i] = final[i]
    return observations


class EnvPoolVector(AutoresetVector):
    """An EnvPool, which always resets in the next step and is seeded when it is made.

    Args:
      make: (seeds) -> the pool, one seed for each environment.
    """

    def __init__(self, make: Callable[[Sequence[int]], Any], n: int):
        self._make = make
        super().__init__(make(range(n)), AutoresetMode.NEXT_STEP)

    def reset(self, seeds: Sequence[int]) -> Shaped[np.ndarray, "N ..."]:
        self.inner.close()
        self.inner = self._make(seeds)
        self._ended = np.zeros(len(seeds), bool)
        observations, _ = self.inner.reset()
        return np.array(observations)
