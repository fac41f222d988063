"""SAC: off-policy, twin critics, and a policy update by whichever divergence."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.priors import Prior, uniform_prior
from reins.agents.soft_losses import ESTIMATOR_OF, AtStates, PolicyLoss, policy_loss
from reins.credit import soft_td_targets
from reins.critics import value_loss
from reins.data.replay import (
    ReplayBuffer,
    Transitions,
    add_to_replay,
    init_replay,
    sample_replay,
)
from reins.duals import Dual, DualState
from reins.errors import ConfigError
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

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
    _check(
        batch_size=batch_size,
        state_samples=batch_size if state_samples is None else state_samples,
        action_samples=action_samples,
        updates_per_step=updates_per_step,
        floors=(entropy_floor, kl_ceiling),
    )
    default = uniform_prior(action_space) if prior is None else prior
    discrete = isinstance(action_space, spaces.Discrete)
    enumerable = "enumerable" in jax.eval_shape(policy, jax.random.key(0)).gives
    states = batch_size if state_samples is None else state_samples

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

    def least_q(critics: Sequence[Any], observations: Array, actions: Array) -> Array:
        each = [_q_of(c, observations, actions, discrete) for c in critics]
        return jnp.min(jnp.stack(each), axis=0)

    def next_values(state: SACState, steps: Transitions, key: Key) -> tuple[Any, Any]:
        """Q̄ and log(π/π₀) of what follows: means over all actions, or of one drawn."""
        after = state.policy(steps.next_observations)
        if enumerable:
            log_policy: Any = after.log_probs  # pyright: ignore
            log_prior = default.log_probs(state.prior, steps.next_observations)
            q = jnp.stack([c(steps.next_observations) for c in state.targets])
            share = jnp.exp(log_policy)
            ratio = jnp.where(share > 0, log_policy - log_prior, 0.0)
            return jnp.sum(share * jnp.min(q, 0), 1), jnp.sum(share * ratio, 1)
        actions, log_probs = after.draws(key, 1)
        log_priors = default.log_prob(state.prior, steps.next_observations, actions)
        q = least_q(state.targets, steps.next_observations, actions)
        return q[0], (log_probs - log_priors)[0]

    def fit_critics(
        state: SACState, steps: Transitions, alpha: Array, key: Key
    ) -> tuple[SACState, Info]:
        q, ratios = next_values(state, steps, key)
        targets = soft_td_targets(
            steps.rewards,
            q,
            ratios,
            steps.terminated,
            discount=discount,
            temperature=alpha if critic_target == "soft" else 0.0,
        )

        def loss(critics: Any) -> tuple[Array, Array]:
            found = [
                _q_of(c, steps.observations, steps.actions[None], discrete)[0]
                for c in critics
            ]
            valid = jnp.ones_like(targets, bool)
            fits = [value_loss(q, targets, valid) for q in found]
            return fits[0] + fits[1], jnp.mean(found[0])

        gradient, (fit, mean) = _grad(loss, state.critics)
        critics, moments = descend(
            optimizer, state.critics, gradient, state.optimizers[1]
        )
        target = jax.tree.map(
            lambda old, new: old + polyak * (new - old), state.targets, critics
        )
        optimizers = (state.optimizers[0], moments)
        moved = state._replace(critics=critics, targets=target, optimizers=optimizers)
        return moved, {"critic_loss": fit, "q": mean}

    def improve(
        state: SACState, observations: Array, alpha: Array, key: Key
    ) -> tuple[SACState, Info]:
        used = state.critics if policy_critic == "least" else state.critics[:1]

        def all_q() -> Array:
            return jnp.min(jnp.stack([c(observations) for c in used]), axis=0)

        at = AtStates(
            observations,
            lambda actions: least_q(used, observations, actions),
            all_q,
            lambda actions: default.log_prob(state.prior, observations, actions),
            lambda: default.log_probs(state.prior, observations),
        )

        def loss(made: Policy) -> tuple[Array, Info]:
            return divergence(made, at, key, alpha)

        gradient, (found, info) = _grad(loss, state.policy)
        made, moments = descend(optimizer, state.policy, gradient, state.optimizers[0])
        optimizers = (moments, state.optimizers[1])
        moved = state._replace(policy=made, optimizers=optimizers)
        return moved, {"policy_loss": found, **info}

    def divergence(made: Policy, at: AtStates, key: Key, alpha: Array) -> Any:
        return _policy_loss(
            policy_loss,
            made,
            at,
            key,
            action_samples=action_samples,
            temperature=alpha,
        )

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
        violation = _violation(info, entropy_floor, kl_ceiling)
        moved = temperature.update(state.temperature, violation)
        info |= fit | known | {"temperature": alpha}
        return state._replace(temperature=moved, prior=remembered), info

    def update(state: SACState, batch: Trajectory, key: Key) -> tuple[SACState, Info]:
        n = batch.rewards.size * updates_per_step
        replay = add_to_replay(state.replay, batch)
        # What is remembered is read by the updates, and not carried along by them.
        learner = state._replace(replay=None)  # pyright: ignore

        def learn(learner: SACState, keys: Array) -> tuple[SACState, Info]:
            def step(state: SACState, key: Key) -> tuple[SACState, Info]:
                state, info = once(state._replace(replay=replay), key)
                return state._replace(replay=None), info  # pyright: ignore

            learner, infos = jax.lax.scan(step, learner, keys)
            return learner, jax.tree.map(jnp.mean, infos)

        def wait(learner: SACState, keys: Array) -> tuple[SACState, Info]:
            shapes = jax.eval_shape(learn, learner, keys)[1]
            return learner, jax.tree.map(lambda x: jnp.zeros((), x.dtype), shapes)

        enough = replay.size >= min(learning_starts, buffer_size)
        learner, info = jax.lax.cond(
            enough, learn, wait, learner, jax.random.split(key, n)
        )
        info |= {"replay_size": replay.size.astype(jnp.float32)}
        return learner._replace(replay=replay), info

    return Agent(init, act_by_policy, update)


_policy_loss = policy_loss
"""The function, where the builder's argument of the same name hides it."""


