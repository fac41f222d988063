"""The linear-quadratic problem in the lab: real actions, a policy of three numbers.

The vector that is differentiated is (gain, offset, log_std). Actions can be drawn as a
differentiable function of it, so that pathwise estimators have a place here too.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import CapabilityError, unknown_name
from reins.lab.linear_quadratic.designs import (
    DESIGNS,
    ENTROPY,
    LinearQuadraticSpec,
    critic,
    discounts,
    linear_policy,
)
from reins.lab.problem import Design, Options, Problem
from reins.lab.study import in_float64
from reins.lab.tables import SMOOTHING
from reins.tabular import (
    LinearPolicy,
    linear_quadratic,
    linear_quadratic_return,
    posterior_visit_moments,
    quadratic_advantages,
    quadratic_boltzmann_policy,
    smoothed_return,
    soft_linear_quadratic_return,
    state_moments,
    visit_moments,
)

DEFAULT_SPEC = LinearQuadraticSpec(
    linear_quadratic(
        horizon=3,
        state_factor=0.9,
        action_factor=0.5,
        drift=0.2,
        noise_std=0.3,
        goal=1.2,
        state_weight=0.3,
        action_weight=0.1,
        initial_mean=-0.5,
        initial_std=0.5,
        prior_std=1.5,
    ),
    policy=(-0.4, 0.3, 0.05),
    old=(0.2, 0.4, 0.2),
    temperature=0.5,
)


def linear_quadratic_problem(spec: LinearQuadraticSpec = DEFAULT_SPEC) -> Problem:
    """A linear-quadratic problem as a problem of the lab."""
    return Problem(
        name="linear-quadratic",
        summary=(
            f"{spec.problem.horizon} steps on a line, with real actions from a linear "
            "Gaussian policy and quadratic costs."
        ),
        design=in_float64(partial(_design, spec)),
        designs=tuple(DESIGNS),
        gradient=in_float64(partial(_gradient, spec)),
        targets=tuple(_OBJECTIVES),
    )


def _design(spec: LinearQuadraticSpec, name: str, options: Options) -> Design:
    if name not in DESIGNS:
        kind = "design of the problem linear-quadratic"
        raise CapabilityError(unknown_name(kind, name, DESIGNS))
    tables, draw, quantities = DESIGNS[name](spec, options)
    return Design(_params(spec, name == "population"), tables, draw, quantities)


def _params(spec: LinearQuadraticSpec, smoothed: bool) -> Float[Array, " D"]:
    """Evolution strategies perturb the means of actions and leave their scale alone."""
    return jnp.asarray(spec.policy[:2] if smoothed else spec.policy)


# The truth: objectives as functions of the parameters, all else held.


def _gradient(
    spec: LinearQuadraticSpec, target: str, options: Options
) -> Float[np.ndarray, " D"]:
    if target not in _OBJECTIVES:
        kind = "target of the problem linear-quadratic"
        raise CapabilityError(unknown_name(kind, target, _OBJECTIVES))
    params = _params(spec, target == "smoothed J")
    objective = _OBJECTIVES[target](spec, options)
    return np.asarray(jax.jit(jax.grad(objective))(params), np.float64)


Objective = Callable[[Float[Array, " D"]], Float[Array, ""]]


def _return(spec: LinearQuadraticSpec, options: Options) -> Objective:
    del options
    return lambda params: linear_quadratic_return(spec.problem, LinearPolicy(*params))


def _surrogate(spec: LinearQuadraticSpec, options: Options) -> Objective:
    """Σ_t γ^t E[A_t(s, u)], s as the old policy visits, u of the new one."""
    del options
    old = linear_policy(spec.old)
    states = state_moments(spec.problem, old)
    forms = quadratic_advantages(spec.problem, old)
    forms = discounts(spec.problem)[:, None, None] * forms
    return lambda params: jnp.sum(forms * visit_moments(states, LinearPolicy(*params)))


def _entropy(spec: LinearQuadraticSpec, options: Options) -> Objective:
    """The same in every state, and so without what the entropy bonus leaves out."""
    del options
    return lambda params: spec.problem.horizon * (params[2] + ENTROPY)


def _reverse(spec: LinearQuadraticSpec, options: Options) -> Objective:
    del options
    soft = partial(soft_linear_quadratic_return, temperature=spec.temperature)
    return lambda params: soft(spec.problem, LinearPolicy(*params))


def _forward(spec: LinearQuadraticSpec, options: Options) -> Objective:
    del options
    moments = posterior_visit_moments(spec.problem, temperature=spec.temperature)
    return partial(_log_likelihood, moments, jnp.ones(len(moments)))


def _boltzmann(spec: LinearQuadraticSpec, options: Options) -> Objective:
    targets = quadratic_boltzmann_policy(
        spec.problem, critic(spec, options), temperature=spec.temperature
    )
    states = state_moments(spec.problem, linear_policy(spec.policy))
    moments = visit_moments(states, targets)
    return partial(_log_likelihood, moments, discounts(spec.problem))


def _log_likelihood(
    moments: Float[Array, "T 3 3"], weights: Float[Array, " T"], params: Array
) -> Float[Array, ""]:
    """Σ_t w_t E[log π(u_t|s_t)] of (s_t, u_t) with these moments."""
    gain, offset, log_std = params
    away = jnp.stack([-offset, -gain, jnp.ones_like(gain)])
    squares = jnp.einsum("i,tij,j->t", away, moments, away) * jnp.exp(-2 * log_std)
    constant = log_std + 0.5 * jnp.log(2 * jnp.pi)
    return -jnp.sum(weights * (0.5 * squares + constant))


def _smoothed(spec: LinearQuadraticSpec, options: Options) -> Objective:
    del options
    log_std = jnp.asarray(spec.policy[2])
    smoothed = partial(smoothed_return, spec.problem, std=SMOOTHING)
    return lambda params: smoothed(LinearPolicy(params[0], params[1], log_std))


_OBJECTIVES: dict[str, Callable[[LinearQuadraticSpec, Options], Objective]] = {
    "J": _return,
    "surrogate": _surrogate,
    "E[Σ H]": _entropy,
    "−α KL(q ‖ p(.|O))": _reverse,
    "−KL(p(.|O) ‖ q)": _forward,
    "−KL(Boltzmann(Q) ‖ π)": _boltzmann,
    "smoothed J": _smoothed,
}
