"""From a configuration to the agent and environments that it asks for."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import optax
from gymnasium import spaces

from reins.agents import (
    Agent,
    binary_classifier,
    gail_constraint,
    icrl,
    ppo,
    ppo_lagrangian,
)
from reins.constraints import Constraint, InputSpec, constraint_network
from reins.critics import value_critic
from reins.data import Demonstrations, check_fit
from reins.duals import Dual, pid_dual, projected_dual, softplus_dual
from reins.envs import (
    Env,
    constrained_twin,
    env_entry,
    make_env,
    nominal_twin,
    with_cost,
)
from reins.errors import ConfigError, DataError
from reins.experiments.config import (
    ConstraintConfig,
    CostConfig,
    LearnConfig,
    PPOConfig,
    TrainConfig,
)
from reins.experiments.constraint_file import load_constraint
from reins.experiments.files import load_demonstrations
from reins.policies import policy_for
from reins.policies.policy import flat_size
from reins.types import Pairs


class Task(NamedTuple):
    """What a run trains, and where it is judged.

    Attributes:
      agent: the algorithm.
      env: where it trains.
      return_env: where its return is measured (stochastic policy).
      violation_env: where its violations of the true rule are counted.
    """

    agent: Agent
    env: Env
    return_env: Env
    violation_env: Env


def build(config: TrainConfig | LearnConfig) -> Task:
    """Make everything that a run needs; what cannot work is refused here.

    Raises: ConfigError, DataError or CapabilityError.
    """
    if isinstance(config, TrainConfig):
        return _train_task(config)
    return _learn_task(config)


def _train_task(config: TrainConfig) -> Task:
    env = make_env(config.env)
    if config.constraint is not None:
        constraint = load_constraint(config.constraint)
        check_constraint(constraint, env, config.constraint)
        env = with_cost(env, constraint.cost)
    if config.agent == "ppo":
        agent = _ppo(env, config.ppo)
    else:
        agent = _ppo_lagrangian(env, config.ppo, config.cost)
    judged = make_env(config.return_env or config.env)
    return Task(agent, env, judged, nominal_twin(config.env))


def _learn_task(config: LearnConfig) -> Task:
    env = nominal_twin(config.env)
    demonstrations = load_demonstrations(config.demonstrations)
    check_demonstrations(demonstrations, config.env)
    horizon = demonstrations.horizon
    if config.run.rollout_steps < horizon:
        raise ConfigError(
            f"batches of {config.run.rollout_steps} steps per environment were asked "
            f"for, and demonstrations last up to {horizon}; the agent's episodes must "
            f"be seen whole to be compared. Use at least {horizon} rollout steps."
        )
    settings = config.constraint
    backward = settings.backward()
    room = config.run.environments * (config.run.rollout_steps // horizon)
    if backward.stop is not None and config.method == "icrl":
        backward.stop.check(room)
    schedule = optax.exponential_decay(
        settings.constraint_learning_rate,
        backward.steps,
        settings.anneal,
        staircase=True,
    )
    expert = demonstrations.pairs()
    inputs = input_spec(env, settings)
    if settings.normalise:
        inputs = normalised_by(inputs, expert)
    parts = (
        constraint_network(inputs, hidden=settings.constraint_hidden),
        optax.adam(schedule, eps=1e-5),
        expert,
    )
    told = {"horizon": horizon, "backward": backward}
    if config.method == "gail-constraint":
        agent = gail_constraint(
            _ppo(env, config.ppo), *parts, temperature=settings.temperature, **told
        )
    elif config.method == "classifier":
        agent = binary_classifier(
            _ppo_lagrangian(env, config.ppo, config.cost), *parts, **told
        )
    else:
        by_cost = settings.forward == "cost"
        inner = (
            _ppo_lagrangian(env, config.ppo, config.cost)
            if by_cost
            else _ppo(env, config.ppo)
        )
        agent = icrl(
            inner,
            *parts,
            forward=settings.forward,
            temperature=settings.temperature,
            **told,
        )
    return Task(agent, env, constrained_twin(config.env), env)


def input_spec(env: Env, settings: ConstraintConfig) -> InputSpec:
    """The constraint's inputs for an environment: the chosen dimensions, or all."""
    space = env.action_space
    discrete = isinstance(space, spaces.Discrete)
    actions = int(space.n) if isinstance(space, spaces.Discrete) else flat_size(space)
    observations = flat_size(env.observation_space)
    seen, done = settings.observation_dims, settings.action_dims
    return InputSpec(
        observation_size=observations,
        action_size=actions,
        discrete=discrete,
        observation_dims=tuple(range(observations)) if seen is None else seen,
        action_dims=tuple(range(actions)) if done is None else done,
        clip=settings.clip,
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


def check_constraint(constraint: Constraint, env: Env, path: object) -> None:
    """Refuse a constraint that was learned for other observations or actions.

    Raises: DataError with both sizes.
    """
    expected = input_spec(env, ConstraintConfig())
    found = constraint.inputs
    faults = []
    if found.observation_size != expected.observation_size:
        faults.append(
            f"observations of {found.observation_size} dimensions; those of {env.name} "
            f"have {expected.observation_size}"
        )
    kinds = {True: "discrete actions", False: "action dimensions"}
    if (found.action_size, found.discrete) != (expected.action_size, expected.discrete):
        faults.append(
            f"{found.action_size} {kinds[found.discrete]}; {env.name} has "
            f"{expected.action_size} {kinds[expected.discrete]}"
        )
    if faults:
        raise DataError(
            f"the constraint {path} was learned on {' and on '.join(faults)}. "
            "Learn one here, or use the environment it was learned in."
        )


def check_demonstrations(demonstrations: Demonstrations, env_id: str) -> None:
    """Check that demonstrations fit an environment or its twin.

    Raises: DataError that lists every fault.
    """
    entry = env_entry(env_id)
    env = nominal_twin(env_id)
    ids = [env_id, *sorted({entry.nominal, entry.constrained} - {env_id})]
    check_fit(demonstrations, ids, env.observation_space, env.action_space)


def _ppo(env: Env, settings: PPOConfig) -> Agent:
    return ppo(*_parts(env, settings), **_passes(settings))


def _ppo_lagrangian(env: Env, settings: PPOConfig, cost: CostConfig) -> Agent:
    return ppo_lagrangian(
        *_parts(env, settings),
        _dual(cost),
        horizon=env.horizon,
        budget=cost.budget,
        cost_gae_lambda=cost.cost_gae_lambda,
        **_passes(settings),
    )


def _parts(env: Env, settings: PPOConfig) -> tuple[Any, Any, Any]:
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adam(settings.learning_rate, eps=1e-5),
    )
    return (
        policy_for(env.observation_space, env.action_space, hidden=settings.hidden),
        value_critic(flat_size(env.observation_space), hidden=settings.hidden),
        optimizer,
    )


def _passes(settings: PPOConfig) -> dict[str, Any]:
    names = [
        "discount",
        "gae_lambda",
        "clip_epsilon",
        "entropy_weight",
        "value_weight",
        "epochs",
        "minibatches",
        "kl_stop",
    ]
    return {name: getattr(settings, name) for name in names}


def _dual(cost: CostConfig) -> Dual:
    maximum = float("inf") if cost.dual_maximum is None else cost.dual_maximum
    if cost.dual == "pid":
        return pid_dual(
            initial=cost.dual_initial,
            integral=cost.dual_learning_rate,
            proportional=5 * cost.dual_learning_rate,
            derivative=cost.dual_learning_rate,
            maximum=maximum,
        )
    form = projected_dual if cost.dual == "projected" else softplus_dual
    return form(
        initial=cost.dual_initial,
        learning_rate=cost.dual_learning_rate,
        maximum=maximum,
    )
