"""From a configuration to the agent and environments that it asks for."""

from typing import NamedTuple

import optax

from reins.agents import (
    Agent,
    AsynchronousAgent,
    binary_classifier,
    gail_constraint,
    icrl,
)
from reins.constraints import Constraint, constraint_network
from reins.envs import (
    Env,
    HostEnv,
    HostOptions,
    constrained_twin,
    make_env,
    nominal_twin,
    twin_ids,
)
from reins.errors import ConfigError
from reins.experiments.build.agents import BUILDERS, build_ppo, build_ppo_lagrangian
from reins.experiments.build.carried import carried, constrained
from reins.experiments.build.inputs import (
    check_demonstrations,
    input_spec,
    normalised_by,
)
from reins.experiments.build.soft import build_sac_lagrangian
from reins.experiments.config import LearnConfig, RunConfig, TrainConfig
from reins.experiments.files import load_demonstrations


class Task(NamedTuple):
    """What a run trains, and where it is judged.

    Attributes:
      agent: the algorithm.
      env: where it trains.
      return_env: where its return is measured (stochastic policy).
      violation_env: where its violations of the true rule are counted.
      evaluation_episodes: how many, of each evaluation.
      by_mode: whether it is judged by its most probable actions.
      steps_at_once: environment steps that go by in one compiled call, about; small
        batches would wait for Python more than for themselves.
      constraint: a learned one that was handed to the agent; it is applied in `env`.
    """

    agent: Agent | AsynchronousAgent
    env: Env | HostEnv
    return_env: Env | HostEnv
    violation_env: Env | HostEnv
    evaluation_episodes: int
    by_mode: bool = False
    steps_at_once: int = 8192
    constraint: Constraint | None = None


class Places(NamedTuple):
    """Environments of a run: as in `Task`, and as they are without a constraint."""

    env: Env | HostEnv
    return_env: Env | HostEnv
    violation_env: Env | HostEnv


STEP_BY_STEP = ("sac", "sac-lagrangian", "mpo", "awr")
"""Agents that make an update for every step, from what they remember."""


def build(config: TrainConfig | LearnConfig, seed: int | None = None) -> Task:
    """Make everything that a run needs; what cannot work is refused here.

    Args:
      seed: whose constraint the agent obeys, where every seed has its own.

    Raises: ConfigError, DataError or CapabilityError.
    """
    if isinstance(config, TrainConfig):
        return _train_task(config, seed)
    return _learn_task(config)


def places(config: TrainConfig | LearnConfig) -> Places:
    """Make the environments of a run."""
    options = config.host.options()
    nominal_id, constrained_id = twin_ids(config.env)
    if isinstance(config, LearnConfig):
        env = judged = nominal_twin(config.env, options)
        if constrained_id != env.name:
            judged = constrained_twin(config.env, options)
        return Places(env, judged, env)
    env = judged = nominal = make_env(config.env, options)
    if nominal_id != config.env:
        nominal = nominal_twin(config.env, options)
    if config.return_env is not None:
        twin = config.return_env in (nominal_id, constrained_id)
        judged = make_env(config.return_env, options if twin else HostOptions())
    return Places(env, judged, nominal)


def _train_task(config: TrainConfig, seed: int | None) -> Task:
    env, judged, nominal = places(config)
    env = constrained(env, config, seed)
    agent = BUILDERS[config.agent](env, config)
    episodes = _evaluation_episodes(env, config.run)
    by_mode = config.run.evaluation_policy == "mode"
    zeta = carried(config, seed)
    task = Task(agent, env, judged, nominal, episodes, by_mode, constraint=zeta)
    # One step of it takes as long as a thousand of others.
    return task._replace(steps_at_once=256) if config.agent in STEP_BY_STEP else task


def _learn_task(config: LearnConfig) -> Task:
    env, judged, nominal = places(config)
    demonstrations = load_demonstrations(config.demonstrations)
    check_demonstrations(demonstrations, config.env, env)
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
    learner = _learner(env, config)
    if config.method == "gail-constraint":
        agent = gail_constraint(
            learner, *parts, temperature=settings.temperature, **told
        )
    elif config.method == "classifier":
        agent = binary_classifier(learner, *parts, **told)
    else:
        agent = icrl(
            learner,
            *parts,
            forward=settings.forward,
            temperature=settings.temperature,
            **told,
        )
    episodes = _evaluation_episodes(env, config.run)
    by_mode = config.run.evaluation_policy == "mode"
    return Task(agent, env, judged, nominal, episodes, by_mode)


def _learner(env: Env | HostEnv, config: LearnConfig) -> Agent:
    """Who learns under the constraint: with a multiplier, unless paid by it."""
    if config.learner.forward_agent == "sac":
        return build_sac_lagrangian(env, config)
    paid = config.method == "gail-constraint"
    paid |= config.method == "icrl" and config.constraint.forward == "log-reward"
    return build_ppo(env, config) if paid else build_ppo_lagrangian(env, config)


def _evaluation_episodes(env: Env | HostEnv, run: RunConfig) -> int:
    return run.evaluation_episodes or (100 if isinstance(env, Env) else 10)
