"""REINFORCE: one step per batch along the scores of whole episodes."""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.policy_gradient import (
    at_least_one,
    episode_gradient,
    episodes_with_room,
    fit,
    of_others,
    one_of,
    squared_score_norms,
    there,
)
from reins.agents.ppo import CriticInit
from reins.credit import (
    constant_baseline,
    optimal_constant_baseline,
    returns_to_go,
    time_baseline,
    total_returns,
)
from reins.critics import ValueCritic, value_loss
from reins.errors import ConfigError
from reins.estimators import entropy_bonus_loss, score_advantage_loss
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

Baseline = Literal["none", "constant", "optimal-constant", "time", "state"]
Credit = Literal["total-return", "reward-to-go"]


class ReinforceState(NamedTuple):
    """Policy and optimiser; a critic and its own where the baseline is of the state."""

    policy: Policy
    optimizer: optax.OptState
    critics: tuple[ValueCritic, ...]
    critic_optimizer: optax.OptState


def reinforce(
    policy: PolicyInit,
    optimizer: optax.GradientTransformation,
    *,
    horizon: int,
    baseline: Baseline = "time",
    critic: CriticInit | None = None,
    critic_optimizer: optax.GradientTransformation | None = None,
    critic_epochs: int = 10,
    credit: Credit = "reward-to-go",
    discount: float = 0.99,
    discount_states: bool = False,
    entropy_weight: float = 0.0,
    measure_variance: bool = True,
) -> Agent:
    """Monte Carlo policy gradient: θ ← θ + η (1/n) Σ_i Σ_t ∇ log π(a_t|s_t) (G_t − b).

    One step per batch, from its n whole episodes; with n = 0 nothing changes. An
    episode cut by its time limit is whole: what it would have earned later is not in
    the objective. No baseline sees its own episode: constants and b_t are means of the
    others, V is fitted to the episodes of earlier batches.

    Source: S3, REINFORCE.

    Args:
      policy: how to make it from a key. optimizer: updates it.
      horizon: most steps in an episode; a batch's rows are at least as long.
      baseline: b: 0; the mean total return; the constant of least variance (for the
        total return; costs a second gradient per episode); a mean per time step; V(s).
      critic, critic_optimizer: V of the state baseline, and what fits it.
      critic_epochs: steps of its Monte Carlo regression per batch.
      credit: weigh a step by its episode's total return, or by what follows it.
      discount: γ in [0, 1].
      discount_states: weigh step t of the reward-to-go by γ^t, as the gradient of the
        discounted return asks; the total return has it already.
      entropy_weight: units of reward per nat of entropy, at every step.
      measure_variance: log the gradient's variance; all episodes' gradients are then in
        memory at once.
    """
    one_of("baseline", baseline, get_args(Baseline))
    one_of("credit", credit, get_args(Credit))
    at_least_one("critic_epochs", critic_epochs)
    _check_critic(baseline, credit, critic, critic_optimizer)
    require(policy, ["score_advantage", "entropy_bonus"])
    regression = critic_optimizer or optax.identity()

    def init(key: Key) -> ReinforceState:
        policy_key, critic_key = jax.random.split(key)
        made: Any = policy(policy_key)
        critics: Any = () if critic is None else (critic(critic_key),)
        return ReinforceState(
            made, optimizer.init(made), critics, regression.init(critics)
        )

    def less_baseline(
        state: ReinforceState, episodes: Trajectory, weights: Float[Array, "N T"]
    ) -> Float[Array, "N T"]:
        n = jnp.sum(there(episodes))
        totals = total_returns(episodes.rewards, episodes.mask, discount=discount)
        if baseline == "constant":
            return weights - of_others(constant_baseline(totals), n)[:, None]
        if baseline == "optimal-constant":
            norms = squared_score_norms(state.policy, episodes)
            return weights - optimal_constant_baseline(totals, norms)[:, None]
        if baseline == "time":
            return weights - of_others(time_baseline(weights, episodes.mask), n)
        if baseline == "state":
            return weights - state.critics[0](episodes.observations)
        return weights

    def loss(policy: Policy, episode: Trajectory, weights: Float[Array, " T"]):
        distribution = policy(episode.observations)
        row = jax.tree.map(lambda x: x[None], (weights, episode.mask))
        log_probs = distribution.log_prob(episode.actions)
        score, _ = score_advantage_loss(log_probs[None], *row)
        entropy, _ = entropy_bonus_loss(distribution.entropy()[None], row[1])
        return score + entropy_weight * entropy, -entropy

    def update(
        state: ReinforceState, batch: Trajectory, key: Key
    ) -> tuple[ReinforceState, Info]:
        del key
        # gather
        episodes = episodes_with_room(batch, horizon=horizon)
        n, steps = jnp.sum(there(episodes)), jnp.sum(episodes.mask)
        # credit
        returns = returns_to_go(episodes.rewards, episodes.mask, discount=discount)
        # weigh
        whole = jnp.broadcast_to(returns[:, :1], returns.shape)
        weights = whole if credit == "total-return" else returns
        weights = less_baseline(state, episodes, weights)
        if discount_states and credit == "reward-to-go":
            weights = weights * discount ** jnp.arange(horizon)
        # ascend
        gradient, entropies, info = episode_gradient(
            loss, state.policy, episodes, weights, measure_variance=measure_variance
        )
        moved = descend(optimizer, state.policy, gradient, state.optimizer)
        critics: Any = state.critics, state.critic_optimizer
        if baseline == "state":
            *critics, info["value_loss"] = fit(
                lambda critics: value_loss(
                    critics[0](episodes.observations), returns, episodes.mask
                ),
                regression,
                *critics,
                epochs=critic_epochs,
            )
        info |= {"episodes": n, "entropy": jnp.sum(entropies) / jnp.maximum(steps, 1)}
        # Without an episode not even an optimiser's momentum may move the policy.
        after = jax.tree.map(
            lambda new, old: jnp.where(n > 0, new, old),
            ReinforceState(*moved, *critics),
            state,
        )
        return after, info

    return Agent(init, act_by_policy, update)


def _check_critic(
    baseline: str, credit: str, critic: Any, critic_optimizer: Any
) -> None:
    """A critic and its optimiser where V(s) is asked for, and nowhere else."""
    given = [critic is not None, critic_optimizer is not None]
    if baseline == "state" and not all(given):
        raise ConfigError(
            "the baseline `state` was asked for without `critic` or without "
            "`critic_optimizer`; it is V(s), fitted to returns. Give both, or another "
            "baseline: `time` needs neither."
        )
    if baseline != "state" and any(given):
        raise ConfigError(
            f"a critic was given with the baseline `{baseline}`, which has no use for "
            "it. Leave `critic` and `critic_optimizer` out, or choose `state`."
        )
    if baseline == "state" and credit == "total-return":
        raise ConfigError(
            "the baseline `state` was asked for with the credit `total-return`; V(s_t) "
            "predicts the return from step t on, not the episode's. Choose the credit "
            "`reward-to-go`, or another baseline."
        )
