"""MPO: what the old policy should have done, and then a policy that does it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array, Float, Int

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.replaying import (
    check_counts,
    fit_twins,
    follow,
    gradient_of,
    updates_from_replay,
)
from reins.agents.soft_losses import COLDEST
from reins.agents.values import least
from reins.credit import soft_td_targets
from reins.data.replay import (
    ReplayBuffer,
    Transitions,
    init_replay,
    sample_replay,
)
from reins.duals import Dual, DualState
from reins.improvement import (
    improved_log_weights,
    improvement_kl,
    weighted_likelihood_loss,
)
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key


class MPOState(NamedTuple):
    """Networks, their optimisers, both multipliers, and everything remembered.

    Attributes:
      old: the policy that is improved on; it takes over from `policy` now and then.
      temperature: η of the E-step. multiplier: of the KL(old ‖ new) of the M-step.
      updates: how many there were.
    """

    policy: Policy
    old: Policy
    critics: tuple[Any, Any]
    targets: tuple[Any, Any]
    temperature: DualState
    multiplier: DualState
    optimizers: tuple[optax.OptState, optax.OptState]
    replay: ReplayBuffer
    updates: Int[Array, ""]


class Candidates(NamedTuple):
    """K actions of the old policy at each of N states.

    Attributes:
      log_prob: another policy's distributions there -> log π of them, (N, K) in nats.
      log_shares: log p of `reins.improvement`.
      q: the least of the critics' averages.
    """

    log_prob: Callable[[Any], Float[Array, "N K"]]
    log_shares: Float[Array, "N K"]
    q: Float[Array, "N K"]


def mpo(
    policy: PolicyInit,
    critic: Callable[[Key], Any],
    optimizer: optax.GradientTransformation,
    temperature: Dual,
    multiplier: Dual,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    improvement_kl_bound: float = 0.1,
    kl_bound: float = 0.01,
    action_samples: int = 16,
    state_samples: int | None = None,
    target_period: int = 100,
    discount: float = 0.99,
    polyak: float = 0.005,
    batch_size: int = 256,
    buffer_size: int = 1_000_000,
    learning_starts: int = 1000,
    updates_per_step: int = 1,
) -> Agent:
    """Maximum a posteriori policy optimisation.

    After every batch, `updates_per_step` times for each of its steps:
        y = r + γ E_{a'∼π_old} min_j Q̄_j(s', a');   Q_j descends ½ mean (Q_j(s, a) − y)²
        E: a_k ∼ π_old(.|s),  q_k = softmax_k(min_j Q̄_j(s, a_k)/η)
        M: π ← π − η' ∇ [−mean Σ_k q_k log π(a_k|s) + λ KL(π_old ‖ π)]
        η by its dual, raised by KL(q ‖ π_old) above its bound; λ by KL(π_old ‖ π)
        π_old ← π, every `target_period` updates

    Source: Abdolmaleki et al. 2018; the M-step is S1 4.0.3 with π₀ = π_old.
    Deviates: one-step targets where Retrace is printed; the least of two critics; one
    bound of the KL, where later versions have one of means and one of covariances.

    Args:
      policy: how to make it from a key.
      critic: how to make one Q: `state_action_critic` for continuous actions,
        `action_value_critic` for a finite set, all of which is then looked at.
      optimizer: of the policy, and again of the critics.
      temperature: η as a dual, in units of reward per nat.
      multiplier: λ as a dual, without a unit.
      improvement_kl_bound: of KL(q ‖ π_old), nats. kl_bound: of KL(π_old ‖ π), nats.
      action_samples: K, and as many for the means of y.
      state_samples: states of the E-step; None for all of a minibatch.
      target_period: updates from one π_old to the next.
      discount: γ. polyak: share of the new in the averages Q̄, each update.
      batch_size, buffer_size, learning_starts, updates_per_step: as of `sac`.

    Raises: CapabilityError for a policy without log π; ConfigError for settings that
      cannot be used.
    """
    require(policy, ["forward_kl_marginal"])
    states = batch_size if state_samples is None else state_samples
    counts = {
        "batch_size": batch_size,
        "state_samples": states,
        "action_samples": action_samples,
        "target_period": target_period,
        "updates_per_step": updates_per_step,
    }
    check_counts("mpo", counts)
    discrete = isinstance(action_space, spaces.Discrete)
    enumerable = "enumerable" in jax.eval_shape(policy, jax.random.key(0)).gives

    def init(key: Key) -> MPOState:
        policy_key, *critic_keys = jax.random.split(key, 3)
        made: Any = policy(policy_key)
        critics: Any = tuple(critic(k) for k in critic_keys)
        return MPOState(
            policy=made,
            old=jax.tree.map(jnp.copy, made),
            critics=critics,
            targets=jax.tree.map(jnp.copy, critics),
            temperature=temperature.init(),
            multiplier=multiplier.init(),
            optimizers=(optimizer.init(made), optimizer.init(critics)),
            replay=init_replay(buffer_size, observation_space, action_space),
            updates=jnp.zeros((), jnp.int32),
        )

    def candidates(
        before: Any, targets: Any, observations: Array, key: Key
    ) -> Candidates:
        values = least(targets, discrete=discrete)
        if enumerable:
            q = values.of_all(observations)
            return Candidates(lambda new: new.log_probs, before.log_probs, q)
        actions, _ = before.draws(key, action_samples)
        q = values.of(observations, actions).T
        shares = jnp.full_like(q, -math.log(action_samples))
        return Candidates(lambda new: jax.vmap(new.log_prob)(actions).T, shares, q)

    def fit_critics(
        state: MPOState, steps: Transitions, key: Key
    ) -> tuple[MPOState, Info]:
        seen = steps.next_observations
        following = candidates(state.old(seen), state.targets, seen, key)
        targets = soft_td_targets(
            steps.rewards,
            jnp.sum(jnp.exp(following.log_shares) * following.q, axis=1),
            jnp.zeros_like(steps.rewards),
            steps.terminated,
            discount=discount,
            temperature=0.0,
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

    def imitate(
        state: MPOState, seen: Array, before: Any, found: Candidates, weights: Array
    ) -> tuple[MPOState, Info]:
        price = multiplier.value(state.multiplier)

        def loss(made: Policy) -> tuple[Array, Info]:
            new = made(seen)
            fit = weighted_likelihood_loss(found.log_prob(new), weights)
            kl = jnp.mean(before.kl(new))
            return fit + price * (kl - kl_bound), {"policy_loss": fit, "kl": kl}

        gradient, (_, info) = gradient_of(loss, state.policy)
        made, moments = descend(optimizer, state.policy, gradient, state.optimizers[0])
        optimizers = (moments, state.optimizers[1])
        return state._replace(policy=made, optimizers=optimizers), info

    def once(state: MPOState, key: Key) -> tuple[MPOState, Info]:
        sample_key, next_key, action_key = jax.random.split(key, 3)
        # gather
        steps = sample_replay(state.replay, sample_key, batch_size)
        # credit
        state, fit = fit_critics(state, steps, next_key)
        # weigh
        eta = jnp.maximum(temperature.value(state.temperature), COLDEST)
        seen = steps.observations[:states]
        before = state.old(seen)
        found = candidates(before, state.targets, seen, action_key)
        log_weights = improved_log_weights(found.q, found.log_shares, temperature=eta)
        # ascend
        state, info = imitate(state, seen, before, found, jnp.exp(log_weights))
        # constrain
        gained = improvement_kl(log_weights, found.log_shares)
        info |= fit | {"improvement_kl": gained, "temperature": eta}
        info |= {"multiplier": multiplier.value(state.multiplier)}
        state = state._replace(
            temperature=temperature.update(
                state.temperature, gained - improvement_kl_bound
            ),
            multiplier=multiplier.update(state.multiplier, info["kl"] - kl_bound),
            updates=state.updates + 1,
        )
        due = state.updates % target_period == 0
        old = jax.tree.map(
            lambda new, old: jnp.where(due, new, old), state.policy, state.old
        )
        return state._replace(old=old), info

    update = updates_from_replay(
        once,
        updates_per_step=updates_per_step,
        learning_starts=learning_starts,
        buffer_size=buffer_size,
    )
    return Agent(init, act_by_policy, update)
