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

The machine must be quiet. Where cores have other work, torch's threads wait for each
other at every small product, and the peers' rates fall out of all proportion.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.install import PEERS, PeerError, peer_python
from benchmarks.turns import Contestant, against, cpu_model, load, results
from reins.experiments.engines.local import cores
from reins.experiments.files import write_json

HERE = Path(__file__).parent
NAMES = ("reins", *PEERS, "simulator")
SHORT = {"stable-baselines3": "SB3", "sbx": "SBX"}
BATCH_STEPS = 2048
SETTINGS: dict[str, Any] = {
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


def commands(
    names: Sequence[str], folder: Path, console: Console
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """How each is started; and why those are left out that cannot be."""
    ours = str(HERE / "halfcheetah_reins.py")
    theirs = str(HERE / "peers" / "train_ppo.py")
    found: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    for name in names:
        if name not in PEERS:
            found[name] = [sys.executable, ours, name]
            continue
        try:
            python = peer_python(name, folder, console.print)
        except PeerError as error:
            missing[name] = str(error)
            console.print(f"{name} is left out; it cannot be installed: {error}")
        else:
            found[name] = [str(python), theirs, name]
    return found, missing


def contestants(
    found: dict[str, list[str]], environments: Sequence[int]
) -> list[Contestant]:
    """In the order of a turn: those with the same number of environments together."""
    counts = {*environments, *([SIMULATED] if "simulator" in found else [])}
    return [
        Contestant(name, n, command)
        for n in sorted(counts)
        for name, command in found.items()
        if n in environments or name == "simulator"
    ]


def one_turn(
    console: Console, all_: Sequence[Contestant], turn: str, settings: dict[str, Any]
) -> None:
    """Measure all that have not failed once, one after another."""
    for contestant in all_:
        if contestant.failure is not None:
            continue
        what = f"{turn}, {counted(contestant.environments)}: {contestant.name}"
        told = dict(settings)
        if contestant.name == "simulator":
            told["seconds"] = min(told["seconds"], SIMULATOR_SECONDS)
        with console.status(what):
            contestant.take_turn(told)
        said = contestant.failure or f"{contestant.rates[-1]:,.0f} steps/s"
        console.print(f"{what}: {said}")


def new_table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    return table


def cell(value: float | None, form: str = ".1f") -> str:
    """A number, or a dash for none."""
    return "-" if value is None else format(value, form)


def show_rates(console: Console, all_: Sequence[Contestant], n: int) -> None:
    """Environment steps per second of all that have n environments."""
    here = [c for c in all_ if c.environments == n and c.turns]
    compared = [peer for peer in PEERS if any(c.name == peer for c in here)]
    table = new_table(
        f"HalfCheetah-v5, {counted(n)}: environment steps per second, and ratios",
        *("contestant", "median", "lowest", "highest"),
        *(f"/ {SHORT[peer]}" for peer in compared),
        "/ simulator",
    )
    for contestant in here:
        rates, ratios = contestant.rates, against(contestant, all_)
        table.add_row(
            contestant.name,
            *[f"{x:,.0f}" for x in (statistics.median(rates), min(rates), max(rates))],
            *[cell(ratios.get(peer), ".2f") for peer in compared],
            cell(ratios.get("simulator"), ".2f"),
        )
    console.print(table)


def show_parts(console: Console, all_: Sequence[Contestant]) -> None:
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
        name = SHORT.get(contestant.name, contestant.name)
        table.add_row(
            f"{name}, {contestant.environments}",
            *[cell(value) for value in (*taken, rest, whole)],
        )
    console.print(table)


def counted(n: int) -> str:
    return f"{n} environment{'s' * (n > 1)}"


def dividing(text: str) -> int:
    """A number of environments that shares out a batch evenly."""
    n = int(text)
    if n < 1 or BATCH_STEPS % n:
        raise argparse.ArgumentTypeError(
            f"{n} environments cannot share {BATCH_STEPS} steps evenly; "
            "use a power of 2."
        )
    return n


def positive(text: str) -> int:
    n = int(text)
    if n < 1:
        raise argparse.ArgumentTypeError(f"{n} is below 1.")
    return n


def duration(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{seconds} s is no time to measure for.")
    return seconds


def options() -> argparse.Namespace:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    add = parser.add_argument
    add("--only", choices=NAMES, nargs="+", default=NAMES, help="whom to measure")
    add("--turns", type=positive, default=3, help="times that each is measured (3)")
    add("--seconds", type=duration, default=20.0, help="measured in each turn (20)")
    add(
        *("--environments", "-n"),
        type=dividing,
        nargs="+",
        default=[1, 16],
        help="environments side by side (1 16)",
    )
    told = "threads of torch in the peers (what torch chooses)"
    add("--torch-threads", type=positive, help=told)
    peers, out = Path("runs/benchmark-peers"), Path("runs/benchmark-halfcheetah.json")
    told = f"where the peers' environments are kept ({peers})"
    add("--peers", type=Path, default=peers, metavar="DIR", help=told)
    told = f"where all numbers are written, as JSON ({out})"
    add("--out", type=Path, default=out, metavar="FILE", help=told)
    return parser.parse_args()


def main() -> int:
    """0 when all that could be installed was measured."""
    asked = options()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{cpu_model()}, {cores()} cores")
    before = load()
    if before and before[0] > 0.5:
        console.print(
            f"this machine has other work (load {before[0]:.1f}): the rates and ratios "
            "below mean little, and are worst for those with several threads."
        )
    names = [name for name in NAMES if name in asked.only]
    found, missing = commands(names, asked.peers, console)
    all_ = contestants(found, asked.environments)
    settings = SETTINGS | {
        "seconds": asked.seconds,
        "torch_threads": asked.torch_threads,
    }
    about: dict[str, Any] = {
        "schema": "reins.benchmark.halfcheetah/1",
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": {"cpu": cpu_model(), "cores": cores(), "load_before": before},
        "settings": settings,
        "turns": asked.turns,
        "normalised": {name: name == "reins" for name in found if name != "simulator"},
        "left_out": missing,
    }
    for turn in range(1, asked.turns + 1):
        one_turn(console, all_, f"turn {turn} of {asked.turns}", settings)
        about["machine"]["load_after"] = load()
        write_json(asked.out, about | {"results": results(all_)})
    for n in sorted({c.environments for c in all_ if c.turns}):
        show_rates(console, all_, n)
    show_parts(console, all_)
    if any(c.name in PEERS for c in all_):
        console.print("reins normalises observations and rewards; the peers do not.")
    console.print(f"everything, with versions: {asked.out}")
    return int(any(c.failure is not None for c in all_))


if __name__ == "__main__":
    sys.exit(main())
