"""PPO-Lagrangian: PPO under a budget of cost, held by one dual variable."""

from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array

from reins.agents.agent import (
    Agent,
    act_by_policy,
    mean_episode_total,
    require,
    standardise,
)
from reins.agents.ppo import (
    CriticInit,
    advantages_and_targets,
    clipped_passes,
    flatten,
)
from reins.critics import ValueCritic
from reins.duals import Dual, DualState
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory


class PPOLagrangianState(NamedTuple):
    """Policy, the critics of reward and cost, optimiser and multiplier."""

    policy: Policy
    critics: tuple[ValueCritic, ...]
    optimizer: optax.OptState
    dual: DualState


def ppo_lagrangian(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    dual: Dual,
    *,
    horizon: int,
    budget: float = 0.0,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    cost_gae_lambda: float = 0.95,
    clip_epsilon: float = 0.2,
    entropy_weight: float = 0.0,
    value_weight: float = 0.5,
    epochs: int = 10,
    minibatches: int = 32,
    kl_stop: float | None = None,
) -> Agent:
    """max_π J(π) + w H(π) − λ (E[episode cost] − budget), λ moved by the violation.

    The policy ascends the clipped surrogate of (A_reward − λ A_cost) / (1 + λ),
    standardised as one: λ is exactly the price of a unit of cost in units of reward.

    Source: S2 (9).

    Args:
      policy, critic, optimizer: as `ppo`; `critic` makes both critics.
      dual: the multiplier.
      horizon: most steps in an episode (to count episodes by).
      budget: allowed cost per episode, in units of cost, undiscounted.
      cost_gae_lambda: λ of the cost advantages.
      others: as `ppo`.
    """
    require(policy, ["clipped_surrogate", "entropy_bonus"])
    passes = clipped_passes(
        optimizer,
        clip_epsilon=clip_epsilon,
        entropy_weight=entropy_weight,
        value_weight=value_weight,
        epochs=epochs,
        minibatches=minibatches,
        kl_stop=kl_stop,
    )

    def init(key: Key) -> PPOLagrangianState:
        policy_key, reward_key, cost_key = jax.random.split(key, 3)
        parts: Any = policy(policy_key), (critic(reward_key), critic(cost_key))
        optimizer_state = optimizer.init(parts)
        return PPOLagrangianState(parts[0], parts[1], optimizer_state, dual.init())

    def update(
        state: PPOLagrangianState, batch: Trajectory, key: Key
    ) -> tuple[PPOLagrangianState, Info]:
        # credit
        def credit(critic: ValueCritic, amounts: Array, gae_lambda: float):
            return advantages_and_targets(
                critic, batch, amounts, discount=discount, gae_lambda=gae_lambda
            )

        reward_critic, cost_critic = state.critics
        advantages, targets = credit(reward_critic, batch.rewards, gae_lambda)
        cost_advantages, cost_targets = credit(
            cost_critic, batch.costs, cost_gae_lambda
        )
        # weigh
        multiplier = dual.value(state.dual)
        priced = (advantages - multiplier * cost_advantages) / (1.0 + multiplier)
        sample = flatten(
            state.policy,
            batch,
            standardise(priced, batch.mask),
            (targets, cost_targets),
        )
        # ascend
        state, info = passes(state, sample, key)
        # constrain
        episode_cost = mean_episode_total(batch.costs, batch, horizon=horizon)
        moved = dual.update(state.dual, jax.lax.stop_gradient(episode_cost - budget))
        info |= {"multiplier": dual.value(moved), "episode_cost": episode_cost}
        return state._replace(dual=moved), info

    return Agent(init, act_by_policy, update)
