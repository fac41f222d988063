"""How far a policy is from inference: both KLs over trajectories, not enumerated.

q(τ) is the policy in the MDP's own dynamics, p(τ|O) the posterior of `inference`.
Policies are tables of logits, as in `values`; everything is differentiable.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from reins.divergences import categorical_kl
from reins.tabular.inference import Posterior, log_evidence, posterior
from reins.tabular.mdp import TabularMDP
from reins.tabular.soft_values import LogPrior, soft_return
from reins.tabular.values import Logits, occupancies, per_step


@jax.jit
def reverse_kl(
    mdp: TabularMDP,
    logits: Logits,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, ""]:
    """KL(q ‖ p(.|O)) over trajectories: q is the policy in the MDP's own dynamics.

    log p(O) − E_q[Σ_t r_t − α log(π/π0)(a_t|s_t)]/α + log z0 · E_q[length]

    Source: S1 3.0.1 with the signs of the log-ratio and of log p(O) corrected
    (correction 7).
    Identities: for γ = 1 least at the max-entropy policy of the rewards r − α log z0,
    and 0 there when the dynamics and s_0 are deterministic.
    Args: as `backward_messages`.   Returns: nats.
    """
    evidence = log_evidence(mdp, log_prior, temperature=temperature, log_z0=log_z0)
    # The model knows no discount, and its soft return must not know one either.
    whole = dataclasses.replace(mdp, discount=1.0)
    gained = soft_return(whole, logits, log_prior, temperature=temperature)
    length = jnp.sum(occupancies(mdp, logits))
    return evidence - gained / temperature + log_z0 * length


@jax.jit
def forward_kl(
    mdp: TabularMDP,
    logits: Logits,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, ""]:
    """KL(p(.|O) ‖ q) over trajectories: q is the policy in the MDP's own dynamics.

    Σ_t Σ_s p(s_t|O) KL(p(.|s_t, O) ‖ π(.|s_t)), and `dynamics_kl`

    Source: S1 4.0.1.   Identities: least at `posterior_policy`.
    Args: as `backward_messages`.   Returns: nats.
    """
    given = posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0)
    log_policies = per_step(mdp, jax.nn.log_softmax(logits))
    per_state = categorical_kl(given.log_policy, log_policies)
    return jnp.sum(given.states * per_state) + _dynamics_kl(mdp, given)


@jax.jit
def dynamics_kl(
    mdp: TabularMDP,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Float[Array, ""]:
    """How far the posterior's dynamics are from the MDP's: the price of its optimism.

    KL(p(s_0|O) ‖ p(s_0)) + Σ_t E[KL(p(s_{t+1}|s_t, a_t, O) ‖ P(.|s_t, a_t))], E given O

    Source: S1 4.0.1, the part of the forward KL that no policy can remove
    (correction 11).
    Identities: 0 when the dynamics and s_0 are deterministic.
    Args: as `backward_messages`.   Returns: nats.
    """
    given = posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0)
    return _dynamics_kl(mdp, given)


@jax.jit
def forward_kl_gradient(
    mdp: TabularMDP,
    logits: Logits,
    log_prior: LogPrior,
    *,
    temperature: ScalarLike = 1.0,
    log_z0: ScalarLike = 0.0,
) -> Logits:
    """∇KL(p(.|O) ‖ q) = −Σ_t Σ_s p(s_t|O) Σ_a p(a|s_t, O) ∇log π(a|s_t), in logits.

    Source: S1 4.0.2, 4.0.3, with the minus sign that they lack (correction 8).
    Identities: the derivative of `forward_kl`; 0 at `posterior_policy`.
    Args: as `backward_messages`.   Returns: nats; the KL grows along it.
    """
    given = posterior(mdp, log_prior, temperature=temperature, log_z0=log_z0)
    excess = per_step(mdp, jax.nn.softmax(logits)) - jnp.exp(given.log_policy)
    gradients = given.states[:, :, None] * excess
    return gradients if logits.ndim == 3 else jnp.sum(gradients, axis=0)


def _dynamics_kl(mdp: TabularMDP, given: Posterior) -> Float[Array, ""]:
    log_policy, log_luck, log_start, states = given
    taken = states[:, :, None] * jnp.exp(log_policy)
    lucky = mdp.transitions * jnp.exp(log_luck) * log_luck
    start = mdp.initial * jnp.exp(log_start) * log_start
    return jnp.sum(taken[..., None] * lucky) + jnp.sum(start)
