"""A trained agent's episodes, as demonstrations."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium import spaces

from reins.data import Demonstrations
from reins.envs import kept_actions
from reins.errors import ConfigError
from reins.experiments.config import command_line
from reins.experiments.judge import episodes_of
from reins.experiments.load import StoredRun, pick, read_run
from reins.policies import Policy


def demonstrate(
    folder: str | Path,
    *,
    episodes: int,
    seed: int | None,
    key: int,
    each_seed: bool = False,
) -> Demonstrations:
    """Episodes of a trained agent's stochastic policy in the environment it learned in.

    They say by which commands they were made.

    Args:
      episodes: how many; of each agent, where there are several.
      seed: whose agent; the first one's when not said.
      each_seed: of every seed's agent, one after another.

    Raises: ConfigError for fewer than one episode, an unknown seed, or one seed
      together with each.

    Raises: DataError when the folder holds no run.
    """
    if episodes < 1:
        raise ConfigError(f"demonstrations need at least 1 episode; found {episodes}.")
    if each_seed and seed is not None:
        raise ConfigError(
            f"episodes of seed {seed} were asked for and of each seed (--each-seed). "
            "Ask for one of the two."
        )
    stored = read_run(folder)
    first = jax.random.key(key)
    if each_seed:
        whose = "--each-seed"
        keys = {s: jax.random.fold_in(first, s) for s in stored.agents}
    else:
        seed = next(iter(stored.agents)) if seed is None else seed
        whose, keys = f"--seed {seed}", {seed: first}
    shown = [
        steps
        for s, own in keys.items()
        for steps in _episodes(stored, pick(stored, s, folder).policy, episodes, own)
    ]
    observations, actions, rewards = (list(part) for part in zip(*shown, strict=True))
    made_by = (
        f"{command_line(stored.config)} --out AGENT; reins demonstrations make FILE "
        f"--agent AGENT --episodes {episodes} {whose} --key {key}"
    )
    return Demonstrations(observations, actions, rewards, stored.config.env, made_by)


def _episodes(
    stored: StoredRun, policy: Policy, episodes: int, key: Any
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Observations, actions and rewards of each episode."""
    env = stored.task.env
    found = episodes_of(env, policy, key, episodes)
    rows = jax.tree.map(np.asarray, found.trajectory)
    space = kept_actions(env.action_space)
    if isinstance(space, spaces.Box):  # what was done, not what was drawn
        rows = rows._replace(actions=np.clip(rows.actions, space.low, space.high))
    return [
        (
            np.concatenate(
                [rows.observations[i, :n], rows.next_observations[i, n - 1 : n]]
            ),
            rows.actions[i, :n],
            rows.rewards[i, :n],
        )
        for i, n in enumerate(np.asarray(found.lengths))
    ]
