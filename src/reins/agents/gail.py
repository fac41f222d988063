"""GAIL: imitation by any agent, whose reward is to be taken for the expert.

D(s, a), a probability of "the expert did this", tells demonstrations from the
agent's own steps; the agent gets a reward of D, and the environment's is not used.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, AgentState, act_by_policy, descend
from reins.agents.icrl import ConstraintInit
from reins.constraints import Constraint, classifier_loss
from reins.errors import ConfigError, DataError
from reins.policies import Policy
from reins.types import Info, Key, Pairs, Trajectory

ImitationReward = Literal["positive", "log-odds", "negative"]
IMITATION_REWARDS: tuple[ImitationReward, ...] = get_args(ImitationReward)
LOGIT_BOUND = 11.5
"""log D/(1 − D) is cut here (D = 1e-5 from 0 and 1), so that rewards stay finite."""


class GailState(NamedTuple):
    """The agent, and D with its optimiser."""

    agent: AgentState
    discriminator: Constraint
    optimizer: optax.OptState

    @property
    def policy(self) -> Policy:
        return self.agent.policy


def imitation_reward(
    logits: Float[Array, "*batch"], form: ImitationReward = "positive"
) -> Float[Array, "*batch"]:
    """The reward of a step from log D/(1 − D), D the probability that an expert did it.

    positive   −log(1 − D) > 0: each step pays, so long episodes are good.
    log-odds   log D − log(1 − D): 0 where D is undecided.
    negative   log D < 0: each step costs, so an early end is good.

    With D optimal and its classes equally many, log-odds is log(ρ_expert/ρ_agent), and
    the agent's return from it −KL(ρ_agent ‖ ρ_expert) per step, undiscounted.

    Source: Ho & Ermon 2016 (their D is 1 − D here: `negative`; their code: `positive`);
    Fu et al. 2018, `log-odds`.
    Identities: log-odds = positive + negative; all grow with D.
    Returns: nats.
    """
    logits = jnp.clip(logits, -LOGIT_BOUND, LOGIT_BOUND)
    if form == "log-odds":
        return logits
    if form == "positive":
        return jax.nn.softplus(logits)
    return jax.nn.log_sigmoid(logits)


def gail(
    agent: Agent,
    discriminator: ConstraintInit,
    optimizer: optax.GradientTransformation,
    expert: Pairs,
    *,
    reward: ImitationReward = "positive",
    steps: int = 1,
) -> Agent:
    """Alternate steps of a discriminator with an agent's updates on its reward.

    Source: Ho & Ermon 2016, Algorithm 1; its discriminator as in S2, baselines.

    Args:
      agent: any agent that learns from the `rewards` of the batch it is given; one that
        remembers old batches would remember old rewards.
      discriminator: how to make D's network from a key.
      optimizer: of D.
      expert: the demonstrations, aligned pairs (s_t, a_t).
      reward: see `imitation_reward`.
      steps: of D on all demonstrations and the whole batch, before every update.

    Raises: ConfigError for settings that cannot be used; DataError without a pair.
    """
    if steps < 1:
        raise ConfigError(
            f"imitation was asked for with {steps} steps of the discriminator; it "
            "would never learn to tell. Choose at least 1."
        )
    if not bool(jnp.any(expert.mask)):
        raise DataError(
            "demonstrations of no step were to be imitated; give at least one step."
        )
    shown = (expert.observations, expert.actions)

    def loss(judge: Constraint, batch: Trajectory) -> tuple[Array, Info]:
        expert_logits = judge.logits(*shown)
        agent_logits = judge.logits(batch.observations, batch.actions)
        value = classifier_loss(expert_logits, expert.mask, agent_logits, batch.mask)
        info = {
            "discriminator_loss": value,
            "expert_recognised": _share(expert_logits > 0, expert.mask),
            "agent_recognised": _share(agent_logits < 0, batch.mask),
        }
        return value, info

    def improve(carry: tuple[Any, Any], batch: Trajectory) -> tuple[Any, Info]:
        judge, state = carry
        gradients, info = jax.grad(loss, has_aux=True)(judge, batch)
        return descend(optimizer, judge, gradients, state), info

    def init(key: Key) -> GailState:
        agent_key, judge_key = jax.random.split(key)
        judge: Any = discriminator(judge_key)
        return GailState(agent.init(agent_key), judge, optimizer.init(judge))

    def update(state: GailState, batch: Trajectory, key: Key) -> tuple[GailState, Info]:
        # gather, weigh: what the expert did against what the agent did
        carry, infos = jax.lax.scan(
            lambda carry, _: improve(carry, batch),
            (state.discriminator, state.optimizer),
            length=steps,
        )
        judge, optimizer_state = carry
        # credit, ascend: the agent's own, on the reward of the discriminator
        logits = judge.logits(batch.observations, batch.actions)
        rewards = jnp.where(batch.mask, imitation_reward(logits, reward), 0.0)
        seen = batch._replace(rewards=rewards.astype(batch.rewards.dtype))
        trained, info = agent.update(state.agent, seen, key)
        told = {name: values[0] for name, values in infos.items()}
        told["imitation_reward"] = jnp.sum(rewards) / jnp.maximum(
            jnp.sum(batch.mask), 1
        )
        return GailState(trained, judge, optimizer_state), info | told

    def act(state: GailState, observations: Array, key: Key) -> Array:
        return agent.act(state.agent, observations, key)

    # The policy is the agent's, so acting by one is acting by the other.
    return Agent(init, act_by_policy if agent.act is act_by_policy else act, update)


def _share(said: Array, mask: Array) -> Array:
    return jnp.sum(said & mask) / jnp.maximum(jnp.sum(mask), 1)
