"""The exact policy gradient of a finite MDP, in three ways that must agree."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.credit import total_returns
from reins.tabular.mdp import AllTrajectories, TabularMDP
from reins.tabular.values import Logits, advantages, expected_return, occupancies


@jax.jit
def policy_gradient(mdp: TabularMDP, logits: Logits) -> Logits:
    """∇J in the logits of a policy, by differentiating the recursion.

    Identities: each state's entries sum to 0; for a stationary policy it is the sum
    over steps of the gradient in the table of each.
    Returns: units of reward per nat.
    """
    return jax.grad(expected_return, argnums=1)(mdp, logits)


@jax.jit
def advantage_gradient(
    mdp: TabularMDP, logits: Float[Array, "S A"]
) -> Float[Array, "S A"]:
    """∂J/∂θ(s, a) = Σ_t γ^t d_t(s) π(a|s) A_t(s, a): the policy gradient theorem.

    Source: S4 (22), for π = softmax(θ).   Identities: equals `policy_gradient`.
    """
    discounts = mdp.discount ** jnp.arange(mdp.horizon)
    weighted = advantages(mdp, logits) * occupancies(mdp, logits)[:, :, None]
    return jax.nn.softmax(logits) * jnp.einsum("t,tsa->sa", discounts, weighted)


@jax.jit
def step_log_probs(
    trajectories: AllTrajectories, logits: Logits
) -> Float[Array, "N T"]:
    """log π(a_t|s_t) of every step in nats, 0 where the mask is False."""
    times = jnp.arange(trajectories.actions.shape[1])
    log_policy = jnp.broadcast_to(
        jax.nn.log_softmax(logits), (len(times), *logits.shape[-2:])
    )
    steps = log_policy[times, trajectories.states[:, :-1], trajectories.actions]
    return jnp.where(trajectories.mask, steps, 0.0)


@jax.jit
def trajectory_log_probs(
    trajectories: AllTrajectories, logits: Logits
) -> Float[Array, " N"]:
    """log p(τ) = log p(s_0) + Σ_t log P(s_{t+1}|s_t, a_t) + log π(a_t|s_t), in nats.

    Identities: the probabilities of all trajectories sum to 1.
    """
    steps = step_log_probs(trajectories, logits)
    return trajectories.log_dynamics + jnp.sum(steps, axis=1)


@partial(jax.jit, static_argnames="discount")
def enumerated_return(
    trajectories: AllTrajectories, logits: Logits, *, discount: float = 1.0
) -> Float[Array, ""]:
    """J = Σ_τ p(τ) R(τ), R(τ) = Σ_t γ^t r_t, over all trajectories.

    Identities: equals `expected_return`; its gradient equals `policy_gradient`.
    """
    masses = jnp.exp(trajectory_log_probs(trajectories, logits))
    rewards, mask = trajectories.rewards, trajectories.mask
    return jnp.sum(masses * total_returns(rewards, mask, discount=discount))
