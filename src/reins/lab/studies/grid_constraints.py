"""Rules planted on grids: found exactly by counting, and how near a network comes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from reins.errors import ConfigError, sentence_of_faults
from reins.lab.grids import (
    GridLayout,
    identifiable_grids,
    published_grid,
)
from reins.lab.studies.grid_network import (
    GridData,
    NetworkSettings,
    Seen,
    grid_data,
    learned_log_zeta,
)
from reins.lab.studies.grid_rows import (
    ALL,
    PUBLISHED,
    SEEN,
    exact_row,
    findings_of,
    map_of,
    network_row,
    sheets_of,
)
from reins.lab.studies.grid_scores import Truth, truth_of
from reins.lab.study import Advance, Study, ignore, in_float64
from reins.tabular import (
    Inferred,
    infer_constraints,
    item_masses,
    items_used,
    model_without,
    sample_walks,
)

AT_ONCE = 10
"""Networks that learn side by side."""


@dataclasses.dataclass(frozen=True)
class GridConstraintsConfig:
    """Find planted rules by maximum likelihood, and score ICRL's network beside it."""

    grids: int = 100
    """Random grids whose rules can be found."""
    demonstrations: tuple[int, ...] = (10, 100, 1000)
    """Numbers of demonstrations, beside those without end."""
    thresholds: tuple[float, ...] = (0.1, 0.01, 0.001)
    """Gains, in nats, at which inference from so many stops."""
    repeats: int = 20
    """Sets of demonstrations of the 9 x 9 grid, of each number."""
    network_demonstrations: int = 100
    """Demonstrations that the network learns from, beside those without end."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the network's layers."""
    steps: int = 500
    """Its gradient steps."""
    learning_rate: float = 0.01
    """Step size of Adam."""
    regulariser: float = 0.005
    """Weight of the reluctance to forbid (S2 (8))."""
    key: int = 0
    """Seed of grids, demonstrations and networks."""

    def __post_init__(self) -> None:
        numbers = {
            "grids": self.grids,
            "repeats": self.repeats,
            "network_demonstrations": self.network_demonstrations,
            "steps": self.steps,
            "demonstrations": min(self.demonstrations, default=0),
        }
        faults = [f"{n} is {x}; at least 1" for n, x in numbers.items() if x < 1]
        if min(self.thresholds, default=-1.0) < 0:
            faults.append(f"thresholds are {self.thresholds}; one at least, from 0 up")
        if not self.learning_rate > 0 or self.regulariser < 0:
            faults.append(
                f"a learning rate of {self.learning_rate} and a regulariser of "
                f"{self.regulariser}; above 0, and 0 or more"
            )
        if faults:
            raise ConfigError(sentence_of_faults("this study cannot be run", faults))

    def network(self, seen: Seen) -> NetworkSettings:
        """The settings of one of the two networks."""
        return NetworkSettings(
            seen, self.hidden, self.steps, self.learning_rate, self.regulariser
        )


@in_float64
def grid_constraints_study(
    config: GridConstraintsConfig, advance: Advance = ignore
) -> Study:
    """MLCI on the 9 x 9 grid and on random ones, and ICRL's network on the same.

    Source: Scobee & Sastry 2020; S2 (6), (8).
    """
    published = published_grid()
    draws = identifiable_grids(config.grids, key=config.key)
    advance(0.15, "inference from all demonstrations")
    layouts = {PUBLISHED: published}
    layouts |= {f"random {i}": layout for i, layout in enumerate(draws.layouts)}
    truths = {name: truth_of(layout) for name, layout in layouts.items()}
    found = {name: _from_all(truth) for name, truth in truths.items()}
    rows = [
        exact_row(name, layouts[name], truths[name], found[name]) for name in layouts
    ]
    advance(0.1, "inference from some")
    rows += _sampled_rows(layouts, truths, config)
    advance(0.35, "the network")
    maps = {}
    for seen in SEEN:
        networks, maps[seen] = _network_rows(layouts, truths, config, seen)
        rows += networks
        advance(0.2, "the network")
    fields = {
        "reached": truths[PUBLISHED].reached,
        "planted": truths[PUBLISHED].breaks.astype(float),
        "MLCI": map_of(published, found[PUBLISHED]),
        **{f"network, {seen}": maps[seen] for seen in SEEN},
    }
    findings = findings_of(rows) | {
        "grids_drawn": draws.drawn,
        "left_out_without_rules": draws.without_rules,
        "left_out_nothing_allowed": draws.nothing_allowed,
        "left_out_a_rule_without_trajectories_of_its_own": draws.no_own,
        "left_out_something_unused_that_no_rule_outdoes": draws.outdone_by_none,
        "order_on_9_x_9": rows[0]["found"].split("; "),
        "gains_on_9_x_9": found[PUBLISHED].gains,
    }
    return Study("grid-constraints", rows, sheets_of(rows), findings, fields)


