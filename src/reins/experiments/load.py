"""Trained agents, taken from their folders to act, to be judged or to demonstrate."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium import spaces

from reins.envs import Env, HostEnv, hybrid_space, hybrid_tuple
from reins.errors import ConfigError, DataError
from reins.experiments.build import Task, build
from reins.experiments.checkpoint import load_checkpoint, load_record
from reins.experiments.config import LearnConfig, TrainConfig, config_of
from reins.experiments.engines.local import make_programs
from reins.experiments.record import read_folder
from reins.policies import Policy


class StoredRun(NamedTuple):
    """A run as found in its folder: what it was told, and each seed's policy so far."""

    config: TrainConfig | LearnConfig
    task: Task
    agents: dict[int, Any]
    """Agent states by seed; each has `.policy`, a constraint learner `.constraint`."""
    steps: dict[int, int]


def read_run(folder: str | Path) -> StoredRun:
    """Read a run's last checkpoints.

    Raises: DataError when the folder holds no run, or none has been saved yet.
    """
    folder = Path(folder)
    record = read_folder(folder)
    if record["command"] == "demo":
        inside = sorted(p.parent.name for p in folder.glob("*/config.json"))
        raise DataError(
            f"one agent was asked for from {folder}, which holds {len(inside)} runs: "
            f"{', '.join(inside)}. Name one, as {folder / inside[0]}."
        )
    config = config_of(record)
    task = build(config)
    agents, steps = {}, {}
    for file in (folder / "checkpoints").glob("*.safetensors"):
        seeds = tuple(load_record(file)["seeds"])
        (program,) = make_programs(task, config.run, [seeds])
        state, about = load_checkpoint(file, program.template())
        for place, seed in enumerate(seeds):
            agents[seed] = jax.tree.map(lambda x, i=place: x[i], state.agent)
            steps[seed] = about["updates"] * config.run.batch_steps
    if not agents:
        raise DataError(
            f"{folder} has no checkpoint yet. Start it with `reins resume {folder}`."
        )
    return StoredRun(config, task, dict(sorted(agents.items())), steps)


class LoadedAgent:
    """A trained policy that acts on numpy observations.

    Attributes:
      policy: the network, a pure function of observations.
      env: the environment that it was trained in.

    Args:
      key: random seed of the actions that are drawn.
    """

    def __init__(self, policy: Policy, env: Env | HostEnv, *, key: int = 0):
        self.policy = policy
        self.env = env
        self._key = jax.random.key(key)
        self._act = jax.jit(_actions, static_argnums=3)

    def predict(
        self,
        observation: np.ndarray,
        state: None = None,
        episode_start: None = None,
        deterministic: bool = False,
    ) -> tuple[Any, None]:
        """Choose an action for one observation, or one for each of several.

        The signature of Stable-Baselines3, so that code written for it goes on working.

        Args:
          observation: of the environment's shape, or with one more axis in front.
          state, episode_start: for recurrent policies, which these are not; ignored.
          deterministic: the most probable action rather than a drawn one.
        Returns: the action (or actions), clipped to the action space, and None. Of a
          discrete and a continuous part it is a tuple, as Gymnasium takes it.

        Raises: ConfigError when the observation has another shape.
        """
        del state, episode_start
        observation = np.asarray(observation)
        expected = self.env.observation_space.shape or ()
        batched = observation.ndim == len(expected) + 1
        if observation.shape[int(batched) :] != expected:
            raise ConfigError(
                "an action was asked for on an observation of shape "
                f"{observation.shape}; {self.env.name} has observations of shape "
                f"{expected}. Pass one of these, or several along one axis in front."
            )
        self._key, key = jax.random.split(self._key)
        action = np.asarray(self._act(self.policy, observation, key, deterministic))
        space = self.env.action_space
        hybrid = hybrid_space(space)
        if hybrid is not None:
            return hybrid_tuple(hybrid, action), None
        if isinstance(space, spaces.Box):
            action = np.clip(action, space.low, space.high)
        return action, None


def _actions(policy: Policy, observations: Any, key: Any, deterministic: bool) -> Any:
    distribution = policy(observations)
    return distribution.mode() if deterministic else distribution.sample(key)


def load(folder: str | Path, *, seed: int | None = None) -> LoadedAgent:
    """A trained agent from a run's folder.

    Args:
      folder: what `--out` named.
      seed: which seed's agent; the first one when not said.

    Raises: DataError when the folder holds no run, ConfigError for an unknown seed.
    """
    stored = read_run(folder)
    return LoadedAgent(pick(stored, seed, folder).policy, stored.task.env)


def pick(stored: StoredRun, seed: int | None, folder: object) -> Any:
    """One seed's agent state, the first one's when not said.

    Raises: ConfigError when there is no such seed.
    """
    if seed is None:
        return next(iter(stored.agents.values()))
    if seed not in stored.agents:
        raise ConfigError(
            f"seed {seed} was asked for from {folder}, which has seeds "
            f"{', '.join(map(str, stored.agents))}."
        )
    return stored.agents[seed]
