"""From a configuration to the agent and environments that it asks for."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax
from gymnasium import spaces

from reins.agents import (
    Agent,
    a2c,
    actor_critic,
    binary_classifier,
    es,
    gail_constraint,
    genetic,
    hill_climbing,
    icrl,
    kl_dual,
    normalised,
    npg,
    ppo,
    ppo_lagrangian,
    reinforce,
    trpo,
)
from reins.constraints import Constraint, InputSpec, constraint_network
from reins.critics import action_value_critic, value_critic
from reins.data import Demonstrations, check_fit
from reins.duals import Dual, pid_dual, projected_dual, softplus_dual
from reins.envs import (
    Env,
    HostEnv,
    constrained_twin,
    is_image,
    make_env,
    nominal_twin,
    twin_ids,
    with_cost,
)
from reins.errors import CapabilityError, ConfigError, DataError
from reins.experiments.config import (
    ConstraintConfig,
    CostConfig,
    LearnConfig,
    PPOConfig,
    RunConfig,
    TrainConfig,
)
from reins.experiments.constraint_file import load_constraint
from reins.experiments.files import load_demonstrations
from reins.policies import policy_for
from reins.policies.policy import flat_size, observation_shape
from reins.types import Pairs


class Task(NamedTuple):
    """What a run trains, and where it is judged.

    Attributes:
      agent: the algorithm.
      env: where it trains.
      return_env: where its return is measured (stochastic policy).
      violation_env: where its violations of the true rule are counted.
      evaluation_episodes: how many, of each evaluation.
    """

    agent: Agent
    env: Env | HostEnv
    return_env: Env | HostEnv
    violation_env: Env | HostEnv
    evaluation_episodes: int


def build(config: TrainConfig | LearnConfig) -> Task:
    """Make everything that a run needs; what cannot work is refused here.

    Raises: ConfigError, DataError or CapabilityError.
    """
    if isinstance(config, TrainConfig):
        return _train_task(config)
    return _learn_task(config)


def _train_task(config: TrainConfig) -> Task:
    options = config.host.options()
    nominal = env = make_env(config.env, options)
    if twin_ids(config.env)[0] != config.env:
        nominal = nominal_twin(config.env)
    judged = env if config.return_env is None else make_env(config.return_env)
    if config.constraint is not None:
        constraint = load_constraint(config.constraint)
        check_constraint(constraint, env, config.constraint)
        env = with_cost(env, constraint.cost)
    agent = _BUILDERS[config.agent](env, config)
    return Task(agent, env, judged, nominal, _evaluation_episodes(env, config.run))


def _learn_task(config: LearnConfig) -> Task:
    env = nominal_twin(config.env, config.host.options())
    constrained = env
    if twin_ids(config.env)[1] != env.name:
        constrained = constrained_twin(config.env)
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
    if config.method == "gail-constraint":
        agent = gail_constraint(
            _ppo(env, config), *parts, temperature=settings.temperature, **told
        )
    elif config.method == "classifier":
        agent = binary_classifier(_ppo_lagrangian(env, config), *parts, **told)
    else:
        by_cost = settings.forward == "cost"
        agent = icrl(
            _ppo_lagrangian(env, config) if by_cost else _ppo(env, config),
            *parts,
            forward=settings.forward,
            temperature=settings.temperature,
            **told,
        )
    episodes = _evaluation_episodes(env, config.run)
    return Task(agent, env, constrained, env, episodes)


def _evaluation_episodes(env: Env | HostEnv, run: RunConfig) -> int:
    return run.evaluation_episodes or (100 if isinstance(env, Env) else 10)


def input_spec(env: Env | HostEnv, settings: ConstraintConfig) -> InputSpec:
    """The constraint's inputs for an environment: the chosen dimensions, or all."""
    space = env.action_space
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


def check_demonstrations(
    demonstrations: Demonstrations, env_id: str, env: Env | HostEnv
) -> None:
    """Check that demonstrations fit an environment or its twin.

    Raises: DataError that lists every fault.
    """
    ids = [env_id, *sorted({*twin_ids(env_id)} - {env_id})]
    check_fit(demonstrations, ids, env.observation_space, env.action_space)


