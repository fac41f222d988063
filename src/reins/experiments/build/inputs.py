"""What a constraint sees of an environment, and whether they fit."""

import dataclasses

import numpy as np
from gymnasium import spaces

from reins.constraints import Constraint, InputSpec
from reins.data import Demonstrations, check_fit
from reins.envs import Env, HostEnv, hybrid_space, twin_ids
from reins.errors import CapabilityError, DataError
from reins.experiments.config import ConstraintConfig
from reins.policies.policy import flat_size
from reins.types import Pairs


def input_spec(env: Env | HostEnv, settings: ConstraintConfig) -> InputSpec:
    """The constraint's inputs for an environment: the chosen dimensions, or all.

    Raises: CapabilityError for actions that are a choice and a vector at once.
    """
    space = env.action_space
    if hybrid_space(space) is not None:
        raise CapabilityError(
            f"a constraint was asked for in {env.name}, whose actions are {space}; its "
            "inputs are either a choice or a vector. Use an environment with one of "
            "the two."
        )
    discrete = isinstance(space, spaces.Discrete)
    actions = int(space.n) if isinstance(space, spaces.Discrete) else flat_size(space)
    observations = flat_size(env.observation_space)
    seen, done = settings.observation_dims, settings.action_dims
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    if isinstance(space, spaces.Box) and space.is_bounded():
        low, high = tuple(space.low.tolist()), tuple(space.high.tolist())
    return InputSpec(
        observation_size=observations,
        action_size=actions,
        discrete=discrete,
        observation_dims=tuple(range(observations)) if seen is None else seen,
        action_dims=tuple(range(actions)) if done is None else done,
        clip=settings.clip,
        action_low=low,
        action_high=high,
    )


def normalised_by(inputs: InputSpec, expert: Pairs) -> InputSpec:
    """The same inputs, normalised by mean and standard deviation of demonstrations.

    The statistics are fixed from then on, and saved with the constraint. A dimension
    that never changes keeps its scale.
    """
    seen = np.asarray(expert.observations)[np.asarray(expert.mask)]
    seen = np.clip(seen, -inputs.clip, inputs.clip)[:, inputs.observation_dims]
    deviation = seen.std(axis=0)
    return dataclasses.replace(
        inputs,
        offset=tuple(seen.mean(axis=0).tolist()),
        scale=tuple(np.where(deviation > 1e-6, deviation, 1.0).tolist()),
    )


def check_constraint(constraint: Constraint, env: Env | HostEnv, path: object) -> None:
    """Refuse a constraint that was learned for other observations or actions.

    One that sees some dimensions carries to wherever there are such; that they mean the
    same there is for its user to know. Without an action dimension it carries to any
    actions.

    Raises: DataError with both sizes.
    """
    expected = input_spec(env, ConstraintConfig())
    found = constraint.inputs
    faults = []
    seen = found.observation_dims
    sees_all = len(seen) == found.observation_size
    missing = max(seen, default=-1) >= expected.observation_size
    if found.observation_size != expected.observation_size and (sees_all or missing):
        faults.append(
            f"observations of {found.observation_size} dimensions; those of {env.name} "
            f"have {expected.observation_size}"
        )
    kinds = {True: "discrete actions", False: "action dimensions"}
    done = found.action_size, found.discrete
    if found.action_dims and done != (expected.action_size, expected.discrete):
        faults.append(
            f"{found.action_size} {kinds[found.discrete]}; {env.name} has "
            f"{expected.action_size} {kinds[expected.discrete]}"
        )
    if faults:
        raise DataError(
            f"the constraint {path} was learned on {' and on '.join(faults)}. "
            "Learn one here, or use the environment it was learned in. What is learned "
            "from --observation-dims that both have, and no --action-dims, carries."
        )


def check_demonstrations(
    demonstrations: Demonstrations, env_id: str, env: Env | HostEnv
) -> None:
    """Check that demonstrations fit an environment or its twin.

    Raises: DataError that lists every fault.
    """
    ids = [env_id, *sorted({*twin_ids(env_id)} - {env_id})]
    check_fit(demonstrations, ids, env.observation_space, env.action_space)
