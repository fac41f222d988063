"""The mean of the agent's step over everything that several policies can gather."""

import itertools
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces
from jaxtyping import Array, Float

from reins.agents.episode_memory import remember
from reins.agents.off_policy_pg import off_policy_pg
from reins.agents.policy_gradient import episodes_with_room
from reins.policies import TabularPolicy
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    enumerate_trajectories,
    policy_gradient,
    tabular_mdp,
    trajectory_log_probs,
)
from reins.types import Trajectory
from tests.exactness.losses import OF_BEHAVIOUR
from tests.exactness.problems import (
    PolicyProblem,
    apart,
    equal,
    mean_estimate,
    poisoned,
)

FORMS = ("trajectory-ratio", "per-decision", "past-ratios", "per-step-ratio")
EVERYTHING = 1e-12
"""A share of samples that always counts: nothing is left out for what it weighs."""


class Policies(NamedTuple):
    """Two older policies, neither near, and the one that learns."""

    older: Float[Array, "2 S A"]
    present: Float[Array, "S A"]


@cache
def mdp() -> TabularMDP:
    """Two states where something is decided; the third ends the episode."""
    transitions = np.zeros((3, 2, 3))
    transitions[0, :, 1:] = [[0.7, 0.3], [0.4, 0.6]]
    transitions[1, :, 1:] = [[0.5, 0.5], [0.8, 0.2]]
    transitions[2, :, 2] = 1.0
    rewards = np.array([[1.0, -0.5], [2.0, 0.3], [0.0, 0.0]])
    options = {"initial": [1.0, 0.0, 0.0], "terminal": [0, 0, 1]}
    return tabular_mdp(transitions, rewards, horizon=2, discount=0.7, **options)


@cache
def everything() -> AllTrajectories:
    return poisoned(enumerate_trajectories(mdp()))


def policies() -> Policies:
    tables = 1.2 * jax.random.normal(jax.random.key(3), (3, 3, 2))
    return Policies(tables[:2], tables[2])


def as_batch(found: AllTrajectories) -> Trajectory:
    """As a rollout shows them, from the first step of each row."""
    following = found.states[:, 1:]
    return Trajectory(
        observations=found.states[:, :-1],
        actions=found.actions,
        rewards=found.rewards,
        costs=found.costs,
        terminated=found.mask & mdp().terminal[following],
        truncated=jnp.zeros_like(found.mask),
        next_observations=following,
        mask=found.mask,
        times=jnp.broadcast_to(jnp.arange(mdp().horizon), found.mask.shape),
    )


@jax.jit
def _masses(tables):
    return jnp.exp(jax.vmap(trajectory_log_probs, (None, 0))(everything(), tables))


def mean_step(older: Array, *, rows: int = 1, **options: Any) -> Float[Array, "S A"]:
    """E[step] when each policy, the present one last, has gathered so many rows."""
    present = policies().present
    tables = jnp.concatenate([older, present[None]])
    agent = off_policy_pg(
        lambda key: TabularPolicy(present),
        optax.sgd(1.0),
        horizon=mdp().horizon,
        environments=rows,
        rollout_steps=mdp().horizon,
        observation_space=spaces.Discrete(3),
        action_space=spaces.Discrete(2),
        memory=len(tables),
        passes=1,
        min_ess_fraction=EVERYTHING,
        discount=mdp().discount,
        discount_states=True,
        **options,
    )

    def step(chosen):
        batches = jax.tree.map(lambda x: x[chosen], everything())
        state = agent.init(jax.random.key(0))
        memory = state.memory
        for k, table in enumerate(older):
            batch = as_batch(jax.tree.map(lambda x, k=k: x[k], batches))
            episodes = episodes_with_room(batch, horizon=mdp().horizon)
            memory = remember(memory, TabularPolicy(table), episodes)
        newest = as_batch(jax.tree.map(lambda x: x[-1], batches))
        state = state._replace(memory=memory)
        after, _ = agent.update(state, newest, jax.random.key(0))
        return after.policy.logits - present

    places = list(itertools.product(range(len(tables)), range(rows)))
    drawn = itertools.product(range(len(everything().mask)), repeat=len(places))
    drawn = jnp.asarray(list(drawn))
    masses = _masses(tables)
    weights = jnp.ones(len(drawn))
    for place, (k, _) in enumerate(places):
        weights = weights * masses[k, drawn[:, place]]

    @jax.jit
    def mean(drawn, weights):
        steps = jax.vmap(step)(drawn.reshape(-1, len(tables), rows))
        return jnp.tensordot(weights, steps, axes=1)

    return mean(drawn, weights)


def truth() -> Float[Array, "S A"]:
    return policy_gradient(mdp(), policies().present)


@pytest.mark.parametrize("denominator", ["own", "mixture"])
@pytest.mark.parametrize("form", FORMS[:2])
def test_data_of_two_older_policies_leave_the_step_unbiased(form, denominator):
    options = {"form": form, "denominator": denominator, "baseline": "none"}
    equal(mean_step(policies().older, **options), truth())


@pytest.mark.parametrize("denominator", ["own", "mixture"])
@pytest.mark.parametrize("form", FORMS[:2])
def test_so_does_a_baseline_of_the_other_episodes(form, denominator):
    """In a mixture only because it leaves out nobody's share of behaviour k."""
    options = {"form": form, "denominator": denominator, "baseline": "time"}
    equal(mean_step(policies().older[:1], rows=2, **options), truth())


@pytest.mark.parametrize("baseline", ["none", "time"])
@pytest.mark.parametrize("form", FORMS[2:])
def test_the_other_forms_have_the_bias_of_their_estimators(form, baseline):
    """Corrections 4 and 6: by what one of older data and one of new have on average."""
    older, present = policies().older[:1], policies().present
    options = {"form": form, "denominator": "own", "baseline": baseline}
    found = mean_step(older, rows=2, **options)
    problem = PolicyProblem(mdp(), present, everything())
    loss = OF_BEHAVIOUR[form.replace("-", "_")]
    masses = trajectory_log_probs(everything(), older[0])
    biased = mean_estimate(loss, problem, older[0], log_masses=masses)
    equal(found, (biased + truth()) / 2)
    assert apart(found, truth()) > 0.005


def test_self_normalised_weights_are_biased_with_so_few():
    found = mean_step(
        policies().older,
        form="trajectory-ratio",
        denominator="own",
        weights="self-normalised",
        baseline="none",
    )
    assert 1e-3 < apart(found, truth()) < 0.5
