"""KL-constrained policy iteration: a surrogate, a priced KL, and the price's ascent."""

from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.ppo import CriticInit
from reins.agents.trust_region_step import (
    KLDirection,
    Region,
    check_trust_region,
    entropy_info,
    region_around,
    shuffled_passes,
    surrogate_and_kl,
)
from reins.critics import ValueCritic, value_loss
from reins.duals import Dual, DualState
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

Parts = tuple[Policy, tuple[ValueCritic, ...]]


class KLDualState(NamedTuple):
    """Policy, critic, optimiser and multiplier."""

    policy: Policy
    critics: tuple[ValueCritic, ...]
    optimizer: optax.OptState
    dual: DualState


def kl_dual(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    dual: Dual,
    *,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    kl_bound: float = 0.01,
    kl_direction: KLDirection = "new-old",
    value_weight: float = 0.5,
    dual_steps: int = 1,
    epochs: int = 10,
    minibatches: int = 32,
) -> Agent:
    """max_θ' E[ρ A] − λ (KL − ε), and λ moved by KL − ε; in turns, on each batch.

    The ascent of θ' is `epochs` passes of minibatches and no maximum; λ is constant in
    it and lives on from batch to batch. The KL that moves λ is of the whole batch. It
    is held on average over updates, not in each of them: `trpo` does that.

    Source: S4 (61) to (63) and Algorithm 2.
    Identities: where ascents reach the maximum, λ comes to rest where KL = ε (or at 0
    where the maximum without a price is within ε).

    Args:
      policy, critic: how to make them from a key.
      optimizer: updates policy and critic together.
      dual: the multiplier λ ≥ 0, in units of standardised advantage per nat. At the
        optimum it is about 1/sqrt(2 ε) (7 for ε = 0.01) for small ε; a violation is of
        the size of ε, so its learning rate is large (about λ/ε · a hundredth).
      discount, gae_lambda: γ and λ of the advantages.
      kl_bound: ε > 0, nats, mean over the batch's states.
      kl_direction: "new-old" for KL(new ‖ old), as S4 (62); "old-new" for the other.
      value_weight: weight of the critic's loss.
      dual_steps: turns for each batch: so often an ascent, and a step of λ.
      epochs, minibatches: passes over the batch in each ascent, and parts per pass.

    Raises: ConfigError for settings that cannot be used.
    """
    require(policy, ["surrogate"])
    check_trust_region(
        "kl_dual",
        kl_direction=kl_direction,
        positive={"kl_bound": kl_bound},
        not_negative={"value_weight": value_weight},
        counts={
            "dual_steps": dual_steps,
            "epochs": epochs,
            "minibatches": minibatches,
        },
    )
    evaluate = partial(surrogate_and_kl, kl_direction=kl_direction)

    def init(key: Key) -> KLDualState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), (critic(critic_key),)
        return KLDualState(parts[0], parts[1], optimizer.init(parts), dual.init())

    def loss(
        parts: Parts, region: Region, multiplier: Float[Array, ""]
    ) -> tuple[Float[Array, ""], Info]:
        trained, (critic,) = parts
        surrogate, kl = evaluate(trained, region)
        sample = region.sample
        fit = value_loss(critic(sample.observations), sample.targets[0], sample.mask)
        lagrangian = surrogate - multiplier * (kl - kl_bound)
        return value_weight * fit - lagrangian, {"value_loss": fit}

    def turn(region: Region, state: KLDualState, key: Key) -> tuple[KLDualState, Info]:
        def step(carry: Any, rows: Region) -> tuple[Any, Info]:
            parts, optimizer_state = carry
            gradients, info = jax.grad(loss, has_aux=True)(
                parts, rows, dual.value(state.dual)
            )
            info["gradient_norm"] = optax.tree.norm(gradients)
            return descend(optimizer, parts, gradients, optimizer_state), info

        # ascend
        start = (state.policy, state.critics), state.optimizer
        ((moved, critics), optimizer_state), info = shuffled_passes(
            step, start, region, key, epochs=epochs, minibatches=minibatches
        )
        # constrain
        kl = jax.lax.stop_gradient(evaluate(moved, region)[1])
        priced = dual.update(state.dual, kl - kl_bound)
        info |= {"kl": kl, "multiplier": dual.value(priced)}
        return KLDualState(moved, critics, optimizer_state, priced), info

    def update(
        state: KLDualState, batch: Trajectory, key: Key
    ) -> tuple[KLDualState, Info]:
        # credit, weigh
        region = region_around(
            state.policy,
            state.critics[0],
            batch,
            discount=discount,
            gae_lambda=gae_lambda,
        )
        # ascend and constrain, in turns
        before, _ = evaluate(state.policy, region)
        state, infos = jax.lax.scan(
            partial(turn, region), state, jax.random.split(key, dual_steps)
        )
        info = jax.tree.map(lambda x: x[-1], infos)
        info["surrogate_gain"] = evaluate(state.policy, region)[0] - before
        info |= entropy_info(state.policy, region.sample)
        return state, info

    return Agent(init, act_by_policy, update)
