"""What the agents of a trust region share: surrogate and KL, the step, the critic."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from reins.agents.agent import cheap_permutation, descend, standardise
from reins.agents.ppo import CriticInit, Sample, advantages_and_targets, flatten
from reins.critics import ValueCritic, value_loss
from reins.divergences import hessian_vector_product
from reins.errors import ConfigError, sentence_of_faults
from reins.estimators import surrogate_loss
from reins.policies import Distribution, Policy, PolicyInit
from reins.trust_region import NaturalStep, natural_step
from reins.types import Info, Key, Trajectory

KLDirection = Literal["old-new", "new-old"]
"""KL(old ‖ new), as TRPO bounds it, or KL(new ‖ old), as S4 (62) does."""


class TrustRegionState(NamedTuple):
    """Policy, critic and the critic's optimiser."""

    policy: Policy
    critics: tuple[ValueCritic, ...]
    critic_optimizer: optax.OptState


class Region(NamedTuple):
    """One batch, flattened to steps, and where the old policy stood at its states."""

    sample: Sample
    old: Distribution


def init_trust_region(
    policy: PolicyInit,
    critic: CriticInit,
    critic_optimizer: optax.GradientTransformation,
) -> Callable[[Key], TrustRegionState]:
    """How to make the state of `npg` and `trpo` from a key."""

    def init(key: Key) -> TrustRegionState:
        policy_key, critic_key = jax.random.split(key)
        critics = (critic(critic_key),)
        parts: Any = critics
        return TrustRegionState(
            policy(policy_key), critics, critic_optimizer.init(parts)
        )

    return init


def region_around(
    policy: Policy,
    critic: ValueCritic,
    batch: Trajectory,
    *,
    discount: float,
    gae_lambda: float,
) -> Region:
    """The batch with standardised GAE advantages; the old policy's distributions."""
    advantages, targets = advantages_and_targets(
        critic, batch, batch.rewards, discount=discount, gae_lambda=gae_lambda
    )
    sample = flatten(policy, batch, standardise(advantages, batch.mask), (targets,))
    return Region(sample, policy(sample.observations))


