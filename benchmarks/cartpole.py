"""What the benchmarks in the compiled CartPole share: our side, and its shares."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchmarks.contest import HERE, cell, new_table
from benchmarks.turns import Contestant

OURS = ("reins", "compiled", "environment", "update")
"""As `compiled_reins.py` explains them."""
LIMIT_SECONDS = 5.0
"""That suffice for all of them but the first."""
CARTPOLE: dict[str, Any] = {
    "env": "reins/CartPole-v1",
    "hidden": [64, 64],
    "discount": 0.99,
    "entropy_weight": 0.0,
    "value_weight": 0.5,
    "max_gradient_norm": 0.5,
}
"""What all agents are told there, in reins's words. Peers train in CartPole-v1."""


def ours(names: Sequence[str], environments: int, seconds: float) -> list[Contestant]:
    """Our contestants among these names, with one seed."""
    script = str(HERE / "compiled_reins.py")
    brief = {"seconds": min(seconds, LIMIT_SECONDS)}
    return [
        Contestant(
            name,
            environments,
            [sys.executable, script, name],
            settings={} if name == "reins" else brief,
        )
        for name in OURS
        if name in names
    ]


def shares_table(all_: Sequence[Contestant]) -> Table:
    """Where the time of one of our steps goes, and the share that no agent can avoid.

    What acts and makes the batch is what compiled updates take beyond environments and
    update; the loop is what training takes beyond them.
    """
    taken = {
        c.name: c.microseconds()["whole"]
        for c in all_
        if c.name in OURS and c.turns and c.seeds == 1
    }
    whole, call = taken.get("reins"), taken.get("compiled")
    env, update = taken.get("environment"), taken.get("update")
    acting = None
    if call is not None and env is not None and update is not None:
        acting = call - env - update
    loop = None if whole is None or call is None else whole - call
    table = new_table(
        "reins: microseconds per environment step, mean over the turns",
        *("", "environment", "update", "acting", "loop", "whole"),
    )
    parts = (env, update, acting, loop, whole)
    table.add_row("microseconds", *(cell(part, ".2f") for part in parts))
    if whole is not None:
        shares = [None if part is None else 100 * part / whole for part in parts]
        table.add_row("per cent", *(cell(share, ".0f") for share in shares))
    return table
