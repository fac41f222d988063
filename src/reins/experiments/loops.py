"""The loop of a group: some updates at a time, evaluated and saved on the way."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from reins.data import FaultyEnvError
from reins.errors import RunError
from reins.experiments.checkpoint import load_checkpoint, save_checkpoint
from reins.experiments.config import RunConfig
from reins.experiments.host import SECONDS
from reins.experiments.program import HaltedError, Program, SeedState, keys_of
from reins.experiments.status import status_news
from reins.experiments.validity import validity_news
from reins.types import Info

SCHEMA = "reins.checkpoint/1"
UPDATES = "updates"
"""How many updates a report is the mean of; 1 where it does not say."""


class Group(NamedTuple):
    """A group of seeds of one run: what it does, and where it is kept."""

    name: str
    env: str
    seeds: tuple[int, ...]
    program: Program
    run: RunConfig
    checkpoint: Path

    @property
    def template(self) -> SeedState:
        """The shapes of the group's state."""
        return self.program.template()


class Progress(NamedTuple):
    """What a group reports.

    Attributes:
      group: whose it is.
      steps: environment steps just taken, of all its seeds.
      info: what the latest updates said, by name, if there were any.
      row: the latest evaluation, if there was one.
      news: what befell, in a sentence for people, if anything did.
    """

    group: Group
    steps: int
    info: dict[str, list[float]] | None = None
    row: dict[str, Any] | None = None
    news: str | None = None


def run_group(
    group: Group,
    device: Any,
    report: Callable[[Progress], None],
    stop: threading.Event,
) -> None:
    """Train a group to its end, from its checkpoint if it has one.

    Raises: RunError when a quantity is no longer finite, or an environment broke its
      promises; the checkpoint holds what was before.
    """
    with jax.default_device(device):
        try:
            _train(group, device, report, stop)
        except FaultyEnvError as fault:  # it could not even begin
            raise RunError(_broken(group, 0, fault)) from fault
        finally:
            group.program.close()


def _train(
    group: Group,
    device: Any,
    report: Callable[[Progress], None],
    stop: threading.Event,
) -> None:
    state, record = _start(group, device)
    run, program = group.run, group.program
    done = int(record["updates"])
    report(Progress(group, done * run.batch_steps * len(group.seeds)))
    span = [time.time(), time.time()]
    record["spans"].append(span)

    def save() -> None:
        record["updates"] = done
        span[1] = time.time()
        save_checkpoint(group.checkpoint, state, record)

    def tell(sentence: str) -> None:
        news = f"{group.name} in {group.env}, {sentence}"
        record["news"] = [*record.get("news", []), news]
        report(Progress(group, 0, news=news))

    def listen() -> None:
        for sentence in program.news():
            tell(f"seed {group.seeds[0]}: {sentence}")

    try:
        while True:
            due = done % run.updates_per_evaluation == 0 or done == run.updates
            if due and (not record["history"] or _last_update(record) < done):
                row = _row(group, done, program.evaluate(state), record.pop("pending"))
                record |= {"pending": [], "history": [*record["history"], row]}
                for sentence in _news(group, row, state, record.get("news", [])):
                    tell(sentence)
                save()
                report(Progress(group, 0, row=row))
            if done == run.updates:
                return
            if stop.is_set():
                save()
                return
            every = run.updates_per_evaluation
            left = min(every - done % every, run.updates - done)
            state, info, n = program.advance(state, left)
            listen()
            done += n
            found = _check(group, done, _count_seconds(record, _host(info)))
            record["pending"].append({UPDATES: n, **found})
            report(Progress(group, n * run.batch_steps * len(group.seeds), info=found))
    except FaultyEnvError as fault:
        save()
        raise RunError(_broken(group, done, fault)) from fault
    except HaltedError as error:
        listen()
        save()
        raise RunError(
            f"{group.env}, seed {group.seeds[0]}: {error}. This stops {group.name} "
            f"here, and no other seed; {group.checkpoint} holds it as it was after "
            f"{done} updates. `reins check-env {group.env}` looks for faults of an "
            "environment; `reins resume` goes on with all workers once it is mended."
        ) from error


