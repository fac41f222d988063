"""A finite MDP with everything that estimators may ask for beside it."""

from typing import NamedTuple

from jaxtyping import Array, Float

from reins.tabular import AllTrajectories, TabularMDP


class TableSpec(NamedTuple):
    """A finite MDP with everything that estimators may ask for beside it.

    Attributes:
      mdp: the MDP.
      logits: of the policy whose gradient is measured.
      behaviours: logits of the policies that gather off-policy data; the first is also
        the old policy of a surrogate.
      log_shares: log of the share of trajectories that each gathers.
      log_prior: log π₀, normalised.
      log_zeta, sampled_log_zeta: the constraint to be improved, and the one under which
        nominal trajectories are drawn.
      demonstrations: of an expert, one to a row.
      temperature: α > 0, units of reward per nat.
      log_z0: log Z₀ per step.
    """

    mdp: TabularMDP
    logits: Float[Array, "S A"]
    behaviours: Float[Array, "K S A"]
    log_shares: Float[Array, " K"]
    log_prior: Float[Array, "S A"]
    log_zeta: Float[Array, "S A"]
    sampled_log_zeta: Float[Array, "S A"]
    demonstrations: AllTrajectories | None
    temperature: float
    log_z0: float
