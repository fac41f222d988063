"""Baselines: what is subtracted from a return without changing the mean gradient.

Means over a batch leave the trajectory itself out: the plain mean depends on the action
that it is subtracted from, and shrinks the estimate by 1 − 1/N.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def leave_one_out_mean(values: Float[Array, "N *rest"]) -> Float[Array, "N *rest"]:
    """b_i = mean of the other N − 1 entries; 0 when there is no other.

    Source: S3, averaged-return baseline; leave-one-out form of the same.
    """
    n = values.shape[0]
    return (jnp.sum(values, axis=0, keepdims=True) - values) / max(n - 1, 1)


def constant_baseline(returns: Float[Array, " N"]) -> Float[Array, " N"]:
    """b = the other trajectories' mean total return.

    Source: S3, b = (1/N) Σ R(τ_i), leave-one-out.
    """
    return leave_one_out_mean(returns)


def time_baseline(
    returns_to_go: Float[Array, "N T"], mask: Bool[Array, "N T"]
) -> Float[Array, "N T"]:
    """b_t = the other trajectories' mean return-to-go at step t.

    A trajectory that has ended counts as G_t = 0.

    Source: S3, time-dependent baseline with its missing 1/N (correction 5).
    """
    return leave_one_out_mean(jnp.where(mask, returns_to_go, 0.0))


def optimal_constant_baseline(
    returns: Float[Array, " N"], squared_norms: Float[Array, " N"]
) -> Float[Array, " N"]:
    """b = E[‖∇ log p(τ)‖² R(τ)] / E[‖∇ log p(τ)‖²], means over the other trajectories.

    The constant that makes the variance of the total-return estimator least: the mean
    return weighs every trajectory alike, this one by what it does to the gradient.

    Source: S3, "minimise variance" of a constant baseline.
    Identities: equal norms give `constant_baseline`; 0 when there is no other.

    Args:
      returns: R(τ_i), in units of reward.
      squared_norms: ‖∇ log p(τ_i)‖² in the policy's parameters, ≥ 0.
    """
    weight = leave_one_out_mean(squared_norms)
    weighted = leave_one_out_mean(squared_norms * returns)
    return jnp.where(weight > 0, weighted / jnp.where(weight > 0, weight, 1.0), 0.0)