def _ppo(env: Env | HostEnv, config: TrainConfig | LearnConfig) -> Agent:
    agent = ppo(*_parts(env, config), **_passes(config.ppo))
    return _normalised(agent, env, config)


def _ppo_lagrangian(env: Env | HostEnv, config: TrainConfig | LearnConfig) -> Agent:
    agent = ppo_lagrangian(
        *_parts(env, config),
        _dual(config.cost),
        horizon=env.horizon,
        budget=config.cost.budget,
        cost_gae_lambda=config.cost.cost_gae_lambda,
        **_passes(config.ppo),
    )
    return _normalised(agent, env, config)


def _check_whole_episodes(env: Env | HostEnv, config: TrainConfig) -> None:
    if config.run.rollout_steps < env.horizon:
        raise ConfigError(
            f"`{config.agent}` was asked to learn from {config.run.rollout_steps} "
            f"steps of each environment at a time; episodes of {env.name} last up to "
            f"{env.horizon}, and it needs whole ones. Use --rollout-steps "
            f"{2 * env.horizon}, say."
        )


def _reinforce(env: Env | HostEnv, config: TrainConfig) -> Agent:
    _check_whole_episodes(env, config)
    policy, critic, optimizer = _parts(env, config, steps=config.run.updates)
    settings = config.gradient
    by_state = settings.baseline == "state"
    agent = reinforce(
        policy,
        optimizer,
        horizon=env.horizon,
        baseline=settings.baseline,
        critic=critic if by_state else None,
        critic_optimizer=_critic_optimizer(config) if by_state else None,
        critic_epochs=settings.critic_epochs,
        credit=settings.credit,
        discount=config.ppo.discount,
        discount_states=settings.discount_states,
        entropy_weight=config.ppo.entropy_weight,
    )
    return _normalised(agent, env, config)


def _actor_critic(env: Env | HostEnv, config: TrainConfig) -> Agent:
    policy, critic, optimizer = _parts(env, config, steps=config.run.updates)
    settings, space = config.gradient, env.action_space
    if settings.critic_kind == "q":
        if not isinstance(space, spaces.Discrete):
            raise CapabilityError(
                f"a Q critic was asked for in {env.name}, whose actions are {space}; "
                "actor-critic sums over finitely many. Use --critic-kind v."
            )
        seen = observation_shape(env.observation_space)
        critic = action_value_critic(seen, int(space.n), hidden=config.ppo.hidden)
    agent = actor_critic(
        policy,
        critic,
        optimizer,
        _critic_optimizer(config),
        critic_kind=settings.critic_kind,
        critic_target=settings.critic_target,
        critic_epochs=settings.critic_epochs,
        advantage=settings.advantage,
        discount=config.ppo.discount,
        entropy_weight=config.ppo.entropy_weight,
    )
    return _normalised(agent, env, config)


def _a2c(env: Env | HostEnv, config: TrainConfig) -> Agent:
    names = ("discount", "gae_lambda", "entropy_weight", "value_weight")
    told = {name: getattr(config.ppo, name) for name in names}
    agent = a2c(*_parts(env, config, steps=config.run.updates), **told)
    return _normalised(agent, env, config)


def _natural(env: Env | HostEnv, config: TrainConfig) -> Agent:
    policy, critic, _ = _parts(env, config)
    build = trpo if config.agent == "trpo" else npg
    agent = build(
        policy,
        critic,
        _critic_optimizer(config),
        discount=config.ppo.discount,
        gae_lambda=config.ppo.gae_lambda,
        kl_bound=config.region.kl_bound,
        kl_direction=config.region.kl_direction or "old-new",
        cg_iterations=config.region.cg_iterations,
        damping=config.region.damping,
        critic_epochs=config.gradient.critic_epochs,
        minibatches=config.ppo.minibatches,
    )
    return _normalised(agent, env, config)


