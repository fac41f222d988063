"""Maximum-entropy inverse RL: the rewards under which demonstrations are most likely.

    r(s, a) = Σ_k w_k f_k(s, a), in addition to the rewards that the MDP has

Trajectories are weighed as in `max_entropy`. The log-likelihood is concave in w, and at
its maximum the features that the model expects are those of the demonstrations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from reins.tabular.max_entropy import differentiable_log_partition
from reins.tabular.mdp import TabularMDP

Features = Float[Array, "S A K"]


class RewardProblem(NamedTuple):
    """What max-ent IRL is asked.

    Attributes:
      mdp: rewards that are known (often 0), dynamics, horizon.
      features: f_k(s, a).
      visits: mean number of visits of a demonstration to (s, a).
      temperature: α > 0, units of reward per nat.
      ridge: κ ≥ 0; κ |w|²/2 is taken off the log-likelihood, in nats. Without it,
        weights of what demonstrations always or never do grow for ever.
      arrive: whether every episode ends in a terminal state within the horizon.
      allowed: where an episode may be; None is everywhere.
    """

    mdp: TabularMDP
    features: Features
    visits: Float[Array, "S A"]
    temperature: ScalarLike = 1.0
    ridge: ScalarLike = 0.0
    arrive: bool = False
    allowed: Bool[Array, " S"] | None = None


class InferredReward(NamedTuple):
    """Weights, and how well they match.

    Attributes:
      weights: w, units of reward per unit of each feature.
      mismatch: the largest |∂ objective/∂w_k|: with no ridge, of the features that are
        expected against those demonstrated, over α.
      steps: of the search.
    """

    weights: Float[Array, " K"]
    mismatch: Float[Array, ""]
    steps: Int[Array, ""]


def reward_log_likelihood(
    problem: RewardProblem, weights: Float[Array, " K"]
) -> Float[Array, ""]:
    """Mean log-likelihood of a demonstration, up to what does not depend on w.

    w·f(demonstrations)/α − log Z(w) − κ |w|²/2,   f(D) = Σ_{s,a} visits(s, a) f(s, a)

    Source: Ziebart et al. 2008, (4), (5).
    Identities: its gradient is (f(D) − E_w[f])/α − κ w.
    Returns: nats per trajectory, less the demonstrations' own rewards and dynamics.
    """
    log_zeta = problem.features @ weights / problem.temperature
    log_z = differentiable_log_partition(
        problem.mdp,
        log_zeta,
        allowed=problem.allowed,
        arrive=problem.arrive,
        temperature=problem.temperature,
    )
    return (
        jnp.sum(problem.visits * log_zeta)
        - log_z
        - problem.ridge * jnp.sum(weights**2) / 2.0
    )


def infer_rewards(
    problem: RewardProblem, *, tolerance: float = 1e-6, most: int = 500
) -> InferredReward:
    """The weights of greatest `reward_log_likelihood`, by L-BFGS from 0.

    Source: Ziebart et al. 2008, by exact gradients, on the model S2 (1).
    Identities: without a ridge E_w[f] = f(demonstrations) at the result, and
    demonstrations of a model with weights w* give back its distribution (and w* itself,
    where no combination of features is the same for all trajectories).

    Args: `tolerance` ends the search at that `mismatch`, `most` after so many steps.
    """

    def loss(weights: Float[Array, " K"]) -> Float[Array, ""]:
        return -reward_log_likelihood(problem, weights)

    optimizer = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    def going(carry):
        _, _, mismatch, steps = carry
        return (mismatch > tolerance) & (steps < most)

    def step(carry):
        weights, state, _, steps = carry
        value, gradient = value_and_gradient(weights, state=state)
        updates, state = optimizer.update(
            *(gradient, state, weights), value=value, grad=gradient, value_fn=loss
        )
        weights = weights + updates
        mismatch = jnp.max(jnp.abs(optax.tree.get(state, "grad")))
        return weights, state, mismatch, steps + 1

    start = jnp.zeros(problem.features.shape[-1], problem.features.dtype)
    first = (start, optimizer.init(start), jnp.asarray(jnp.inf, start.dtype), 0)
    weights, _, mismatch, steps = jax.lax.while_loop(going, step, first)
    return InferredReward(weights, mismatch, jnp.asarray(steps))
