"""What is true of a step from an old policy to a new one: its KL, its curvature, and
the bound on how far the surrogate is from the improvement.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.divergences import categorical_kl, total_variation
from reins.tabular.mdp import TabularMDP
from reins.tabular.values import (
    Logits,
    advantages,
    occupancies,
    performance_difference,
    surrogate_value,
)

PenaltyForm = Literal["discounted", "constant", "reward"]
"""Which C_t the penalty of `improvement_bound` has."""


class ImprovementBound(NamedTuple):
    """S4 (57): improvement ≥ bound = surrogate − penalty. In units of reward."""

    improvement: Float[Array, ""]
    surrogate: Float[Array, ""]
    penalty: Float[Array, ""]
    bound: Float[Array, ""]


@jax.jit
def policy_fisher(mdp: TabularMDP, logits: Logits) -> Float[Array, "S*A S*A"]:
    """F = Σ_t Σ_s d_t(s) E_a[g gᵀ], g = ∇_θ log π(a|s): of a whole trajectory.

    For π = softmax(θ), a block diag(π) − π πᵀ for each state, times the number of
    visits. Dynamics do not depend on θ, so it is the Fisher matrix of p(τ).

    Source: S4 (20).   Identities: equals E_τ[∇ log p(τ) ∇ log p(τ)ᵀ]; the curvature of
    `trajectory_kl` at the old policy.
    Returns: rows and columns in the order of `logits.ravel()`.
    """
    states, actions = logits.shape
    policy = jax.nn.softmax(logits)
    spread = jax.vmap(jnp.diag)(policy) - policy[:, :, None] * policy[:, None, :]
    visits = jnp.sum(occupancies(mdp, logits), axis=0)
    blocks = jnp.einsum("s,sab,sz->sazb", visits, spread, jnp.eye(states))
    return blocks.reshape(states * actions, states * actions)


@jax.jit
def trajectory_kl(
    mdp: TabularMDP, old_logits: Logits, new_logits: Logits
) -> Float[Array, ""]:
    """KL(p_old ‖ p_new) over trajectories, without enumerating them.

    Σ_t Σ_s d_t^old(s) KL(π_old(.|s) ‖ π_new(.|s))

    Source: S4 (1).   Identities: ≥ 0, and 0 at old = new; does not depend on γ.
    Returns: nats per episode.
    """
    log_old, log_new = jax.nn.log_softmax(old_logits), jax.nn.log_softmax(new_logits)
    per_state = categorical_kl(log_old, log_new)
    return jnp.sum(occupancies(mdp, old_logits) * per_state)


@jax.jit
def max_total_variation(new_logits: Logits, old_logits: Logits) -> Float[Array, ""]:
    """ε = max_s ½ Σ_a |π_new(a|s) − π_old(a|s)|, in [0, 1].

    Source: S4 (59), with the half (correction 3).
    Identities: at most the root of half the largest KL, max_s KL(π_old ‖ π_new); a
    bound on that KL is therefore no bound on ε of the same size (correction 10).
    """
    new, old = jax.nn.softmax(new_logits), jax.nn.softmax(old_logits)
    return jnp.max(total_variation(new, old))


@partial(jax.jit, static_argnames="form")
def improvement_bound(
    mdp: TabularMDP,
    new_logits: Logits,
    old_logits: Logits,
    *,
    form: PenaltyForm = "discounted",
) -> ImprovementBound:
    """J(new) − J(old) ≥ surrogate − Σ_t 2 ε t C_t, with both sides and all terms.

    C_t = γ^t max_s |Σ_a π_new(a|s) A_t^old(s, a)|

    with ε as `max_total_variation`. 2 ε t bounds the L1 distance of the states that the
    two policies are in at step t.

    Source: S4 (56), (57), with γ^t inside the penalty (correction 10).
    Identities: holds for every pair of policies; equality at new = old.

    Args:
      form: "discounted" as above; "constant" has one C for all steps, the largest over
        states and steps of |Σ_a π_new A^old| without γ^t, as (56) is printed; "reward"
        has C = 2 T max |r|, what O(H r_max) in (57) stands for. The last two hold as
        well, but grow with T² and T³ whatever γ is.
    Returns: all in units of reward.
    """
    surrogate = surrogate_value(mdp, new_logits, old_logits)
    # What would be done in a terminal state is never done.
    ending = mdp.terminal[:, None]
    heeded = jnp.where(ending, old_logits, new_logits)
    distance = max_total_variation(heeded, old_logits)
    gain = jnp.sum(jax.nn.softmax(heeded) * advantages(mdp, old_logits), axis=-1)
    steps = jnp.arange(mdp.horizon)
    penalty = jnp.sum(2.0 * distance * steps * _constants(mdp, gain, form))
    improvement = performance_difference(mdp, new_logits, old_logits)
    return ImprovementBound(improvement, surrogate, penalty, surrogate - penalty)


def _constants(
    mdp: TabularMDP, gain: Float[Array, "T S"], form: PenaltyForm
) -> Float[Array, " T"]:
    """C_t of each step, in units of reward; `gain` is 0 in terminal states."""
    largest = jnp.max(jnp.abs(gain), axis=1)
    rewards = jnp.where(mdp.terminal[:, None, None], 0.0, jnp.abs(mdp.rewards))
    forms = {
        "discounted": mdp.discount ** jnp.arange(mdp.horizon) * largest,
        "constant": jnp.max(largest),
        "reward": 2.0 * mdp.horizon * jnp.max(rewards),
    }
    return jnp.broadcast_to(forms[form], largest.shape)
