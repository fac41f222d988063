"""Off-policy policy gradient: data of older policies, weighed by ratios, used again."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnasium import spaces
from jaxtyping import Array, Bool, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.demonstrator import as_episodes, cloned, mean_log_prob
from reins.agents.episode_memory import Memory, empty_memory, recall, remember
from reins.agents.off_policy_checks import (
    Baseline,
    Behaviour,
    Denominator,
    Weights,
    check_behaviour,
    check_names,
    check_numbers,
    check_rows,
)
from reins.agents.off_policy_choice import Chosen, choose, until_refused
from reins.agents.off_policy_weights import (
    Form,
    credited,
    mean_of_others,
    self_normalised,
)
from reins.agents.policy_gradient import (
    episode_gradient,
    episodes_with_room,
    there,
)
from reins.data import Demonstrations
from reins.estimators import score_advantage_loss
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory


class OffPolicyState(NamedTuple):
    """Policy, optimiser, what is remembered, and who demonstrated, if anybody did."""

    policy: Policy
    optimizer: optax.OptState
    memory: Memory
    demonstrators: tuple[Policy, ...]


def off_policy_pg(
    policy: PolicyInit,
    optimizer: optax.GradientTransformation,
    *,
    horizon: int,
    environments: int,
    rollout_steps: int,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    form: Form = "per-decision",
    denominator: Denominator = "mixture",
    weights: Weights = "plain",
    baseline: Baseline = "time",
    memory: int = 4,
    passes: int = 4,
    min_ess_fraction: float = 0.5,
    discount: float = 0.99,
    discount_states: bool = False,
    demonstrations: Demonstrations | None = None,
    behaviour: Behaviour | None = None,
    clone_steps: int = 500,
    clone_optimizer: optax.GradientTransformation | None = None,
    measure_variance: bool = False,
) -> Agent:
    """Policy gradient from the whole episodes of several policies, in several passes.

    θ ← θ + η (1/n) Σ_i Σ_t ∇ log π(a_t|s_t) (x_t − w_t b_t)

    with w_t ratios of π/β and x_t returns times ratios, by `form`: see `credited`.

    A step is taken over the latest batches and, if given, demonstrations. Before each,
    what they weigh under the present π is looked at: a behaviour whose own weights
    have collapsed is left out of the step; if all together still have, so is all but
    the newest; and when that has, the passes end. The first step on a new batch has
    weights of 1 and is always taken. What is left out is not forgotten.

    Leaving out depends on the data, so it is a bias of its own; with `form`
    trajectory-ratio or per-decision and plain weights it is the only one.

    Source: S4 (32), (34), (35); S3, off-policy.
    Identities: one pass with a memory of 1 is `reinforce` with the baseline of the same
    name, and the total return (trajectory-ratio) or the reward-to-go (the others).

    Args:
      policy: how to make it from a key. optimizer: updates it.
      horizon: most steps in an episode; rollouts are at least as long.
      environments, rollout_steps: of every batch. observation_space, action_space: the
        environment's. They say how much is to be remembered.
      form: which ratios, see `log_weights`.
      denominator: ratios to the policy that acted, or to the mixture of all in use.
      weights: as they are (unbiased), or with their mean over episodes made 1.
      baseline: none, or the mean of x_t over other episodes, see `mean_of_others`.
      memory: K ≥ 1, batches. passes: most steps on each new batch.
      min_ess_fraction: in (0, 1], see `usable_fraction`; 1 forbids all use of old data.
      discount: γ in [0, 1].
      discount_states: weigh step t by γ^t; trajectory-ratio has it in its return.
      demonstrations: episodes with their rewards, kept beside the memory.
      behaviour: who acted in them: `cloned`, a policy fitted to them by maximum
        likelihood, `clone_steps` of `clone_optimizer` (Adam, 3e-3) on all of them. Not
        knowing their policy is one more bias.
      measure_variance: log the gradient's variance; all episodes' gradients are then in
        memory at once.

    Raises: ConfigError, DataError, CapabilityError.
    """
    check_names(form, denominator, weights, baseline)
    check_numbers(memory, passes, min_ess_fraction, horizon, rollout_steps)
    check_behaviour(demonstrations, behaviour, clone_steps)
    require(policy, [form.replace("-", "_")])
    rows = environments * (rollout_steps // horizon)
    room = (memory, rows, horizon, observation_space, action_space)
    told = None
    if demonstrations is not None:
        told = as_episodes(demonstrations, horizon, observation_space, action_space)
    cloning = clone_optimizer or optax.adam(3e-3)

    def init(key: Key) -> OffPolicyState:
        policy_key, clone_key = jax.random.split(key)
        made: Any = policy(policy_key)
        kept = empty_memory(made, *room, keep_policies=denominator == "mixture")
        demonstrators = ()
        if told is not None:
            demonstrators = (
                cloned(policy, told, cloning, clone_key, steps=clone_steps),
            )
        return OffPolicyState(made, optimizer.init(made), kept, demonstrators)

    def credit(episodes: Trajectory, chosen: Chosen) -> Float[Array, "N T"]:
        logs, mask = chosen.logs, chosen.mask
        if weights == "self-normalised":
            logs = self_normalised(form, logs, mask)
        earned, ratios = credited(
            form,
            logs,
            episodes.rewards,
            mask,
            discount=discount,
            discount_states=discount_states,
        )
        if baseline == "none":
            return earned
        strata = chosen.members
        if denominator == "own":  # every behaviour's own mean of w ∇ log π is 0
            strata = jnp.any(strata, axis=0, keepdims=True)
        return earned - ratios * mean_of_others(earned, mask, strata)

    def loss(policy: Policy, episode: Trajectory, weights: Float[Array, " T"]):
        log_probs = policy(episode.observations).log_prob(episode.actions)
        row = jax.tree.map(lambda x: x[None], (log_probs, weights, episode.mask))
        return score_advantage_loss(*row)[0], log_probs

    def update(
        state: OffPolicyState, batch: Trajectory, key: Key
    ) -> tuple[OffPolicyState, Info]:
        del key
        # gather
        episodes = episodes_with_room(batch, horizon=horizon)
        check_rows(len(episodes.mask), rows, environments, rollout_steps)
        kept = remember(state.memory, state.policy, episodes)
        data = recall(kept, told, *state.demonstrators)
        n = jnp.sum(there(episodes))

        def one_pass(parts: Any, first: Bool[Array, ""]):
            policy, optimizer_state = parts
            # weigh
            seen = policy(data.episodes.observations)
            log_probs = seen.log_prob(data.episodes.actions)
            chosen, info = choose(form, log_probs, data, least=min_ess_fraction)
            taken = first | (chosen.usable >= min_ess_fraction)
            in_use = jnp.any(chosen.members, axis=1)
            info["batches_used"] = jnp.sum(in_use[:memory])
            info["demonstrations_used"] = jnp.sum(in_use[memory:])
            # credit
            advantages = credit(data.episodes, chosen)
            # ascend
            gradient, _, found = episode_gradient(
                loss,
                policy,
                data.episodes._replace(mask=chosen.mask),
                advantages,
                measure_variance=measure_variance,
            )
            moved = descend(optimizer, policy, gradient, optimizer_state)
            return _pick(taken, moved, parts), taken, info | found

        start = state.policy, state.optimizer
        parts, info = until_refused(one_pass, start, n > 0, passes=passes)
        entropies = state.policy(episodes.observations).entropy()
        steps = jnp.maximum(jnp.sum(episodes.mask), 1)
        info["entropy"] = jnp.sum(jnp.where(episodes.mask, entropies, 0.0)) / steps
        if told is not None:
            (teller,) = state.demonstrators
            info["clone_log_likelihood"] = mean_log_prob(teller, told)
        after = OffPolicyState(parts[0], parts[1], kept, state.demonstrators)
        return _pick(n > 0, after, state), info | {"episodes": n}

    return Agent(init, act_by_policy, update)


def _pick(condition: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
