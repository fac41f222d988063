"""The policy losses of soft actor-critic: which divergence, by which estimator."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from reins.estimators import (
    forward_kl_exact_loss,
    forward_kl_marginal_loss,
    reverse_kl_exact_loss,
    reverse_kl_pathwise_loss,
    reverse_kl_score_loss,
)
from reins.policies import Policy
from reins.types import Info, Key

PolicyLoss = Literal[
    "reverse-kl", "reverse-kl-score", "forward-kl", "exact-reverse", "exact-forward"
]
ESTIMATOR_OF: dict[str, str] = {
    "reverse-kl": "reverse_kl_pathwise",
    "reverse-kl-score": "reverse_kl_score",
    "forward-kl": "forward_kl_marginal",
    "exact-reverse": "reverse_kl_exact",
    "exact-forward": "forward_kl_exact",
}
"""The estimator behind each loss; its record says what it needs of a policy."""
assert tuple(ESTIMATOR_OF) == get_args(PolicyLoss)  # noqa: S101


def permitted_by(gives: frozenset[str]) -> PolicyLoss:
    """The reverse KL by the best estimator that a policy permits.

    Every action where there are finitely many, else paths, else scores.
    """
    if "enumerable" in gives:
        return "exact-reverse"
    return "reverse-kl" if "reparameterised" in gives else "reverse-kl-score"


COLDEST = 1e-8
"""Units of reward per nat; Q/α stays finite, and one weight has all the mass."""


class AtStates(NamedTuple):
    """What is known at N states, the policy's own parameters left open.

    Attributes:
      observations: the states.
      q_of: K actions at each state -> their Q, (K, N).
      q_all: () -> Q of every action, (N, A), where they are finitely many.
      prior_of, prior_all: the same of log π₀.
    """

    observations: Array
    q_of: Callable[[Array], Float[Array, "K N"]]
    q_all: Callable[[], Float[Array, "N A"]]
    prior_of: Callable[[Array], Float[Array, "K N"]]
    prior_all: Callable[[], Float[Array, "N A"]]


def policy_loss(
    name: PolicyLoss,
    policy: Policy,
    at: AtStates,
    key: Key,
    *,
    action_samples: int,
    temperature: ScalarLike,
) -> tuple[Float[Array, ""], Info]:
    """One estimate of a divergence at these states; every state weighs 1/N.

    The estimators are those that the lab has measured, on actions of the present
    policy: `paths` that carry a gradient for the pathwise one, `draws` that are
    constants for those that differentiate log π alone, or all actions there are.

    Source: S1 (5), 3.0.2, 4.0.3, by the name of the loss.
    Returns: the loss, and `entropy` and `kl_prior` of the policy in nats, estimated by
      the same actions; `ess` of the forward KL's weights, between 1 and K, and whether
      one of them had almost all of the mass.
    """
    distribution = policy(at.observations)
    temperature = jnp.maximum(temperature, COLDEST)
    if name in ("exact-reverse", "exact-forward"):
        log_policy = distribution.log_probs  # pyright: ignore
        log_prior = at.prior_all()
        loss = reverse_kl_exact_loss if name == "exact-reverse" else _exact_forward
        found, info = loss(log_policy, log_prior, at.q_all(), temperature=temperature)
        return found, info | _spread_of_all(log_policy, log_prior)
    draw = distribution.paths if name == "reverse-kl" else distribution.draws
    actions, log_probs = draw(key, action_samples)
    log_priors = at.prior_of(actions)
    loss: Any = {
        "reverse-kl": reverse_kl_pathwise_loss,
        "reverse-kl-score": reverse_kl_score_loss,
        "forward-kl": forward_kl_marginal_loss,
    }[name]
    found, info = loss(
        log_probs.T, log_priors.T, at.q_of(actions).T, temperature=temperature
    )
    if "ess" in info:
        info["weights_degenerate"] = (info["ess"] < 1.1).astype(jnp.float32)
    info |= {
        "entropy": -jnp.mean(log_probs),
        "kl_prior": jnp.mean(log_probs - log_priors),
    }
    return found, info


def _exact_forward(*args: Array, temperature: ScalarLike) -> tuple[Array, Info]:
    return forward_kl_exact_loss(*args, temperature=temperature)


def _spread_of_all(
    log_policy: Float[Array, "N A"], log_prior: Float[Array, "N A"]
) -> Info:
    policy = jnp.exp(log_policy)
    own = jnp.where(policy > 0, policy * log_policy, 0.0)
    ratio = jnp.where(policy > 0, policy * (log_policy - log_prior), 0.0)
    return {
        "entropy": -jnp.mean(jnp.sum(own, axis=1)),
        "kl_prior": jnp.mean(jnp.sum(ratio, axis=1)),
    }
