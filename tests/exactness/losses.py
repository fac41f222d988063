"""Losses of the records as `mean_estimate` wants them: what a batch gives to each."""

from functools import partial

import jax.numpy as jnp

from reins.estimators import ESTIMATORS
from reins.policies import TabularPolicy
from tests.exactness.problems import (
    at_steps,
    discounts,
    log_probs,
    prior_log_probs,
)


def _of_rewards(logits, batch, problem, *, name):
    terms = (log_probs(logits, batch), batch.rewards, batch.mask)
    return ESTIMATORS[name].loss(*terms, discount=problem.mdp.discount)[0]


def _of_behaviour(logits, batch, problem, behaviour, *, name):
    """`behaviour` is a table of logits."""
    return ESTIMATORS[name].loss(
        log_probs(logits, batch),
        log_probs(behaviour, batch),
        batch.rewards,
        batch.mask,
        discount=problem.mdp.discount,
    )[0]


def _of_prior(
    logits, batch, problem, log_prior, temperature, *, name, log_z0=None, **options
):
    """Trajectories' losses of the reverse and the forward KL."""
    if log_z0 is not None:
        options["log_z0"] = log_z0
    return ESTIMATORS[name].loss(
        log_probs(logits, batch),
        prior_log_probs(log_prior, batch),
        batch.rewards,
        batch.mask,
        temperature=temperature,
        **options,
    )[0]


def score_advantage(logits, batch, problem, critic):
    """`critic` is a table of advantages."""
    weights = at_steps(critic, batch) * discounts(problem)
    terms = (log_probs(logits, batch), weights, batch.mask)
    return ESTIMATORS["score_advantage"].loss(*terms)[0]


def entropy_bonus(logits, batch, problem):
    entropies = TabularPolicy(logits)(batch.states[:, :-1]).entropy()
    return ESTIMATORS["entropy_bonus"].loss(entropies, batch.mask)[0]


def surrogate(logits, batch, problem, critic):
    return ESTIMATORS["surrogate"].loss(
        log_probs(logits, batch) - log_probs(problem.logits, batch),
        at_steps(critic, batch),
        batch.mask,
        times=jnp.arange(problem.mdp.horizon)[None],
        discount=problem.mdp.discount,
    )[0]


def clipped_surrogate(logits, batch, problem, critic):
    ratios = log_probs(logits, batch) - log_probs(problem.logits, batch)
    terms = (ratios, at_steps(critic, batch), batch.mask)
    return ESTIMATORS["clipped_surrogate"].loss(*terms, clip_epsilon=0.2)[0]


# One object for each name, or everything would compile anew.
OF_REWARDS = {
    name: partial(_of_rewards, name=name)
    for name in ("score_total_return", "score_reward_to_go")
}
OF_BEHAVIOUR = {
    name: partial(_of_behaviour, name=name)
    for name in ("trajectory_ratio", "per_decision", "past_ratios", "per_step_ratio")
}
OF_PRIOR = {
    name: partial(_of_prior, name=name)
    for name in ("reverse_kl_trajectory", "forward_kl_trajectory")
}
CAUSAL_REVERSE_KL = partial(_of_prior, name="reverse_kl_trajectory", causal=True)
