"""A policy at several stages of its training by REINFORCE, frozen at each."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from reins.credit import returns_to_go, time_baseline
from reins.critics import ValueCritic, value_critic, value_loss
from reins.data import Episodes, run_episodes
from reins.envs import Env
from reins.estimators import score_advantage_loss
from reins.policies import Policy, policy_for
from reins.policies.policy import observation_shape
from reins.types import Key


class Training(NamedTuple):
    """How policies and critics are trained.

    Attributes:
      hidden: units of the hidden layers of both.
      episodes: of a batch, which is one step of the policy.
      updates: batches.
      learning_rate, critic_learning_rate: of Adam.
      critic_epochs: steps of the critic's regression on each batch.
      discount: γ.
    """

    hidden: tuple[int, ...] = (64, 64)
    episodes: int = 8
    updates: int = 150
    learning_rate: float = 3e-3
    critic_learning_rate: float = 1e-3
    critic_epochs: int = 10
    discount: float = 0.99


class Learner(NamedTuple):
    """A policy, the critic that is fitted along, and their optimisers."""

    policy: Policy
    critic: ValueCritic
    optimizer: optax.OptState
    critic_optimizer: optax.OptState


class Stages(NamedTuple):
    """Copies of one learner in training, one to a stage.

    Attributes:
      learners: as it was when the stage was first reached.
      reached: whether it was.
      returns: mean return of every batch of the training.
    """

    learners: Learner
    reached: Bool[Array, " stages"]
    returns: Float[Array, " updates"]


def training_to_stages(
    env: Env, training: Training, stages: tuple[float, ...]
) -> Callable[[Key], Stages]:
    """REINFORCE with a baseline per time step; a copy when a return is first reached.

    A stage is reached when a batch's mean return is at least so much. The copy is of
    the policy that gathered it, and of the critic before it saw that batch: fitted to
    earlier batches of earlier policies, as `reinforce` fits it for the baseline V(s).

    Source: S3, REINFORCE.

    Args:
      stages: mean returns per episode, undiscounted.
    Returns: the training of one seed, key -> copies, compiled.
    """

    @jax.jit
    def train(key: Key) -> Stages:
        init_key, run_key = jax.random.split(key)
        first = _new_learner(env, training, init_key)
        copies = jax.tree.map(lambda x: jnp.stack([x] * len(stages)), first)

        def one(carry, key: Key):
            learner, copies, reached = carry
            batch = run_episodes(env, acting(learner.policy), key, training.episodes)
            earned = jnp.mean(batch.returns)
            now = ~reached & (earned >= jnp.asarray(stages))
            copies = jax.tree.map(partial(_copied, now), learner, copies)
            return (_updated(training, learner, batch), copies, reached | now), earned

        start = first, copies, jnp.zeros(len(stages), bool)
        keys = jax.random.split(run_key, training.updates)
        (_, copies, reached), earned = jax.lax.scan(one, start, keys)
        return Stages(copies, reached, earned)

    return train


def acting(policy: Policy):
    """Its actions, drawn."""
    return lambda observations, key: policy(observations).sample(key)


def _fitted(
    training: Training, learner: Learner, batch: Episodes
) -> tuple[Any, optax.OptState]:
    """Steps of regression of V(s_t) to G_t over the steps of a batch."""
    steps, optimizer = batch.trajectory, optax.adam(training.critic_learning_rate)
    returns = returns_to_go(steps.rewards, steps.mask, discount=training.discount)

    def loss(critic: ValueCritic) -> Float[Array, ""]:
        return value_loss(critic(steps.observations), returns, steps.mask)

    def one(carry, _):
        critic, state = carry
        updates, state = optimizer.update(jax.grad(loss)(critic), state)
        return (optax.apply_updates(critic, updates), state), None

    start: Any = learner.critic, learner.critic_optimizer
    return jax.lax.scan(one, start, length=training.critic_epochs)[0]


def _new_learner(env: Env, training: Training, key: Key) -> Learner:
    policy_key, critic_key = jax.random.split(key)
    spaces, hidden = (env.observation_space, env.action_space), training.hidden
    policy = policy_for(*spaces, hidden=hidden)(policy_key)
    critic = value_critic(observation_shape(spaces[0]), hidden=hidden)(critic_key)
    optimizers = training.learning_rate, training.critic_learning_rate
    states = [
        optax.adam(rate).init(made)  # pyright: ignore[reportArgumentType]
        for rate, made in zip(optimizers, (policy, critic), strict=True)
    ]
    return Learner(policy, critic, *states)


def _copied(now: Bool[Array, " stages"], new: Array, old: Array) -> Array:
    return jnp.where(now.reshape(-1, *[1] * new.ndim), new, old)


def _updated(training: Training, learner: Learner, batch: Episodes) -> Learner:
    steps, optimizer = batch.trajectory, optax.adam(training.learning_rate)
    # credit
    returns = returns_to_go(steps.rewards, steps.mask, discount=training.discount)
    # weigh
    weights = returns - time_baseline(returns, steps.mask)

    # ascend
    def loss(policy: Policy) -> Float[Array, ""]:
        log_probs = policy(steps.observations).log_prob(steps.actions)
        return score_advantage_loss(log_probs, weights, steps.mask)[0]

    gradient: Any = jax.grad(loss)(learner.policy)
    updates, state = optimizer.update(gradient, learner.optimizer)
    policy: Any = optax.apply_updates(learner.policy, updates)  # pyright: ignore
    critic, critic_state = _fitted(training, learner, batch)
    return Learner(policy, critic, state, critic_state)
