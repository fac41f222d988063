"""A learned constraint around the environment that it is carried to."""

from pathlib import Path

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array

from reins.agents.icrl import LOG_ZETA_FLOOR
from reins.constraints import Constraint
from reins.envs import Env, HostEnv, with_bonus, with_cost
from reins.errors import DataError
from reins.experiments.build.inputs import check_constraint
from reins.experiments.config import LearnConfig, TrainConfig
from reins.experiments.constraint_file import demonstrated_cost, load_constraint


def each_its_own(config: TrainConfig | LearnConfig) -> bool:
    """Whether every seed obeys a constraint of its own, from a folder of several."""
    if isinstance(config, LearnConfig) or config.constraint is None:
        return False
    return Path(config.constraint).is_dir()


def carried(config: TrainConfig, seed: int | None = None) -> Constraint | None:
    """The learned constraint itself, if there is one."""
    if config.constraint is None:
        return None
    return load_constraint(_file(config, seed))


def _file(config: TrainConfig, seed: int | None) -> Path:
    path = Path(config.constraint or "")
    if each_its_own(config):
        return _of_seed(path, config.run.first_seed if seed is None else seed)
    return path


def constrained(
    env: Env | HostEnv, config: TrainConfig, seed: int | None = None
) -> Env | HostEnv:
    """The environment with what a learned constraint makes of its cost, or its reward.

    Source: S2, transfer; what the agent gets of ζ is as `reins.agents.icrl.Forward`.

    Args:
      seed: whose constraint, where there is one for each; the first when not said.

    Raises: DataError for a constraint that is not there, or does not fit.
    """
    if config.constraint is None:
        return env
    path = _file(config, seed)
    constraint = load_constraint(path)
    check_constraint(constraint, env, path)
    if config.forward == "log-reward":

        def bonus(observations: ArrayLike, actions: ArrayLike) -> Array:
            log_zeta = constraint.log_zeta(observations, actions)
            return config.forward_temperature * jnp.maximum(log_zeta, LOG_ZETA_FLOOR)

        return with_bonus(env, bonus)
    origin = demonstrated_cost(path) if config.forward == "relative-cost" else 0.0

    def cost(observations: ArrayLike, actions: ArrayLike) -> Array:
        return constraint.cost(observations, actions) - origin

    return with_cost(env, cost)


def _of_seed(folder: Path, seed: int) -> Path:
    file = folder / f"constraint-seed-{seed}.safetensors"
    if not file.exists():
        found = sorted(
            x.stem.removeprefix("constraint-") for x in folder.glob("constr*")
        )
        raise DataError(
            f"seed {seed} was to obey what the same seed learned in {folder}, where "
            f"there is no {file.name}. It holds {', '.join(found) or 'no constraint'}. "
            "Choose among these seeds, or name one constraint's file for all."
        )
    return file
