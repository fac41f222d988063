"""What stops a phase: KLs that M episodes can show, and those that they cannot."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from reins.constraints import StopRule, stop_quantities
from reins.lab.studies.constraint_biases.corridor import by_pair
from reins.lab.studies.constraint_biases.episodes import Episodes, log_ratios, start
from reins.lab.studies.constraint_biases.rows import Row, row
from reins.lab.studies.constraint_measures import probabilities
from reins.lab.study import QUICK
from reins.tabular import kl_new_old, kl_old_new

PUBLISHED_EPSILON = 1e-5
PUBLISHED_BOUNDS = {"kl_old_new": 10.0, "kl_new_old": 2.5}
"""Of 2021's HalfCheetah and Ant, in nats."""
FACTORS = (1.0, 0.999, 0.997, 0.99, 0.98, 0.97)
"""By which every ζ is multiplied: the distribution stays what it was."""


def published_kls(log_ratios: Float[Array, " M"]) -> dict[str, Float[Array, ""]]:
    """The two quantities of 2021's code, w = Π ω of M episodes, eps = 1e-5.

    old_new  mean(−log(w + eps)),   new_old  mean((w − w̄) log(w + eps))/(w̄ + eps)

    Identities: the first cannot exceed −log eps = 11.5, and is no KL: a factor on every
    ζ changes it, and changes no distribution.

    Source: S2 (12) as the published code has it.
    """
    w = jnp.exp(log_ratios)
    logs = jnp.log(w + PUBLISHED_EPSILON)
    mean = jnp.mean(w)
    return {
        "kl_old_new": -jnp.mean(logs),
        "kl_new_old": jnp.mean((w - mean) * logs) / (mean + PUBLISHED_EPSILON),
    }


class Told(NamedTuple):
    """What D sets of M episodes say: whether to stop, as is usual, and both forms."""

    stop: Bool[Array, " D"]
    exact: dict[str, Float[Array, " D"]]
    published: dict[str, Float[Array, " D"]]


@partial(jax.jit, compiler_options=QUICK)
def told(ratios: Float[Array, "D M"]) -> Told:
    """The KLs and effective shares of sets of episodes, by both forms."""
    log_masses = jnp.full(ratios.shape[1], -jnp.log(ratios.shape[1]))

    def exact(one: Array) -> tuple[Array, dict[str, Array]]:
        return stop_quantities(one, log_masses, StopRule())

    return Told(*jax.vmap(exact)(ratios), jax.vmap(published_kls)(ratios))


def stop_rows(
    episodes: Episodes,
    path: Float[Array, "K S"],
    *,
    every: int,
    samples: tuple[int, ...],
    draws: int,
    key: int,
) -> list[Row]:
    """True KLs as ζ climbs, what M episodes estimate, and how often a stop fires."""
    generator = np.random.default_rng(key)
    masses = probabilities(episodes.log_masses)
    drawn = {m: generator.choice(len(masses), (draws, m), p=masses) for m in samples}
    old = start(episodes.mdp)
    log_old = by_pair(jax.nn.log_sigmoid(old))
    rows = []
    for k in range(0, len(path), every):
        here = partial(row, "stop", by="steps behind", at=k)
        log_new = by_pair(jax.nn.log_sigmoid(path[k]))
        truth = {"kl_old_new": kl_old_new, "kl_new_old": kl_new_old}
        for quantity, kl in truth.items():
            rows.append(here("true", quantity, kl(episodes.mdp, log_old, log_new)))
        ratios = np.asarray(log_ratios(episodes.every, old, path[k]))
        for m, chosen in drawn.items():
            rows += _said(partial(here, samples=m), told(jnp.asarray(ratios[chosen])))
    return rows


def _said(here: partial, said: Told) -> list[Row]:
    rows = []
    for name, found in (("exact", said.exact), ("published", said.published)):
        for quantity, bound in PUBLISHED_BOUNDS.items():
            values = np.asarray(found[quantity])
            fired = np.mean(values > bound)
            rows.append(here(name, quantity, np.median(values)))
            rows.append(here(name, f"{quantity} highest", values.max()))
            rows.append(here(name, f"{quantity} fired", fired))
    share = np.asarray(said.exact["ess_fraction"])
    fired = np.mean(share < StopRule().min_ess_fraction)
    rows.append(here("exact", "effective share", np.median(share)))
    rows.append(here("exact", "effective share fired", fired))
    rows.append(here("exact", "stop fired", np.mean(np.asarray(said.stop))))
    return rows


def factor_rows(*, horizon: int, samples: int) -> list[Row]:
    """What is read when every ζ has been multiplied by a factor: nothing has moved."""
    rows = []
    for factor in FACTORS:
        here = partial(row, "factor", by="factor", at=factor, samples=samples)
        said = told(jnp.full((1, samples), horizon * jnp.log(factor)))
        for name, found in (("exact", said.exact), ("published", said.published)):
            for quantity in PUBLISHED_BOUNDS:
                rows.append(here(name, quantity, found[quantity][0]))
    return rows
