"""Every estimator as the lab runs it: the library's, with the usual baselines."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.constraints import WEIGHTINGS, constraint_likelihood_loss
from reins.credit import (
    constant_baseline,
    gae_advantages,
    optimal_constant_baseline,
    returns_to_go,
    time_baseline,
    total_returns,
)
from reins.errors import CapabilityError, ConfigError
from reins.estimators import (
    ESTIMATORS,
    Estimator,
    Unbiased,
    evolution_loss,
    forward_kl_marginal_loss,
    reverse_kl_trajectory_loss,
    score_advantage_loss,
)
from reins.estimators.score_function import Loss
from reins.lab.problem import Options


class LabEstimator(NamedTuple):
    """An estimator, and how the lab feeds and judges it.

    Attributes:
      loss: a function of arrays; the names of its arguments say which.
      target: the objective whose exact gradient it is held against.
      unbiased: what is claimed, or None where nothing is.
      options: how a marginal estimator is fed.
      design: how samples are drawn; None: what its arguments ask for.
      least: samples without which it says nothing.
    """

    loss: Callable
    target: str
    unbiased: Unbiased | None = None
    options: Options = Options()
    design: str | None = None
    least: int = 1


def _less_constant(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
    plain: bool = False,
) -> Loss:
    """R(τ) less the mean return: of the others, or `plain`, of the whole batch."""
    returns = total_returns(rewards, mask, discount=discount)
    baseline = jnp.mean(returns) if plain else constant_baseline(returns)
    return _whole(log_probs, returns - baseline, mask)


def _less_optimal_constant(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    squared_norms: Float[Array, " N"],
    *,
    discount: float = 1.0,
) -> Loss:
    """R(τ) less the constant of least variance, estimated from the others."""
    returns = total_returns(rewards, mask, discount=discount)
    baseline = optimal_constant_baseline(returns, squared_norms)
    return _whole(log_probs, returns - baseline, mask)


def _whole(log_probs: Array, weights: Array, mask: Array) -> Loss:
    return score_advantage_loss(
        log_probs, jnp.broadcast_to(weights[:, None], log_probs.shape), mask
    )


def _less_time(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """G_t less the others' mean G_t."""
    to_go = returns_to_go(rewards, mask, discount=discount)
    weights = to_go - time_baseline(to_go, mask)
    return _discounted(log_probs, weights, mask, discount)