# Maximum-likelihood constraint inference.


def _from_all(truth: Truth) -> Inferred:
    used = np.asarray(item_masses(truth.problem, truth.planted)) > 0
    return infer_constraints(truth.problem, used, threshold=0.0)


def _from_some(truth: Truth, key: Array, n: int, least: float) -> Inferred:
    walks = sample_walks(model_without(truth.problem, truth.planted), key, n)
    used = jnp.any(items_used(truth.problem.items, *walks), axis=0)
    return infer_constraints(truth.problem, used, threshold=least)


def _sampled_rows(
    layouts: dict[str, GridLayout],
    truths: dict[str, Truth],
    config: GridConstraintsConfig,
) -> list[dict[str, Any]]:
    rows = []
    least = min(config.thresholds)
    for name, layout in layouts.items():
        repeats = config.repeats if name == PUBLISHED else 1
        keys = jax.random.split(_key(config, 1, name), repeats)
        for n in config.demonstrations:
            for repeat, key in enumerate(keys):
                every = _from_some(truths[name], key, n, least)
                rows += [
                    exact_row(name, layout, truths[name], every.until(threshold))
                    | {
                        "demonstrations": n,
                        "threshold": threshold,
                        "repeat": repeat,
                    }
                    for threshold in config.thresholds
                ]
    return rows


def _key(config: GridConstraintsConfig, part: int, name: str) -> Array:
    number = 0 if name == PUBLISHED else 1 + int(name.split()[-1])
    key = jax.random.fold_in(jax.random.key(config.key), part)
    return jax.random.fold_in(key, number)


# The network.


def _network_rows(
    layouts: dict[str, GridLayout],
    truths: dict[str, Truth],
    config: GridConstraintsConfig,
    seen: Seen,
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """A row for each grid and kind of demonstrations, and the costs on 9 x 9."""
    rows, shown = [], np.zeros(())
    random = [name for name in layouts if name != PUBLISHED]
    groups = [random[i : i + AT_ONCE] for i in range(0, len(random), AT_ONCE)]
    for names in [[PUBLISHED], *groups]:
        for kind in (ALL, config.network_demonstrations):
            data = [
                grid_data(layouts[name], _visits(truths[name], kind, config, name))
                for name in names
            ]
            keys = jnp.stack([_key(config, 3, name) for name in names])
            stacked = jax.tree.map(lambda *x: jnp.stack(x), *data)
            zetas = _learned(stacked, keys, layouts[names[0]], config.network(seen))
            for name, zeta, one in zip(names, zetas, data, strict=True):
                rows.append(network_row(name, layouts[name], truths[name], zeta, one))
                rows[-1] |= {"method": f"network, {seen}", "demonstrations": kind}
            if (names, kind) == ([PUBLISHED], ALL):
                shown = -np.expm1(np.asarray(zetas[0]))
    return rows, shown


def _visits(
    truth: Truth, kind: str | int, config: GridConstraintsConfig, name: str
) -> Array:
    if isinstance(kind, str):
        return truth.passes.visits
    model = model_without(truth.problem, truth.planted)
    walks = sample_walks(model, _key(config, 2, name), kind)
    counts = jnp.zeros_like(truth.passes.visits)
    at = (walks.states[:, :-1], walks.actions)
    return counts.at[at].add(walks.mask / kind)


def _learned(
    data: GridData, keys: Array, layout: GridLayout, settings: NetworkSettings
) -> Array:
    def one(data: GridData, key: Array) -> Array:
        return learned_log_zeta(
            *(data, key),
            height=layout.height,
            width=layout.width,
            horizon=layout.horizon,
            settings=settings,
        )

    # Nothing else may be in flight: on 2 cores XLA's threads have waited for each other
    # for ever, when small programs were queued around this one.
    data, keys = jax.block_until_ready((data, keys))
    return jax.block_until_ready(jax.vmap(one)(data, keys))
