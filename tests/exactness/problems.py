"""Tiny problems without symmetry, and exact means over everything that can happen."""

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.policies import TabularPolicy
from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    enumerate_trajectories,
    log_likelihood_gradient,
    model_log_probs,
    random_mdp,
    trajectory_log_probs,
)

POISON = 77.0
"""What padding holds here; a result that sees it is far from the truth."""


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


def policy_problem(
    seed: int = 0, *, discount: float = 1.0, states: int = 4, horizon: int = 3
) -> PolicyProblem:
    """Stochastic, two actions, one terminal state: episodes differ in length."""
    options = {"horizon": horizon, "discount": discount, "terminal_states": 1}
    mdp, logits = _random(states, 2, **options)(jax.random.key(seed))
    return PolicyProblem(mdp, logits, poisoned(enumerate_trajectories(mdp)))


def poisoned(trajectories: AllTrajectories) -> AllTrajectories:
    rewards = jnp.where(trajectories.mask, trajectories.rewards, POISON)
    return trajectories._replace(rewards=rewards)


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
    batch: int = 1,
) -> Float[Array, "S A"]:
    """Σ p(τ_1)..p(τ_N) ĝ(τ_1, .., τ_N) over all batches of N trajectories.

    ĝ is minus the gradient of loss(logits, batch, problem, *extra) in the logits, at
    `problem.logits`, which act, or `at` others.
    """
    at = problem.logits if at is None else at
    rows = range(len(problem.trajectories.mask))
    chosen = jnp.asarray(list(itertools.product(rows, repeat=batch)))
    masses = trajectory_log_probs(problem.trajectories, problem.logits)
    weights = jnp.exp(jnp.sum(masses[chosen], axis=1))
    batches = jax.tree.map(lambda x: x[chosen], problem.trajectories)

    def gradient(batch):
        return jax.grad(loss)(at, batch, problem, *extra)

    return -jnp.tensordot(weights, jax.vmap(gradient)(batches), axes=1)


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
