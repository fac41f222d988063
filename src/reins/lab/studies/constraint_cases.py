"""Random constraint problems, all of one shape, with everything that can happen."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.constraints import constraint_likelihood_loss
from reins.constraints.likelihood import StepWeighting
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    log_likelihood_gradient,
    model_log_probs,
    random_mdp,
)
from reins.types import Key

STATES, ACTIONS, HORIZON = 3, 2, 3
Dynamics = Literal["deterministic", "stochastic"]


class Case(NamedTuple):
    """A problem; constraints are tables of log ζ.

    Attributes:
      mdp: the nominal MDP.
      every: every sequence of states and actions; impossible ones have no mass.
      log_masses: what the nominal agent makes of them under `sampled`.
      sampled, improved: the constraint that was sampled under, and the one in hand.
      demonstrations: of an expert under a constraint of its own.
      truth: the gradient of their log-likelihood in `improved`.
    """

    mdp: TabularMDP
    every: AllTrajectories
    log_masses: Float[Array, " N"]
    sampled: Float[Array, "S A"]
    improved: Float[Array, "S A"]
    demonstrations: AllTrajectories
    truth: Float[Array, "S A"]


def draw_case(key: Key, dynamics: Dynamics, demonstrations: int) -> Case:
    """ζ from standard normal logits, the expert's from twice that; vmaps over keys."""
    keys = jax.random.split(key, 5)
    deterministic = dynamics == "deterministic"
    mdp = random_mdp(
        keys[0],
        STATES,
        ACTIONS,
        horizon=HORIZON,
        deterministic=deterministic,
        terminal_states=0 if deterministic else 1,
    )
    every = every_sequence(mdp)
    sampled, improved, expert = (
        jax.nn.log_sigmoid(scale * jax.random.normal(k, (STATES, ACTIONS)))
        for k, scale in zip(keys[1:4], (1.0, 1.0, 2.0), strict=True)
    )
    expected = model_log_probs(every, expert)
    rows = jax.random.categorical(keys[4], expected, shape=(demonstrations,))
    given = jax.tree.map(lambda x: x[rows], every)
    log_masses = model_log_probs(every, sampled)
    truth = log_likelihood_gradient(mdp, improved, given)
    return Case(mdp, every, log_masses, sampled, improved, given, truth)


def every_sequence(mdp: TabularMDP) -> AllTrajectories:
    """As `enumerate_trajectories`, but the same rows for every MDP of one shape."""
    shape = [STATES] * (HORIZON + 1) + [ACTIONS] * HORIZON
    columns = np.indices(shape).reshape(len(shape), -1).T
    states = jnp.asarray(columns[:, : HORIZON + 1])
    actions = jnp.asarray(columns[:, HORIZON + 1 :])
    now, following = states[:, :-1], states[:, 1:]
    mask = ~mdp.terminal[now]
    # An ended episode goes on in exactly one way.
    stays = jnp.where((now == following) & (actions == 0), 0.0, -jnp.inf)
    moves = jnp.log(mdp.transitions[now, actions, following])
    log_dynamics = jnp.sum(jnp.where(mask, moves, stays), axis=1)
    return AllTrajectories(
        states,
        actions,
        log_dynamics + jnp.log(mdp.initial[states[:, 0]]),
        jnp.where(mask, mdp.rewards[now, actions, following], 0.0),
        jnp.where(mask, mdp.costs[now, actions], 0.0),
        mask,
    )


def likelihood_gradient(
    case: Case, log_masses: Float[Array, " N"], weighting: StepWeighting
) -> Float[Array, "S A"]:
    """The estimate at `improved`, from nominal rows of these masses.

    M draws are rows whose mass is how often they were drawn, over M.
    """

    def loss(log_zeta: Array) -> Array:
        nominal, expert, sampled = (
            table[rows.states[:, :-1], rows.actions]
            for table, rows in (
                (log_zeta, case.every),
                (log_zeta, case.demonstrations),
                (case.sampled, case.every),
            )
        )
        return constraint_likelihood_loss(
            expert,
            case.demonstrations.mask,
            nominal,
            case.every.mask,
            sampled,
            horizon=HORIZON,
            weighting=weighting,
            log_masses=log_masses,
        )[0]

    return -HORIZON * jax.grad(loss)(case.improved)


def log_ratios(
    every: AllTrajectories, old: Float[Array, "S A"], new: Float[Array, "S A"]
) -> Float[Array, " N"]:
    """Σ_t log ζ_new − log ζ_old of every row."""
    steps = (new - old)[every.states[:, :-1], every.actions]
    return jnp.sum(jnp.where(every.mask, steps, 0.0), axis=1)
