"""One experiment of learning a constraint: the rate of a share of it, or all of it.

    python icrl_reins.py share '{"learn": {"env": ..., "steps": 6000000, ...}, ...}'
    python icrl_reins.py whole ...

Prints one line of JSON, as the peers' parts do.

    share   the same run, its reports and checkpoints included, until the time is up;
            and what beside its updates the whole would take
    whole   the command from its start to its end, as a user waits for it
"""

import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()

from reins.experiments.engines.local import cores, use_all_cores  # noqa: E402

use_all_cores()

import jax  # noqa: E402

from reins.experiments.build import build  # noqa: E402
from reins.experiments.checkpoint import load_record  # noqa: E402
from reins.experiments.config import LearnConfig, gathered  # noqa: E402
from reins.experiments.config.record import command_line  # noqa: E402
from reins.experiments.host import SECONDS  # noqa: E402
from reins.experiments.loops import run_group  # noqa: E402
from reins.experiments.program import Program, SeedState  # noqa: E402
from reins.experiments.record import (  # noqa: E402
    SUMMARY_FILE,
    checkpoint_file,
    versions,
)
from reins.experiments.report import Terminal  # noqa: E402
from reins.experiments.run import prepare  # noqa: E402
from reins.types import Info  # noqa: E402

NEVER = 10**9
"""Updates of the agent, after which ζ would be improved."""
REPEATED = 9
"""Updates on one batch, with the constraint's and without."""


class Watch:
    """Takes the place of a program's `advance`, and stops the run when time is up.

    Attributes:
      steps, seconds, parts: that were measured, and what each part took.
      start: from the start of the process to the first update that counts.
      state: the last one.
    """

    def __init__(self, program: Any, batch_steps: int, settings: dict[str, Any]):
        self.program, self.batch_steps = program, batch_steps
        self.left, self.limit = settings["warm_up"], settings["seconds"]
        self.stop = threading.Event()
        self.steps, self.seconds, self.start = 0, 0.0, 0.0
        self.state: SeedState | None = None
        self.parts: dict[str, float] = {}

    def __call__(self, state: SeedState, most: int) -> tuple[SeedState, Info, int]:
        now = time.perf_counter()
        if self.left == 0:
            self.start = now - BEGAN
        self.left -= 1
        counts = self.left < 0
        state, info, n = self.program.advance(state, most)
        if counts:
            self.steps += n * self.batch_steps
            self.seconds = time.perf_counter() - BEGAN - self.start
            for name in [name for name in info if name.startswith(SECONDS)]:
                part = name.removeprefix(SECONDS)
                self.parts[part] = self.parts.get(part, 0.0) + float(info[name])
        if self.seconds > self.limit:
            self.state = state
            self.stop.set()
        return state, info, n


def seconds_of(work: Callable[[], Any]) -> float:
    """What it takes once."""
    began = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - began


def constraint_seconds(
    config: LearnConfig, program: Program, state: SeedState
) -> float:
    """What ζ takes of an update, where each improves it: both, less the agent alone."""
    without = dataclasses.replace(config.constraint, forward_updates=NEVER)
    alone = dataclasses.replace(config, constraint=without)
    state, batch, _ = program.gather(state)
    agent, batch = jax.tree.map(lambda x: x[0], (state.agent, batch))

    def updating(config: LearnConfig) -> Callable[[], Any]:
        learner: Any = build(config).agent
        update = jax.jit(learner.update)
        return lambda: update(agent, batch, jax.random.key(0))

    works = updating(config), updating(alone)
    for work in works:
        work()  # which compiles it
    pairs = [[seconds_of(work) for work in works] for _ in range(REPEATED)]
    return max(0.0, statistics.median(both - one for both, one in pairs))


def share(settings: dict[str, Any]) -> dict[str, Any]:
    """Steps and seconds of whole updates, and what else the whole run would take."""
    config = gathered(LearnConfig, settings["learn"])
    with tempfile.TemporaryDirectory() as folder:
        (group,) = prepare(config, Path(folder)).groups
        watch = Watch(group.program, config.run.batch_steps, settings)
        watched = group._replace(program=group.program._replace(advance=watch))
        with Terminal(quiet=True).progress(config.run.steps) as show:
            run_group(watched, jax.local_devices()[0], show, watch.stop)
    run, program = config.run, group.program
    updates = watch.steps // run.batch_steps
    last = watch.state
    assert last is not None
    program.evaluate(last)  # which opens its environments
    evaluation = seconds_of(lambda: program.evaluate(last))
    moved = updates * constraint_seconds(config, program, last)
    parts = watch.parts | {"update": watch.parts["update"] - moved, "constraint": moved}
    program.close()
    return {
        "steps": watch.steps,
        "seconds": watch.seconds,
        "parts": parts,
        "start": watch.start,
        "evaluation": evaluation,
        "evaluations": 1 + -(-run.updates // run.updates_per_evaluation),
    }


def whole(settings: dict[str, Any]) -> dict[str, Any]:
    """The seconds of the command, and what it found."""
    config = gathered(LearnConfig, settings["learn"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        reins, *words = shlex.split(command_line(config))
        command = [str(Path(sys.executable).with_name(reins)), *words, "--quiet"]
        began = time.perf_counter()
        subprocess.run([*command, "--out", str(out)], check=True)
        seconds = time.perf_counter() - began
        summary = json.loads((out / SUMMARY_FILE).read_text())
        seed = config.run.seed_list[0]
        record = load_record(checkpoint_file(out, (seed,)))
    (method,) = summary["methods"].values()
    return {
        "steps": record["updates"] * config.run.batch_steps,
        "seconds": seconds,
        "parts": record["seconds"],
        "found": {
            "seed": seed,
            "return": method["final_return"][0],
            "violation_rate": method["final_violation_rate"][0],
        },
    }


def main() -> None:
    """Do what is asked for, and print the line."""
    result = {"share": share, "whole": whole}[sys.argv[1]](json.loads(sys.argv[2]))
    result["threads"] = {"simulator": cores()}
    print(json.dumps(result | {"versions": versions()}))


if __name__ == "__main__":
    main()
