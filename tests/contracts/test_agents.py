"""Every agent through the same door: `init`, `act` and `update`, compiled once."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import (
    Agent,
    a2c,
    a3c,
    actor_critic,
    awr,
    binary_classifier,
    es,
    gail,
    gail_constraint,
    genetic,
    hill_climbing,
    icrl,
    kl_dual,
    mpo,
    normalised,
    npg,
    off_policy_pg,
    ppo,
    ppo_lagrangian,
    reinforce,
    sac,
    sac_lagrangian,
    trpo,
    v_mpo,
)
from reins.agents.icrl import BackwardStep
from reins.constraints import InputSpec, constraint_network
from reins.critics import action_value_critic, state_action_critic, value_critic
from reins.duals import (
    log_dual,
    pid_dual,
    projected_dual,
    scheduled_dual,
    softplus_dual,
)
from reins.envs import Env
from reins.policies import Policy, policy_for
from reins.types import Pairs
from tests.toys import point_env, random_batch, scripted_batch, scripted_env

KEY = jax.random.key(0)
SEEDS = jax.random.split(jax.random.key(1), 2)
HORIZON = 5


def forward_agent(build, env: Env, **options):
    return build(
        policy_for(env.observation_space, env.action_space, hidden=()),
        value_critic(2, hidden=()),
        optax.adam(1e-2),
        epochs=2,
        minibatches=2,
        **options,
    )


def policy_gradient_agent(build, env: Env, *parts, **options):
    policy = policy_for(env.observation_space, env.action_space, hidden=())
    return build(policy, *parts, **options)


JUDGE, STEPS = value_critic(2, hidden=()), optax.adam(1e-2)
WITH_CRITIC = {"baseline": "state", "critic": JUDGE, "critic_optimizer": STEPS}
POPULATION = {"horizon": HORIZON, "environments": 4}


def lagrangian(env: Env):
    build = functools.partial(ppo_lagrangian, dual=pid_dual(), horizon=HORIZON)
    return forward_agent(build, env)


def one_step(build, env: Env):
    """An agent whose policy makes one step for each batch, and has no optimiser."""
    return build(
        policy_for(env.observation_space, env.action_space, hidden=()),
        value_critic(2, hidden=()),
        optax.adam(1e-2),
        critic_epochs=2,
        minibatches=2,
    )


def in_own_units(agent: Agent) -> Agent:
    return normalised(agent, 2, environments=4, discount=0.9)


def soft(env: Env, policy_loss: str, build=sac, **options) -> Agent:
    discrete = env.action_space.shape == ()
    return build(
        policy_for(env.observation_space, env.action_space, hidden=()),
        action_value_critic(2, 2, hidden=())
        if discrete
        else state_action_critic(2, 1, hidden=(3,)),
        optax.adam(1e-3),
        log_dual(),
        **options,
        observation_space=env.observation_space,
        action_space=env.action_space,
        policy_loss=policy_loss,
        action_samples=3,
        entropy_floor=0.5,
        batch_size=8,
        buffer_size=100,
        learning_starts=10,
    )


def soft_lagrangian(env: Env, policy_loss: str) -> Agent:
    return soft(env, policy_loss, sac_lagrangian, dual=pid_dual(), environments=4)


def imitator(env: Env) -> Agent:
    discrete = env.action_space.shape == ()
    return mpo(
        policy_for(env.observation_space, env.action_space, hidden=()),
        action_value_critic(2, 2, hidden=())
        if discrete
        else state_action_critic(2, 1, hidden=(3,)),
        optax.adam(1e-3),
        log_dual(),
        projected_dual(initial=1.0),
        observation_space=env.observation_space,
        action_space=env.action_space,
        action_samples=3,
        target_period=5,
        batch_size=8,
        buffer_size=100,
        learning_starts=10,
    )


def regression(env: Env) -> Agent:
    return awr(
        policy_for(env.observation_space, env.action_space, hidden=()),
        JUDGE,
        optax.adam(1e-3),
        scheduled_dual(lambda k: 0.5),
        observation_space=env.observation_space,
        action_space=env.action_space,
        batch_size=8,
        buffer_size=100,
        learning_starts=10,
    )


def some_expert() -> Pairs:
    _, batch = scripted_batch()
    mask = jnp.arange(HORIZON) < jnp.array([[5], [3], [4], [1]])
    return Pairs(batch.observations[:, 3:8], batch.actions[:, 3:8], mask)


def constraint_agent(method, inner, *, nominal="once", **options):
    return method(
        inner,
        constraint_network(InputSpec(2, 2, True, (0, 1), (0, 1)), hidden=()),
        optax.adam(1e-2),
        some_expert(),
        horizon=HORIZON,
        backward=BackwardStep(forward_updates=1, steps=2, nominal=nominal),
        **options,
    )


def imitation(inner, env: Env, **options):
    discrete = env.action_space.shape == ()
    inputs = InputSpec(2, 2, True, (0, 1), (0, 1))
    expert = some_expert()
    if not discrete:
        inputs = InputSpec(2, 1, False, (0, 1), (0,))
        expert = expert._replace(actions=expert.actions[..., None].astype(float))
    judge = constraint_network(inputs, hidden=())
    return gail(inner, judge, optax.adam(1e-2), expert, **options)


DISCRETE, CONTINUOUS = scripted_env(horizon=HORIZON), point_env()
AGENTS: dict[str, Callable] = {
    "ppo": lambda env: forward_agent(ppo, env),
    "ppo-lagrangian": lagrangian,
    "ppo-normalised": lambda env: in_own_units(forward_agent(ppo, env)),
    "ppo-lagrangian-normalised": lambda env: in_own_units(lagrangian(env)),
    "npg": lambda env: one_step(npg, env),
    "trpo": lambda env: one_step(trpo, env),
    "kl-dual": lambda env: forward_agent(
        functools.partial(kl_dual, dual=softplus_dual()), env
    ),
    "reinforce": lambda env: policy_gradient_agent(
        reinforce, env, STEPS, horizon=HORIZON
    ),
    "reinforce-state": lambda env: policy_gradient_agent(
        reinforce, env, STEPS, horizon=HORIZON, **WITH_CRITIC
    ),
    "actor-critic": lambda env: policy_gradient_agent(
        actor_critic, env, JUDGE, STEPS, STEPS
    ),
    "actor-critic-q": lambda env: policy_gradient_agent(
        actor_critic,
        env,
        action_value_critic(2, 2, hidden=()),
        STEPS,
        STEPS,
        critic_kind="q",
    ),
    "a2c": lambda env: policy_gradient_agent(a2c, env, JUDGE, STEPS),
    "a3c": lambda env: policy_gradient_agent(a3c, env, JUDGE, STEPS),
    "off-policy-pg": lambda env: policy_gradient_agent(
        off_policy_pg,
        env,
        STEPS,
        horizon=HORIZON,
        environments=4,
        rollout_steps=16,
        observation_space=env.observation_space,
        action_space=env.action_space,
    ),
    "sac": lambda env: soft(env, "reverse-kl"),
    "sac-forward-kl": lambda env: soft(env, "forward-kl"),
    "sac-score": lambda env: soft(env, "reverse-kl-score"),
    "sac-exact-reverse": lambda env: soft(env, "exact-reverse"),
    "sac-exact-forward": lambda env: soft(env, "exact-forward"),
    "sac-lagrangian": lambda env: soft_lagrangian(env, "reverse-kl"),
    "sac-lagrangian-forward-kl": lambda env: soft_lagrangian(env, "forward-kl"),
    "sac-lagrangian-exact": lambda env: soft_lagrangian(env, "exact-reverse"),
    "mpo": imitator,
    "v-mpo": lambda env: forward_agent(
        functools.partial(v_mpo, temperature=log_dual(), multiplier=softplus_dual()),
        env,
    ),
    "awr": regression,
    "es": lambda env: policy_gradient_agent(es, env, STEPS, **POPULATION),
    "hill-climbing": lambda env: policy_gradient_agent(
        hill_climbing, env, **POPULATION
    ),
    "genetic": lambda env: policy_gradient_agent(genetic, env, **POPULATION),
    "es-normalised": lambda env: in_own_units(
        policy_gradient_agent(es, env, STEPS, **POPULATION)
    ),
    "icrl": lambda env: constraint_agent(icrl, lagrangian(env)),
    "icrl-normalised": lambda env: constraint_agent(
        icrl, in_own_units(lagrangian(env))
    ),
    "icrl-sac-lagrangian": lambda env: constraint_agent(
        icrl, soft_lagrangian(env, "exact-reverse")
    ),
    "icrl-log-reward": lambda env: constraint_agent(
        icrl, forward_agent(ppo, env), forward="log-reward"
    ),
    "icrl-afresh": lambda env: constraint_agent(
        icrl, lagrangian(env), nominal="afresh"
    ),
    "classifier": lambda env: constraint_agent(binary_classifier, lagrangian(env)),
    "gail-constraint": lambda env: constraint_agent(
        gail_constraint, forward_agent(ppo, env)
    ),
    "gail": lambda env: imitation(forward_agent(ppo, env), env),
    "gail-trpo": lambda env: imitation(
        in_own_units(one_step(trpo, env)), env, reward="log-odds", steps=2
    ),
}


def push(observations, key):
    return jax.random.normal(key, (observations.shape[0], 1))


class Case(NamedTuple):
    env: Env
    agent: object
    update: Callable
    batch: object


PATHWISE = ("sac", "sac-lagrangian")
CASES = [(name, DISCRETE) for name in AGENTS if name not in PATHWISE]
CASES += [(name, CONTINUOUS) for name in (*PATHWISE, "sac-forward-kl", "sac-score")]
CASES += [(name, CONTINUOUS) for name in ("ppo", "ppo-normalised", "ppo-lagrangian")]
CASES += [(name, CONTINUOUS) for name in ("npg", "trpo", "kl-dual")]
CASES += [(name, CONTINUOUS) for name in ("reinforce", "actor-critic", "a2c")]
CASES += [("a3c", CONTINUOUS)]
CASES += [(name, CONTINUOUS) for name in ("mpo", "v-mpo", "awr")]
CASES += [("off-policy-pg", CONTINUOUS), ("gail", CONTINUOUS)]
CASES += [(name, CONTINUOUS) for name in ("es", "hill-climbing", "genetic")]


@pytest.fixture(
    scope="module", params=CASES, ids=[f"{name}-{env.name}" for name, env in CASES]
)
def case(request) -> Case:
    name, env = request.param
    discrete = env is DISCRETE
    batch = scripted_batch()[1] if discrete else continuous_batch()[1]
    agent = AGENTS[name](env)
    return Case(env, agent, jax.jit(agent.update), batch)


@functools.cache
def continuous_batch():
    return random_batch(CONTINUOUS, act=push)


def kind_of(tree):
    """Structure, shapes and types, down to whether a type is a weak one."""
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


def test_the_agent_keeps_its_contract(case):
    env, agent, update, batch = case
    state = agent.init(KEY)
    assert isinstance(state.policy, Policy)

    # act: as many actions as observations, of the action space's kind
    actions = agent.act(state, batch.observations[:, 0], KEY)
    assert actions.shape == (4, *env.action_space.shape)
    assert actions.shape == batch.actions[:, 0].shape
    assert np.issubdtype(actions.dtype, np.integer) == (env is DISCRETE)
    if env is DISCRETE:
        assert set(np.asarray(actions).tolist()) <= {0, 1}

    # update: the same kind of state, something learned, finite numbers
    states, infos = [state], []
    for key in jax.random.split(KEY, 3):
        after, info = update(states[-1], batch, key)
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert kind_of(after) == kind_of(state)
        states.append(after)
        infos.append(info)
    for info in infos:
        assert jax.tree.structure(info) == jax.tree.structure(infos[0])
        assert all(np.shape(value) == () for value in info.values())
        assert all(np.isfinite(value) for value in info.values())
    for leaf in jax.tree.leaves(states[-1]):
        assert np.all(np.isfinite(leaf))
    before, after = (jax.tree.leaves(s.policy) for s in (states[0], states[-1]))
    assert any(np.any(a != b) for a, b in zip(before, after, strict=True))

    # one compilation serves them all
    assert update._cache_size() == 1

    # the same key gives the same numbers, and another key others
    again, again_info = update(states[0], batch, jax.random.split(KEY, 3)[0])
    jax.tree.map(np.testing.assert_array_equal, again, states[1])
    jax.tree.map(np.testing.assert_array_equal, again_info, infos[0])
    jax.tree.map(np.testing.assert_array_equal, agent.init(KEY), state)
    other = agent.init(SEEDS[0])
    leaves = (jax.tree.leaves(s.policy) for s in (state, other))
    assert any(np.any(a != b) for a, b in zip(*leaves, strict=True))


def test_seeds_at_once_are_seeds_one_by_one(case):
    _, agent, update, batch = case
    seeds = [agent.init(key) for key in SEEDS]
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    together = jax.vmap(agent.update, in_axes=(0, None, 0))
    found, infos = jax.jit(together)(states, batch, SEEDS)
    for i, key in enumerate(SEEDS):
        alone, info = update(seeds[i], batch, key)
        for one, both in ((alone, found), (info, infos)):
            jax.tree.map(
                lambda a, b, i=i: np.testing.assert_allclose(
                    a, b[i], rtol=1e-3, atol=1e-5
                ),
                one,
                both,
            )
