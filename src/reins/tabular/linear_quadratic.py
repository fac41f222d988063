"""A linear-quadratic Gaussian problem on a line: exact answers for real actions.

    s_{t+1} = a s_t + b u_t + c + σ w_t,   r_t = −q (s_t − goal)² − ρ u_t²,   t < T
    π(u|s) = N(gain s + offset, std²),   w_t standard normal,   s_0 Gaussian

States stay Gaussian, so no sum is ever cut off. Values and messages are quadratic, and
to be found in `reins.tabular.quadratic_forms`.
"""

import math
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, ScalarLike

from reins.errors import ConfigError, sentence_of_faults
from reins.tabular.quadrature import gauss_hermite_grid
from reins.types import Key


class LinearPolicy(NamedTuple):
    """π(u|s) = N(gain s + offset, exp(log_std)²)."""

    gain: Float[Array, ""]
    offset: Float[Array, ""]
    log_std: Float[Array, ""]

    def act(
        self, states: Float[Array, "*#batch"], noise: Float[Array, "*#batch"]
    ) -> Float[Array, "*#batch"]:
        """gain s + offset + std ε: the action of standard normal noise ε."""
        return self.gain * states + self.offset + jnp.exp(self.log_std) * noise

    def log_prob(
        self, states: Float[Array, "*#batch"], actions: Float[Array, "*#batch"]
    ) -> Float[Array, "*#batch"]:
        """log π(u|s), in nats."""
        mean = self.gain * states + self.offset
        return norm.logpdf(actions, mean, jnp.exp(self.log_std))


