"""The commands as Python functions: the same names, settings and files."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from reins.constraints import Constraint
from reins.experiments import run
from reins.experiments.config import LearnConfig, TrainConfig, gathered
from reins.experiments.constraint_file import load_constraint
from reins.experiments.load import LoadedAgent, load
from reins.experiments.record import default_folder
from reins.experiments.report import Terminal
from reins.experiments.summary import Summary, constraint_file


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished run.

    Attributes:
      folder: where everything lies; `reins.load(folder)` finds it again.
      summary: what `summary.json` says.
    """

    folder: Path
    summary: Summary

    def agent(self, seed: int | None = None) -> LoadedAgent:
        """One seed's agent (the first one's when not said)."""
        return load(self.folder, seed=seed)

    def predict(
        self, observation: np.ndarray, *, deterministic: bool = False
    ) -> tuple[np.ndarray, None]:
        """The first seed's action; see `LoadedAgent.predict`."""
        return self._first.predict(observation, deterministic=deterministic)

    def constraint(self, seed: int) -> Constraint:
        """The constraint that a seed learned, after `learn_constraint`."""
        return load_constraint(constraint_file(self.folder, seed))

    @property
    def _first(self) -> LoadedAgent:
        if "_loaded" not in self.__dict__:
            object.__setattr__(self, "_loaded", self.agent())
        return self.__dict__["_loaded"]


def train(
    agent: str,
    env: str,
    *,
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Train an agent, several seeds at once.

        run = reins.train("ppo", "reins/LapGridWorld-v0", seeds=5, steps=120_000)
        action, _ = run.predict(observation, deterministic=True)

    Args:
      agent: its name; `reins list` has them all.
      env: the environment's id.
      out: folder of the run; a new one under `runs/` when not said.
      quiet: no progress bar and no tables.
      settings: any option of `reins train --help`, with underscores.

    Raises: ConfigError for an unknown name or setting, or a folder that holds a run;
      DataError for a constraint that does not fit; RunError when a seed failed.
    """
    config = gathered(TrainConfig, {"agent": agent, "env": env, **settings})
    return _started(config, out, quiet)


def learn_constraint(
    env: str,
    demonstrations: str | Path,
    *,
    method: str = "icrl",
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Learn from demonstrations what a demonstrator avoids.

        run = reins.learn_constraint("reins/LapGridWorld-v0", "lapgridworld")
        cost = run.constraint(seed=0).cost(observations, actions)

    Args:
      env: the environment's id.
      demonstrations: a file, or the name of a set that ships with reins.
      method: `icrl`, `classifier` or `gail-constraint`.
      out, quiet: as `train`.
      settings: any option of `reins learn-constraint --help`, with underscores.

    Raises: as `train`; DataError when the demonstrations cannot be used.
    """
    named = {"env": env, "demonstrations": str(demonstrations), "method": method}
    return _started(gathered(LearnConfig, {**named, **settings}), out, quiet)


def _started(
    config: TrainConfig | LearnConfig, out: str | Path | None, quiet: bool
) -> Trained:
    folder = default_folder(config.agent) if out is None else Path(out)
    summary = run.start(config, folder, Terminal(quiet=quiet))
    return Trained(folder, summary)
