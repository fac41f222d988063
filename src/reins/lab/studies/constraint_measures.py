"""What is measured on cases of constraint learning: gradients, rewards, distances."""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from reins.constraints.likelihood import StepWeighting
from reins.divergences import total_variation
from reins.lab.studies.constraint_cases import (
    ACTIONS,
    STATES,
    Case,
    every_sequence,
    likelihood_gradient,
    log_ratios,
)
from reins.tabular import (
    TabularMDP,
    max_entropy_policy,
    model_log_probs,
    trajectory_log_probs,
)

MULTIPLIERS = np.concatenate([[0.0], np.geomspace(0.03, 300.0, 81)])
STEPS_APART = np.linspace(0.0, 10.0, 41)
SHARPNESS = (1.0, 2.0, 4.0)
"""Times the logits of ζ, for the forward step: how near to 0 or 1 it is."""

# The gradient.


@partial(jax.jit, static_argnums=1)
def relative_errors(cases: Case, weighting: StepWeighting) -> Float[Array, " P"]:
    """‖ĝ − g‖/‖g‖ on every problem, with all trajectories and their masses."""

    def error(case: Case) -> Array:
        found = likelihood_gradient(case, case.log_masses, weighting)
        return jnp.linalg.norm(found - case.truth) / jnp.linalg.norm(case.truth)

    return jax.vmap(error)(cases)


def probabilities(
    log_masses: Float[Array, "*batch N"],
) -> Float[np.ndarray, "*batch N"]:
    """Normalised as closely as a generator of counts wants them."""
    masses = np.exp(np.asarray(log_masses))
    return masses / masses.sum(axis=-1, keepdims=True)


def log_shares(counts: np.ndarray) -> Float[Array, "*batch N"]:
    """M draws as masses of all that could be drawn; −∞ for what was not."""
    return jnp.log(jnp.asarray(counts) / counts.sum(axis=-1, keepdims=True))


def sampled_errors(
    cases: Case, log_masses: Float[Array, "P D N"], weighting: StepWeighting
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error, bias and deviation over D draws, relative to ‖g‖, on every problem.

    ‖bias‖² is that of the mean less what noise adds to it.
    """
    estimates = np.asarray(_estimates(cases, log_masses, weighting=weighting))
    errors = estimates - np.asarray(cases.truth)[:, None]
    variance = errors.var(axis=1, ddof=1).sum(axis=(1, 2))
    square = np.square(errors.mean(axis=1)).sum(axis=(1, 2))
    bias = np.sqrt(np.maximum(square - variance / errors.shape[1], 0.0))
    error = np.sqrt(np.square(errors).sum(axis=(2, 3)).mean(axis=1))
    lengths = np.linalg.norm(cases.truth, axis=(1, 2))
    return error / lengths, bias / lengths, np.sqrt(variance) / lengths


@partial(jax.jit, static_argnames="weighting")
def _estimates(
    cases: Case, log_masses: Float[Array, "P D N"], *, weighting: StepWeighting
) -> Float[Array, "P D S A"]:
    estimate = partial(likelihood_gradient, weighting=weighting)
    return jax.vmap(jax.vmap(estimate, in_axes=(None, 0)))(cases, log_masses)


# The forward step.


@jax.jit
def forward_over(
    cases: Case, sharpness: ScalarLike
) -> tuple[Float[Array, "P L"], Float[Array, " P"]]:
    """`forward_distances` of every case."""
    return jax.vmap(forward_distances, in_axes=(0, None))(cases, sharpness)


def forward_distances(
    case: Case, sharpness: ScalarLike
) -> tuple[Float[Array, " L"], Float[Array, ""]]:
    """Total variation between the model and what each forward reward samples.

    The rewards are r − λ (1 − ζ), for every λ, and r + log ζ. All episodes start in the
    first state: which state they start in is no choice of the agent's.
    """
    mdp = from_one_state(case.mdp)
    log_zeta = jax.nn.log_sigmoid(sharpness * _logits(case.improved))
    every = every_sequence(mdp)
    model = jnp.exp(model_log_probs(every, log_zeta))

    def distance(cost: Array) -> Array:
        rewards = mdp.rewards - cost[:, :, None]
        changed = dataclasses.replace(mdp, rewards=rewards)
        # A prior of 1: the model counts actions and does not average over them.
        policy = max_entropy_policy(changed, jnp.zeros_like(log_zeta))
        return total_variation(model, jnp.exp(trajectory_log_probs(every, policy)))

    costs = jnp.asarray(MULTIPLIERS)[:, None, None] * -jnp.expm1(log_zeta)
    return jax.vmap(distance)(costs), distance(-log_zeta)


def _logits(log_zeta: Float[Array, "S A"]) -> Float[Array, "S A"]:
    return log_zeta - jnp.log(-jnp.expm1(log_zeta))


def from_one_state(mdp: TabularMDP) -> TabularMDP:
    """The same MDP, starting in the first state."""
    return dataclasses.replace(mdp, initial=jnp.zeros(STATES).at[0].set(1.0))


# The distances that stop a backward step.


def ratios_apart(case: Case) -> Float[Array, "X N"]:
    """log ω of every trajectory, at every step of a constraint moving away.

    It moves towards the trajectory that is least likely under the sampled one: away
    from every (s, a) which is not on it.
    """
    masses = np.exp(np.asarray(case.log_masses))
    least = int(np.argmin(np.where(masses > 0, masses, np.inf)))
    path = (case.every.states[least, :-1], case.every.actions[least])
    away = jnp.full((STATES, ACTIONS), -1.0).at[path].set(1.0)
    logits = _logits(case.sampled)
    tables = [jax.nn.log_sigmoid(logits + x * away) for x in STEPS_APART]
    return jnp.stack([log_ratios(case.every, case.sampled, x) for x in tables])


@partial(jax.jit, static_argnums=2)
def kl_table(
    ratios: Float[Array, "X N"], log_masses: Float[Array, "D N"], kl: Callable
) -> Float[Array, "X D"]:
    """The KL at every distance, from every set of masses."""
    return jax.vmap(jax.vmap(kl, (None, 0)), (0, None))(ratios, log_masses)
