"""Whole trajectories: of the policy itself, of behaviour policies, of an old policy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from reins.lab.problem import Design, Options, Quantities
from reins.lab.tables.spec import TableSpec
from reins.policies.categorical import Categorical
from reins.tabular import (
    TabularMDP,
    advantages,
    enumerate_trajectories,
    state_values,
    trajectory_log_probs,
)
from reins.tabular.sampling import (
    SampledTrajectories,
    rewarded,
    sample_trajectories,
)
from reins.types import Key
from reins.weights import mixture_log_probs


class TrajectoryTables(NamedTuple):
    """What the arrays of whole trajectories are made of; `acting` gathers them."""

    mdp: TabularMDP
    acting: Float[Array, "K S A"]
    log_shares: Float[Array, " K"]
    log_prior: Float[Array, "S A"]
    advantages: Float[Array, "T S A"]
    values: Float[Array, "T_plus_1 S"]
    temperature: Float[Array, ""]
    log_z0: Float[Array, ""]


def draw_trajectories(
    tables: TrajectoryTables, key: Key, n: int
) -> SampledTrajectories:
    """n trajectories of the policies that act."""
    return sample_trajectories(tables.mdp, tables.acting, tables.log_shares, key, n)


def _trajectory_quantities(
    params: Float[Array, " D"], tables: TrajectoryTables, draw: SampledTrajectories
) -> Quantities:
    mdp = tables.mdp
    log_policy = jax.nn.log_softmax(params.reshape(tables.log_prior.shape))
    before, after, actions = draw.states[:, :-1], draw.states[:, 1:], draw.actions
    times = jnp.arange(mdp.horizon)
    terminated = mdp.terminal[after]
    acting = jax.nn.log_softmax(tables.acting)[:, before, actions]

    def log_probs() -> Array:
        return log_policy[before, actions]

    return {
        "log_probs": log_probs,
        "log_priors": lambda: tables.log_prior[before, actions],
        "behaviour_log_probs": lambda: mixture_log_probs(
            acting, tables.log_shares, draw.mask
        ),
        "log_ratios": lambda: log_probs() - acting[0],
        "entropies": lambda: Categorical(log_policy[before]).entropy(),
        "rewards": lambda: draw.rewards,
        "costs": lambda: draw.costs,
        "mask": lambda: draw.mask,
        "advantages": lambda: (
            tables.advantages[times, before, actions] * discounts(mdp)
        ),
        "values": lambda: tables.values[times, before],
        "next_values": lambda: tables.values[times + 1, after],
        "terminated": lambda: terminated,
        "ends": lambda: terminated | (times == mdp.horizon - 1),
        "squared_norms": lambda: _squared_norms(log_policy, draw),
        "discount": lambda: mdp.discount,
        "temperature": lambda: tables.temperature,
        "log_z0": lambda: tables.log_z0,
    }


def _squared_norms(
    log_policy: Float[Array, "S A"], draw: SampledTrajectories
) -> Float[Array, " N"]:
    """‖∇ log p(τ)‖² in the logits: counts of (s, a) less their means given s."""
    policy = jnp.exp(log_policy)
    valid = draw.mask.astype(policy.dtype)
    in_state = jax.nn.one_hot(draw.states[:, :-1], policy.shape[0], dtype=policy.dtype)
    in_state = in_state * valid[..., None]
    taken = jax.nn.one_hot(draw.actions, policy.shape[1], dtype=policy.dtype)
    counts = jnp.einsum("nts,nta->nsa", in_state, taken)
    scores = counts - jnp.sum(in_state, axis=1)[..., None] * policy
    return jax.lax.stop_gradient(jnp.sum(jnp.square(scores), axis=(1, 2)))


def discounts(mdp: TabularMDP) -> Float[Array, " T"]:
    """γ^t."""
    return mdp.discount ** jnp.arange(mdp.horizon)


def trajectory_tables(
    spec: TableSpec, acting: Array, log_shares: Array
) -> TrajectoryTables:
    """Advantages and values are those of the first policy that acts."""
    return TrajectoryTables(
        spec.mdp,
        acting,
        log_shares,
        spec.log_prior,
        advantages(spec.mdp, acting[0]),
        state_values(spec.mdp, acting[0]),
        jnp.asarray(spec.temperature),
        jnp.asarray(spec.log_z0),
    )


def every_trajectory(
    tables: TrajectoryTables,
) -> tuple[SampledTrajectories, Float[Array, " E"]]:
    """All that the policies can meet, and the log of how likely each is."""
    every = enumerate_trajectories(tables.mdp)
    log_probs = jax.vmap(trajectory_log_probs, in_axes=(None, 0))(every, tables.acting)
    log_masses = logsumexp(log_probs + tables.log_shares[:, None], axis=0)
    return rewarded(tables.mdp, every.states, every.actions), log_masses


def _design(spec: TableSpec, acting: Array, log_shares: Array) -> Design:
    return Design(
        spec.logits.reshape(-1),
        trajectory_tables(spec, acting, log_shares),
        draw_trajectories,
        _trajectory_quantities,
        every_trajectory,
    )


def on_policy(spec: TableSpec, options: Options) -> Design:
    """Design `trajectories`: the policy itself acts."""
    del options
    return _design(spec, spec.logits[None], jnp.zeros(1))


def behaviour(spec: TableSpec, options: Options) -> Design:
    """Design `behaviour`: the behaviour policies act, each for its share."""
    del options
    return _design(spec, spec.behaviours, spec.log_shares)


def old(spec: TableSpec, options: Options) -> Design:
    """Design `old`: the first behaviour policy acts, as the old policy."""
    del options
    return _design(spec, spec.behaviours[:1], jnp.zeros(1))
