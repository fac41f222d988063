"""PPO: the clipped surrogate, a value critic, and several passes over each batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Shaped

from reins.agents.agent import (
    Agent,
    act_by_policy,
    cheap_permutation,
    descend,
    require,
    standardise,
)
from reins.agents.shared_trunk import View, apart, values_of, view_of
from reins.credit import gae_advantages
from reins.critics import ValueCritic, value_loss
from reins.estimators import clipped_surrogate_loss, entropy_bonus_loss
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

CriticInit = Callable[[Key], ValueCritic]


class PPOState(NamedTuple):
    """Policy, critic and optimiser."""

    policy: Policy
    critics: tuple[ValueCritic, ...]
    optimizer: optax.OptState


class Sample(NamedTuple):
    """One batch, flattened to steps and ready for minibatches."""

    observations: Shaped[Array, "n ..."]
    actions: Shaped[Array, "n ..."]
    log_probs: Float[Array, " n"]
    advantages: Float[Array, " n"]
    targets: tuple[Float[Array, " n"], ...]
    mask: Bool[Array, " n"]


def ppo(
    policy: PolicyInit,
    critic: CriticInit,
    optimizer: optax.GradientTransformation,
    *,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    clip_epsilon: float = 0.2,
    entropy_weight: float = 0.0,
    value_weight: float = 0.5,
    epochs: int = 10,
    minibatches: int = 32,
    kl_stop: float | None = None,
    shared_trunk: bool = False,
) -> Agent:
    """Proximal policy optimisation.

    Source: S4, end.

    Args:
      policy, critic: how to make them from a key.
      optimizer: updates policy and critic together.
      discount, gae_lambda: γ and λ of the advantages.
      clip_epsilon: half-width of the ratio's clip range.
      entropy_weight: reward units (of standardised advantage) per nat of entropy.
      value_weight: weight of the critic's loss.
      epochs, minibatches: passes over a batch, and parts per pass.
      kl_stop: end the passes when the mean KL(old ‖ new) of one exceeds this, in nats.
      shared_trunk: the critic sees the policy's last hidden layer, whose layers then
        follow both losses: critic = `value_critic(trunk_width(policy), hidden=())`.

    Raises: CapabilityError for a policy or a critic that cannot do this.
    """
    require(policy, ["clipped_surrogate", "entropy_bonus"])
    view = view_of(policy, critic, shared_trunk=shared_trunk)
    passes = clipped_passes(
        optimizer,
        clip_epsilon=clip_epsilon,
        entropy_weight=entropy_weight,
        value_weight=value_weight,
        epochs=epochs,
        minibatches=minibatches,
        kl_stop=kl_stop,
        view=view,
    )

    def init(key: Key) -> PPOState:
        policy_key, critic_key = jax.random.split(key)
        parts: Any = policy(policy_key), (critic(critic_key),)
        return PPOState(parts[0], parts[1], optimizer.init(parts))

    def update(state: PPOState, batch: Trajectory, key: Key) -> tuple[PPOState, Info]:
        # credit
        advantages, targets = advantages_and_targets(
            values_of(view, state.policy, state.critics[0]),
            batch,
            batch.rewards,
            discount=discount,
            gae_lambda=gae_lambda,
        )
        # weigh
        sample = flatten(
            state.policy, batch, standardise(advantages, batch.mask), (targets,)
        )
        # ascend
        return passes(state, sample, key)

    return Agent(init, act_by_policy, update)


def advantages_and_targets(
    critic: Callable[[Array], Array],
    batch: Trajectory,
    rewards: Float[Array, "N T"],
    *,
    discount: float,
    gae_lambda: float,
) -> tuple[Float[Array, "N T"], Float[Array, "N T"]]:
    """GAE advantages of a stream of rewards or costs, its critic's targets A + V.

    Args:
      critic: V, as a function of the batch's observations.
    """
    values = critic(batch.observations)
    advantages = gae_advantages(
        rewards,
        values,
        critic(batch.next_observations),
        batch.terminated,
        batch.ends,
        discount=discount,
        gae_lambda=gae_lambda,
    )
    return advantages, advantages + values


def flatten(
    policy: Policy,
    batch: Trajectory,
    advantages: Float[Array, "N T"],
    targets: tuple[Float[Array, "N T"], ...],
) -> Sample:
    """The batch as one list of steps, with the sampling policy's log-probabilities."""
    log_probs = policy(batch.observations).log_prob(batch.actions)
    sample = Sample(
        batch.observations, batch.actions, log_probs, advantages, targets, batch.mask
    )
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), sample)


