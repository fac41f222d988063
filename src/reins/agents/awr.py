"""AWR: the likelihood of what was done, weighted by how much better it was."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array

from reins.agents.agent import Agent, act_by_policy, descend, require, standardise
from reins.agents.replaying import (
    check_counts,
    follow,
    gradient_of,
    updates_from_replay,
)
from reins.agents.soft_losses import COLDEST
from reins.credit import soft_td_targets
from reins.critics import ValueCritic, value_loss
from reins.data.replay import ReplayBuffer, Transitions, init_replay, sample_replay
from reins.duals import Dual, DualState
from reins.errors import ConfigError
from reins.improvement import exponential_weights, weighted_likelihood_loss
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key

TINY = 1e-30
"""Keeps 0/0 away where no remembered action is worth anything."""


class AWRState(NamedTuple):
    """Networks, their optimisers, the temperature, and everything remembered."""

    policy: Policy
    critic: ValueCritic
    target: ValueCritic
    temperature: DualState
    optimizers: tuple[optax.OptState, optax.OptState]
    replay: ReplayBuffer


def awr(
    policy: PolicyInit,
    critic: Callable[[Key], ValueCritic],
    optimizer: optax.GradientTransformation,
    temperature: Dual,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    weight_maximum: float = 20.0,
    standardised: bool = True,
    discount: float = 0.99,
    polyak: float = 0.005,
    batch_size: int = 256,
    buffer_size: int = 1_000_000,
    learning_starts: int = 1000,
    updates_per_step: int = 1,
) -> Agent:
    """Advantage-weighted regression.

    After every batch, `updates_per_step` times for each of its steps:
        y = r + γ V̄(s');   V descends ½ mean (V(s) − y)²;   V̄ ← V̄ + polyak (V − V̄)
        w = min(exp((y − V(s))/β), `weight_maximum`)
        π descends −mean w log π(a|s) of the remembered actions

    V is that of whoever gathered what is remembered, all policies so far; no action but
    theirs is ever judged, and no ratio is needed.

    Source: Peng et al. 2019.
    Deviates: one-step targets, where the source has TD(λ) of remembered episodes: the
    buffer holds steps. Advantages are standardised, as the source's published code does
    and its text does not.

    Args:
      policy, critic: how to make them from a key.
      optimizer: of the policy, and again of the critic.
      temperature: β, `scheduled_dual` as a rule, in units of reward per nat, or of the
        advantages' deviation where `standardised`.
      weight_maximum: ceiling of a weight.
      standardised: whether a minibatch's advantages have mean 0 and deviation 1.
      discount: γ. polyak: share of the new in the average V̄, each update.
      batch_size, buffer_size, learning_starts, updates_per_step: as of `sac`.

    Raises: CapabilityError for a policy without log π; ConfigError for settings that
      cannot be used.
    """
    require(policy, ["forward_kl_marginal"])
    counts = {"batch_size": batch_size, "updates_per_step": updates_per_step}
    check_counts("awr", counts)
    if not weight_maximum > 0:
        raise ConfigError(
            f"`awr` was given a weight_maximum of {weight_maximum}; no step would "
            "count. Use a positive one, as 20."
        )

    def init(key: Key) -> AWRState:
        policy_key, critic_key = jax.random.split(key)
        made: Any = policy(policy_key)
        judge: Any = critic(critic_key)
        return AWRState(
            policy=made,
            critic=judge,
            target=jax.tree.map(jnp.copy, judge),
            temperature=temperature.init(),
            optimizers=(optimizer.init(made), optimizer.init(judge)),
            replay=init_replay(buffer_size, observation_space, action_space),
        )

    def fit_critic(
        state: AWRState, steps: Transitions, targets: Array
    ) -> tuple[AWRState, Info]:
        def loss(critic: ValueCritic) -> tuple[Array, Array]:
            values = critic(steps.observations)
            fit = value_loss(values, targets, jnp.ones_like(values, bool))
            return fit, jnp.mean(values)

        gradient, (fit, mean) = gradient_of(loss, state.critic)
        judge, moments = descend(optimizer, state.critic, gradient, state.optimizers[1])
        moved = state._replace(
            critic=judge,
            target=follow(state.target, judge, polyak),
            optimizers=(state.optimizers[0], moments),
        )
        return moved, {"critic_loss": fit, "value": mean}

    def imitate(
        state: AWRState, steps: Transitions, weights: Array
    ) -> tuple[AWRState, Info]:
        def loss(made: Policy) -> tuple[Array, Info]:
            log_probs = made(steps.observations).log_prob(steps.actions)
            return weighted_likelihood_loss(log_probs[:, None], weights[:, None]), {}

        gradient, (fit, _) = gradient_of(loss, state.policy)
        made, moments = descend(optimizer, state.policy, gradient, state.optimizers[0])
        optimizers = (moments, state.optimizers[1])
        return state._replace(policy=made, optimizers=optimizers), {"policy_loss": fit}

    def once(state: AWRState, key: Key) -> tuple[AWRState, Info]:
        # gather
        steps = sample_replay(state.replay, key, batch_size)
        # credit
        targets = soft_td_targets(
            steps.rewards,
            state.target(steps.next_observations),
            jnp.zeros_like(steps.rewards),
            steps.terminated,
            discount=discount,
            temperature=0.0,
        )
        advantages = targets - state.critic(steps.observations)
        # weigh
        beta = jnp.maximum(temperature.value(state.temperature), COLDEST)
        if standardised:
            rows = advantages[:, None]
            advantages = standardise(rows, jnp.ones_like(rows, bool))[:, 0]
        weights = exponential_weights(
            advantages, temperature=beta, maximum=weight_maximum
        )
        # ascend
        state, fit = fit_critic(state, steps, targets)
        state, info = imitate(state, steps, weights)
        info |= fit | {
            "temperature": beta,
            "ess": jnp.square(jnp.sum(weights)) / (jnp.sum(weights**2) + TINY),
            "clip_fraction": jnp.mean(weights >= weight_maximum),
        }
        moved = temperature.update(state.temperature, jnp.zeros(()))
        return state._replace(temperature=moved), info

    update = updates_from_replay(
        once,
        updates_per_step=updates_per_step,
        learning_starts=learning_starts,
        buffer_size=buffer_size,
    )
    return Agent(init, act_by_policy, update)
