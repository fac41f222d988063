"""A learned constraint as a file: the network's arrays and what it is made for."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reins.agents.icrl import ConstraintState
from reins.constraints import Constraint, InputSpec, constraint_network
from reins.errors import DataError
from reins.experiments.checkpoint import load_checkpoint, load_record, save_checkpoint
from reins.experiments.config import from_record

SCHEMA = "reins.constraint/1"


def save_constraint(path: Path, constraint: Constraint, about: dict[str, Any]) -> None:
    """Write a constraint, with a record of how it was learned."""
    network = constraint.network
    record = {
        "schema": SCHEMA,
        "inputs": dataclasses.asdict(constraint.inputs),
        "hidden": [len(bias) for bias in network.biases[:-1]],
        "activation": network.activation,
        "about": about,
    }
    save_checkpoint(path, constraint, record)


def constraint_of(state: ConstraintState) -> Constraint:
    """The constraint of a learner's state, with the ranges that its inputs had.

    There are none in what was begun before ranges were kept.
    """
    low, high = np.asarray(state.seen).tolist()
    if not np.isfinite([low, high]).all():
        return state.constraint
    inputs = dataclasses.replace(
        state.constraint.inputs, seen_low=tuple(low), seen_high=tuple(high)
    )
    return Constraint(state.constraint.network, inputs)


def demonstrated_cost(path: Path) -> float:
    """The mean cost 1 − ζ of the steps of the demonstrations, as the file says.

    Raises: DataError when it does not say, as before this was kept.
    """
    about = load_record(path).get("about", {})
    if "demonstrated_cost" not in about:
        raise DataError(
            f"a cost less that of the demonstrations was asked for by {path}, which "
            "does not say what theirs is. Learn it again, or use --forward cost."
        )
    return float(about["demonstrated_cost"])


def load_constraint(path: str | Path) -> Constraint:
    """Read a constraint; its `.zeta` and `.cost` take observations and actions.

    Raises: DataError when there is none, or the file holds something else.
    """
    path = Path(path)
    if path.is_dir():
        inside = sorted(str(p.relative_to(path)) for p in path.rglob("constraint-*"))
        hint = f" It holds {', '.join(inside)}." if inside else ""
        raise DataError(
            f"a constraint was asked for from {path}, which is a folder.{hint} "
            "Name one constraint's file."
        )
    record = load_record(path)
    if record.get("schema") != SCHEMA:
        raise DataError(
            f"a constraint was asked for from {path}; it holds "
            f"{record.get('schema', 'a checkpoint')!r}, not {SCHEMA!r}. "
            "Learned constraints are called constraint-seed-N.safetensors."
        )
    build = constraint_network(
        from_record(InputSpec, record["inputs"]),
        hidden=record["hidden"],
        activation=record["activation"],
    )
    template = jax.eval_shape(build, jax.random.key(0))
    constraint, _ = load_checkpoint(path, template)
    return jax.tree.map(jnp.asarray, constraint)
