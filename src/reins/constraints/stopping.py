"""When to stop improving a constraint on old samples, before the step: S2 (12)."""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.divergences import kl_new_old_from_ratios, kl_old_new_from_ratios
from reins.errors import ConfigError
from reins.weights import effective_sample_size


@dataclasses.dataclass(frozen=True)
class StopRule:
    """Bounds on how far a constraint may move from the one that was sampled under.

    Attributes:
      form: `exact` uses the exact KLs; `printed` S2 (12) as it stands, whose first
        quantity is often negative and bounds nothing.
      kl_old_new, kl_new_old: bounds in nats; None switches one off.
      min_ess_fraction: stop when the effective sample size falls below this share of
        the nominal trajectories.
    """

    form: Literal["exact", "printed"] = "exact"
    kl_old_new: float | None = None
    kl_new_old: float | None = 0.5
    min_ess_fraction: float = 0.2

    def __post_init__(self) -> None:
        bounds = {"kl_old_new": self.kl_old_new, "kl_new_old": self.kl_new_old}
        for name, bound in bounds.items():
            if bound is not None and not bound > 0:
                raise ConfigError(
                    f"early stopping was asked for at {name} > {bound} nats; a KL is "
                    "never negative, so it would always stop. Choose a positive bound, "
                    "or None for no bound."
                )
        if not 0 <= self.min_ess_fraction < 1:
            raise ConfigError(
                "early stopping was asked for below a share of "
                f"{self.min_ess_fraction} effective trajectories; a share lies in "
                "[0, 1), and at 1 it would always stop. Choose 0 for no bound."
            )

    def check(self, trajectories: int) -> None:
        """Refuse a bound that can never fire with this many nominal trajectories.

        Raises: ConfigError; an exact kl_new_old estimate cannot exceed log M.
        """
        ceiling = math.log(trajectories)
        bound = self.kl_new_old
        if self.form == "exact" and bound is not None and bound > ceiling:
            raise ConfigError(
                f"kl_new_old = {bound} would never stop anything: with "
                f"{trajectories} nominal trajectories its estimate cannot exceed "
                f"log {trajectories} = {ceiling:.2f}. Choose less, or None."
            )


def stop_quantities(
    log_ratios: Float[Array, " M"], log_masses: Float[Array, " M"], rule: StopRule
) -> tuple[Bool[Array, ""], dict[str, Float[Array, ""]]]:
    """Whether to stop, and the quantities that said so.

    exact    log E[ω] − E[log ω],   E[ω log ω]/E[ω] − log E[ω]      (correction 1)
    printed  2 log E[ω],            E[(ω − E[ω]) log ω]/E[ω]          (S2 (12))

    Args:
      log_ratios: Σ_t log ζ − log ζ_sampled of each nominal trajectory, in nats.
      log_masses: log-probability of each; −log M for M draws.
    """
    if rule.form == "printed":
        masses = jnp.exp(log_masses)
        ratios = jnp.exp(log_ratios)
        mean = jnp.sum(masses * ratios)
        old_new = 2.0 * jnp.log(mean)
        new_old = jnp.sum(masses * (ratios - mean) * log_ratios) / mean
    else:
        old_new = kl_old_new_from_ratios(log_ratios, log_masses)
        new_old = kl_new_old_from_ratios(log_ratios, log_masses)
    ess = effective_sample_size(log_ratios + log_masses)
    fraction = ess / effective_sample_size(log_masses)
    stop = fraction < rule.min_ess_fraction
    if rule.kl_old_new is not None:
        stop |= old_new > rule.kl_old_new
    if rule.kl_new_old is not None:
        stop |= new_old > rule.kl_new_old
    info = {"kl_old_new": old_new, "kl_new_old": new_old, "ess_fraction": fraction}
    return stop, info
