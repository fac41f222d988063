"""Any agent on normalised observations and rewards; the statistics are its state.

They are saved with the agent, they move only when it learns, and its policy holds them
as they are: acting, evaluating and exporting it leave them frozen.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from reins.agents.agent import Agent, AgentState, act_by_policy
from reins.data import (
    Moments,
    RewardScale,
    init_moments,
    init_reward_scale,
    scale_rewards,
    update_moments,
    update_reward_scale,
)
from reins.errors import CapabilityError, ConfigError, sentence_of_faults
from reins.policies import NormalisedPolicy, Policy
from reins.types import Info, Key, Trajectory


class Clip(eqx.Module):
    """A setting that the state carries to its policy; it has no arrays to save."""

    bound: float = eqx.field(static=True)


class NormalisedState(NamedTuple):
    """The inner agent and the statistics; None for what is not normalised."""

    agent: AgentState
    observations: Moments | None
    rewards: RewardScale | None
    clip: Clip

    @property
    def policy(self) -> Policy:
        """The inner policy behind the present statistics: of raw observations."""
        inner, moments = self.agent.policy, self.observations
        return inner if moments is None else _behind(moments, inner, self.clip)


def normalised(
    agent: Agent,
    observation_size: int,
    *,
    environments: int,
    discount: float,
    observations: bool = True,
    rewards: bool = True,
    clip: float = 10.0,
) -> Agent:
    """The same agent, on observations and rewards in units of their own spread.

    s → clip((s − mean)/deviation of s),   r → clip(r / deviation of R),
    R_t = r_t + γ R_{t−1} within an episode

    *Observations* (and next observations) of a batch are normalised by the statistics
    under which it was gathered, and only then do these take it in: the inner agent sees
    what its policy saw, so that its log-probabilities of the actions are those that
    they were drawn with. The first batch is gathered under none, as it is but for the
    clip, and is learned from as it was gathered.

    *Rewards* are divided by a deviation that has already taken in their own batch: the
    first update is then not on wild rewards, and a factor common to a batch changes no
    action's rank. They are not shifted: that would change what is best where episodes
    can end.

    Costs stay in their own units, so budgets mean what they say; but a multiplier is
    then the price of a unit of cost in units of *scaled* reward.

    An agent that learns a constraint is not normalised from outside: its constraint
    must see what the demonstrations show. Normalise its forward agent instead.

    Args:
      agent: the inner agent; its networks see normalised observations.
      observation_size: D, the length of an observation.
      environments: N, the rows of every batch; row i goes on where it stopped.
      discount: γ of R.
      observations, rewards: which of the two; with neither, the agent itself returns.
      clip: bound of both after scaling, in standard deviations.

    Raises: ConfigError that lists every setting that cannot be used, and for a batch of
      other than N rows; CapabilityError around an agent that learns a constraint.
    """
    _check(observation_size, environments, discount, clip)
    if not (observations or rewards):
        return agent
    inner = jax.eval_shape(agent.init, jax.random.key(0))
    if hasattr(inner, "constraint") or hasattr(inner, "discriminator"):
        raise CapabilityError(
            "an agent that learns a constraint, or a discriminator, was to be "
            "normalised; what it learns would see other observations than those of the "
            "demonstrations, and other rewards than the environment's. Normalise the "
            "agent inside it: "
            "icrl(normalised(ppo_lagrangian(...), ...), ...)."
        )

    def init(key: Key) -> NormalisedState:
        return NormalisedState(
            agent.init(key),
            init_moments((observation_size,)) if observations else None,
            init_reward_scale(environments) if rewards else None,
            Clip(clip),
        )

    def update(
        state: NormalisedState, batch: Trajectory, key: Key
    ) -> tuple[NormalisedState, Info]:
        if batch.rewards.shape[0] != environments:
            raise ConfigError(
                f"a batch has {batch.rewards.shape[0]} environments; the agent was "
                f"built for {environments}, whose running returns it keeps. Build it "
                "with the number of environments that it is trained in."
            )
        # gather: the batch as the inner agent sees it
        moments, scale, seen, report = state.observations, state.rewards, batch, {}
        if moments is not None:
            normalise = _behind(moments, state.agent.policy, state.clip).normalise
            seen = seen._replace(
                observations=normalise(batch.observations),
                next_observations=normalise(batch.next_observations),
            )
            moments = update_moments(moments, batch.observations, batch.mask)
        if scale is not None:
            scale = update_reward_scale(scale, batch, discount=discount)
            seen = seen._replace(rewards=scale_rewards(scale, batch.rewards, clip=clip))
            report = {"return_deviation": 1.0 / scale.moments.scale}
        # credit, weigh, ascend, constrain: the agent's own
        trained, info = agent.update(state.agent, seen, key)
        return NormalisedState(trained, moments, scale, state.clip), info | report

    def act(state: NormalisedState, observations: Array, key: Key) -> Array:
        if state.observations is not None:
            policy = _behind(state.observations, state.agent.policy, state.clip)
            observations = policy.normalise(observations)
        return agent.act(state.agent, observations, key)

    return Agent(init, act_by_policy if agent.act is act_by_policy else act, update)


def _behind(moments: Moments, policy: Policy, clip: Clip) -> NormalisedPolicy:
    mean, scale = jnp.asarray(moments.mean), moments.scale
    return NormalisedPolicy(policy, mean, scale, clip.bound)


def _check(size: int, environments: int, discount: float, clip: float) -> None:
    faults = []
    if size < 1:
        faults.append(f"observations of {size} dimensions; expected at least 1")
    if environments < 1:
        faults.append(f"{environments} environments; expected at least 1")
    if not 0.0 <= discount <= 1.0:
        faults.append(f"a discount of {discount}; expected one in [0, 1]")
    if not clip > 0.0:
        faults.append(f"a clip of {clip}; expected a positive one, as 10")
    if faults:
        raise ConfigError(
            sentence_of_faults("normalising was asked for and cannot be done", faults)
        )
