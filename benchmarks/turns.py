"""Contestants that take turns: each turn a process of its own, which prints one line.

The line is JSON: the `steps` that were measured, the `seconds` that they took, what of
these the `parts` took, and the `versions` and `threads` of the process; its `peak_mib`
of memory where that matters.
"""

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTING = 600
"""Seconds that a process may take beyond those that are measured."""
KEPT = ("steps", "seconds", "parts", "start", "evaluation", "evaluations", "found")
"""What a file keeps of each turn, where it was told."""


@dataclasses.dataclass
class Contestant:
    """Something to time with so many environments.

    Attributes:
      environments: side by side, of each seed.
      command: starts its process; the settings of a turn are added, as JSON.
      settings: its own, which come before those of the turn.
      seeds: that it trains.
      place: the environment's name, where contestants are in several.
      turns: what its process printed in each turn, until it failed.
      failure: why it takes no more turns.
    """

    name: str
    environments: int
    command: list[str]
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    seeds: int = 1
    place: str = ""
    turns: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    failure: str | None = None

    @property
    def size(self) -> str:
        """How much it has side by side, in words."""
        several = f", {counted(self.seeds, 'seed')}" if self.seeds > 1 else ""
        where = f"{self.place}, " if self.place else ""
        return where + counted(self.environments, "environment") + several

    @property
    def rates(self) -> list[float]:
        """Environment steps per second in each turn."""
        return [turn["steps"] / turn["seconds"] for turn in self.turns]

    @property
    def peak_mib(self) -> float | None:
        """The most memory of any turn, where that was told."""
        told = [turn["peak_mib"] for turn in self.turns if "peak_mib" in turn]
        return max(told, default=None)

    def microseconds(self) -> dict[str, float]:
        """What a step takes, whole and in parts, over all turns."""
        steps = sum(turn["steps"] for turn in self.turns)
        parts = {"whole": sum(turn["seconds"] for turn in self.turns)}
        for turn in self.turns:
            for name, seconds in turn["parts"].items():
                parts[name] = parts.get(name, 0.0) + seconds
        return {name: 1e6 * seconds / steps for name, seconds in parts.items()}

    def take_turn(self, settings: dict[str, Any]) -> None:
        """Measure once, on CPUs; a failure is kept for the report.

        Args:
          settings: for its process; `seconds` among them.
        """
        settings = settings | self.settings
        size = {"environments": self.environments, "seeds": self.seeds}
        told = json.dumps(settings | size)
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        kept |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        limit = settings["seconds"] + STARTING
        # MuJoCo leaves a log in the working directory.
        with tempfile.TemporaryDirectory() as folder:
            try:
                done = subprocess.run(
                    [*self.command, told],
                    timeout=limit,
                    capture_output=True,
                    text=True,
                    check=False,
                    cwd=folder,
                    env=kept,
                )
            except subprocess.TimeoutExpired:
                self.failure = f"no result within {limit:.0f} s"
                return
        try:
            self.turns.append(json.loads(done.stdout.splitlines()[-1]))
        except (IndexError, ValueError):
            said = done.stderr.strip().splitlines()
            last = said[-1] if said else "it said nothing"
            self.failure = f"exit status {done.returncode}, and no result: {last}"


def counted(n: int, thing: str) -> str:
    """So many things."""
    return f"{n} {thing}{'s' * (n > 1)}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Median over turns of the ratio within a turn; None where they share none."""
    pairs = list(zip(ours, theirs, strict=False))
    return statistics.median(a / b for a, b in pairs) if pairs else None


def cpu_model() -> str:
    """The processor's name, as the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.processor() or "unknown"


def load() -> list[float]:
    """How many processes want to run, over 1, 5 and 15 minutes."""
    return list(os.getloadavg()) if hasattr(os, "getloadavg") else []


def against(contestant: Contestant, all_: Sequence[Contestant]) -> dict[str, float]:
    """Its rate as a multiple of the others' with as many environments and seeds."""
    others = {c.name: c.rates for c in all_ if c.size == contestant.size}
    found = {name: ratio(contestant.rates, rates) for name, rates in others.items()}
    return {name: value for name, value in found.items() if value is not None}


def results(all_: Sequence[Contestant]) -> list[dict[str, Any]]:
    """What each was found to do, for a file."""
    return [
        {
            "contestant": c.name,
            "environments": c.environments,
            "seeds": c.seeds,
            "settings": c.settings,
            "failure": c.failure,
            "rates": c.rates,
            "median": statistics.median(c.rates) if c.turns else None,
            "against": against(c, all_),
            "peak_mib": c.peak_mib,
            "microseconds_per_step": c.microseconds() if c.turns else {},
            "threads": c.turns[0]["threads"] if c.turns else {},
            "versions": c.turns[0]["versions"] if c.turns else {},
            "turns": [{k: t[k] for k in KEPT if k in t} for t in c.turns],
        }
        for c in all_
    ]