def _kl_dual(env: Env | HostEnv, config: TrainConfig) -> Agent:
    settings = config.region
    dual = projected_dual(
        initial=settings.kl_multiplier, learning_rate=settings.kl_dual_learning_rate
    )
    steps = _steps_of_passes(config) * settings.dual_steps
    agent = kl_dual(
        *_parts(env, config, steps=steps),
        dual,
        discount=config.ppo.discount,
        gae_lambda=config.ppo.gae_lambda,
        kl_bound=settings.kl_bound,
        kl_direction=settings.kl_direction or "new-old",
        value_weight=config.ppo.value_weight,
        dual_steps=settings.dual_steps,
        epochs=config.ppo.epochs,
        minibatches=config.ppo.minibatches,
    )
    return _normalised(agent, env, config)


def _population(env: Env | HostEnv, config: TrainConfig) -> Agent:
    if isinstance(env, HostEnv):
        raise CapabilityError(
            f"`{config.agent}` was asked for in {env.name}, which is stepped outside "
            "JAX; there all environments act by one policy, and a population needs one "
            "each. Use a compiled environment (`reins list`)."
        )
    _check_whole_episodes(env, config)
    policy, _, optimizer = _parts(env, config, steps=config.run.updates)
    settings = config.population
    told: dict[str, Any] = {
        "horizon": env.horizon,
        "environments": config.run.environments,
        "std": settings.std,
        "deterministic": settings.deterministic,
    }
    if config.agent == "es":
        shaping = {"ranked": settings.ranked, "weight_decay": settings.weight_decay}
        agent = es(policy, optimizer, **told, **shaping)
    elif config.agent == "genetic":
        agent = genetic(policy, **told, elite=settings.elite)
    else:
        agent = hill_climbing(policy, **told)
    return _normalised(agent, env, config)


_BUILDERS: dict[str, Callable[[Env | HostEnv, TrainConfig], Agent]] = {
    "ppo": _ppo,
    "ppo-lagrangian": _ppo_lagrangian,
    "reinforce": _reinforce,
    "actor-critic": _actor_critic,
    "a2c": _a2c,
    "npg": _natural,
    "trpo": _natural,
    "kl-dual": _kl_dual,
    "es": _population,
    "hill-climbing": _population,
    "genetic": _population,
}


def _critic_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    return optax.adam(config.gradient.critic_learning_rate, eps=1e-5)


def _normalised(
    agent: Agent, env: Env | HostEnv, config: TrainConfig | LearnConfig
) -> Agent:
    """The agent in units of running deviations, where that is asked for."""
    host = isinstance(env, HostEnv)
    observations, rewards = (
        asked == "on" or (asked == "auto" and host)
        for asked in (config.ppo.normalise_observations, config.ppo.normalise_rewards)
    )
    observations = observations and not is_image(env.observation_space)
    if not observations and not rewards:
        return agent
    return normalised(
        agent,
        flat_size(env.observation_space) if observations else 1,
        environments=config.run.environments,
        discount=config.ppo.discount,
        observations=observations,
        rewards=rewards,
    )


def _steps_of_passes(config: TrainConfig | LearnConfig) -> int:
    """Steps of the optimiser in a whole run of several passes over each batch."""
    return config.run.updates * config.ppo.epochs * config.ppo.minibatches


def _parts(
    env: Env | HostEnv,
    config: TrainConfig | LearnConfig,
    *,
    steps: int | None = None,
) -> tuple[Any, Any, Any]:
    """Policy, critic and optimiser; `steps` of it in the run, for its decay."""
    settings = config.ppo
    rate: Any = settings.learning_rate
    if settings.learning_rate_decay == "linear":
        rate = optax.linear_schedule(rate, 0.0, steps or _steps_of_passes(config))
    optimizer = optax.chain(
        optax.clip_by_global_norm(settings.max_gradient_norm),
        optax.adam(rate, eps=1e-5),
    )
    space, hidden = env.observation_space, settings.hidden
    return (
        policy_for(space, env.action_space, hidden=hidden, log_std=settings.log_std),
        value_critic(observation_shape(space), hidden=hidden),
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
