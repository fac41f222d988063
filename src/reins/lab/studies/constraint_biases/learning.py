"""ζ by cell, learned on a corridor with a forward step that is exact."""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, ScalarLike

from reins.lab.studies.constraint_biases.corridor import (
    Behaviour,
    behaviour,
    by_pair,
    first_visits,
)
from reins.lab.study import QUICK
from reins.tabular import TabularMDP, trajectory_model

Balance = Literal["sum", "step-mean"]
"""How demonstrations and the agent's episodes are set against each other.

sum        sums over time, means over trajectories: S2 (7).
step-mean  means over the steps of each set, as in 2021.
"""
LEARNING_RATE = 0.05


class Lesson(NamedTuple):
    """What ζ is learned from.

    Attributes:
      visits: steps of a demonstration in each cell, mean.
      returned: their mean return.
      competence: β of the agent, which samples π ∝ exp(β r) Π ζ.
      regulariser: δ of S2 (8), as the step mean of `regulariser_loss`.
    """

    visits: Float[Array, " S"]
    returned: ScalarLike
    competence: ScalarLike = 1.0
    regulariser: ScalarLike = 0.0


def learned_each(
    mdp: TabularMDP, lessons: list[Lesson], **options: Any
) -> list[Float[Array, " S"]]:
    """`learned` of each of several lessons."""
    stacked = jax.tree.map(lambda *x: jnp.stack([*map(jnp.asarray, x)]), *lessons)
    return list(_learned_each(mdp, stacked, **options))


_OPTIONS = ("steps", "balance", "seen", "by_return")


@partial(jax.jit, static_argnames=_OPTIONS, compiler_options=QUICK)
def _learned_each(mdp: TabularMDP, lessons: Any, **options: Any) -> Array:
    return jax.vmap(lambda lesson: learned(mdp, lesson, **options))(lessons)


def learned(
    mdp: TabularMDP,
    lesson: Lesson,
    *,
    steps: int,
    balance: Balance = "sum",
    seen: int | None = None,
    by_return: bool = False,
) -> Float[Array, " S"]:
    """log ζ(s) after so many steps of Adam from ζ = 1/2, the agent exact in each.

    ascend   Σ_s (demonstrated visits − share · the agent's visits)(s) log ζ(s) / T
             + δ Σ_sets mean over steps of (ζ − 1)

    where the agent's visits are exact, of its first `seen` steps (all when not said).
    The share is 1. With weights by return visits are under exp(R), and the share is
    Ē/(Ē + exp(R̄)), Ē the agent's mean of exp(R) and R̄ what demonstrations earn.

    Source: S2 (6), (8); `sampled_likelihood_loss` for weights by return.
    """
    horizon = mdp.horizon
    optimizer = optax.adam(LEARNING_RATE, eps=1e-5)

    def agents(log_zeta: Array) -> tuple[Array, Array]:
        first = horizon if seen is None else seen
        sampled = partial(first_visits, mdp, log_zeta, steps=first)
        visits, log_z = sampled(competence=lesson.competence)
        if not by_return:
            return visits, jnp.ones(())
        visits, weighted = sampled(competence=lesson.competence + 1.0)
        return visits, jax.nn.sigmoid(weighted - log_z - lesson.returned)

    def loss(logits: Array) -> Array:
        log_zeta = jax.nn.log_sigmoid(logits)
        visits, share = jax.lax.stop_gradient(agents(log_zeta))
        sets = (lesson.visits, visits)
        means = tuple(x / jnp.sum(x) for x in sets)
        reluctance = sum(jnp.sum(x * jnp.expm1(log_zeta)) for x in means)
        shown, theirs = means if balance == "step-mean" else (x / horizon for x in sets)
        likelihood = jnp.sum((shown - share * theirs) * log_zeta)
        return -likelihood - lesson.regulariser * reluctance

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        logits, state = carry
        updates, state = optimizer.update(jax.grad(loss)(logits), state)
        return (optax.apply_updates(logits, updates), state), None

    logits = jnp.zeros_like(lesson.visits)
    carry = (logits, optimizer.init(logits))
    (logits, _), _ = jax.lax.scan(step, carry, length=steps)
    return jax.nn.log_sigmoid(logits)


class Outcome(NamedTuple):
    """What came of a lesson.

    Attributes:
      allowed_cost: 1 − ζ of a demonstrated step, mean.
      forbidden_cost: 1 − ζ of a forbidden step, mean over those of somebody who knows
        no rule.
      kl: KL(demonstrators ‖ π ∝ exp(r) Π ζ), nats a trajectory.
      agent: what that π does.
    """

    allowed_cost: Float[Array, ""]
    forbidden_cost: Float[Array, ""]
    kl: Float[Array, ""]
    agent: Behaviour


@jax.jit
def outcome(
    mdp: TabularMDP,
    forbidden: Bool[Array, " S"],
    demonstrators: Behaviour,
    log_zeta: Float[Array, " S"],
) -> Outcome:
    """Judge a ζ by the truth: the demonstrators', all of whose trajectories count."""
    costs = -jnp.expm1(log_zeta)
    free = behaviour(mdp, forbidden, trajectory_model(mdp))
    agent = behaviour(mdp, forbidden, trajectory_model(mdp, by_pair(log_zeta)))
    shown = demonstrators.visits
    worse = jnp.where(forbidden, free.visits, 0.0)
    log_ratio = agent.log_partition - demonstrators.log_partition
    return Outcome(
        allowed_cost=jnp.sum(shown * costs) / jnp.sum(shown),
        forbidden_cost=jnp.sum(worse * costs) / jnp.sum(worse),
        kl=log_ratio - jnp.sum(shown * log_zeta),
        agent=agent,
    )
