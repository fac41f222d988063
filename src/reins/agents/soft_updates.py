"""What soft actor-critics share: how Q is asked, and what each update does with it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, ScalarLike

from reins.agents.agent import descend
from reins.agents.priors import Prior
from reins.agents.replaying import (
    gradient_of,
    largest_of_all,
    largest_q,
    least_of_all,
    least_q,
)
from reins.agents.soft_losses import AtStates, PolicyLoss, policy_loss
from reins.errors import ConfigError
from reins.policies import Policy
from reins.types import Info, Key


class Values(NamedTuple):
    """Several critics as one Q.

    Attributes:
      of: (N observations, K actions at each) -> their Q, (K, N).
      of_all: N observations -> Q of every action of a finite set, (N, A).
    """

    of: Callable[[Array, Array], Float[Array, "K N"]]
    of_all: Callable[[Array], Float[Array, "N A"]]


def least(critics: Sequence[Any], *, discrete: bool) -> Values:
    """The least of the critics: what can be hoped for of a reward, at worst."""
    return Values(
        lambda observations, actions: least_q(critics, observations, actions, discrete),
        lambda observations: least_of_all(critics, observations),
    )


def largest(critics: Sequence[Any], *, discrete: bool) -> Values:
    """The largest of the critics: what is to be feared of a cost."""
    return Values(
        lambda observations, actions: largest_q(
            critics, observations, actions, discrete
        ),
        lambda observations: largest_of_all(critics, observations),
    )


def priced(reward: Values, cost: Values, multiplier: ScalarLike) -> Values:
    """(Q_reward − λ Q_cost)/(1 + λ), finite for whatever λ.

    Source: S2 (9), the Lagrangian at one step.

    Args:
      multiplier: λ ≥ 0, units of reward per unit of cost.
    """
    share = 1.0 / (1.0 + jnp.asarray(multiplier))
    weight = multiplier * share

    def of(observations: Array, actions: Array) -> Array:
        paid, charged = (q.of(observations, actions) for q in (reward, cost))
        return share * paid - weight * charged

    def of_all(observations: Array) -> Array:
        return share * reward.of_all(observations) - weight * cost.of_all(observations)

    return Values(of, of_all)


def values_after(
    asked: Sequence[Values],
    policy: Policy,
    prior: Prior,
    prior_state: Any,
    observations: Array,
    key: Key,
) -> tuple[list[Float[Array, " N"]], Float[Array, " N"]]:
    """Each Q, and log(π/π₀), of what follows at these states.

    Means over all actions where they can be enumerated, else of one that is drawn, the
    same for all.
    """
    after = policy(observations)
    if "enumerable" in policy.gives:
        log_policy: Any = after.log_probs  # pyright: ignore
        log_prior = prior.log_probs(prior_state, observations)
        share = jnp.exp(log_policy)
        ratio = jnp.where(share > 0, log_policy - log_prior, 0.0)
        found = [jnp.sum(share * q.of_all(observations), 1) for q in asked]
        return found, jnp.sum(share * ratio, 1)
    actions, log_probs = after.draws(key, 1)
    log_priors = prior.log_prob(prior_state, observations, actions)
    found = [q.of(observations, actions)[0] for q in asked]
    return found, (log_probs - log_priors)[0]


def policy_step(
    name: PolicyLoss,
    optimizer: optax.GradientTransformation,
    policy: Policy,
    moments: optax.OptState,
    at: AtStates,
    key: Key,
    *,
    action_samples: int,
    temperature: ScalarLike,
) -> tuple[Policy, optax.OptState, Info]:
    """One step of the policy down a divergence: itself, its moments, what it saw."""

    def loss(made: Policy) -> tuple[Array, Info]:
        return policy_loss(
            name, made, at, key, action_samples=action_samples, temperature=temperature
        )

    gradient, (found, info) = gradient_of(loss, policy)
    made, moments = descend(optimizer, policy, gradient, moments)
    return made, moments, {"policy_loss": found, **info}


def at_states(
    values: Values, observations: Array, prior: Prior, prior_state: Any
) -> AtStates:
    """What a policy loss is told of these states."""
    return AtStates(
        observations,
        lambda actions: values.of(observations, actions),
        lambda: values.of_all(observations),
        lambda actions: prior.log_prob(prior_state, observations, actions),
        lambda: prior.log_probs(prior_state, observations),
    )


def temperature_violation(
    info: Info, floor: float | None, ceiling: float | None
) -> Array:
    """What the temperature's constraint lacks, in nats; 0 where there is none.

    Args:
      info: of a policy loss.
      floor: of the entropy. ceiling: of KL(π ‖ π₀).
    """
    if floor is not None:
        return floor - info["entropy"]
    if ceiling is not None:
        return info["kl_prior"] - ceiling
    return jnp.zeros_like(info["entropy"])


def check_floors(agent: str, floor: float | None, ceiling: float | None) -> None:
    """Raises: ConfigError for a floor of the entropy and a ceiling of the KL."""
    if floor is not None and ceiling is not None:
        raise ConfigError(
            f"`{agent}` was given both a floor of the entropy and a ceiling of the KL; "
            "one temperature can hold one of them. Give the one that is meant."
        )
