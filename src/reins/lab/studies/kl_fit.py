"""One Gaussian fitted to a mixture of two, by either direction of the KL (S4 1)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.errors import ConfigError, sentence_of_faults
from reins.lab.studies.mixture import (
    Grid,
    Mixture,
    Normal,
    fit_target_kl,
    fits_under,
    mixture,
    mixture_log_prob,
    moments,
    quadrature,
    target_fit_kl,
)
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64

SAME = 1e-4
"""Fits whose means are closer than that are one minimum."""
PIXELS = 160


@dataclasses.dataclass(frozen=True)
class KlFitConfig:
    """Fit one Gaussian to a mixture of two, by KL(p ‖ q) and by KL(q ‖ p)."""

    weight: float = 0.65
    """The share of the first of the two modes."""
    separation: float = 1.0
    """How far the modes are apart; 1 is clearly, 0.3 hardly at all."""
    starts: int = 8
    """Starts of the search for minima of KL(q ‖ p): at the modes, at the best fit by
    KL(p ‖ q), and the rest at random."""
    nodes: int = 64
    """Nodes of the quadrature for each of the two dimensions."""
    key: int = 0
    """Seed of the random starts."""

    def __post_init__(self) -> None:
        faults = []
        if not 0.0 < self.weight < 1.0:
            faults.append(f"the weight is {self.weight}; choose it in (0, 1)")
        if not self.separation > 0.0:
            faults.append(f"the separation is {self.separation}; choose it above 0")
        if self.starts < 3:
            faults.append(f"{self.starts} starts; at least 3, the modes and between")
        if self.nodes < 32:
            faults.append(f"{self.nodes} nodes; quadrature needs at least 32")
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))


@in_float64
def kl_fit_study(config: KlFitConfig, advance: Advance = ignore) -> Study:
    """Both fits, and every local minimum that the second of them has: S4 (1).

    KL(p ‖ q) has one minimum, in closed form: it covers both modes. KL(q ‖ p) has one
    for each mode that stands apart, found from several starts.
    """
    p = mixture(weight=config.weight, separation=config.separation)
    grid = quadrature(config.nodes)
    advance(0.1, "fits by KL(q ‖ p)")
    starts = _starts(p, config)
    found, slopes = fits_under(p, starts, grid)
    advance(0.6, "their divergences")
    fits = jax.tree.map(
        lambda one, more: jnp.vstack([one[None], more]), moments(p), found
    )
    rows = _rows(fits, *_divergences(p, fits, grid))
    advance(0.3, "")
    fields = _field(p, np.asarray(starts))
    findings = _findings(rows, float(jnp.max(slopes)))
    return Study("kl-fit", rows, [_sheet(rows)], findings, fields)


@jax.jit
def _divergences(
    p: Mixture, fits: Normal, grid: Grid
) -> tuple[Float[Array, " N"], Float[Array, " N"]]:
    """KL(p ‖ q) and KL(q ‖ p) of every fit."""
    forward = jax.vmap(target_fit_kl, (None, 0, None))(p, fits, grid)
    return forward, jax.vmap(fit_target_kl, (None, 0, None))(p, fits, grid)


def _starts(p: Mixture, config: KlFitConfig) -> Float[Array, "N 2"]:
    """Means: at the modes, between them, and at random around."""
    middle = moments(p)
    noise = jax.random.normal(jax.random.key(config.key), (config.starts - 3, 2))
    drawn = middle.mean + 1.5 * noise @ middle.factor.T
    return jnp.concatenate([p.parts.mean, middle.mean[None], drawn])


def _rows(fits: Normal, forward: Array, reverse: Array) -> list[dict[str, Any]]:
    """The first fit is in closed form; the others are numbered by minimum."""
    covariances = np.asarray(fits.covariance)
    names = ["closed form", "mode 1", "mode 2", "between"]
    names += [f"random {i + 1}" for i in range(len(covariances) - len(names))]
    minima = [1, *_numbered(np.asarray(fits.mean[1:]), np.asarray(reverse[1:]))]
    return [
        {
            "fit": "reverse" if i else "forward",
            "start": name,
            "minimum": minima[i],
            "mean_0": float(fits.mean[i, 0]),
            "mean_1": float(fits.mean[i, 1]),
            "variance_0": float(covariances[i, 0, 0]),
            "covariance": float(covariances[i, 0, 1]),
            "variance_1": float(covariances[i, 1, 1]),
            "kl_forward": float(forward[i]),
            "kl_reverse": float(reverse[i]),
        }
        for i, name in enumerate(names)
    ]


def _numbered(means: np.ndarray, kls: np.ndarray) -> list[int]:
    """Which minimum each fit is, counted from the best, 1."""
    known: list[np.ndarray] = []
    numbers = np.zeros(len(kls), int)
    for i in np.argsort(kls, kind="stable"):
        near = [
            k for k, mean in enumerate(known) if np.linalg.norm(mean - means[i]) < SAME
        ]
        if not near:
            near = [len(known)]
            known.append(means[i])
        numbers[i] = near[0] + 1
    return [int(number) for number in numbers]


def _field(p: Mixture, starts: np.ndarray) -> dict[str, np.ndarray]:
    """The density of p, on a grid that shows all of it and the starts."""
    middle = moments(p)
    centre, scales = np.asarray(middle.mean), np.diagonal(np.asarray(middle.covariance))
    reach = np.maximum(2.6 * scales**0.5, 1.1 * np.max(np.abs(starts - centre), axis=0))
    x, y = np.linspace(centre - reach, centre + reach, PIXELS).T
    plane = np.stack(np.meshgrid(x, y), axis=-1)
    density = np.exp(np.asarray(mixture_log_prob(p, jnp.asarray(plane))))
    return {"x": x, "y": y, "density": density, "starts": starts}


def _sheet(rows: list[dict[str, Any]]) -> Sheet:
    columns = ["fit", "start", "no.", "mean", "scales", "corr."]
    cells = [
        [
            *(row["fit"], row["start"], row["minimum"]),
            f"({row['mean_0']:.2f}, {row['mean_1']:.2f})",
            f"({row['variance_0'] ** 0.5:.2f}, {row['variance_1'] ** 0.5:.2f})",
            row["covariance"] / (row["variance_0"] * row["variance_1"]) ** 0.5,
            *(row["kl_forward"], row["kl_reverse"]),
        ]
        for row in rows
    ]
    return Sheet(
        "one Gaussian q for a mixture p of two",
        [*columns, "KL(p ‖ q)", "KL(q ‖ p)"],
        cells,
    )


def _findings(rows: list[dict[str, Any]], slope: float) -> dict[str, Any]:
    """The one forward fit, and each minimum of the reverse KL once, best first."""
    minima = {row["minimum"]: row for row in rows if row["fit"] == "reverse"}
    best_first = [minima[number] for number in sorted(minima)]
    return {
        "forward_fit_kl_forward": rows[0]["kl_forward"],
        "forward_fit_kl_reverse": rows[0]["kl_reverse"],
        "reverse_minima": len(minima),
        "reverse_minima_kl_reverse": [row["kl_reverse"] for row in best_first],
        "reverse_minima_kl_forward": [row["kl_forward"] for row in best_first],
        "reverse_minima_mean_0": [row["mean_0"] for row in best_first],
        "reverse_minima_mean_1": [row["mean_1"] for row in best_first],
        "longest_gradient_at_a_minimum": slope,
    }
