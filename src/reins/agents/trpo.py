"""TRPO: the natural gradient step, shortened until it gains and stays in the ball."""

from functools import partial

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
from reins.trust_region import backtracking_line_search
from reins.types import Info, Key, Trajectory


def trpo(
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
    shrink: float = 0.5,
    tries: int = 10,
    critic_epochs: int = 10,
    minibatches: int = 32,
) -> Agent:
    """Trust-region policy optimisation: max E[ρ A] subject to KL ≤ ε, by one step.

    The step of `npg`, then the first of 1, shrink, shrink², ... of it whose surrogate
    is larger than the old policy's and whose KL is at most ε; none of them: no step.

    Source: S4 (61), (62), (20); Schulman et al. (2015).
    Identities: the logged `kl` is at most ε after every update, and the surrogate of
    the batch never falls.

    Args:
      policy, critic, critic_optimizer: as `npg`.
      discount, gae_lambda, cg_iterations, damping: as `npg`.
      kl_bound: ε > 0, nats, mean over the batch's states.
      kl_direction: the KL that is held: "old-new" for KL(old ‖ new), as TRPO does,
        "new-old" for KL(new ‖ old), as S4 (62) prints.
      shrink, tries: of the line search, in (0, 1) and at least 1.
      critic_epochs, minibatches: the critic's passes over a batch, and parts per pass.

    Raises: ConfigError for settings that cannot be used.
    """
    require(policy, ["surrogate"])
    check_trust_region(
        "trpo",
        kl_direction=kl_direction,
        positive={"kl_bound": kl_bound},
        not_negative={"damping": damping},
        between_0_and_1={"shrink": shrink},
        counts={
            "cg_iterations": cg_iterations,
            "tries": tries,
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
        # ascend
        natural, info = natural_policy_step(
            state.policy,
            region,
            kl_direction=kl_direction,
            kl_bound=kl_bound,
            cg_iterations=cg_iterations,
            damping=damping,
        )
        # constrain
        evaluate = partial(surrogate_and_kl, region=region, kl_direction=kl_direction)
        found = backtracking_line_search(
            evaluate,
            state.policy,
            natural.step,
            kl_bound=kl_bound,
            shrink=shrink,
            tries=tries,
        )
        info |= {"kl": found.kl, "accepted": found.fraction}
        info["surrogate_gain"] = found.gain
        info |= entropy_info(found.params, region.sample)
        # the critic, whose old values the advantages came from
        state, fit = fit_critic(
            critic_optimizer,
            state._replace(policy=found.params),
            region.sample,
            key,
            epochs=critic_epochs,
            minibatches=minibatches,
        )
        return state, info | fit

    init = init_trust_region(policy, critic, critic_optimizer)
    return Agent(init, act_by_policy, update)
