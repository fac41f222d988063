"""Actor-critic: fit a critic to each batch, then one step along its advantages."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from reins.agents.agent import Agent, act_by_policy, descend, require
from reins.agents.policy_gradient import at_least_one, fit, one_of, policy_loss
from reins.credit import gae_advantages
from reins.critics import ActionValueCritic, ValueCritic, value_loss
from reins.errors import CapabilityError, ConfigError
from reins.policies import Policy, PolicyInit
from reins.types import Info, Key, Trajectory

Critic = ValueCritic | ActionValueCritic
Kind = Literal["v", "q"]
Estimate = Literal["mc", "td"]
CRITICS: dict[str, type] = {"v": ValueCritic, "q": ActionValueCritic}
GAE_LAMBDAS = {"mc": 1.0, "td": 0.0}
"""Returns as far as the row goes, and one step; bootstrapped where they are cut."""


class ActorCriticState(NamedTuple):
    """Policy and critic, each with its optimiser."""

    policy: Policy
    critic: Critic
    optimizer: optax.OptState
    critic_optimizer: optax.OptState


def actor_critic(
    policy: PolicyInit,
    critic: Callable[[Key], Critic],
    optimizer: optax.GradientTransformation,
    critic_optimizer: optax.GradientTransformation,
    *,
    critic_kind: Kind = "v",
    critic_target: Estimate = "td",
    critic_epochs: int = 10,
    advantage: Estimate | None = None,
    discount: float = 0.99,
    entropy_weight: float = 0.0,
) -> Agent:
    """Fit V (or Q), then θ ← θ + η mean_t ∇ log π(a_t|s_t) A_t, once per batch.

    With V: A = G_t − V(s_t) (`mc`) or r + γ V(s') − V(s) (`td`). With Q, of finitely
    many actions: A = Q(s, a) − Σ_a' π(a'|s) Q(s, a'). A time limit and the row's end
    keep their bootstrap, a termination does not. As in S3, advantages come from the
    critic that has just been fitted to the same batch.

    Source: S3, actor-critic.

    Args:
      policy, critic: how to make them from a key; `critic` as `critic_kind` says.
      optimizer, critic_optimizer: update one each; nothing is shared.
      critic_kind: V(s), or Q(s, .).
      critic_target: what the critic is fitted to: G_t, or r + γ V(s') with the V from
        before the fit; for Q, V(s) = Σ_a π(a|s) Q(s, a).
      critic_epochs: steps of that regression per batch.
      advantage: of V: `td` unless told; Q has one only.
      discount: γ in [0, 1].
      entropy_weight: units of reward per nat of entropy.
    """
    _check_options(critic_kind, critic_target, advantage)
    at_least_one("critic_epochs", critic_epochs)
    _check_parts(policy, critic, critic_kind)
    require(policy, ["score_advantage", "entropy_bonus"])
    decide = GAE_LAMBDAS[advantage or "td"]

    def init(key: Key) -> ActorCriticState:
        policy_key, critic_key = jax.random.split(key)
        actor: Any = policy(policy_key)
        judge: Any = critic(critic_key)
        return ActorCriticState(
            actor, judge, optimizer.init(actor), critic_optimizer.init(judge)
        )

    def fit_critic(
        state: ActorCriticState, batch: Trajectory
    ) -> tuple[Critic, optax.OptState, Float[Array, ""]]:
        def values(observations: Array) -> Array:
            return state_values(state.critic, state.policy, observations)

        weight = GAE_LAMBDAS[critic_target]
        errors = bootstrapped(values, batch, discount=discount, gae_lambda=weight)
        targets = errors + values(batch.observations)
        return fit(
            lambda critic: value_loss(of_taken(critic, batch), targets, batch.mask),
            critic_optimizer,
            state.critic,
            state.critic_optimizer,
            epochs=critic_epochs,
        )

    def update(
        state: ActorCriticState, batch: Trajectory, key: Key
    ) -> tuple[ActorCriticState, Info]:
        del key
        # credit
        critic, critic_state, loss = fit_critic(state, batch)
        if critic_kind == "q":
            advantages = action_advantages(critic, state.policy, batch)
        else:
            advantages = bootstrapped(
                critic, batch, discount=discount, gae_lambda=decide
            )
        # ascend
        gradient, info = jax.grad(policy_loss, has_aux=True)(
            state.policy, batch, advantages, entropy_weight=entropy_weight
        )
        info |= {"value_loss": loss, "gradient_norm": optax.tree.norm(gradient)}
        actor, actor_state = descend(optimizer, state.policy, gradient, state.optimizer)
        return ActorCriticState(actor, critic, actor_state, critic_state), info

    return Agent(init, act_by_policy, update)


def bootstrapped(
    values: Callable[[Array], Array],
    batch: Trajectory,
    *,
    discount: float,
    gae_lambda: float,
) -> Float[Array, "N T"]:
    """GAE advantages under V, a function of observations; plus V, its targets."""
    return gae_advantages(
        batch.rewards,
        values(batch.observations),
        values(batch.next_observations),
        batch.terminated,
        batch.ends,
        discount=discount,
        gae_lambda=gae_lambda,
    )


def state_values(critic: Critic, policy: Policy, observations: Array) -> Array:
    """V(s), or Σ_a π(a|s) Q(s, a)."""
    values = critic(observations)
    if isinstance(critic, ValueCritic):
        return values
    distribution: Any = policy(observations)
    return jnp.sum(jnp.exp(distribution.log_probs) * values, axis=-1)


def of_taken(critic: Critic, batch: Trajectory) -> Float[Array, "N T"]:
    """V(s_t), or Q(s_t, a_t)."""
    values = critic(batch.observations)
    if isinstance(critic, ValueCritic):
        return values
    return jnp.take_along_axis(values, batch.actions[..., None], axis=-1)[..., 0]


def action_advantages(
    critic: Critic, policy: Policy, batch: Trajectory
) -> Float[Array, "N T"]:
    """Q(s_t, a_t) − Σ_a π(a|s_t) Q(s_t, a).

    Source: S3, advantages; in the form with Q.
    Identities: averages to 0 under the policy, at every state.
    """
    return of_taken(critic, batch) - state_values(critic, policy, batch.observations)


def _check_options(kind: str, target: str, advantage: str | None) -> None:
    one_of("critic kind", kind, get_args(Kind))
    one_of("critic target", target, get_args(Estimate))
    if advantage is not None:
        one_of("advantage", advantage, get_args(Estimate))
    if kind == "q" and advantage is not None:
        raise ConfigError(
            f"the advantage `{advantage}` was asked for with a Q critic; its advantage "
            "is always Q(s, a) − Σ_a π Q. Leave `advantage` out, or use a V critic."
        )


def _check_parts(
    policy: PolicyInit, critic: Callable[[Key], Critic], kind: str
) -> None:
    """Check that the critic is of its kind, and that Q meets finitely many actions."""
    key = jax.random.key(0)
    actor, judge = jax.eval_shape(policy, key), jax.eval_shape(critic, key)
    if not isinstance(judge, CRITICS[kind]):
        raise CapabilityError(
            f'critic_kind="{kind}" was asked for with a `{type(judge).__name__}`; it '
            f"needs a `{CRITICS[kind].__name__}`."
        )
    if kind == "q" and "enumerable" not in actor.gives:
        raise CapabilityError(
            "a Q critic averages over all actions, and needs `enumerable`; "
            f"`{type(actor).__name__}` gives {', '.join(sorted(actor.gives))} only. "
            "Use a V critic."
        )
