"""The exact gradients of a finite MDP, by the objective's name."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import CapabilityError, unknown_name
from reins.lab.problem import Options
from reins.lab.tables.constraint import given
from reins.lab.tables.population import SMOOTHING
from reins.lab.tables.spec import TableSpec
from reins.lab.tables.states import critic_of
from reins.policies.categorical import Categorical
from reins.tabular import (
    TabularMDP,
    boltzmann_policy,
    expected_return,
    forward_kl,
    gauss_hermite_grid,
    log_likelihood_gradient,
    occupancies,
    policy_gradient,
    soft_return,
    surrogate_value,
)

NODES = 24
"""Of the quadrature of a smoothed return, in each parameter."""


def exact_gradient(
    problem: str, spec: TableSpec, known: list[str], target: str, options: Options
) -> Float[np.ndarray, " D"]:
    """The gradient of an objective, in the parameters of its design.

    Raises: CapabilityError for an objective that the problem does not know.
    """
    if target not in known:
        raise CapabilityError(unknown_name(f"target of {problem}", target, known))
    if target == "smoothed J":
        found = jax.grad(_smoothed_return, argnums=1)(spec.mdp, spec.logits)
    elif target == "log-likelihood":
        found = _likelihood_gradient(spec)
    else:
        found = GRADIENTS[target](spec, options)
    return np.asarray(found, np.float64).reshape(-1)


def _likelihood_gradient(spec: TableSpec) -> Array:
    gradient = log_likelihood_gradient(
        spec.mdp,
        spec.log_zeta,
        given(spec.demonstrations),
        temperature=spec.temperature,
    )
    return gradient / spec.mdp.horizon


@jax.jit
def _smoothed_return(mdp: TabularMDP, logits: Float[Array, "S A"]) -> Float[Array, ""]:
    noise, log_weights = gauss_hermite_grid(NODES, logits.size)
    returns = jax.vmap(lambda x: expected_return(mdp, logits + x.reshape(logits.shape)))
    return jnp.sum(jnp.exp(log_weights) * returns(SMOOTHING * jnp.asarray(noise)))


def _entropy_gradient(spec: TableSpec, options: Options) -> Array:
    del options

    def entropy(logits: Array) -> Array:
        at_states = Categorical(logits).entropy()
        return jnp.sum(occupancies(spec.mdp, logits) * at_states)

    return jax.grad(entropy)(spec.logits)


def _reverse_gradient(spec: TableSpec, options: Options) -> Array:
    del options
    given = {"temperature": spec.temperature}
    return jax.grad(soft_return, argnums=1)(
        spec.mdp, spec.logits, spec.log_prior, **given
    )


def _forward_gradient(spec: TableSpec, options: Options) -> Array:
    del options
    given = {"temperature": spec.temperature, "log_z0": spec.log_z0}
    return -jax.grad(forward_kl, argnums=1)(
        spec.mdp, spec.logits, spec.log_prior, **given
    )


def _boltzmann_gradient(spec: TableSpec, options: Options) -> Array:
    targets = boltzmann_policy(
        critic_of(spec, options), spec.log_prior, temperature=spec.temperature
    )
    discounts = spec.mdp.discount ** jnp.arange(spec.mdp.horizon)
    visits = discounts[:, None] * occupancies(spec.mdp, spec.logits)

    def negative_cross_entropy(logits: Array) -> Array:
        return jnp.einsum(
            "ts,tsa,sa->", visits, jnp.exp(targets), jax.nn.log_softmax(logits)
        )

    return jax.grad(negative_cross_entropy)(spec.logits)


GRADIENTS: dict[str, Callable[[TableSpec, Options], Array]] = {
    "J": lambda spec, _: policy_gradient(spec.mdp, spec.logits),
    "surrogate": lambda spec, _: jax.grad(surrogate_value, argnums=1)(
        spec.mdp, spec.logits, spec.behaviours[0]
    ),
    "E[Σ H]": _entropy_gradient,
    "−α KL(q ‖ p(.|O))": _reverse_gradient,
    "−KL(p(.|O) ‖ q)": _forward_gradient,
    "−KL(Boltzmann(Q) ‖ π)": _boltzmann_gradient,
}
