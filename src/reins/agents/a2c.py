"""A2C: n-step advantages, entropy and value loss in one synchronous step per batch."""

from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.policy_gradient import policy_loss
from reins.agents.ppo import CriticInit, advantages_and_targets
from reins.critics import ValueCritic, value_loss
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory


class A2CState(NamedTuple):
    """Policy, critic and their one optimiser."""

    policy: Policy
    critic: ValueCritic
    optimizer: optax.OptState


def a2c(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    *,
    discount: float = 0.99,
    gae_lambda: float = 1.0,
    entropy_weight: float = 0.01,
    value_weight: float = 0.5,
) -> Agent:
    """Synchronous advantage actor-critic.

    One step per batch on −mean_t [log π(a_t|s_t) A_t + w H(π(.|s_t))] + v ½ mean_t
    (V(s_t) − R_t)², with R_t = r_t + γ R_{t+1}, from V(s) where the row or a time limit
    cuts it and from 0 where the episode terminated, and A_t = R_t − V(s_t). The n of
    its n-step returns is the number of steps per environment in a batch.

    Source: S3, A2C; S3, A3C.

    Args:
      policy, critic: how to make them from a key.
      optimizer: updates policy and critic together.
      discount: γ in [0, 1].
      gae_lambda: λ in [0, 1]; 1 is the n-step return, 0 the TD error.
      entropy_weight: w, units of reward per nat of entropy.
      value_weight: v, weight of the critic's loss.
    """
    require(policy, ["score_advantage", "entropy_bonus"])

    def init(key: Key) -> A2CState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), critic(critic_key)
        return A2CState(parts[0], parts[1], optimizer.init(parts))

    def loss(
        parts: tuple[Policy, ValueCritic],
        batch: Trajectory,
        advantages: Float[Array, "N T"],
        targets: Float[Array, "N T"],
    ) -> tuple[Float[Array, ""], Info]:
        policy, critic = parts
        score, info = policy_loss(
            policy, batch, advantages, entropy_weight=entropy_weight
        )
        error = value_loss(critic(batch.observations), targets, batch.mask)
        return score + value_weight * error, info | {"value_loss": error}

    def update(state: A2CState, batch: Trajectory, key: Key) -> tuple[A2CState, Info]:
        del key
        # credit
        advantages, targets = advantages_and_targets(
            state.critic,
            batch,
            batch.rewards,
            discount=discount,
            gae_lambda=gae_lambda,
        )
        # ascend
        parts = state.policy, state.critic
        gradients, info = jax.grad(loss, has_aux=True)(
            parts, batch, advantages, targets
        )
        info["gradient_norm"] = optax.tree.norm(gradients)
        (actor, judge), optimizer_state = descend(
            optimizer, parts, gradients, state.optimizer
        )
        return A2CState(actor, judge, optimizer_state), info

    return Agent(init, act_by_policy, update)
