"""V-MPO: the better half of a batch, weighted, and a policy that imitates it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.ppo import CriticInit
from reins.agents.soft_losses import COLDEST
from reins.agents.trust_region_step import (
    Region,
    check_trust_region,
    entropy_info,
    masked_mean,
    region_around,
    shuffled_passes,
)
from reins.critics import ValueCritic, value_loss
from reins.duals import Dual, DualState
from reins.improvement import (
    improved_log_weights,
    improvement_kl,
    top_half_log_shares,
    weighted_likelihood_loss,
)
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory


class VMPOState(NamedTuple):
    """Policy, critic, optimiser and both multipliers.

    Attributes:
      temperature: η of the weights. multiplier: of the KL(old ‖ new).
    """

    policy: Policy
    critics: tuple[ValueCritic, ...]
    optimizer: optax.OptState
    temperature: DualState
    multiplier: DualState


class Rows(NamedTuple):
    """A batch as steps: where the old policy stood, and ψ of each step."""

    region: Region
    weights: Float[Array, " n"]


def v_mpo(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    temperature: Dual,
    multiplier: Dual,
    *,
    improvement_kl_bound: float = 0.1,
    kl_bound: float = 0.01,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    value_weight: float = 0.5,
    temperature_steps: int = 10,
    epochs: int = 10,
    minibatches: int = 32,
) -> Agent:
    """On-policy maximum a posteriori policy optimisation.

    On each batch:
        the half of the steps with the greater A_t;  η moves `temperature_steps` times
        ψ_t = softmax of A_t/η over that half, and 0 elsewhere
        π descends −Σ_t ψ_t log π(a_t|s_t) + λ KL(π_old ‖ π), and V its squared error
        λ is raised by KL(π_old ‖ π) above its bound, at every minibatch

    Source: Song et al. 2019.
    Deviates: advantages are by GAE and standardised; π_old is who gathered the batch,
    and there are several passes over it; one bound of the KL for mean and covariance.

    Args:
      policy, critic: how to make them from a key.
      optimizer: updates policy and critic together.
      temperature: η as a dual, in units of standardised advantage per nat.
      multiplier: λ as a dual, without a unit.
      improvement_kl_bound: of KL(ψ ‖ uniform over the half), nats.
      kl_bound: of KL(π_old ‖ π), nats, mean over all states.
      discount, gae_lambda: γ and λ of the advantages.
      value_weight: weight of the critic's loss.
      temperature_steps: steps of η on each batch, before the passes.
      epochs, minibatches: passes over the batch, and parts per pass.

    Raises: CapabilityError for a policy without log π; ConfigError for settings that
      cannot be used.
    """
    require(policy, ["forward_kl_marginal"])
    check_trust_region(
        "v_mpo",
        kl_direction="old-new",
        positive={"kl_bound": kl_bound, "improvement_kl_bound": improvement_kl_bound},
        not_negative={"value_weight": value_weight},
        counts={
            "temperature_steps": temperature_steps,
            "epochs": epochs,
            "minibatches": minibatches,
        },
    )

    def init(key: Key) -> VMPOState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), (critic(critic_key),)
        duals = temperature.init(), multiplier.init()
        return VMPOState(parts[0], parts[1], optimizer.init(parts), *duals)

    def weigh(state: VMPOState, region: Region) -> tuple[VMPOState, Array, Info]:
        """ψ of each step, at a temperature that has followed its dual on this batch."""
        advantages, mask = region.sample.advantages, region.sample.mask
        log_shares = top_half_log_shares(advantages, mask)[None]

        def log_weights(dual: DualState) -> Array:
            eta = jnp.maximum(temperature.value(dual), COLDEST)
            return improved_log_weights(advantages[None], log_shares, temperature=eta)

        def step(dual: DualState, _: None) -> tuple[DualState, Array]:
            kl = improvement_kl(log_weights(dual), log_shares)
            return temperature.update(dual, kl - improvement_kl_bound), kl

        dual, kls = jax.lax.scan(step, state.temperature, length=temperature_steps)
        info = {"improvement_kl": kls[-1], "temperature": temperature.value(dual)}
        weights = jnp.exp(log_weights(dual)[0])
        return state._replace(temperature=dual), weights, info

    def loss(parts: Any, rows: Rows, price: Array) -> tuple[Array, Info]:
        (made, (critic,)), sample = parts, rows.region.sample
        new = made(sample.observations)
        log_probs = new.log_prob(sample.actions)
        fit = weighted_likelihood_loss(log_probs[:, None], rows.weights[:, None])
        kl = masked_mean(rows.region.old.kl(new), sample.mask)
        error = value_loss(critic(sample.observations), sample.targets[0], sample.mask)
        total = fit + price * (kl - kl_bound) + value_weight * error
        return total, {"policy_loss": fit, "kl": kl, "value_loss": error}

    def step(carry: Any, rows: Rows) -> tuple[Any, Info]:
        parts, optimizer_state, dual = carry
        # ascend
        gradients, info = jax.grad(loss, has_aux=True)(
            parts, rows, multiplier.value(dual)
        )
        info["gradient_norm"] = optax.tree.norm(gradients)
        parts, optimizer_state = descend(optimizer, parts, gradients, optimizer_state)
        # constrain
        dual = multiplier.update(dual, info["kl"] - kl_bound)
        info["multiplier"] = multiplier.value(dual)
        return (parts, optimizer_state, dual), info

    def update(state: VMPOState, batch: Trajectory, key: Key) -> tuple[VMPOState, Info]:
        # credit
        region = region_around(
            state.policy,
            state.critics[0],
            batch,
            discount=discount,
            gae_lambda=gae_lambda,
        )
        # weigh
        state, weights, weighed = weigh(state, region)
        # ψ sums to 1 over the batch: times n, a minibatch's mean estimates the sum.
        rows = Rows(region, weights * len(weights))
        # ascend and constrain, minibatch by minibatch
        carry = (state.policy, state.critics), state.optimizer, state.multiplier
        ((moved, critics), optimizer_state, dual), info = shuffled_passes(
            step, carry, rows, key, epochs=epochs, minibatches=minibatches
        )
        info |= weighed | entropy_info(moved, region.sample)
        return VMPOState(moved, critics, optimizer_state, state.temperature, dual), info

    return Agent(init, act_by_policy, update)
