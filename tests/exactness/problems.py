"""Tiny problems without symmetry, and exact means over everything that can happen."""

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.policies import TabularPolicy
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    enumerate_trajectories,
    log_likelihood_gradient,
    model_log_probs,
    posterior_log_probs,
    random_mdp,
    trajectory_log_probs,
)

POISON = 77.0
"""What padding holds here; a result that sees it is far from the truth."""

BEHAVIOUR = 4
"""Seed of `other_logits` for another policy's data: its values are visibly others."""


def equal(found: Any, expected: Any) -> None:
    """To 1e-10, whatever the size of the numbers."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def apart(found: Array, expected: Array) -> float:
    """Relative distance; what must be clearly nonzero where there is a bias."""
    return float(jnp.linalg.norm(found - expected) / jnp.linalg.norm(expected))


class PolicyProblem(NamedTuple):
    """An MDP, a policy that acts, and all its trajectories."""

    mdp: TabularMDP
    logits: Float[Array, "S A"]
    trajectories: AllTrajectories


@cache
def _random(states: int, actions: int, **options: Any) -> Callable:
    """key -> (a random MDP, a table of standard normals), compiled once."""

    def draw(key):
        mdp_key, table_key = jax.random.split(key)
        table = jax.random.normal(table_key, (states, actions))
        return random_mdp(mdp_key, states, actions, **options), table

    return jax.jit(draw)


@cache
def policy_problem(
    seed: int = 0, *, discount: float = 1.0, states: int = 4, horizon: int = 3
) -> PolicyProblem:
    """Stochastic, two actions, one terminal state: episodes differ in length."""
    options = {"horizon": horizon, "discount": discount, "terminal_states": 1}
    mdp, logits = _random(states, 2, **options)(jax.random.key(seed))
    return PolicyProblem(mdp, logits, poisoned(enumerate_trajectories(mdp)))


@jax.jit
def poisoned(trajectories: AllTrajectories) -> AllTrajectories:
    rewards = jnp.where(trajectories.mask, trajectories.rewards, POISON)
    return trajectories._replace(rewards=rewards)


@jax.jit
def other_logits(problem: PolicyProblem, seed: int = 1) -> Float[Array, "S A"]:
    """Another policy, not near."""
    noise = jax.random.normal(jax.random.key(seed), problem.logits.shape)
    return problem.logits + 1.5 * noise


def log_probs(logits: Array, batch: AllTrajectories) -> Float[Array, "N T"]:
    """log π(a_t|s_t) as an agent computes it: through a policy, of padding as well."""
    return TabularPolicy(logits)(batch.states[:, :-1]).log_prob(batch.actions)


def at_steps(table: Float[Array, "T S A"], batch: AllTrajectories) -> Array:
    """table[t, s_t, a_t], and poison in the padding."""
    times = jnp.arange(batch.actions.shape[1])
    values = table[times, batch.states[:, :-1], batch.actions]
    return jnp.where(batch.mask, values, POISON)


def discounts(problem: PolicyProblem) -> Float[Array, " T"]:
    return problem.mdp.discount ** jnp.arange(problem.mdp.horizon)


@partial(jax.jit, static_argnames=("loss", "batch"))
def mean_estimate(
    loss: Callable[..., Array],
    problem: PolicyProblem,
    *extra: Array,
    at: Array | None = None,
    log_masses: Float[Array, " N"] | None = None,
    batch: int = 1,
) -> Float[Array, "S A"]:
    """Σ p(τ_1)..p(τ_N) ĝ(τ_1, .., τ_N) over all batches of N trajectories.

    ĝ is minus the gradient of loss(logits, batch, problem, *extra) in the logits, at
    `problem.logits` or `at` others. The policy of `problem.logits` acts, or another
    that gives the trajectories `log_masses`.
    """
    at = problem.logits if at is None else at
    rows = range(len(problem.trajectories.mask))
    chosen = jnp.asarray(list(itertools.product(rows, repeat=batch)))
    masses = log_masses
    if masses is None:
        masses = trajectory_log_probs(problem.trajectories, problem.logits)
    weights = jnp.exp(jnp.sum(masses[chosen], axis=1))
    batches = jax.tree.map(lambda x: x[chosen], problem.trajectories)

    def gradient(batch):
        return jax.grad(loss)(at, batch, problem, *extra)

    return -jnp.tensordot(weights, jax.vmap(gradient)(batches), axes=1)


@jax.jit
def prior_of(problem: PolicyProblem) -> Float[Array, "S A"]:
    """log π0, far from uniform."""
    noise = jax.random.normal(jax.random.key(11), problem.logits.shape)
    return jax.nn.log_softmax(noise)


def prior_log_probs(log_prior: Array, batch: AllTrajectories) -> Float[Array, "N T"]:
    """log π0(a_t|s_t), of padding as well."""
    return log_prior[batch.states[:, :-1], batch.actions]


def reverse_kl(
    logits: Array, problem: PolicyProblem, log_prior: Array, temperature: float
) -> Float[Array, ""]:
    """KL(q ‖ p(.|O)), both written out."""
    log_q = trajectory_log_probs(problem.trajectories, logits)
    log_p = posterior(problem, log_prior, temperature)
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p))


def forward_kl(
    logits: Array, problem: PolicyProblem, log_prior: Array, temperature: float
) -> Float[Array, ""]:
    """KL(p(.|O) ‖ q), both written out."""
    log_q = trajectory_log_probs(problem.trajectories, logits)
    log_p = posterior(problem, log_prior, temperature)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q))


@jax.jit
def posterior(
    problem: PolicyProblem, log_prior: Array, temperature: float
) -> Float[Array, " N"]:
    """log p(τ|O) of every trajectory."""
    return posterior_log_probs(problem.trajectories, log_prior, temperature=temperature)


class Visits(NamedTuple):
    """Rows of an estimator that takes states: where, when, and how much each weighs."""

    states: Array
    times: Array
    weights: Array


@jax.jit
def visits(problem: PolicyProblem) -> Visits:
    """Every step of every trajectory, weighing what the trajectory's probability is."""
    trajectories = problem.trajectories
    masses = jnp.exp(trajectory_log_probs(trajectories, problem.logits))
    weights = jnp.where(trajectories.mask, masses[:, None], 0.0)
    times = jnp.broadcast_to(jnp.arange(weights.shape[1]), weights.shape)
    return Visits(*(x.ravel() for x in (trajectories.states[:, :-1], times, weights)))


