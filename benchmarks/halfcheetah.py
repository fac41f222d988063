"""PPO on HalfCheetah-v5: environment steps per second, beside two other libraries.

    python -m benchmarks.halfcheetah          (`make bench` leaves the peers out)

    reins               as `reins train ppo --seeds 1` trains, observations and rewards
                        normalised, which is its default
    stable-baselines3   with its `make_vec_env`, and nothing normalised
    sbx                 the same, its updates compiled by JAX
    simulator           the limit: reins's simulator under random actions

All train by the same settings, on CPUs, without evaluations, and in the same version of
the simulator. That nothing is normalised favours the peers: they are spared the work.
Each is a process of its own, which compiles and warms up before its time counts. They
take turns (A B C A B C), so that a slow moment of the machine hits all of them: medians
and ranges over the turns, and ratios within a turn.

A peer gets an environment of its own in the folder --peers, which is kept. One that
cannot be installed is left out.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from benchmarks.contest import (
    HERE,
    PEER_SCRIPTS,
    begin,
    cell,
    close,
    common_options,
    hold,
    new_table,
    positive,
    pythons,
    rates_table,
    short,
    sizes,
)
from benchmarks.turns import Contestant

PEERS = ("stable-baselines3", "sbx")
NAMES = ("reins", *PEERS, "simulator")
BATCH_STEPS = 2048
SETTINGS: dict[str, Any] = {
    "agent": "ppo",
    "env": "HalfCheetah-v5",
    "hidden": [64, 64],
    "batch_steps": BATCH_STEPS,
    "minibatch_steps": 64,
    "epochs": 10,
    "learning_rate": 3e-4,
    "discount": 0.99,
    "gae_lambda": 0.95,
    "clip_epsilon": 0.2,
    "warm_up": 2,
}
"""`warm_up` counts updates; the rest is PPO's, in reins's words."""
SIMULATED = 64
"""Copies for which the simulator alone is timed too."""
SIMULATOR_SECONDS = 5.0


def contestants(
    found: dict[str, str], environments: Sequence[int], seconds: float
) -> list[Contestant]:
    """In the order of a turn: those with the same number of environments together."""
    counts: set[int] = {*environments, *([SIMULATED] if "simulator" in found else [])}
    brief = {"seconds": min(seconds, SIMULATOR_SECONDS)}
    all_: list[Contestant] = []
    for n in sorted(counts):
        for name, python in found.items():
            script = PEER_SCRIPTS / "train_sb3.py"
            if name not in PEERS:
                script = HERE / "halfcheetah_reins.py"
            own = brief if name == "simulator" else {}
            if n in environments or own:
                all_.append(Contestant(name, n, [python, str(script), name], own))
    return all_


def parts_table(all_: Sequence[Contestant]) -> Table:
    """Where the time of a step goes; the peers' gathering is not taken apart."""
    table = new_table(
        "microseconds per environment step, mean over the turns",
        *("contestant", "simulation", "policy", "both", "update", "rest", "whole"),
    )
    for contestant in all_:
        if not contestant.turns:
            continue
        parts = contestant.microseconds()
        whole = parts.pop("whole")
        both, rest = parts.get("gather"), None
        if "act" in parts:
            both = parts["simulate"] + parts["act"]
            rest = whole - sum(parts.values())
        taken = (parts.get("simulate"), parts.get("act"), both, parts.get("update"))
        table.add_row(
            f"{short(contestant.name)}, {contestant.environments}",
            *[cell(value) for value in (*taken, rest, whole)],
        )
    return table


def dividing(text: str) -> int:
    """A number of environments that shares out a batch evenly."""
    n = int(text)
    if n < 1 or BATCH_STEPS % n:
        raise argparse.ArgumentTypeError(
            f"{n} environments cannot share {BATCH_STEPS} steps evenly; "
            "use a power of 2."
        )
    return n


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = common_options(__doc__, "halfcheetah", NAMES, seconds=20.0)
    parser.add_argument(
        *("--environments", "-n"),
        type=dividing,
        nargs="+",
        default=[1, 16],
        help="environments side by side (1 16)",
    )
    told = "threads of torch in the peers (what torch chooses)"
    parser.add_argument("--torch-threads", type=positive, help=told)
    return parser.parse_args()


def main() -> int:
    """0 when all that could be installed was measured."""
    asked = options()
    console = begin()
    names = [name for name in NAMES if name in asked.only]
    found, missing = pythons(names, asked.peers, console)
    all_ = contestants(found, asked.environments, asked.seconds)
    settings = SETTINGS | {"torch_threads": asked.torch_threads}
    about = {
        "schema": "reins.benchmark.halfcheetah/1",
        "normalised": {name: name == "reins" for name in found if name != "simulator"},
        "left_out": missing,
    }
    hold(console, all_, settings, asked, about)
    for size in sizes(all_):
        compared = (*PEERS, "simulator")
        console.print(rates_table("HalfCheetah-v5", all_, size, compared))
    console.print(parts_table(all_))
    if any(c.name in PEERS for c in all_):
        console.print("reins normalises observations and rewards; the peers do not.")
    return close(console, all_, asked)


if __name__ == "__main__":
    sys.exit(main())
