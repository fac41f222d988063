"""NPG: one natural gradient step of the policy for each batch, and a value critic."""

import jax
import jax.numpy as jnp
import optax

from reins.agents.agent import Agent, act_by_policy, require
from reins.agents.ppo import CriticInit
from reins.agents.trust_region_step import (
    KLDirection,
    TrustRegionState,
    check_trust_region,
    entropy_info,
    fit_critic,
    init_trust_region,
    natural_policy_step,
    region_around,
    surrogate_and_kl,
)
from reins.policies import PolicyInit
from reins.types import Info, Key, Trajectory


def npg(
    policy: PolicyInit,
    critic: CriticInit,
    critic_optimizer: optax.GradientTransformation,
    *,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    kl_bound: float = 0.01,
    kl_direction: KLDirection = "old-new",
    cg_iterations: int = 10,
    damping: float = 0.1,
    critic_epochs: int = 10,
    minibatches: int = 32,
) -> Agent:
    """Natural policy gradient: θ + sqrt(2 ε / gᵀ F⁻¹ g) F⁻¹ g.

    g is the gradient of the surrogate at the old policy, which is the policy gradient;
    F⁻¹ g is found by conjugate gradients. The KL is ε to second order only (less with
    damping), and nothing checks the step afterwards: `trpo` does.

    Source: S4 (20), (61), (62); Kakade (2001).

    Args:
      policy, critic: how to make them from a key.
      critic_optimizer: updates the critic; the policy has no optimiser.
      discount, gae_lambda: γ and λ of the advantages.
      kl_bound: ε > 0, nats, mean over the batch's states.
      kl_direction: "old-new" for KL(old ‖ new), "new-old" for KL(new ‖ old); both have
        the same curvature, so here it only chooses the KL that is logged.
      cg_iterations: of conjugate gradients, one Fisher-vector product each.
      damping: ≥ 0, added to F's diagonal.
      critic_epochs, minibatches: the critic's passes over a batch, and parts per pass.

    Raises: ConfigError for settings that cannot be used.
    """
    require(policy, ["surrogate"])
    check_trust_region(
        "npg",
        kl_direction=kl_direction,
        positive={"kl_bound": kl_bound},
        not_negative={"damping": damping},
        counts={
            "cg_iterations": cg_iterations,
            "critic_epochs": critic_epochs,
            "minibatches": minibatches,
        },
    )

    def update(
        state: TrustRegionState, batch: Trajectory, key: Key
    ) -> tuple[TrustRegionState, Info]:
        # credit, weigh
        region = region_around(
            state.policy,
            state.critics[0],
            batch,
            discount=discount,
            gae_lambda=gae_lambda,
        )
        # ascend, constrain: the size of the step is that of the KL ball
        natural, info = natural_policy_step(
            state.policy,
            region,
            kl_direction=kl_direction,
            kl_bound=kl_bound,
            cg_iterations=cg_iterations,
            damping=damping,
        )
        moved = jax.tree.map(jnp.add, state.policy, natural.step)
        before, _ = surrogate_and_kl(state.policy, region, kl_direction=kl_direction)
        after, kl = surrogate_and_kl(moved, region, kl_direction=kl_direction)
        info |= {"kl": kl, "surrogate_gain": after - before}
        info |= entropy_info(moved, region.sample)
        # the critic, whose old values the advantages came from
        state, fit = fit_critic(
            critic_optimizer,
            state._replace(policy=moved),
            region.sample,
            key,
            epochs=critic_epochs,
            minibatches=minibatches,
        )
        return state, info | fit

    init = init_trust_region(policy, critic, critic_optimizer)
    return Agent(init, act_by_policy, update)