def table_visits(weights: Float[Array, "T S"]) -> Visits:
    """Every state at every step, with a given weight."""
    times, states = jnp.indices(weights.shape)
    return Visits(*(x.ravel() for x in (states, times, weights)))


@partial(jax.jit, static_argnames=("loss", "actions"))
def mean_over_actions(
    loss: Callable[..., Array],
    problem: PolicyProblem,
    rows: Visits,
    *tables: Float[Array, "T S A"],
    actions: int,
    **options: Array,
) -> Float[Array, "S A"]:
    """Σ over all K-tuples of actions, with their probability under the policy, of ĝ.

    ĝ is minus the gradient in the logits of
    loss(log π (N, K), *tables at the same (N, K), state_weights, **options).
    """
    chosen = itertools.product(range(problem.logits.shape[1]), repeat=actions)
    chosen = jnp.asarray(list(chosen))
    states, times, weights = (jnp.repeat(x, len(chosen)) for x in rows)
    chosen = jnp.tile(chosen, (len(rows.states), 1))
    at = (states[:, None], chosen)
    masses = jnp.sum(jax.nn.log_softmax(problem.logits)[at], axis=1)
    weights = weights * jnp.exp(masses)
    given = [table[times[:, None], *at] for table in tables]

    def of(logits):
        log_policy = jax.nn.log_softmax(logits)[at]
        return loss(log_policy, *given, state_weights=weights, **options)[0]

    return -jax.grad(of)(problem.logits)


@partial(jax.jit, static_argnames="loss")
def enumerated_actions(
    loss: Callable[..., Array],
    problem: PolicyProblem,
    rows: Visits,
    *tables: Float[Array, "T S A"],
    **options: Array,
) -> Float[Array, "S A"]:
    """Minus the gradient of a loss that takes every action of each state."""
    given = [table[rows.times, rows.states] for table in tables]

    def of(logits):
        log_policy = jax.nn.log_softmax(logits)[rows.states]
        return loss(log_policy, *given, state_weights=rows.weights, **options)[0]

    return -jax.grad(of)(problem.logits)


def at_every_step(problem: PolicyProblem, table: Array) -> Float[Array, "T S A"]:
    """A table (S, A), repeated."""
    return jnp.broadcast_to(table, (problem.mdp.horizon, *table.shape))


class ConstraintProblem(NamedTuple):
    """S2's model: an MDP, two constraints (tables of log ζ), and demonstrations."""

    mdp: TabularMDP
    trajectories: AllTrajectories
    sampled: Float[Array, "S A"]
    improved: Float[Array, "S A"]
    demonstrations: AllTrajectories

    def truth(self, temperature: float = 1.0) -> Float[Array, "S A"]:
        """The gradient of the demonstrations' log-likelihood in log ζ, `improved`."""
        return log_likelihood_gradient(
            self.mdp, self.improved, self.demonstrations, temperature=temperature
        )


DYNAMICS = {
    "deterministic": {"deterministic": True},
    "stochastic": {"terminal_states": 1},  # and so episodes differ in length
}


def constraint_problem(
    seed: int, dynamics: str = "deterministic", *, horizon: int = 3
) -> ConstraintProblem:
    """Three states, two actions, five demonstrations; ζ from standard normal logits."""
    key = jax.random.key(seed)
    mdp, _ = _random(3, 2, horizon=horizon, **DYNAMICS[dynamics])(key)
    trajectories = enumerate_trajectories(mdp)
    return _with_constraints(key, mdp, trajectories)


@jax.jit
def _with_constraints(key, mdp, trajectories):
    keys = jax.random.split(jax.random.fold_in(key, 1), 4)
    sampled, improved, expert = (
        jax.nn.log_sigmoid(scale * jax.random.normal(k, (3, 2)))
        for k, scale in zip(keys, (1.0, 1.0, 2.0), strict=False)
    )
    masses = model_log_probs(trajectories, expert)
    rows = jax.random.categorical(keys[3], masses, shape=(5,))
    demonstrations = jax.tree.map(lambda x: x[rows], trajectories)
    return ConstraintProblem(mdp, trajectories, sampled, improved, demonstrations)


def log_zeta_at(table: Array, trajectories: AllTrajectories) -> Float[Array, "N T"]:
    """log ζ(s_t, a_t), and something else in the padding."""
    values = table[trajectories.states[:, :-1], trajectories.actions]
    return jnp.where(trajectories.mask, values, values - 5.0)