def _start(group: Group, device: Any) -> tuple[SeedState, dict[str, Any]]:
    if group.checkpoint.exists():
        state, record = load_checkpoint(group.checkpoint, group.template)
        if not group.program.exact and record["updates"] < group.run.updates:
            # Where environments cannot be saved, an episode is begun afresh.
            record["fresh_starts"].append(record["updates"])
        return group.program.put(state, device), record
    state = group.program.init(jax.device_put(keys_of(group.seeds), device))
    record = {
        "schema": SCHEMA,
        "seeds": list(group.seeds),
        "updates": 0,
        "spans": [],
        "seconds": {},
        "fresh_starts": [],
        "pending": [],
        "history": [],
    }
    return state, record


def _news(
    group: Group, row: dict[str, Any], state: SeedState, before: list[str]
) -> list[str]:
    """What an evaluation says that was not told before."""

    def explain(place: int) -> str:
        return group.program.explain(state, place)

    return [
        *status_news(row, group.seeds, before),
        *validity_news(row, group.seeds, before, explain),
    ]


def _broken(group: Group, updates: int, fault: FaultyEnvError) -> str:
    """What to say of an environment that broke off."""
    run = group.run
    seeds = f"seed {group.seeds[0]}"
    place = ""
    if fault.place is not None:
        which, copy = divmod(fault.place, run.environments)
        seeds = f"seed {group.seeds[which % len(group.seeds)]}"
        place = f", in copy {copy} of {run.environments}"
    elif len(group.seeds) > 1:
        seeds = f"seeds {group.seeds[0]} to {group.seeds[-1]}"
    step = updates * run.rollout_steps + fault.step
    held = f"{group.checkpoint} holds it as it was after {updates} updates"
    if not group.checkpoint.exists():
        held = "nothing of it was there to save"
    return (
        f"{group.env}, {seeds}, step {step} of each copy{place}: {fault.what}. "
        f"This stops {group.name} here, and no other seed; {held}. `reins check-env "
        f"{group.env}` looks for such faults; `reins resume` goes on once the "
        "environment is mended."
    )


def _last_update(record: dict[str, Any]) -> int:
    return record["history"][-1]["updates"]


def _host(info: Info) -> dict[str, Any]:
    return {
        name: np.asarray(value, np.float64).tolist() for name, value in info.items()
    }


def _count_seconds(record: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Take what was spent on each part out of the report, and add it up."""
    for name in [name for name in info if name.startswith(SECONDS)]:
        part = name.removeprefix(SECONDS)
        record["seconds"][part] = record["seconds"].get(part, 0.0) + info.pop(name)
    return info


def _check(group: Group, update: int, info: dict[str, list[float]]) -> dict[str, Any]:
    for name, values in info.items():
        for seed, value in zip(group.seeds, values, strict=True):
            if not np.isfinite(value):
                raise RunError(
                    f"{group.name}, seed {seed}, update {update}: `{name}` became "
                    f"{value}. The run stops here; its last checkpoint, "
                    f"{group.checkpoint}, is from before. A smaller learning rate "
                    "helps most often."
                )
    return info


def _row(
    group: Group, updates: int, evaluation: Info, pending: list[dict[str, Any]]
) -> dict[str, Any]:
    """One line of the curves: the evaluation, and means over the updates before it.

    Of what is named `..._max` the largest.
    """
    names = dict.fromkeys(name for report in pending for name in report)
    names.pop(UPDATES, None)
    told = {name: _over(name, [p for p in pending if name in p]) for name in names}
    steps = updates * group.run.batch_steps
    return {"updates": updates, "steps": steps, **_host(evaluation), **told}


def _over(name: str, pending: list[dict[str, Any]]) -> list[float]:
    values = [report[name] for report in pending]
    if name.endswith("_max"):
        return np.max(values, axis=0).tolist()
    counts = [report.get(UPDATES, 1) for report in pending]
    return np.average(values, axis=0, weights=counts).tolist()
