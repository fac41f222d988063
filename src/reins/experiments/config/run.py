"""Settings of any run, and of the environment it is in."""

import dataclasses
import json
from typing import Literal

from reins.envs import HostOptions, Vectorisation
from reins.errors import ConfigError
from reins.experiments.config.checks import not_negative, positive, refuse
from reins.experiments.config.usual import usual_count


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings of any run."""

    seeds: int = 5
    """How many seeds; each is a run of its own, all go at once."""
    first_seed: int = 0
    """The first seed; the others follow."""
    steps: int = 120_000
    """Environment steps of each seed (rounded up to whole batches)."""
    environments: int = usual_count(10)
    """Parallel environments of each seed (sac, sac-lagrangian, mpo, awr: 1)."""
    rollout_steps: int = usual_count(200)
    """Steps of each environment in a batch (sac, sac-lagrangian, mpo, awr: 1)."""
    evaluation_interval: int | None = None
    """Environment steps between evaluations and checkpoints; None: 1/12 of `steps`."""
    evaluation_episodes: int | None = None
    """Episodes of an evaluation; None: 100 compiled, else 10."""
    evaluation_policy: Literal["stochastic", "mode"] = "stochastic"
    """What is evaluated: the policy as it acts, or its most probable actions."""

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig)}
        first, _ = given.pop("first_seed"), given.pop("evaluation_policy")
        faults = [positive(n, v) for n, v in given.items() if v is not None]
        faults.append(not_negative("first_seed", first))
        refuse("the run's settings", faults)

    @property
    def seed_list(self) -> list[int]:
        """The seeds, in order."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

    @property
    def batch_steps(self) -> int:
        """Environment steps of one seed's batch."""
        return self.environments * self.rollout_steps

    @property
    def updates(self) -> int:
        """Batches of each seed."""
        return -(-self.steps // self.batch_steps)

    @property
    def updates_per_evaluation(self) -> int:
        """Batches from one evaluation to the next."""
        interval = self.evaluation_interval or self.steps / 12
        return max(1, round(interval / self.batch_steps))


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """How an environment that is not compiled is made."""

    env_args: str = ""
    """Arguments of the environment's constructor, as JSON: '{"name": value}'."""
    vectorisation: Vectorisation = "auto"
    """What steps the copies: MuJoCo in one batch, or Gymnasium, or EnvPool."""
    horizon: int | None = None
    """Truncate episodes after so many steps; None: the environment's limit, or 1000."""

    def __post_init__(self) -> None:
        found = positive("horizon", 1 if self.horizon is None else self.horizon)
        refuse("the environment's settings", [found])
        self.options()

    def options(self) -> HostOptions:
        """The same for `make_env`, with the arguments read.

        Raises: ConfigError when they are not a JSON object.
        """
        try:
            arguments = json.loads(self.env_args or "{}")
        except ValueError as error:
            arguments = str(error)
        if not isinstance(arguments, dict):
            raise ConfigError(
                f"--env-args was given {self.env_args!r}; expected a JSON object such "
                "as '{\"gravity\": 10}'. In a shell, put it in single quotes."
            )
        return HostOptions(arguments, self.vectorisation, self.horizon)