class LinearQuadratic(eqx.Module):
    """The problem; made and checked by `linear_quadratic`, which says what is what."""

    state_factor: float
    action_factor: float
    drift: float
    noise_std: float
    goal: float
    state_weight: float
    action_weight: float
    initial_mean: float
    initial_std: float
    prior_std: float
    discount: float = eqx.field(static=True)
    horizon: int = eqx.field(static=True)

    def reward(
        self, states: Float[Array, "*#batch"], actions: Float[Array, "*#batch"]
    ) -> Float[Array, "*#batch"]:
        """r(s, u) = −q (s − goal)² − ρ u², in units of reward."""
        away = jnp.square(states - self.goal)
        return -self.state_weight * away - self.action_weight * jnp.square(actions)

    def log_prior(self, actions: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """log π₀(u), in nats; the same in every state."""
        return norm.logpdf(actions, 0.0, self.prior_std)


def linear_quadratic(
    *,
    horizon: int,
    state_factor: float,
    action_factor: float,
    goal: float,
    drift: float = 0.0,
    noise_std: float = 1.0,
    state_weight: float = 1.0,
    action_weight: float = 1.0,
    initial_mean: float = 0.0,
    initial_std: float = 1.0,
    prior_std: float = 1.0,
    discount: float = 1.0,
) -> LinearQuadratic:
    """Check the numbers of a linear-quadratic problem and put them together.

    Args:
      horizon: T ≥ 1, steps.
      state_factor, action_factor, drift: a, b and c of s' = a s + b u + c + σ w.
      noise_std: σ ≥ 0.
      goal: where the reward of the state is highest.
      state_weight, action_weight: q, ρ ≥ 0, units of reward per squared unit.
      initial_mean, initial_std: of s_0; the second ≥ 0.
      prior_std: > 0, of the default policy π₀(u) = N(0, prior_std²).
      discount: γ in [0, 1].

    Raises: ConfigError, all faults at once.
    """
    numbers = {
        "state_factor": state_factor,
        "action_factor": action_factor,
        "drift": drift,
        "noise_std": noise_std,
        "goal": goal,
        "state_weight": state_weight,
        "action_weight": action_weight,
        "initial_mean": initial_mean,
        "initial_std": initial_std,
        "prior_std": prior_std,
        "discount": discount,
    }
    faults = _faults(numbers)
    if horizon < 1:
        faults.append(f"the horizon is {horizon} steps; an episode needs at least one")
    if faults:
        subject = "these numbers make no linear-quadratic problem"
        raise ConfigError(sentence_of_faults(subject, faults))
    floats = {name: float(value) for name, value in numbers.items()}
    return LinearQuadratic(**floats, horizon=horizon)


def _faults(numbers: dict[str, float]) -> list[str]:
    faults = [
        f"{name} is {value}; it must be a finite number"
        for name, value in numbers.items()
        if not math.isfinite(value)
    ]
    for name in ("noise_std", "state_weight", "action_weight", "initial_std"):
        if numbers[name] < 0:
            faults.append(f"{name} is {numbers[name]}; it must not be negative")
    if numbers["prior_std"] <= 0:
        faults.append(f"prior_std is {numbers['prior_std']}; it must be above 0")
    if not 0.0 <= numbers["discount"] <= 1.0:
        faults.append(f"the discount is {numbers['discount']}; choose one in [0, 1]")
    return faults


class StateMoments(NamedTuple):
    """Mean and variance of s_t, which is Gaussian."""

    mean: Float[Array, " T_plus_1"]
    variance: Float[Array, " T_plus_1"]


@jax.jit
def state_moments(problem: LinearQuadratic, policy: LinearPolicy) -> StateMoments:
    """Mean and variance of s_0..s_T, with f = a + b gain.

    m_{t+1} = f m_t + b offset + c,   v_{t+1} = f² v_t + b² std² + σ²
    """
    factor = problem.state_factor + problem.action_factor * policy.gain
    shift = problem.action_factor * policy.offset + problem.drift
    action_part = jnp.square(problem.action_factor * jnp.exp(policy.log_std))
    spread = action_part + problem.noise_std**2

    def step(now, _):
        mean, variance = now
        following = (factor * mean + shift, factor**2 * variance + spread)
        return following, now

    start = (jnp.asarray(problem.initial_mean), jnp.asarray(problem.initial_std) ** 2)
    last, before = jax.lax.scan(step, start, length=problem.horizon)
    return StateMoments(*map(jnp.append, before, last))


def visit_moments(states: StateMoments, policy: LinearPolicy) -> Float[Array, "T 3 3"]:
    """E[x xᵀ], x = (1, s_t, u_t), of states with these moments where the policy acts.

    Identities: E[xᵀ M x] is the sum of all M_ij E[x_i x_j].
    Args: `policy`, one for all steps, or one for each with a leading axis T.
    """
    mean, variance = states.mean[:-1], states.variance[:-1]
    square = variance + jnp.square(mean)
    acted = policy.gain * mean + policy.offset
    crossed = policy.gain * square + policy.offset * mean
    acted_square = policy.gain * crossed + policy.offset * acted
    acted_square = acted_square + jnp.exp(2 * policy.log_std)
    rows = [
        [jnp.ones_like(mean), mean, acted],
        [mean, square, crossed],
        [acted, crossed, acted_square],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


@jax.jit
def soft_linear_quadratic_return(
    problem: LinearQuadratic, policy: LinearPolicy, *, temperature: ScalarLike
) -> Float[Array, ""]:
    """E[Σ_t γ^t (r_t − α log(π/π₀)(u_t|s_t))], through the moments of the states.

    Source: S1 3.0.1.
    Identities: temperature 0 is J; without discount its gradient in the policy is −α
    times that of `linear_quadratic_reverse_kl`.
    Args: `temperature` α ≥ 0, units of reward per nat.
    Returns: units of reward.
    """
    mean, variance = (moment[:-1] for moment in state_moments(problem, policy))
    action_mean = policy.gain * mean + policy.offset
    action_variance = policy.gain**2 * variance + jnp.exp(2 * policy.log_std)
    action_square = action_mean**2 + action_variance
    away = (mean - problem.goal) ** 2 + variance
    rewards = -problem.state_weight * away - problem.action_weight * action_square
    kl = action_square / (2 * problem.prior_std**2) + kl_of_scales(problem, policy)
    discounts = problem.discount ** jnp.arange(problem.horizon)
    return jnp.sum(discounts * (rewards - temperature * kl))


def linear_quadratic_return(
    problem: LinearQuadratic, policy: LinearPolicy
) -> Float[Array, ""]:
    """J = E[Σ_t γ^t r_t], through the moments of the states.

    Source: S3, the objective.   Returns: units of reward.
    """
    return soft_linear_quadratic_return(problem, policy, temperature=0.0)


class LinearQuadraticSample(NamedTuple):
    """N simulated trajectories: s_0..s_T, u_0..u_{T−1}, r_0..r_{T−1}."""

    states: Float[Array, "N T_plus_1"]
    actions: Float[Array, "N T"]
    rewards: Float[Array, "N T"]


@partial(jax.jit, static_argnames="n")
def sample_linear_quadratic(
    problem: LinearQuadratic, policy: LinearPolicy, key: Key, *, n: int
) -> LinearQuadraticSample:
    """Simulate n trajectories; differentiable in the policy through the actions."""
    noise = jax.random.normal(key, (2 * problem.horizon + 1, n))
    start = problem.initial_mean + problem.initial_std * noise[0]
    a, b = problem.state_factor, problem.action_factor

    def step(states, noises):
        actions = policy.act(states, noises[0])
        following = a * states + b * actions + problem.drift
        following = following + problem.noise_std * noises[1]
        return following, (states, actions, problem.reward(states, actions))

    steps = noise[1:].reshape(problem.horizon, 2, n)
    last, (states, actions, rewards) = jax.lax.scan(step, start, steps)
    states = jnp.concatenate([states, last[None]])
    return LinearQuadraticSample(states.T, actions.T, rewards.T)


def smoothed_return(
    problem: LinearQuadratic,
    mean: LinearPolicy,
    *,
    std: ScalarLike,
    nodes: int | None = None,
) -> Float[Array, ""]:
    """E[J(θ)] over θ = (gain, offset) ~ N(mean, std² I), the scale of actions held.

    J is a polynomial of degree 2T, for which T + 1 nodes are exact.

    Source: S3, evolutionary methods, U(μ).   Identities: std 0 is J.
    Args: `std` ≥ 0; `nodes` of the quadrature in each parameter, T + 1 when None.
    Returns: units of reward, differentiable in `mean`.
    """
    nodes = problem.horizon + 1 if nodes is None else nodes
    points, log_weights = gauss_hermite_grid(nodes, 2)
    policies = LinearPolicy(
        mean.gain + std * points[:, 0],
        mean.offset + std * points[:, 1],
        jnp.broadcast_to(mean.log_std, log_weights.shape),
    )
    returns = jax.vmap(linear_quadratic_return, in_axes=(None, 0))(problem, policies)
    return jnp.sum(jnp.exp(log_weights) * returns)


def kl_of_scales(problem: LinearQuadratic, policy: LinearPolicy) -> Float[Array, ""]:
    """What of KL(π ‖ π₀) is not E[u²] / (2 prior_std²)."""
    return jnp.log(problem.prior_std) - policy.log_std - 0.5
