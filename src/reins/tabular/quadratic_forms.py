"""What lies ahead in the linear-quadratic problem: values and messages, as forms.

A form is a symmetric matrix M and stands for xᵀ M x with x = (1, s, u), or with (1, s)
for what does not depend on an action. From messages follow the posterior's start,
policy and transitions, which are linear and Gaussian again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from reins.errors import ConfigError
from reins.tabular.linear_quadratic import (
    LinearPolicy,
    LinearQuadratic,
    StateMoments,
    kl_of_scales,
    soft_linear_quadratic_return,
    visit_moments,
)


@jax.jit
def quadratic_values(
    problem: LinearQuadratic, policy: LinearPolicy, *, temperature: ScalarLike
) -> Float[Array, "T 3 3"]:
    """The symmetric matrices of Q_t(s, u), for `quadratic_value`.

    Q_t(s, u) = r(s, u) + γ E[V_{t+1}(s')],   V_T = 0
    V_t(s) = E_{u~π}[Q_t(s, u) − α log(π/π₀)(u|s)]

    The soft Q leaves out the log-ratio of its own step.

    Source: S1 (4) corrected (correction 9).   Identities: temperature 0 is the classic
    Q; E[V_0(s_0)] is the soft return.
    Args: `temperature` α ≥ 0, units of reward per nat.
    Returns: coefficients of values in units of reward.
    """
    return _values(problem, policy, temperature)[1]


@jax.jit
def quadratic_state_values(
    problem: LinearQuadratic, policy: LinearPolicy, *, temperature: ScalarLike
) -> Float[Array, "T_plus_1 2 2"]:
    """The symmetric matrices of V_t(s), zero at the horizon; see `quadratic_values`.

    Source: S1 (4) corrected (correction 9).
    Identities: E[V_0(s_0)] is the soft return.
    Args and returns: as `quadratic_values`.
    """
    return _values(problem, policy, temperature)[0]


def quadratic_advantages(
    problem: LinearQuadratic, policy: LinearPolicy
) -> Float[Array, "T 3 3"]:
    """The symmetric matrices of A_t(s, u) = Q_t(s, u) − V_t(s), without temperature.

    Source: S3, "reducing variance".   Identities: E_{u~π}[A_t(s, u)] = 0 in every s.
    Returns: coefficients of values in units of reward.
    """
    values, q_values = _values(problem, policy, 0.0)
    return q_values - jnp.pad(values[:-1], ((0, 0), (0, 1), (0, 1)))


def _values(
    problem: LinearQuadratic, policy: LinearPolicy, temperature: ScalarLike
) -> tuple[Float[Array, "T_plus_1 2 2"], Float[Array, "T 3 3"]]:
    """V and Q."""
    moved = jnp.array([problem.drift, problem.state_factor, problem.action_factor])
    onward = jnp.stack([jnp.array([1.0, 0.0, 0.0]), moved])  # (1, E s') = onward x
    mean = jnp.stack([policy.offset, policy.gain])
    acted = jnp.concatenate([jnp.eye(2), mean[None]])  # E x = acted (1, s)
    variance = jnp.exp(2 * policy.log_std)
    kl = jnp.outer(mean, mean) / (2 * problem.prior_std**2)
    kl_constant = variance / (2 * problem.prior_std**2) + kl_of_scales(problem, policy)
    kl = kl.at[0, 0].add(kl_constant)

    def step(value, _):
        following = onward.T @ value @ onward
        following = following.at[0, 0].add(problem.noise_std**2 * value[1, 1])
        q = _reward_form(problem) + problem.discount * following
        before = acted.T @ q @ acted - temperature * kl
        return before.at[0, 0].add(variance * q[2, 2]), (value, q)

    end = jnp.zeros_like(kl)
    first, (after, q) = jax.lax.scan(step, end, length=problem.horizon, reverse=True)
    return jnp.concatenate([first[None], after]), q


def quadratic_value(
    form: Float[Array, "*#batch D D"],
    states: Float[Array, "*#batch"],
    actions: Float[Array, "*#batch"] | None = None,
) -> Float[Array, "*batch"]:
    """xᵀ M x of x = (1, s, u), or of (1, s) without actions, differentiable in x."""
    terms = (jnp.ones(()), states) if actions is None else (1.0, states, actions)
    x = jnp.stack(jnp.broadcast_arrays(*map(jnp.asarray, terms)), axis=-1)
    return jnp.einsum("...i,...ij,...j->...", x, form, x)


def soft_linear_quadratic_values(
    problem: LinearQuadratic,
    policy: LinearPolicy,
    states: Float[Array, "*batch T"],
    actions: Float[Array, "*batch T"],
    *,
    temperature: ScalarLike,
) -> Float[Array, "*batch T"]:
    """Soft Q_t(s_t, u_t) along trajectories; temperature 0 is the classic Q.

    Source: S1 (4) corrected (correction 9); see `quadratic_values`, whose row t
    together with `quadratic_value` gives one step alone.
    Returns: units of reward.
    """
    forms = quadratic_values(problem, policy, temperature=temperature)
    return quadratic_value(forms, states, actions)


class QuadraticMessages(NamedTuple):
    """Forms of what lies ahead, in nats.

    Attributes:
      log_action: log p(O_{t:T}|s_t, u_t).
      log_state: log p(O_{t:T}|s_t), and 0 at the horizon.
    """

    log_action: Float[Array, "T 3 3"]
    log_state: Float[Array, "T_plus_1 2 2"]


@jax.jit
def linear_quadratic_messages(
    problem: LinearQuadratic, *, temperature: ScalarLike
) -> QuadraticMessages:
    """log p(O_{t:T}|s_t, u_t) and log p(O_{t:T}|s_t) as forms; no discount.

    p(O_{t:T}|s, u) = exp(r(s, u)/α) E_{s'}[p(O_{t+1:T}|s')]
    p(O_{t:T}|s) = E_{u~π₀}[p(O_{t:T}|s, u)],   1 at the horizon

    Source: S1 (6), (7), with p(O_t|s, u) = exp(r/α), as rewards are never positive.
    Identities: E[p(O_{0:T}|s_0)] is p(O); at the last step it is r/α.
    Args: `temperature` α > 0, units of reward per nat.
    """
    moved = [problem.drift, problem.state_factor, problem.action_factor]
    onward = jnp.array([[1.0, 0.0, 0.0, 0.0], [*moved, problem.noise_std]])
    scores = jnp.pad(_reward_form(problem) / temperature, (0, 1))

    def step(message, _):
        log_action = _integrated(scores + onward.T @ message @ onward, 1.0)
        return _integrated(log_action, problem.prior_std), (log_action, message)

    last = jnp.zeros((2, 2))
    first, (log_action, after) = jax.lax.scan(
        step, last, length=problem.horizon, reverse=True
    )
    return QuadraticMessages(log_action, jnp.concatenate([first[None], after]))


@jax.jit
def linear_quadratic_log_evidence(
    problem: LinearQuadratic, *, temperature: ScalarLike
) -> Float[Array, ""]:
    """log p(O) = log E_{π₀}[exp(Σ_t r_t/α)], by backward messages; no discount.

    Source: S1 (6), with p(O_t|s, u) = exp(r/α), as rewards are never positive.
    Args: `temperature` α > 0, units of reward per nat.   Returns: nats.
    """
    first = linear_quadratic_messages(problem, temperature=temperature).log_state[0]
    start = jnp.array([[1.0, 0.0], [problem.initial_mean, problem.initial_std]])
    return _integrated(start.T @ first @ start, 1.0)[0, 0]


def linear_quadratic_reverse_kl(
    problem: LinearQuadratic, policy: LinearPolicy, *, temperature: ScalarLike
) -> Float[Array, ""]:
    """KL(q ‖ p(τ|O)) = log p(O) − E_q[Σ_t r_t/α − log(π/π₀)], q the policy's own.

    Source: S1 3.0.1 (correction 7).   Identities: ≥ 0.
    Args: `temperature` α > 0, units of reward per nat.   Returns: nats.
    Raises: ConfigError with a discount, under which no posterior is this one.
    """
    if problem.discount != 1.0:
        raise ConfigError(
            f"the KL to the posterior was asked for at discount {problem.discount}; "
            "rewards and log-ratios are then weighed differently, and the soft return "
            "belongs to no posterior over trajectories. Use discount 1."
        )
    evidence = linear_quadratic_log_evidence(problem, temperature=temperature)
    soft = soft_linear_quadratic_return(problem, policy, temperature=temperature)
    return evidence - soft / temperature


@jax.jit
def quadratic_boltzmann_policy(
    problem: LinearQuadratic,
    q_values: Float[Array, "T 3 3"],
    *,
    temperature: ScalarLike,
) -> LinearPolicy:
    """π₀ exp(Q_t/α)/Z_t, which is linear and Gaussian as well.

    Source: S1 4.0.3, the target of its inner KL.
    Identities: of α times the messages it is the policy of the posterior.
    Args: `q_values` are forms in units of reward, with 1/prior_std² > 2 Q_uu/α;
    `temperature` α > 0, units of reward per nat.
    Returns: one policy for each t, its numbers with a leading axis T.
    """
    pull = q_values / temperature
    shrink = 1.0 - 2.0 * problem.prior_std**2 * pull[:, 2, 2]
    reach = 2.0 * problem.prior_std**2 / shrink
    log_std = jnp.log(problem.prior_std) - 0.5 * jnp.log(shrink)
    return LinearPolicy(reach * pull[:, 1, 2], reach * pull[:, 0, 2], log_std)


@jax.jit
def posterior_state_moments(
    problem: LinearQuadratic, *, temperature: ScalarLike
) -> StateMoments:
    """Mean and variance of s_0..s_T under p(τ|O); no discount.

    Start and transitions are tilted by the message of where they lead:
    N(s; m, σ²) exp(2 k s + μ s²) is N((m + 2 σ² k)/n, σ²/n), up to a factor, with
    n = 1 − 2 σ² μ; actions are drawn from `quadratic_boltzmann_policy` of the messages.

    Source: S1 (6), (7), (8).
    Args: `temperature` α > 0, units of reward per nat.
    """
    messages = linear_quadratic_messages(problem, temperature=temperature)
    policies = quadratic_boltzmann_policy(problem, messages.log_action, temperature=1.0)

    def tilted(form, mean, variance, std):
        shrink = 1.0 - 2.0 * std**2 * form[1, 1]
        moved = (mean + 2.0 * std**2 * form[0, 1]) / shrink
        return moved, variance / shrink**2 + std**2 / shrink

    def step(now, given):
        policy, message = given
        mean, variance = now
        a, b = problem.state_factor, problem.action_factor
        action = policy.gain * mean + policy.offset
        moved = (a + b * policy.gain) ** 2 * variance
        spread = moved + jnp.square(b * jnp.exp(policy.log_std))
        following = a * mean + b * action + problem.drift
        return tilted(message, following, spread, problem.noise_std), now

    log_state = messages.log_state
    start = (jnp.asarray(problem.initial_mean), jnp.zeros(()))
    start = tilted(log_state[0], *start, problem.initial_std)
    last, before = jax.lax.scan(step, start, (policies, log_state[1:]))
    return StateMoments(*map(jnp.append, before, last))


def posterior_visit_moments(
    problem: LinearQuadratic, *, temperature: ScalarLike
) -> Float[Array, "T 3 3"]:
    """E[x xᵀ], x = (1, s_t, u_t), under the posterior p(s_t, u_t|O); no discount.

    Source: S1 (6), (7), (8).
    Identities: with E[log π] made of them, −KL(p(.|O) ‖ q) up to a constant.
    Args: `temperature` α > 0, units of reward per nat.
    """
    messages = linear_quadratic_messages(problem, temperature=temperature)
    policies = quadratic_boltzmann_policy(problem, messages.log_action, temperature=1.0)
    states = posterior_state_moments(problem, temperature=temperature)
    return visit_moments(states, policies)


def _reward_form(problem: LinearQuadratic) -> Float[Array, "3 3"]:
    away = jnp.array([-problem.goal, 1.0, 0.0])
    form = -problem.state_weight * jnp.outer(away, away)
    return form.at[2, 2].add(-problem.action_weight)


def _integrated(form: Float[Array, "D D"], std: ScalarLike) -> Float[Array, "D-1 D-1"]:
    """log E exp(yᵀ M y) over the last coordinate of y, N(0, std²), as a form again.

    E exp(2 k e + μ e²) = (1 − 2 std² μ)^(−1/2) exp(2 std² k² / (1 − 2 std² μ))
    """
    cross, curvature = form[:-1, -1], 1.0 - 2.0 * std**2 * form[-1, -1]
    rest = form[:-1, :-1] + 2.0 * std**2 * jnp.outer(cross, cross) / curvature
    return rest.at[0, 0].add(-0.5 * jnp.log(curvature))
