"""What policy-gradient agents share: whole episodes, gradients by episode, fits."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from reins.agents.agent import descend
from reins.data import split_episodes
from reins.errors import ConfigError, unknown_name
from reins.estimators import entropy_bonus_loss, score_advantage_loss
from reins.policies import Policy
from reins.types import Info, Trajectory

EpisodeLoss = Callable[[Policy, Trajectory, Float[Array, " T"]], tuple[Array, Array]]
"""(policy, one episode, the weight of each step) -> (loss, anything to be kept)."""


def one_of(kind: str, found: str, known: Iterable[str]) -> None:
    """Check the name of an option.

    Raises: ConfigError that names the known ones.
    """
    if found not in known:
        raise ConfigError(unknown_name(kind, found, known))


def at_least_one(name: str, found: int) -> None:
    """Check an option that counts.

    Raises: ConfigError when it is below 1.
    """
    if found < 1:
        raise ConfigError(f"`{name}` is {found}; it must be at least 1.")


def episodes_with_room(batch: Trajectory, *, horizon: int) -> Trajectory:
    """The whole episodes of a batch, one to a row; rows without one have no valid step.

    Of those that `split_episodes` finds, the ones with `horizon` steps of room between
    their first step and the row's end. Whether an episode has room is settled before it
    begins; one without would be whole only for being short, and choosing by length is
    choosing by what happened.

    Raises: ConfigError when rows are shorter than the horizon.
    """
    steps = batch.rewards.shape[1]
    if steps < horizon:
        raise ConfigError(
            f"whole episodes were asked for; the batch has rows of {steps} steps, and "
            f"an episode may last {horizon} (`horizon`), so a row may never hold one. "
            f"Gather at least {horizon} steps, or {2 * horizon - 1} to be sure of one "
            "in every row."
        )
    index, mask = split_episodes(batch, horizon=horizon)
    mask = mask & (index[:, :1] % steps <= steps - horizon)
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[index], batch)
    return rows._replace(mask=mask)


def there(episodes: Trajectory) -> Bool[Array, " N"]:
    """Which rows hold an episode."""
    return jnp.any(episodes.mask, axis=1)


def of_others(
    baseline: Float[Array, "N *T"], n: Int[Array, ""]
) -> Float[Array, "N *T"]:
    """A leave-one-out mean over all rows made one over the n that hold an episode."""
    return baseline * (max(baseline.shape[0] - 1, 1) / jnp.maximum(n - 1, 1))


def squared_score_norms(policy: Policy, episodes: Trajectory) -> Float[Array, " N"]:
    """‖∇ log p(τ_i)‖² of each episode: one gradient of the policy per episode."""

    def log_prob(policy: Policy, episode: Trajectory) -> Array:
        steps = policy(episode.observations).log_prob(episode.actions)
        return jnp.sum(jnp.where(episode.mask, steps, 0.0))

    return squared_norms(jax.vmap(jax.grad(log_prob), (None, 0))(policy, episodes))


def squared_norms(gradients: Any) -> Float[Array, " N"]:
    """Squared Euclidean norm over all leaves, for each entry of their first axis."""
    return jax.vmap(lambda gradient: optax.tree.norm(gradient, squared=True))(gradients)


def episode_gradient(
    loss: EpisodeLoss,
    policy: Policy,
    episodes: Trajectory,
    weights: Float[Array, "N T"],
    *,
    measure_variance: bool,
) -> tuple[Any, Array, Info]:
    """∇ (1/n) Σ_i loss_i over the n rows that hold an episode, and its variance.

    With g_i the gradients of the episodes and g their mean, the variance of g (the
    trace of its covariance) is estimated by Σ_i ‖g_i − g‖² / (n (n − 1)): as though the
    g_i were independent, and a leave-one-out baseline makes them slightly dependent.

    Source: S3, variance.

    Args:
      loss: of one episode; nothing and flat where no step is valid.
      weights: of each step. measure_variance: keep all n gradients, to compare them.
    Returns: the mean gradient; what `loss` keeps, by row; `gradient_norm` and, if
      measured, `gradient_variance` (0 with fewer than two episodes).
    """
    n = jnp.sum(there(episodes))
    if not measure_variance:

        def mean(policy: Policy):
            losses, kept = jax.vmap(loss, (None, 0, 0))(policy, episodes, weights)
            return jnp.sum(losses) / jnp.maximum(n, 1), kept

        gradient, kept = jax.grad(mean, has_aux=True)(policy)
        return gradient, kept, {"gradient_norm": optax.tree.norm(gradient)}
    by_episode = jax.vmap(jax.grad(loss, has_aux=True), (None, 0, 0))
    gradients, kept = by_episode(policy, episodes, weights)
    gradient = jax.tree.map(lambda g: jnp.sum(g, axis=0) / jnp.maximum(n, 1), gradients)
    apart = squared_norms(jax.tree.map(lambda g, mean: g - mean, gradients, gradient))
    spread = jnp.sum(jnp.where(there(episodes), apart, 0.0))
    variance = spread / jnp.maximum(n * (n - 1), 1)
    norm = optax.tree.norm(gradient)
    return gradient, kept, {"gradient_norm": norm, "gradient_variance": variance}


def policy_loss(
    policy: Policy,
    batch: Trajectory,
    advantages: Float[Array, "N T"],
    *,
    entropy_weight: float | Float[Array, ""],
) -> tuple[Float[Array, ""], Info]:
    """The score-function loss with the entropy bonus, per valid step.

    Per step, not per row: the weight of the entropy, and of a critic beside it, then
    does not depend on how many steps were gathered.

    Source: S3, actor-critic; S3, A3C (the entropy).
    """
    distribution = policy(batch.observations)
    log_probs = distribution.log_prob(batch.actions)
    score, _ = score_advantage_loss(log_probs, advantages, batch.mask)
    entropy, _ = entropy_bonus_loss(distribution.entropy(), batch.mask)
    scale = batch.mask.shape[0] / jnp.maximum(jnp.sum(batch.mask), 1)
    return scale * (score + entropy_weight * entropy), {"entropy": -scale * entropy}


def fit(
    loss: Callable[[Any], Float[Array, ""]],
    optimizer: optax.GradientTransformation,
    parameters: Any,
    optimizer_state: optax.OptState,
    *,
    epochs: int,
) -> tuple[Any, optax.OptState, Float[Array, ""]]:
    """So many steps of descent on one loss, and its value before the first of them."""

    def step(carry, _):
        value, gradients = jax.value_and_grad(loss)(carry[0])
        return descend(optimizer, carry[0], gradients, carry[1]), value

    start = parameters, optimizer_state
    (parameters, optimizer_state), values = jax.lax.scan(step, start, length=epochs)
    return parameters, optimizer_state, values[0]