def _less_state(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    values: Float[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
) -> Loss:
    """G_t less V_t(s_t), exact."""
    weights = returns_to_go(rewards, mask, discount=discount) - values
    return _discounted(log_probs, weights, mask, discount)


def _gae(
    log_probs: Float[Array, "N T"],
    rewards: Float[Array, "N T"],
    values: Float[Array, "N T"],
    next_values: Float[Array, "N T"],
    terminated: Bool[Array, "N T"],
    ends: Bool[Array, "N T"],
    mask: Bool[Array, "N T"],
    *,
    discount: float = 1.0,
    gae_lambda: float = 0.9,
    off_by: float = 0.0,
) -> Loss:
    """GAE from the exact critic, or from one that is `off_by` so much everywhere."""
    weights = gae_advantages(
        rewards,
        values + off_by,
        next_values + off_by,
        terminated,
        ends,
        discount=discount,
        gae_lambda=gae_lambda,
    )
    return _discounted(log_probs, weights, mask, discount)


def _discounted(log_probs: Array, weights: Array, mask: Array, discount: float) -> Loss:
    weights = weights * discount ** jnp.arange(weights.shape[1])
    return score_advantage_loss(log_probs, weights, mask)


def of_record(record: Estimator) -> LabEstimator:
    """An estimator of the library, as the lab feeds it when nothing else is said."""
    design = "paths" if "reparameterised" in record.needs else None
    return LabEstimator(record.loss, record.target, record.unbiased, design=design)


def _of_library(name: str) -> LabEstimator:
    return of_record(ESTIMATORS[name])


_J, _FORWARD = "J", "−KL(p(.|O) ‖ q)"
_POSTERIOR = partial(Options, critic="message")

LAB: dict[str, LabEstimator] = {
    "score_total_return": _of_library("score_total_return"),
    "score_reward_to_go": _of_library("score_reward_to_go"),
    "score_constant_baseline": LabEstimator(_less_constant, _J, "yes"),
    "score_batch_mean_baseline": LabEstimator(
        partial(_less_constant, plain=True), _J, "no"
    ),
    "score_optimal_baseline": LabEstimator(_less_optimal_constant, _J, "yes"),
    "score_time_baseline": LabEstimator(_less_time, _J, "yes"),
    "score_state_baseline": LabEstimator(_less_state, _J, "yes"),
    "score_advantage": _of_library("score_advantage"),
    "score_td": LabEstimator(partial(_gae, gae_lambda=0.0), _J, "with an exact critic"),
    "score_gae": LabEstimator(_gae, _J, "with an exact critic"),
    "score_gae_wrong_critic": LabEstimator(partial(_gae, off_by=1.0), _J, "no"),
    "entropy_bonus": _of_library("entropy_bonus"),
    "evolution": _of_library("evolution"),
    "evolution_antithetic": LabEstimator(
        evolution_loss, "smoothed J", "yes", Options(antithetic=True), least=2
    ),
    "evolution_ranked": _of_library("evolution_ranked")._replace(least=2),
    "trajectory_ratio": _of_library("trajectory_ratio"),
    "per_decision": _of_library("per_decision"),
    "past_ratios": _of_library("past_ratios"),
    "per_step_ratio": _of_library("per_step_ratio"),
    "surrogate": _of_library("surrogate"),
    "clipped_surrogate": _of_library("clipped_surrogate"),
    "reverse_kl_trajectory": _of_library("reverse_kl_trajectory"),
    "reverse_kl_causal": LabEstimator(
        partial(reverse_kl_trajectory_loss, causal=True),
        ESTIMATORS["reverse_kl_trajectory"].target,
        "yes",
    ),
    "reverse_kl_score": _of_library("reverse_kl_score"),
    "reverse_kl_pathwise": _of_library("reverse_kl_pathwise"),
    "reverse_kl_exact": _of_library("reverse_kl_exact"),
    "forward_kl_trajectory": _of_library("forward_kl_trajectory"),
    "forward_kl_marginal": _of_library("forward_kl_marginal"),
    "forward_kl_path_states": LabEstimator(
        forward_kl_marginal_loss, _FORWARD, "no", _POSTERIOR(states="path")
    ),
    "forward_kl_two_filter": LabEstimator(
        forward_kl_marginal_loss, _FORWARD, "no", _POSTERIOR(states="two-filter")
    ),
    "forward_kl_exact": _of_library("forward_kl_exact"),
    **{
        f"constraint_{weighting.replace('-', '_')}": LabEstimator(
            partial(constraint_likelihood_loss, weighting=weighting),
            "log-likelihood",
            "no",
        )
        for weighting in WEIGHTINGS
    },
}
"""The rows of the lab's table, by name."""

_DESIGNS = [  # the first whose argument is asked for
    ("log_policy", "every-action"),
    ("q_values", "states"),
    ("behaviour_log_probs", "behaviour"),
    ("log_ratios", "old"),
    ("samples", "population"),
    ("nominal_log_zeta", "constraint"),
]


def asked_of(loss: Callable, name: str) -> tuple[list[str], list[str]]:
    """The arguments that an estimator must be given, and those that it may be.

    Raises: CapabilityError when it takes no named arguments.
    """
    try:
        parameters = list(inspect.signature(loss).parameters.values())
    except (TypeError, ValueError):  # of what is written in C
        parameters = []
    unnamed = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL}
    named = [x for x in parameters if x.kind is not inspect.Parameter.VAR_KEYWORD]
    if not named or {x.kind for x in named} & unnamed:
        raise CapabilityError(
            f"`{name}` was to be measured, but its signature names no arrays. The lab "
            "hands arrays over by name: define it as f(log_probs, rewards, mask), say."
        )
    required = [x.name for x in named if x.default is inspect.Parameter.empty]
    return required, [x.name for x in named if x.name not in required]


def design_of(estimator: LabEstimator, name: str) -> str:
    """The design that offers what the estimator asks for."""
    if estimator.design is not None:
        return estimator.design
    required, _ = asked_of(estimator.loss, name)
    for argument, design in _DESIGNS:
        if argument in required:
            return design
    return "trajectories"


def arguments_for(
    estimator: LabEstimator, name: str, offered: set[str], problem: str
) -> list[str]:
    """What of the offered arrays the estimator is handed.

    Raises: ConfigError that names what is asked for and not offered.
    """
    required, optional = asked_of(estimator.loss, name)
    missing = [argument for argument in required if argument not in offered]
    if missing:
        raise ConfigError(
            f"`{name}` asks for {', '.join(missing)}; with design "
            f"{design_of(estimator, name)!r} the problem {problem} offers "
            f"{', '.join(sorted(offered))}. Name its arguments so, or bind others with "
            "functools.partial."
        )
    return [*required, *(argument for argument in optional if argument in offered)]
