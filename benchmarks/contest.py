"""A benchmark from its command line to its tables, whoever takes part in it.

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
from benchmarks.turns import (
    Contestant,
    against,
    counted,
    cpu_model,
    load,
    ratio,
    results,
)
from reins.experiments.engines.local import cores
from reins.experiments.files import write_json

HERE = Path(__file__).parent
PEER_SCRIPTS = HERE / "peers"
WIDTH = 110
"""Columns at least, so that no table is squeezed where there is no terminal."""
SHORT = {"stable-baselines3": "SB3", "sbx": "SBX"}


def common_options(
    doc: str | None, benchmark: str, names: Sequence[str], *, seconds: float
) -> argparse.ArgumentParser:
    """What every benchmark can be told.

    Args:
      doc: of its module; the first line is its summary.
      benchmark: its name, by which its results are called.
      names: who can take part.
      seconds: measured in a turn unless told.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    add = parser.add_argument
    add("--only", choices=names, nargs="+", default=names, help="whom to measure")
    add("--turns", type=positive, default=3, help="times that each is measured (3)")
    told = f"measured in each turn ({seconds:g})"
    add("--seconds", type=duration, default=seconds, help=told)
    peers = Path("runs/benchmark-peers")
    told = f"where the peers' environments are kept ({peers})"
    add("--peers", type=Path, default=peers, metavar="DIR", help=told)
    out = Path(f"runs/benchmark-{benchmark}.json")
    told = f"where all numbers are written, as JSON ({out})"
    add("--out", type=Path, default=out, metavar="FILE", help=told)
    return parser


def begin() -> Console:
    """Say which machine this is, and whether it can be trusted."""
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, WIDTH)
    console.print(f"{cpu_model()}, {cores()} cores")
    before = load()
    if before and before[0] > 0.5:
        console.print(
            f"this machine has other work (load {before[0]:.1f}): the rates and ratios "
            "below mean little, and are worst for those with several threads."
        )
    return console


def pythons(
    names: Sequence[str], folder: Path, console: Console
) -> tuple[dict[str, str], dict[str, str]]:
    """The Python of each; and why those are left out that cannot be installed."""
    found: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in names:
        try:
            peer = name in PEERS
            home = peer_python(name, folder, console.print) if peer else sys.executable
        except PeerError as error:
            missing[name] = str(error)
            console.print(f"{name} is left out; it cannot be installed: {error}")
        else:
            found[name] = str(home)
    return found, missing


def hold(
    console: Console,
    all_: Sequence[Contestant],
    settings: dict[str, Any],
    asked: argparse.Namespace,
    about: dict[str, Any],
    *,
    once: Sequence[Contestant] = (),
) -> dict[str, Any]:
    """Let all take their turns; after each turn everything is written down.

    Args:
      settings: of every turn; `seconds` are added.
      about: what else the file of results says, its `schema` among it.
      once: who are measured a single time, after the turns.

    Returns: what the file of results says in the end.
    """
    settings = settings | {"seconds": asked.seconds}
    machine = {"cpu": cpu_model(), "cores": cores(), "load_before": load()}
    about = about | {
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": machine,
        "settings": settings,
        "turns": asked.turns,
    }
    turns = [(f"turn {i} of {asked.turns}", all_) for i in range(1, asked.turns + 1)]
    for turn, these in [*turns, ("once", once)]:
        one_turn(console, these, turn, settings)
        machine["load_after"] = load()
        about["results"] = results([*all_, *once])
        write_json(asked.out, about)
    return about


def one_turn(
    console: Console, all_: Sequence[Contestant], turn: str, settings: dict[str, Any]
) -> None:
    """Measure all that have not failed once, one after another."""
    for contestant in all_:
        if contestant.failure is not None:
            continue
        what = f"{turn}, {contestant.size}: {contestant.name}"
        with console.status(what):
            contestant.take_turn(settings)
        said = contestant.failure or f"{contestant.rates[-1]:,.0f} steps/s"
        console.print(f"{what}: {said}")


def close(
    console: Console, all_: Sequence[Contestant], asked: argparse.Namespace
) -> int:
    """Say where the numbers are; 0 when all that takes part was measured."""
    console.print(f"everything, with versions: {asked.out}")
    return int(any(c.failure is not None for c in all_))


def new_table(title: str, *headings: str) -> Table:
    """An empty one: the first column is of names, the others of numbers."""
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left")
    return table


def cell(value: float | None, form: str = ".1f") -> str:
    """A number, or a dash for none."""
    return "-" if value is None else format(value, form)


def rates_table(
    subject: str, all_: Sequence[Contestant], size: str, compared: Sequence[str]
) -> Table:
    """Environment steps per second of all of one size, and ratios.

    Args:
      compared: whom the others are divided by, where they took part.
    """
    here = [c for c in all_ if c.size == size and c.turns]
    compared = [name for name in compared if any(c.name == name for c in here)]
    table = new_table(
        f"{subject}, {size}: environment steps per second, and ratios",
        *("contestant", "median", "lowest", "highest"),
        *(f"/ {short(name)}" for name in compared),
    )
    for contestant in here:
        rates, ratios = contestant.rates, against(contestant, all_)
        table.add_row(
            short(contestant.name),
            *[f"{x:,.0f}" for x in (statistics.median(rates), min(rates), max(rates))],
            *[cell(ratios.get(name), ".2f") for name in compared],
        )
    return table


def sizes(all_: Sequence[Contestant]) -> list[str]:
    """Of those that were measured, in their order."""
    return list(dict.fromkeys(c.size for c in all_ if c.turns))


def short(name: str) -> str:
    """The name of a contestant for where room is scarce."""
    for long, brief in SHORT.items():
        name = name.replace(long, brief)
    return name


def in_threads(name: str, threads: Sequence[int], **told: Any) -> list[Contestant]:
    """The same contestant with torch in so many threads."""
    return [
        Contestant(
            f"{name}, {counted(n, 'thread')}", settings={"torch_threads": n}, **told
        )
        for n in threads
    ]


def verdict(
    all_: Sequence[Contestant], ours: str, theirs: str, wanted: float | None = None
) -> str:
    """How many times as fast ours is as the peer at its best, beside what we want."""
    measured = {c.name: c.rates for c in all_ if c.turns and c.seeds == 1}
    rivals = [name for name in measured if name.split(",")[0] == theirs]
    if ours not in measured or not rivals:
        return f"{ours} / {theirs}: not measured"
    best = max(rivals, key=lambda name: statistics.median(measured[name]))
    found = cell(ratio(measured[ours], measured[best]), ".2f")
    beside = "" if wanted is None else f" (wanted: at least {wanted:g})"
    return f"{ours} / {best}: {found}{beside}"


def positive(text: str) -> int:
    """A whole number of at least 1."""
    n = int(text)
    if n < 1:
        raise argparse.ArgumentTypeError(f"{n} is below 1.")
    return n


def duration(text: str) -> float:
    """Seconds."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{seconds} s is no time to measure for.")
    return seconds
