"""Values, advantages, occupancies of a softmax policy, by dynamic programming.

Policies are tables of logits, stationary (S, A) or one for each step (T, S, A), and
everything is differentiable in them. The horizon is finite: the value of a state
depends on the step t. Every function compiles once for all MDPs of one shape.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reins.tabular.mdp import TabularMDP

Logits = Float[Array, "*#T S A"]
"""A policy: one table for all steps, or one for each."""


def per_step(mdp: TabularMDP, table: Logits) -> Float[Array, "T S A"]:
    """The table of each step: a stationary one is repeated."""
    return jnp.broadcast_to(table, (mdp.horizon, *mdp.costs.shape))


@jax.jit
def action_values(mdp: TabularMDP, logits: Logits) -> Float[Array, "T S A"]:
    """Q_t(s, a) = Σ_s' P(s'|s, a) (r(s, a, s') + γ V_{t+1}(s')), with V_T = 0.

    Source: S3.   Identities: 0 in terminal states; Q_{T−1} is the mean reward.
    Returns: units of reward.
    """

    def step(following, policy):
        onward = mdp.rewards + mdp.discount * following
        q = jnp.sum(mdp.transitions * onward, axis=-1)
        q = jnp.where(mdp.terminal[:, None], 0.0, q)
        return jnp.sum(policy * q, axis=-1), q

    policies = per_step(mdp, jax.nn.softmax(logits))
    return jax.lax.scan(step, jnp.zeros_like(mdp.initial), policies, reverse=True)[1]


@jax.jit
def state_values(mdp: TabularMDP, logits: Logits) -> Float[Array, "T_plus_1 S"]:
    """V_t(s) = Σ_a π(a|s) Q_t(s, a), and V_T = 0.

    Source: S3.   Returns: units of reward.
    """
    values = jnp.sum(jax.nn.softmax(logits) * action_values(mdp, logits), axis=-1)
    return jnp.concatenate([values, jnp.zeros_like(values[:1])])


@jax.jit
def advantages(mdp: TabularMDP, logits: Logits) -> Float[Array, "T S A"]:
    """A_t(s, a) = Q_t(s, a) − V_t(s).

    Source: S3.   Identities: Σ_a π(a|s) A_t(s, a) = 0.
    Returns: units of reward.
    """
    return action_values(mdp, logits) - state_values(mdp, logits)[:-1, :, None]


@jax.jit
def expected_return(mdp: TabularMDP, logits: Logits) -> Float[Array, ""]:
    """J = E[Σ_t γ^t r_t] = Σ_s p(s_0 = s) V_0(s).

    Source: S3, the objective.   Returns: units of reward.
    """
    return jnp.sum(mdp.initial * state_values(mdp, logits)[0])


@jax.jit
def occupancies(mdp: TabularMDP, logits: Logits) -> Float[Array, "T S"]:
    """d_t(s), the probability that step t is taken, and in state s.

    d_{t+1}(s') = Σ_{s,a} d_t(s) π(a|s) P(s'|s, a),   d_t(terminal) = 0.

    Identities: sums over s to the probability that the episode is still running.
    """

    def step(now, policy):
        flow = jnp.einsum("sa,sax->sx", policy, mdp.transitions)
        return jnp.where(mdp.terminal, 0.0, now @ flow), now

    start = jnp.where(mdp.terminal, 0.0, mdp.initial)
    policies = per_step(mdp, jax.nn.softmax(logits))
    return jax.lax.scan(step, start, policies)[1]


@jax.jit
def expected_cost(mdp: TabularMDP, logits: Logits) -> Float[Array, ""]:
    """E[Σ_t c_t] = Σ_t Σ_s d_t(s) Σ_a π(a|s) c(s, a), per episode and undiscounted.

    Source: S2 (9).   Returns: units of cost.
    """
    per_state = jnp.sum(jax.nn.softmax(logits) * mdp.costs, axis=-1)
    return jnp.sum(occupancies(mdp, logits) * per_state)


@jax.jit
def performance_difference(
    mdp: TabularMDP, new_logits: Logits, old_logits: Logits
) -> Float[Array, ""]:
    """J(new) − J(old) = Σ_t γ^t Σ_s d_t^new(s) Σ_a π_new(a|s) A_t^old(s, a).

    Source: S4 (55).   Returns: units of reward.
    """
    return _gain(mdp, occupancies(mdp, new_logits), new_logits, old_logits)


@jax.jit
def surrogate_value(
    mdp: TabularMDP, new_logits: Logits, old_logits: Logits
) -> Float[Array, ""]:
    """Σ_t γ^t Σ_s d_t^old(s) Σ_a π_new(a|s) A_t^old(s, a): states of the old policy.

    Source: S4 (58).
    Identities: 0 at new = old, where its gradient in `new_logits` is that of J.
    Returns: units of reward.
    """
    return _gain(mdp, occupancies(mdp, old_logits), new_logits, old_logits)


def _gain(
    mdp: TabularMDP,
    occupied: Float[Array, "T S"],
    new_logits: Logits,
    old_logits: Logits,
) -> Float[Array, ""]:
    new = jax.nn.softmax(new_logits)
    gain = jnp.sum(new * advantages(mdp, old_logits), axis=-1)
    discounts = mdp.discount ** jnp.arange(mdp.horizon)
    return jnp.sum(discounts[:, None] * occupied * gain)
