"""SAC-Lagrangian: soft actor-critic under a budget of cost, held by one dual."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array

from reins.agents.agent import Agent, act_by_policy, require
from reins.agents.episode_costs import EpisodeCosts, count_costs, init_episode_costs
from reins.agents.priors import Prior, uniform_prior
from reins.agents.replaying import (
    check_counts,
    fit_twins,
    follow,
    updates_from_replay,
)
from reins.agents.sac import CriticTarget, PolicyCritic
from reins.agents.soft_losses import ESTIMATOR_OF, PolicyLoss
from reins.agents.soft_updates import (
    at_states,
    check_floors,
    policy_step,
    temperature_violation,
    values_after,
)
from reins.agents.values import largest, least, priced
from reins.credit import soft_td_targets
from reins.data.replay import ReplayBuffer, Transitions, init_replay, sample_replay
from reins.duals import Dual, DualState
from reins.errors import ConfigError
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

Pair = tuple[Any, Any]


class SACLagrangianState(NamedTuple):
    """Networks, their optimisers, both duals, and everything remembered.

    Attributes:
      critics: of reward, and of cost; two or more of each. targets: that follow them.
      optimizers: of the policy, and of both kinds of critics.
      dual: the multiplier of the cost.
      episodes: what moves it.
    """

    policy: Policy
    critics: Pair
    targets: Pair
    prior: Any
    temperature: DualState
    dual: DualState
    optimizers: tuple[optax.OptState, Pair]
    episodes: EpisodeCosts
    replay: ReplayBuffer


def sac_lagrangian(
    policy: PolicyInit,
    critic: Callable[[Key], Any],
    optimizer: optax.GradientTransformation,
    temperature: Dual,
    dual: Dual,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    environments: int,
    budget: float = 0.0,
    cost_critics: int = 2,
    policy_loss: PolicyLoss = "reverse-kl",
    action_samples: int = 1,
    state_samples: int | None = None,
    critic_target: CriticTarget = "soft",
    policy_critic: PolicyCritic = "least",
    prior: Prior | None = None,
    entropy_floor: float | None = None,
    kl_ceiling: float | None = None,
    discount: float = 0.99,
    polyak: float = 0.005,
    batch_size: int = 256,
    buffer_size: int = 1_000_000,
    learning_starts: int = 1000,
    updates_per_step: int = 1,
) -> Agent:
    """max_π J(π) − α KL(π ‖ π₀) − λ (E[episode cost] − budget), λ by the violation.

    After every batch, `updates_per_step` times for each of its steps:
        y  = r + γ (min_j Q̄_j − α log(π/π₀))(s', a')    (classic: without log(π/π₀))
        y' = c + γ max_j Q̄ᶜ_j(s', a')
        critics by least squares; Q̄ and Q̄ᶜ follow slowly
        π ← π − η ∇ of the chosen divergence of Q = (min_j Q_j − λ max_j Qᶜ_j)/(1 + λ),
            at the temperature α/(1 + λ)
    and where episodes have ended, λ by their mean undiscounted cost less the budget.

    So λ is the price of a unit of cost, and α that of a nat, both in units of reward;
    1 + λ only keeps the loss in one range. Each critic is taken from the side that is
    not hoped for: the policy goes where errors please it, and of a cost the small ones
    please.

    Source: S2 (9), by S1 Algorithm 1.

    Args:
      policy, critic, optimizer, temperature: as `sac`; `critic` makes those of cost
        too.
      dual: the multiplier. It rests until learning starts.
      environments: N, the rows of every batch, whose episodes' costs are added up.
      budget: allowed cost per episode, in units of cost, undiscounted.
      cost_critics: how many critics of cost there are.
      policy_critic: Q of the policy's update: the side that is not hoped for, or the
        first critics alone.
      others: as `sac`.

    Raises: as `sac`; ConfigError also for a batch of other than N rows.
    """
    require(policy, [ESTIMATOR_OF[policy_loss]])
    states = batch_size if state_samples is None else state_samples
    counts = {
        "batch_size": batch_size,
        "state_samples": states,
        "action_samples": action_samples,
        "updates_per_step": updates_per_step,
        "environments": environments,
        "cost_critics": cost_critics,
    }
    check_counts("sac-lagrangian", counts)
    check_floors("sac-lagrangian", entropy_floor, kl_ceiling)
    default = uniform_prior(action_space) if prior is None else prior
    discrete = isinstance(action_space, spaces.Discrete)

    def init(key: Key) -> SACLagrangianState:
        policy_key, prior_key, *critic_keys = jax.random.split(key, 4 + cost_critics)
        made: Any = policy(policy_key)
        every = [critic(k) for k in critic_keys]
        critics = tuple(every[:2]), tuple(every[2:])
        moments = optimizer.init(critics[0]), optimizer.init(critics[1])  # pyright: ignore
        return SACLagrangianState(
            policy=made,
            critics=critics,
            targets=jax.tree.map(jnp.copy, critics),
            prior=default.init(prior_key),
            temperature=temperature.init(),
            dual=dual.init(),
            optimizers=(optimizer.init(made), moments),
            episodes=init_episode_costs(environments),
            replay=init_replay(
                buffer_size, observation_space, action_space, costs=True
            ),
        )

    def fit_critics(
        state: SACLagrangianState, steps: Transitions, alpha: Array, key: Key
    ) -> tuple[SACLagrangianState, Info]:
        paid, charged = state.targets
        (q, cost_q), ratios = values_after(
            [least(paid, discrete=discrete), largest(charged, discrete=discrete)],
            *(state.policy, default, state.prior, steps.next_observations, key),
        )
        ends, charges = steps.terminated, steps.costs
        assert charges is not None  # noqa: S101
        targets = soft_td_targets(
            *(steps.rewards, q, ratios, ends),
            discount=discount,
            temperature=alpha if critic_target == "soft" else 0.0,
        )
        cost_targets = soft_td_targets(
            *(charges, cost_q, ratios, ends), discount=discount, temperature=0.0
        )
        policy_moments, (moments, cost_moments) = state.optimizers
        critics, moments, info = fit_twins(
            *(optimizer, state.critics[0], moments, steps, targets), discrete=discrete
        )
        cost_critics, cost_moments, cost_info = fit_twins(
            *(optimizer, state.critics[1], cost_moments, steps, cost_targets),
            discrete=discrete,
        )
        both = critics, cost_critics
        moved = state._replace(
            critics=both,
            targets=follow(state.targets, both, polyak),
            optimizers=(policy_moments, (moments, cost_moments)),
        )
        return moved, info | {f"cost_{name}": x for name, x in cost_info.items()}

    def improve(
        state: SACLagrangianState, observations: Array, alpha: Array, key: Key
    ) -> tuple[SACLagrangianState, Info]:
        multiplier = dual.value(state.dual)
        used = None if policy_critic == "least" else 1
        paid, charged = (critics[:used] for critics in state.critics)
        values = priced(
            least(paid, discrete=discrete),
            largest(charged, discrete=discrete),
            multiplier,
        )
        made, moments, info = policy_step(
            policy_loss,
            optimizer,
            state.policy,
            state.optimizers[0],
            at_states(values, observations, default, state.prior),
            key,
            action_samples=action_samples,
            temperature=alpha / (1.0 + multiplier),
        )
        optimizers = (moments, state.optimizers[1])
        return state._replace(policy=made, optimizers=optimizers), info

    def once(state: SACLagrangianState, key: Key) -> tuple[SACLagrangianState, Info]:
        sample_key, next_key, policy_key = jax.random.split(key, 3)
        # gather
        steps = sample_replay(state.replay, sample_key, batch_size)
        alpha = temperature.value(state.temperature)
        # credit
        state, fit = fit_critics(state, steps, alpha, next_key)
        remembered, known = default.update(state.prior, steps)
        # weigh, ascend
        state, info = improve(state, steps.observations[:states], alpha, policy_key)
        # constrain: the entropy
        violation = temperature_violation(info, entropy_floor, kl_ceiling)
        moved = temperature.update(state.temperature, violation)
        info |= fit | known | {"temperature": alpha}
        return state._replace(temperature=moved, prior=remembered), info

    learn = updates_from_replay(
        once,
        updates_per_step=updates_per_step,
        learning_starts=learning_starts,
        buffer_size=buffer_size,
    )

    def update(
        state: SACLagrangianState, batch: Trajectory, key: Key
    ) -> tuple[SACLagrangianState, Info]:
        _check_rows(batch, environments)
        state, info = learn(state, batch, key)
        # constrain: the cost
        episodes, ended = count_costs(state.episodes, batch)
        violation = jax.lax.stop_gradient(episodes.latest - budget)
        due = ended & (state.replay.size >= min(learning_starts, buffer_size))
        moved = jax.tree.map(
            lambda new, old: jnp.where(due, new, old),
            dual.update(state.dual, violation),
            state.dual,
        )
        info |= {"multiplier": dual.value(moved), "episode_cost": episodes.latest}
        return state._replace(dual=moved, episodes=episodes), info

    return Agent(init, act_by_policy, update)


def _check_rows(batch: Trajectory, environments: int) -> None:
    rows = batch.rewards.shape[0]
    if rows != environments:
        raise ConfigError(
            f"a batch has {rows} environments; `sac-lagrangian` was built for "
            f"{environments}, whose episodes' costs it adds up. Build it with the "
            "number of environments that it is trained in."
        )
