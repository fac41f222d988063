"""All trajectories of a corridor, and a ζ that leaves them behind step by step."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, ScalarLike

from reins.constraints import constraint_likelihood_loss, sampled_likelihood_loss
from reins.constraints.likelihood import Weighting
from reins.lab.studies.constraint_biases.corridor import Corridor, by_pair
from reins.lab.studies.constraint_biases.learning import LEARNING_RATE
from reins.lab.study import QUICK
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    TrajectoryModel,
    enumerate_trajectories,
    log_likelihood_gradient,
    model_log_probs,
    sample_walks,
)
from reins.tabular.sampling import rewarded
from reins.types import Key


class Episodes(NamedTuple):
    """Everything that can happen in a corridor, and demonstrations.

    Attributes:
      mdp: the nominal MDP.
      every: all trajectories.
      log_masses: what the agent makes of them that was trained for ζ = 1/2.
      shown: demonstrations, drawn of those that keep the rule.
    """

    mdp: TabularMDP
    every: AllTrajectories
    log_masses: Float[Array, " N"]
    shown: AllTrajectories


def episodes_of(corridor: Corridor, demonstrations: int, key: Key) -> Episodes:
    """Enumerate a corridor, and draw demonstrations."""
    mdp = corridor.mdp()
    every = enumerate_trajectories(mdp)
    shown = drawn(mdp, corridor.careful(), key, demonstrations)
    return Episodes(mdp, every, agents_log_masses(mdp, every), shown)


def drawn(mdp: TabularMDP, model: TrajectoryModel, key: Key, n: int) -> AllTrajectories:
    """Trajectories of a model, with what they earn; their dynamics are certain."""
    walks = sample_walks(model, key, n)
    found = rewarded(mdp, walks.states, walks.actions)
    return AllTrajectories(
        found.states,
        found.actions,
        jnp.zeros(n),
        found.rewards,
        found.costs,
        found.mask,
    )


def agents_log_masses(
    mdp: TabularMDP, every: AllTrajectories, competence: ScalarLike = 1.0
) -> Float[Array, " N"]:
    """What an agent makes of them: π ∝ exp(β r) Π ζ at ζ = 1/2."""
    log_zeta = by_pair(jax.nn.log_sigmoid(start(mdp)))
    paid = every._replace(rewards=competence * every.rewards)
    return model_log_probs(paid, log_zeta)


def start(mdp: TabularMDP) -> Float[Array, " S"]:
    """The logits of the ζ that the agent was trained for."""
    return jnp.zeros_like(mdp.initial)


@jax.jit
def exact_gradient(
    mdp: TabularMDP, shown: AllTrajectories, logits: Float[Array, " S"]
) -> Float[Array, " S"]:
    """∂/∂logits of the mean log-likelihood of demonstrations, nats a trajectory."""
    log_zeta = jax.nn.log_sigmoid(logits)
    by_cell = jnp.sum(log_likelihood_gradient(mdp, by_pair(log_zeta), shown), axis=1)
    return by_cell * -jnp.expm1(log_zeta)


@partial(jax.jit, static_argnames="steps", compiler_options=QUICK)
def climb(
    mdp: TabularMDP, shown: AllTrajectories, *, steps: int
) -> Float[Array, "K S"]:
    """The logits of ζ before the first step of Adam, and after each, of the truth."""
    optimizer = optax.adam(LEARNING_RATE, eps=1e-5)

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Array]:
        logits, state = carry
        gradient = exact_gradient(mdp, shown, logits)
        updates, state = optimizer.update(-gradient, state)
        return (optax.apply_updates(logits, updates), state), logits

    carry = (start(mdp), optimizer.init(start(mdp)))
    (last, _), before = jax.lax.scan(step, carry, length=steps)
    return jnp.concatenate([before, last[None]])


def estimate(
    episodes: Episodes,
    log_masses: Float[Array, " N"],
    logits: Float[Array, " S"],
    *,
    weighting: Weighting,
) -> Float[Array, " S"]:
    """What a weighting takes for `exact_gradient`, from rows of these masses."""
    every, shown = episodes.every, episodes.shown
    horizon = episodes.mdp.horizon
    old = at(jax.nn.log_sigmoid(start(episodes.mdp)), every)

    def loss(logits: Array) -> Array:
        log_zeta = jax.nn.log_sigmoid(logits)
        expert = (at(log_zeta, shown), shown.mask)
        nominal = (at(log_zeta, every), every.mask)
        if weighting == "return":
            return sampled_likelihood_loss(
                *expert,
                jnp.sum(shown.rewards, axis=1),
                *nominal,
                jnp.sum(every.rewards, axis=1),
                horizon=horizon,
                temperature=1.0,
                sampled_log_zeta=old,
                log_masses=log_masses,
            )[0]
        return constraint_likelihood_loss(
            *expert,
            *nominal,
            old,
            horizon=horizon,
            weighting=weighting,
            log_masses=log_masses,
        )[0]

    return -horizon * jax.grad(loss)(logits)


def at(log_zeta: Float[Array, " S"], rows: AllTrajectories) -> Float[Array, "N T"]:
    """log ζ of every step."""
    return log_zeta[rows.states[:, :-1]]


def log_ratios(
    rows: AllTrajectories, old: Float[Array, " S"], new: Float[Array, " S"]
) -> Float[Array, " N"]:
    """Σ_t log ζ_new − log ζ_old of every row, from logits."""
    moved = jax.nn.log_sigmoid(new) - jax.nn.log_sigmoid(old)
    return jnp.sum(at(moved, rows), axis=1, where=rows.mask)
