"""SAC: off-policy, twin critics, and a policy update by whichever divergence."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array

from reins.agents.agent import Agent, act_by_policy, require
from reins.agents.priors import Prior, uniform_prior
from reins.agents.replaying import (
    check_counts,
    fit_twins,
    follow,
    updates_from_replay,
)
from reins.agents.soft_losses import ESTIMATOR_OF, PolicyLoss
from reins.agents.soft_updates import (
    at_states,
    check_floors,
    policy_step,
    temperature_violation,
    values_after,
)
from reins.agents.values import least
from reins.credit import soft_td_targets
from reins.data.replay import (
    ReplayBuffer,
    Transitions,
    init_replay,
    sample_replay,
)
from reins.duals import Dual, DualState
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key

CriticTarget = Literal["soft", "classic"]
PolicyCritic = Literal["least", "first"]


class SACState(NamedTuple):
    """Networks, their optimisers, the temperature, and everything remembered."""

    policy: Policy
    critics: tuple[Any, Any]
    targets: tuple[Any, Any]
    prior: Any
    temperature: DualState
    optimizers: tuple[optax.OptState, optax.OptState]
    replay: ReplayBuffer


def sac(
    policy: PolicyInit,
    critic: Callable[[Key], Any],
    optimizer: optax.GradientTransformation,
    temperature: Dual,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    policy_loss: PolicyLoss = "reverse-kl",
    action_samples: int = 1,
    state_samples: int | None = None,
    critic_target: CriticTarget = "soft",
    policy_critic: PolicyCritic = "least",
    prior: Prior | None = None,
    entropy_floor: float | None = None,
    kl_ceiling: float | None = None,
    discount: float = 0.99,
    polyak: float = 0.005,
    batch_size: int = 256,
    buffer_size: int = 1_000_000,
    learning_starts: int = 1000,
    updates_per_step: int = 1,
) -> Agent:
    """Soft actor-critic, whose policy update is a choice.

    After every batch, `updates_per_step` times for each of its steps:
        y = r + γ (min_j Q̄_j − α log(π/π₀))(s', a')    (classic: without log(π/π₀))
        Q_j ← Q_j − η ∇ ½ mean (Q_j(s, a) − y)²;   Q̄_j ← Q̄_j + polyak (Q_j − Q̄_j)
        π ← π − η ∇ of the chosen divergence at M states, with K actions at each
        α by its dual: raised by an entropy below its floor, or a KL above its ceiling

    Source: S1 Algorithm 1.

    Args:
      policy: how to make it from a key.
      critic: how to make one Q: `state_action_critic` for continuous actions,
        `action_value_critic` for a finite set.
      optimizer: of the policy, and again of the critics.
      temperature: α as a dual; `scheduled_dual` where nothing is to move it.
      policy_loss: which divergence, by which estimator (S1 (5), 3.0.2, 4.0.3).
      action_samples: K, actions at each state.
      state_samples: M ≤ `batch_size`; None for all states of a minibatch.
      critic_target: whether Q counts the entropy of later steps.
      policy_critic: Q of the policy's update: the least of two, or the first alone.
      prior: π₀; None for the uniform one.
      entropy_floor: in nats; a violation is what the entropy lacks.
      kl_ceiling: in nats, instead of a floor; a violation is KL(π ‖ π₀) above it.
      discount: γ. polyak: share of the new in the targets, each update.
      batch_size: steps of a minibatch. buffer_size: steps that are remembered.
      learning_starts: so many steps are gathered by the first policy before any update.

    Raises: CapabilityError for a policy that cannot give what the loss needs;
      ConfigError for settings that cannot be used.
    """
    require(policy, [ESTIMATOR_OF[policy_loss]])
    states = batch_size if state_samples is None else state_samples
    counts = {
        "batch_size": batch_size,
        "state_samples": states,
        "action_samples": action_samples,
        "updates_per_step": updates_per_step,
    }
    check_counts("sac", counts)
    check_floors("sac", entropy_floor, kl_ceiling)
    default = uniform_prior(action_space) if prior is None else prior
    discrete = isinstance(action_space, spaces.Discrete)

    def init(key: Key) -> SACState:
        policy_key, prior_key, *critic_keys = jax.random.split(key, 4)
        made: Any = policy(policy_key)
        critics: Any = tuple(critic(k) for k in critic_keys)
        return SACState(
            policy=made,
            critics=critics,
            targets=jax.tree.map(jnp.copy, critics),
            prior=default.init(prior_key),
            temperature=temperature.init(),
            optimizers=(optimizer.init(made), optimizer.init(critics)),
            replay=init_replay(buffer_size, observation_space, action_space),
        )

    def fit_critics(
        state: SACState, steps: Transitions, alpha: Array, key: Key
    ) -> tuple[SACState, Info]:
        asked = [least(state.targets, discrete=discrete)]
        (q,), ratios = values_after(
            asked, state.policy, default, state.prior, steps.next_observations, key
        )
        targets = soft_td_targets(
            steps.rewards,
            q,
            ratios,
            steps.terminated,
            discount=discount,
            temperature=alpha if critic_target == "soft" else 0.0,
        )
        policy_moments, moments = state.optimizers
        critics, moments, info = fit_twins(
            optimizer, state.critics, moments, steps, targets, discrete=discrete
        )
        moved = state._replace(
            critics=critics,
            targets=follow(state.targets, critics, polyak),
            optimizers=(policy_moments, moments),
        )
        return moved, info

    def improve(
        state: SACState, observations: Array, alpha: Array, key: Key
    ) -> tuple[SACState, Info]:
        used = state.critics if policy_critic == "least" else state.critics[:1]
        values = least(used, discrete=discrete)
        made, moments, info = policy_step(
            policy_loss,
            optimizer,
            state.policy,
            state.optimizers[0],
            at_states(values, observations, default, state.prior),
            key,
            action_samples=action_samples,
            temperature=alpha,
        )
        optimizers = (moments, state.optimizers[1])
        return state._replace(policy=made, optimizers=optimizers), info

    def once(state: SACState, key: Key) -> tuple[SACState, Info]:
        sample_key, next_key, policy_key = jax.random.split(key, 3)
        # gather
        steps = sample_replay(state.replay, sample_key, batch_size)
        alpha = temperature.value(state.temperature)
        # credit
        state, fit = fit_critics(state, steps, alpha, next_key)
        remembered, known = default.update(state.prior, steps)
        # weigh, ascend
        state, info = improve(state, steps.observations[:states], alpha, policy_key)
        # constrain
        violation = temperature_violation(info, entropy_floor, kl_ceiling)
        moved = temperature.update(state.temperature, violation)
        info |= fit | known | {"temperature": alpha}
        return state._replace(temperature=moved, prior=remembered), info

    update = updates_from_replay(
        once,
        updates_per_step=updates_per_step,
        learning_starts=learning_starts,
        buffer_size=buffer_size,
    )
    return Agent(init, act_by_policy, update)
