"""What is wrong or suspicious about demonstrations where they are to be used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reins.constraints import Constraint, InputSpec
from reins.data import findings
from reins.data.quality import Forbidden
from reins.envs import (
    Env,
    HostEnv,
    HostOptions,
    Rule,
    nominal_twin,
    replay_of,
    true_rule,
    twin_ids,
)
from reins.envs.check import Finding
from reins.envs.check.finding import error, warning
from reins.errors import ReinsError
from reins.experiments.build import check_constraint, input_spec
from reins.experiments.config import LearnConfig
from reins.experiments.constraint_file import load_constraint
from reins.experiments.cost_map import input_names
from reins.experiments.files import StoredDemonstrations, read_demonstrations
from reins.experiments.validity import SMALL, extrapolation, outside

CLIPPED = 0.1
"""From this share of steps beyond `clip` on it is told."""


def check_stored(
    stored: StoredDemonstrations,
    env_id: str,
    options: HostOptions,
    constraint: Path | None = None,
) -> list[Finding]:
    """Everything that can be said of stored demonstrations in an environment.

    Args:
      env_id: the environment that they are to be used in.
      options: how it is made.
      constraint: a learned one, to count the steps that it forbids and those outside of
        what it has seen.
    """
    recorded = stored.record["env"]
    try:
        env = nominal_twin(env_id, options)
    except ReinsError as fault:
        return [
            _unusable("environment", fault),
            *findings(*stored[2:], env_id=recorded),
        ]
    learned, faults = _learned(constraint, env)
    forbidden: dict[str, Forbidden] = {}
    rule = true_rule(env_id)
    if rule is not None:
        forbidden[f"the rule of {env_id}"] = _forbidden_by(rule)
    if learned is not None:
        forbidden[f"{constraint} (ζ < 1/2)"] = lambda o, a: (
            np.asarray(learned.zeta(o, a)) < 0.5
        )
    found = findings(
        *stored[2:],
        env_id=recorded,
        env_ids=[env_id, *sorted({*twin_ids(env_id)} - {env_id})],
        observation_space=env.observation_space,
        action_space=env.action_space,
        forbidden=forbidden,
        boundary=env.boundary,
        horizon=env.horizon,
        replay=replay_of(env),
    )
    if learned is not None and not any(f.level == "error" for f in found):
        found += _left(stored, learned, env)
    return faults + found


def warnings_of(config: LearnConfig) -> list[Finding]:
    """What is suspicious about the demonstrations of a run, before it begins."""
    stored = read_demonstrations(config.demonstrations)
    options = config.host.options()
    env = nominal_twin(config.env, options)
    found = check_stored(stored, config.env, options)
    return found + _clipped(stored, input_spec(env, config.constraint), env)


def _learned(
    path: Path | None, env: Env | HostEnv
) -> tuple[Constraint | None, list[Finding]]:
    if path is None:
        return None, []
    try:
        learned = load_constraint(path)
        check_constraint(learned, env, path)
    except ReinsError as fault:
        return None, [_unusable("constraint", fault)]
    return learned, []


def _unusable(subject: str, fault: ReinsError) -> Finding:
    wanted = f"the {subject} to check them with"
    option = {"environment": "--env", "constraint": "--constraint"}[subject]
    return error(subject, wanted, str(fault), f"Name another one with {option}.")


def _forbidden_by(rule: Rule) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Steps that a table forbids, each by its nearest pair of the same action."""

    def forbidden(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        distance = np.abs(observations[:, None] - rule.observations[None]).sum(axis=2)
        distance[actions[:, None] != rule.actions[None]] = np.inf
        return rule.forbidden[distance.argmin(axis=1)]

    return forbidden


def _left(
    stored: StoredDemonstrations, learned: Constraint, env: Env | HostEnv
) -> list[Finding]:
    """That many steps lie outside of what the constraint was learned from."""
    share, worst = outside(learned, env, *_steps(stored))
    if share <= SMALL:
        return []
    return [
        warning(
            "constraint",
            f"at most {100 * SMALL:g} % of the steps outside of what it has seen",
            extrapolation(share, worst, "the steps"),
            "Do not read what it forbids there as a rule.",
        )
    ]


def _clipped(
    stored: StoredDemonstrations, inputs: InputSpec, env: Env | HostEnv
) -> list[Finding]:
    """That a constraint will not tell much of what is demonstrated apart."""
    seen, _ = _steps(stored)
    chosen = np.abs(seen[:, inputs.observation_dims])
    beyond = np.mean(chosen > inputs.clip, axis=0)
    names = input_names(inputs, env)
    many = [
        f"{names[k]} in {100 * beyond[k]:.2g} %"
        for k in np.argsort(-beyond, kind="stable")
        if beyond[k] > CLIPPED
    ]
    if not many:
        return []
    return [
        warning(
            "clip",
            f"observations within ±{inputs.clip:g} in nearly every step",
            f"beyond it lies {', '.join(many)} of the steps",
            "The constraint cannot tell these values apart. That is right where a rule "
            "is near 0; choose a larger --clip where it is not.",
        )
    ]


def _steps(stored: StoredDemonstrations) -> tuple[Any, Any]:
    seen = np.concatenate([o[:-1] for o in stored.observations])
    return seen, np.concatenate(list(stored.actions))