def clipped_passes(
    optimizer: optax.GradientTransformation,
    *,
    clip_epsilon: float,
    entropy_weight: float,
    value_weight: float,
    epochs: int,
    minibatches: int,
    kl_stop: float | None,
    view: View = apart,
) -> Callable[[Any, Sample, Key], tuple[Any, Info]]:
    """Several shuffled passes of minibatch descent on policy and critics."""

    def loss(parts: tuple[Policy, tuple[ValueCritic, ...]], sample: Sample):
        policy, critics = parts
        rows = jax.tree.map(lambda x: x[:, None], sample)  # N = minibatch, T = 1
        policy, seen = view(policy, rows.observations)
        distribution = policy(seen)
        log_ratios = distribution.log_prob(rows.actions) - rows.log_probs
        surrogate, info = clipped_surrogate_loss(
            log_ratios, rows.advantages, rows.mask, clip_epsilon=clip_epsilon
        )
        entropy, _ = entropy_bonus_loss(distribution.entropy(), rows.mask)
        losses = [
            value_loss(critic(seen), target, rows.mask)
            for critic, target in zip(critics, rows.targets, strict=True)
        ]
        fit = jnp.sum(jnp.stack(losses))
        kls = jnp.where(rows.mask, jnp.expm1(log_ratios) - log_ratios, 0.0)
        info["kl_old_new"] = jnp.sum(kls) / jnp.maximum(jnp.sum(rows.mask), 1)
        info["entropy"] = -entropy
        info["value_loss"] = fit
        return surrogate + entropy_weight * entropy + value_weight * fit, info

    def one_step(carry, sample: Sample):
        parts, optimizer_state = carry
        gradients, info = jax.grad(loss, has_aux=True)(parts, sample)
        info["gradient_norm"] = optax.tree.norm(gradients)
        return descend(optimizer, parts, gradients, optimizer_state), info

    def one_pass(carry, sample: Sample, key: Key):
        n = sample.log_probs.shape[0]
        order = cheap_permutation(key, n).reshape(minibatches, n // minibatches)
        return jax.lax.scan(
            lambda c, rows: one_step(c, jax.tree.map(lambda x: x[rows], sample)),
            carry,
            order,
        )

    def passes(state: Any, sample: Sample, key: Key) -> tuple[Any, Info]:
        def body(carry, key):
            trained, stopped, last = carry

            def run(_):
                trained_on, infos = one_pass(trained, sample, key)
                info = jax.tree.map(jnp.mean, infos)
                stop = info["kl_old_new"] > (jnp.inf if kl_stop is None else kl_stop)
                return trained_on, stop, info

            carry = jax.lax.cond(stopped, lambda _: (trained, stopped, last), run, None)
            return carry, stopped

        start = (state.policy, state.critics), state.optimizer
        shapes = jax.eval_shape(lambda: one_pass(start, sample, key)[1])
        empty = jax.tree.map(lambda x: jnp.zeros((), x.dtype), shapes)
        carry = (start, jnp.asarray(False), empty)
        (trained, _, info), skipped = jax.lax.scan(
            body, carry, jax.random.split(key, epochs)
        )
        (policy, critics), opt_state = trained
        info["passes"] = epochs - jnp.sum(skipped)
        state = state._replace(policy=policy, critics=critics, optimizer=opt_state)
        return state, info

    return passes