def surrogate_and_kl(
    policy: Policy, region: Region, *, kl_direction: KLDirection
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """E[ρ A] and E[KL], means over the valid steps and their states.

    Source: S4 (61), (62).
    Identities: at the old policy the KL and its gradient are 0, and its curvature is
    the Fisher matrix in either direction.
    Returns: units of standardised advantage; nats.
    """
    sample, old = region
    new = policy(sample.observations)
    log_ratios = new.log_prob(sample.actions) - sample.log_probs
    loss, _ = surrogate_loss(
        log_ratios[:, None], sample.advantages[:, None], sample.mask[:, None]
    )
    kls = old.kl(new) if kl_direction == "old-new" else new.kl(old)
    valid = jnp.maximum(jnp.sum(sample.mask), 1)
    return -loss * sample.mask.shape[0] / valid, masked_mean(kls, sample.mask)


def natural_policy_step(
    policy: Policy,
    region: Region,
    *,
    kl_direction: KLDirection,
    kl_bound: float,
    cg_iterations: int,
    damping: float,
) -> tuple[NaturalStep, Info]:
    """The natural gradient step of the surrogate, from the old policy.

    Source: S4 (20), (61), (62).
    """

    def part(i: int, policy: Policy) -> Array:
        return surrogate_and_kl(policy, region, kl_direction=kl_direction)[i]

    gradient = jax.grad(partial(part, 0))(policy)
    found = natural_step(
        partial(hessian_vector_product, partial(part, 1), policy),
        gradient,
        kl_bound=kl_bound,
        iterations=cg_iterations,
        damping=damping,
    )
    info = {
        "expected_kl": found.expected_kl,
        "cg_residual": found.residual,
        "gradient_norm": optax.tree.norm(gradient),
    }
    return found, info


def fit_critic(
    optimizer: optax.GradientTransformation,
    state: TrustRegionState,
    sample: Sample,
    key: Key,
    *,
    epochs: int,
    minibatches: int,
) -> tuple[TrustRegionState, Info]:
    """Several shuffled passes of minibatch descent on the critic alone."""

    def loss(critics: tuple[ValueCritic, ...], rows: Sample) -> Float[Array, ""]:
        return value_loss(critics[0](rows.observations), rows.targets[0], rows.mask)

    def step(carry: Any, rows: Sample) -> tuple[Any, Info]:
        critics, optimizer_state = carry
        error, gradients = jax.value_and_grad(loss)(critics, rows)
        moved = descend(optimizer, critics, gradients, optimizer_state)
        return moved, {"value_loss": error}

    start = state.critics, state.critic_optimizer
    (critics, optimizer_state), info = shuffled_passes(
        step, start, sample, key, epochs=epochs, minibatches=minibatches
    )
    return state._replace(critics=critics, critic_optimizer=optimizer_state), info


def shuffled_passes(
    step: Callable[[Any, Any], tuple[Any, Info]],
    carry: Any,
    rows: Any,
    key: Key,
    *,
    epochs: int,
    minibatches: int,
) -> tuple[Any, Info]:
    """`step` on every minibatch of every pass; info is the mean over the last pass.

    Raises: ConfigError where the minibatches would not be equal.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    if n % minibatches:
        raise ConfigError(
            f"a batch of {n} steps was asked to be cut into {minibatches} minibatches; "
            "they would not be equal. Choose a divisor."
        )

    def one_pass(carry: Any, key: Key) -> tuple[Any, Info]:
        order = cheap_permutation(key, n).reshape(minibatches, n // minibatches)
        carry, infos = jax.lax.scan(
            lambda c, chosen: step(c, jax.tree.map(lambda x: x[chosen], rows)),
            carry,
            order,
        )
        return carry, jax.tree.map(jnp.mean, infos)

    carry, infos = jax.lax.scan(one_pass, carry, jax.random.split(key, epochs))
    return carry, jax.tree.map(lambda x: x[-1], infos)


def entropy_info(policy: Policy, sample: Sample) -> Info:
    """`entropy` in nats, mean over the batch's states, of a policy that gives it."""
    if "entropy" not in policy.gives:
        return {}
    return {"entropy": masked_mean(policy(sample.observations).entropy(), sample.mask)}


def check_trust_region(
    agent: str,
    *,
    kl_direction: str,
    positive: dict[str, float],
    counts: dict[str, int],
    not_negative: dict[str, float],
    between_0_and_1: dict[str, float] | None = None,
) -> None:
    """Refuse settings that cannot be used, all at once.

    Raises: ConfigError that lists them.
    """
    faults = [
        f"`{name}` is {value}; it must be positive and finite"
        for name, value in positive.items()
        if not 0.0 < value < float("inf")
    ]
    faults += [
        f"`{name}` is {value}; it must be 0 or more, and finite"
        for name, value in not_negative.items()
        if not 0.0 <= value < float("inf")
    ]
    faults += [
        f"`{name}` is {value}; it must be between 0 and 1"
        for name, value in (between_0_and_1 or {}).items()
        if not 0.0 < value < 1.0
    ]
    faults += [
        f"`{name}` is {value}; it must be at least 1"
        for name, value in counts.items()
        if value < 1
    ]
    if kl_direction not in get_args(KLDirection):
        directions = " or ".join(f"`{name}`" for name in get_args(KLDirection))
        faults.append(f"`kl_direction` is `{kl_direction}`; choose {directions}")
    if faults:
        raise ConfigError(sentence_of_faults(f"`{agent}` cannot be built", faults))


def masked_mean(
    values: Float[Array, " n"], mask: Bool[Array, " n"]
) -> Float[Array, ""]:
    """The mean over the valid steps; 0 where there is none."""
    total = jnp.sum(jnp.where(mask, values, 0.0))
    return total / jnp.maximum(jnp.sum(mask), 1)
