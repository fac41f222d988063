"""What soft actor-critics share: what an update does with the Q of its critics."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, ScalarLike

from reins.agents.agent import descend
from reins.agents.priors import Prior
from reins.agents.replaying import gradient_of
from reins.agents.soft_losses import AtStates, PolicyLoss, policy_loss
from reins.agents.values import Values
from reins.errors import ConfigError
from reins.policies import Policy
from reins.types import Info, Key


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
