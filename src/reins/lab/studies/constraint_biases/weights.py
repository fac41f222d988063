"""The gradient of ζ when the agent is behind: its bias, and what weights are left."""

import dataclasses
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from reins.constraints.likelihood import Weighting
from reins.lab.studies.constraint_biases.corridor import Corridor, by_pair
from reins.lab.studies.constraint_biases.episodes import (
    Episodes,
    agents_log_masses,
    climb,
    drawn,
    estimate,
    exact_gradient,
    log_ratios,
    start,
)
from reins.lab.studies.constraint_biases.rows import Row, row
from reins.lab.studies.constraint_measures import probabilities
from reins.lab.study import QUICK
from reins.tabular import (
    TabularMDP,
    kl_new_old,
    kl_old_new,
    log_partition,
    trajectory_model,
)
from reins.types import Key
from reins.weights import effective_sample_size

WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)
COMPETENCES = (0.0, 0.25, 0.5, 0.75, 1.0)
BATCHES = 100
"""Sets of M long episodes whose weights are looked at."""


def behind_rows(
    episodes: Episodes,
    path: Float[Array, "K S"],
    *,
    behind: tuple[int, ...],
    samples: int,
    draws: int,
    key: int,
) -> list[Row]:
    """Errors of the gradient when ζ is k steps further than the agent, by weighting."""
    masses = probabilities(episodes.log_masses)
    generator = np.random.default_rng(key)
    chosen = generator.choice(len(masses), (draws, samples), p=masses)
    rows = []
    for k in behind:
        here = partial(row, "weights", by="steps behind", at=k)
        truth = exact_gradient(episodes.mdp, episodes.shown, path[k])
        every = _estimates(episodes, episodes.log_masses, path[k])
        few = _estimates_from(episodes, jnp.asarray(chosen), path[k])
        for name in WEIGHTINGS:
            rows.append(here(name, "error", _relative(every[name][None], truth)))
            rows.append(here(name, "cosine", _cosine(every[name], truth)))
            error = _relative(few[name], truth)
            rows.append(here(name, "error", error, samples=samples))
        ratios = np.asarray(log_ratios(episodes.every, start(episodes.mdp), path[k]))
        omega = np.exp(ratios)
        share = (masses @ omega) ** 2 / (masses @ omega**2)
        rows.append(here("trajectory", "effective share", share))
        drawn = effective_sample_size(jnp.asarray(ratios[chosen]))
        share = np.median(drawn) / samples
        rows.append(here("trajectory", "effective share", share, samples=samples))
    return rows


@partial(jax.jit, compiler_options=QUICK)
def _estimates(
    episodes: Episodes, log_masses: Float[Array, " N"], logits: Float[Array, " S"]
) -> dict[str, Float[Array, " S"]]:
    """By every weighting, from all trajectories."""
    return {x: estimate(episodes, log_masses, logits, weighting=x) for x in WEIGHTINGS}


@partial(jax.jit, compiler_options=QUICK)
def _estimates_from(
    episodes: Episodes, chosen: Int[Array, "D M"], logits: Float[Array, " S"]
) -> dict[str, Float[Array, "D S"]]:
    """By every weighting, from D sets of M trajectories."""
    equal = jnp.full(chosen.shape[1], -jnp.log(chosen.shape[1]))

    def one(rows: Array) -> dict[str, Array]:
        few = episodes._replace(every=jax.tree.map(lambda x: x[rows], episodes.every))
        return {x: estimate(few, equal, logits, weighting=x) for x in WEIGHTINGS}

    return jax.vmap(one)(chosen)


def _relative(found: Float[Array, "D S"], truth: Float[Array, " S"]) -> Array:
    """The root of the mean square of the error, in units of the truth's length."""
    squares = jnp.sum((found - truth) ** 2, axis=1)
    return jnp.sqrt(jnp.mean(squares)) / jnp.linalg.norm(truth)


def _cosine(found: Float[Array, " S"], truth: Float[Array, " S"]) -> Array:
    return found @ truth / jnp.linalg.norm(found) / jnp.linalg.norm(truth)


def competence_rows(episodes: Episodes) -> list[Row]:
    """The same when ζ has not moved, and the agent has not learned what pays."""
    logits = start(episodes.mdp)
    truth = exact_gradient(episodes.mdp, episodes.shown, logits)
    rows = []
    for competence in COMPETENCES:
        masses = agents_log_masses(episodes.mdp, episodes.every, competence)
        here = partial(row, "competence", by="competence", at=competence)
        found = _estimates(episodes, masses, logits)
        for name in ("trajectory", "return"):
            rows.append(here(name, "error", _relative(found[name][None], truth)))
            rows.append(here(name, "cosine", _cosine(found[name], truth)))
    return rows


def horizon_rows(
    corridor: Corridor,
    *,
    horizons: tuple[int, ...],
    behind: tuple[int, ...],
    samples: int,
    demonstrations: int,
    key: Key,
) -> list[Row]:
    """What is left of weights per trajectory in long episodes, after k steps of ζ."""
    rows = []
    for horizon in horizons:
        long = dataclasses.replace(corridor, horizon=horizon)
        mdp = long.mdp()
        shown = drawn(mdp, long.careful(), key, demonstrations)
        path = climb(mdp, shown, steps=max(behind))
        old = start(mdp)
        model = trajectory_model(mdp, by_pair(jax.nn.log_sigmoid(old)))
        agents = drawn(mdp, model, jax.random.fold_in(key, 1), BATCHES * samples)
        for k in behind:
            here = partial(row, "horizon", by="horizon", at=horizon)
            name = f"after {k}"
            for quantity, value in _apart(mdp, old, path[k]).items():
                rows.append(here(name, quantity, value))
            ratios = log_ratios(agents, old, path[k]).reshape(BATCHES, samples)
            share = float(np.median(effective_sample_size(ratios))) / samples
            rows.append(here(name, "effective share", share, samples=samples))
    return rows


@partial(jax.jit, compiler_options=QUICK)
def _apart(
    mdp: TabularMDP, old: Float[Array, " S"], new: Float[Array, " S"]
) -> dict[str, Array]:
    """(E ω)²/E[ω²] = Z_new²/(Z_old Z(ζ_new²/ζ_old)) and both KLs, without sampling."""
    log_old, log_new = (by_pair(jax.nn.log_sigmoid(x)) for x in (old, new))
    tables = (log_old, log_new, 2.0 * log_new - log_old)
    first, second, squared = (log_partition(mdp, x) for x in tables)
    return {
        "effective share": jnp.exp(2.0 * second - first - squared),
        "kl_old_new": kl_old_new(mdp, log_old, log_new),
        "kl_new_old": kl_new_old(mdp, log_old, log_new),
    }
