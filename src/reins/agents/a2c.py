"""A2C: n-step advantages, entropy and value loss in one synchronous step per batch."""

from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.policy_gradient import policy_loss
from reins.agents.ppo import CriticInit, advantages_and_targets
from reins.agents.shared_trunk import View, apart, values_of, view_of
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
    shared_trunk: bool = False,
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
      shared_trunk: the critic sees the policy's last hidden layer, whose layers then
        follow both losses: critic = `value_critic(trunk_width(policy), hidden=())`.

    Raises: CapabilityError for a policy or a critic that cannot do this.
    """
    require(policy, ["score_advantage", "entropy_bonus"])
    view = view_of(policy, critic, shared_trunk=shared_trunk)

    def init(key: Key) -> A2CState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), critic(critic_key)
        return A2CState(parts[0], parts[1], optimizer.init(parts))

    def update(state: A2CState, batch: Trajectory, key: Key) -> tuple[A2CState, Info]:
        del key
        # credit
        parts = state.policy, state.critic
        gradients, info = joint_gradient(
            parts,
            batch,
            discount=discount,
            gae_lambda=gae_lambda,
            entropy_weight=entropy_weight,
            value_weight=value_weight,
            view=view,
        )
        # ascend
        (actor, judge), optimizer_state = descend(
            optimizer, parts, gradients, state.optimizer
        )
        return A2CState(actor, judge, optimizer_state), info

    return Agent(init, act_by_policy, update)


def joint_gradient(
    parts: tuple[Policy, ValueCritic],
    batch: Trajectory,
    *,
    discount: float,
    gae_lambda: float,
    entropy_weight: float | Float[Array, ""],
    value_weight: float,
    view: View = apart,
) -> tuple[tuple[Policy, ValueCritic], Info]:
    """The gradient of the loss of `a2c` by policy and critic, and what to report.

    Source: S3, A2C; S3, A3C.
    """
    # credit
    advantages, targets = advantages_and_targets(
        values_of(view, *parts),
        batch,
        batch.rewards,
        discount=discount,
        gae_lambda=gae_lambda,
    )

    def loss(parts: tuple[Policy, ValueCritic]) -> tuple[Float[Array, ""], Info]:
        policy, critic = parts
        policy, observations = view(policy, batch.observations)
        seen = batch._replace(observations=observations)
        score, info = policy_loss(
            policy, seen, advantages, entropy_weight=entropy_weight
        )
        error = value_loss(critic(observations), targets, batch.mask)
        return score + value_weight * error, info | {"value_loss": error}

    gradients, info = jax.grad(loss, has_aux=True)(parts)
    return gradients, info | {"gradient_norm": optax.tree.norm(gradients)}