def _violation(info: Info, floor: float | None, ceiling: float | None) -> Array:
    """What the temperature's constraint lacks, in nats; 0 where there is none."""
    if floor is not None:
        return floor - info["entropy"]
    if ceiling is not None:
        return info["kl_prior"] - ceiling
    return jnp.zeros_like(info["entropy"])


def _q_of(
    critic: Any, observations: Array, actions: Array, discrete: bool
) -> Float[Array, "K N"]:
    """Q of K actions at each of N states."""
    if not discrete:
        return critic(observations, actions)
    return jax.vmap(
        lambda a, q: jnp.take_along_axis(q, a[:, None], axis=1)[:, 0], (0, None)
    )(actions, critic(observations))


def _grad(loss: Callable[[Any], tuple[Array, Any]], at: Any) -> tuple[Any, Any]:
    """Gradient, and the loss with what it says beside."""
    found, gradient = jax.value_and_grad(loss, has_aux=True)(at)
    return gradient, found


def _check(
    *,
    batch_size: int,
    state_samples: int,
    action_samples: int,
    updates_per_step: int,
    floors: tuple[float | None, float | None],
) -> None:
    counts = {
        "batch_size": batch_size,
        "state_samples": state_samples,
        "action_samples": action_samples,
        "updates_per_step": updates_per_step,
    }
    for name, value in counts.items():
        if value < 1:
            raise ConfigError(f"`sac` needs {name} of at least 1; found {value}.")
    if state_samples > batch_size:
        raise ConfigError(
            f"`sac` was asked to update its policy at {state_samples} states of "
            f"minibatches of {batch_size}; there are no more. Use a larger batch_size."
        )
    if None not in floors:
        raise ConfigError(
            "`sac` was given both a floor of the entropy and a ceiling of the KL; one "
            "temperature can hold one of them. Give the one that is meant."
        )
