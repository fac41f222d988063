"""A problem on which the bound S4 (57) is nearly tight."""

import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from reins.tabular import TabularMDP, tabular_mdp

CERTAIN = 40.0
"""Half the difference in logits of an action that is always taken."""


def trap_mdp(*, horizon: int = 3, discount: float = 0.9) -> TabularMDP:
    """Two states. To leave the good one pays 1, once; every later fault costs 1.

    State 0, good: action 0 stays and pays 0, action 1 pays 1 and leads to the trap.
    State 1, trap, for ever: action 0 pays 0, action 1 pays −1.

    Args: the `horizon` in steps; at one step there is no penalty.
    """
    transitions = [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]]
    rewards = [[0.0, 1.0], [0.0, -1.0]]
    return tabular_mdp(
        transitions, rewards, initial=[1.0, 0.0], horizon=horizon, discount=discount
    )


def trap_policies(
    distance: ScalarLike,
) -> tuple[Float[Array, "2 2"], Float[Array, "2 2"]]:
    """The logits of a new policy, and of the old one, which always takes action 0.

    The new one takes action 1 with probability ε in both states, so that it gains ε in
    the good state, loses ε in the trap, and is in the trap with probability
    1 − (1 − ε)^t at step t: the improvement is Σ_t γ^t ε (1 − 2 (1 − (1 − ε)^t)), the
    surrogate Σ_t γ^t ε, the penalty Σ_t γ^t 2 ε² t. The share of the penalty that is
    needed goes to 1 as ε goes to 0.

    Source: for S4 (57).
    Args: `distance` is ε in (0, 1), the total variation of the two in both states.
    """
    new = jnp.stack([jnp.log1p(-jnp.asarray(distance)), jnp.log(distance)])
    old = jnp.array([CERTAIN, -CERTAIN])
    return jnp.stack([new, new]), jnp.stack([old, old])
