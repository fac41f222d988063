"""Exact moments of whole-trajectory estimators, at horizons beyond enumeration.

Sums over all trajectories of products over steps are products of matrices; sums of
rewards and of scores are derivatives of such products.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.lab.study import QUICK
from reins.tabular import TabularMDP


@partial(jax.jit, compiler_options=QUICK)
def second_moments(
    mdp: TabularMDP,
    log_masses: Float[Array, "S A S"],
    rewards: Float[Array, "S A S"],
    logits: Float[Array, "S A"],
) -> Float[Array, " T"]:
    """Σ_τ p(s_0) Π_t P m(s_t, a_t, s_{t+1}) (Σ_t r_t)² ‖Σ_t ∇log π(a_t|s_t)‖².

    It is Σ_k ∂²/∂λ² ∂²/∂η_k², at λ = 0 and η = 0, of the masses of
    m exp(λ r_t + η·∇log π(a_t|s_t)). With m = π it is the second moment of the
    total-return estimator, with m = π²/β that of the trajectory ratio on data of β.

    Source: S4 (34), the variance of it; S3, REINFORCE.
    Identities: equals the sum over all trajectories.
    Args: an MDP without terminal states; `log_masses` log m, in nats.
    Returns: for one trajectory of 1, 2, .. T steps, in units of reward squared.
    """
    policy = jax.nn.softmax(logits)

    def mass(scale: Array, direction: Array) -> Array:
        scores = direction - jnp.sum(policy * direction, axis=1, keepdims=True)
        return masses(mdp, log_masses + scale * rewards + scores[:, :, None])

    def along(unit: Array) -> Array:
        none, one = jnp.zeros(()), jnp.ones(())
        return _second(
            lambda eta: _second(lambda scale: mass(scale, eta), none, one),
            jnp.zeros_like(unit),
            unit,
        )

    units = jnp.eye(logits.size).reshape(-1, *logits.shape)
    return jnp.sum(jax.vmap(along)(units), axis=0)


def _second(function: Callable[[Array], Array], at: Array, along: Array) -> Array:
    """The second derivative in one direction."""

    def first(x: Array) -> Array:
        return jax.jvp(function, (x,), (along,))[1]

    return jax.jvp(first, (at,), (along,))[1]


@jax.jit
def masses(mdp: TabularMDP, log_masses: Float[Array, "S A S"]) -> Float[Array, " T"]:
    """Σ_τ p(s_0) Π_t P(s_{t+1}|s_t, a_t) m(s_t, a_t, s_{t+1}), of 1, 2, .. T steps.

    With m = π²/β it is the mean square of the trajectory ratio, and N over it what the
    effective sample size comes to.

    Source: S4 (34).   Identities: m = π gives 1.
    Args: an MDP without terminal states; `log_masses` log m, in nats.
    """
    moves = jnp.sum(mdp.transitions * jnp.exp(log_masses), axis=1)

    def step(now: Array, _: None) -> tuple[Array, Array]:
        return now @ moves, jnp.sum(now @ moves)

    return jax.lax.scan(step, mdp.initial, length=mdp.horizon)[1]
