"""Constraints on a half-cheetah: what learning one takes, and where the time goes.

    python -m benchmarks.constraints [--whole]

Three contests, one after another in every turn:

    stepping   environment steps per second under random actions: reins's simulator of
               HalfCheetahWall, Gymnasium's vector environments of the same one,
               EnvPool's HalfCheetah-v5 (without a wall), and MuJoCo alone
    training   reins's PPO-Lagrangian in HalfCheetahWall beside OmniSafe's PPOLag in
               SafetyHalfCheetahVelocity-v1, a cost on speed: batches of 4096 steps, 10
               passes in minibatches of 64, two layers of 64 for the policy and both
               critics; torch in 1 and 2 threads, the better counts
    learning   ICRL in HalfCheetahWall, one seed, as `reins learn-constraint` learns by
               our best settings; --whole runs the command once, from start to end

OmniSafe needs MuJoCo and Gymnasium of 2023. Its three networks have an optimiser each,
ours one together; it does not normalise rewards, ours are; its observations have 17
numbers, ours 18. Both have the KL stop off.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
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
    in_threads,
    new_table,
    positive,
    pythons,
    rates_table,
    sizes,
    verdict,
)
from benchmarks.turns import Contestant
from reins.experiments.engines.local import cores
from reins.experiments.files import write_json

ENV = "reins/HalfCheetahWall-v0"
STEPPERS = {
    "gymnasium, sync": "sync",
    "gymnasium, async": "async",
    "mj_step": "loop",
    "mujoco.rollout": "rollout",
    "rollout, ahead": "ahead",
    "mujoco.batch": "batch",
}
"""Who steps beside reins and EnvPool, and what its process is told."""
OURS = ("stepping", "training", "learning")
PEERS = ("envpool", "omnisafe")
BRIEF_SECONDS = 3.0
"""That suffice for what only steps."""
TRAINING: dict[str, Any] = {
    "agent": "ppo-lagrangian",
    "env": ENV,
    "hidden": [64, 64],
    "batch_steps": 4096,
    "minibatch_steps": 64,
    "epochs": 10,
    "learning_rate": 3e-4,
    "discount": 0.99,
    "gae_lambda": 0.95,
    "clip_epsilon": 0.2,
    "warm_up": 1,
}
"""`warm_up` counts updates; the rest is in reins's words."""
SIDE_BY_SIDE = (1, 4)
"""Environments of the training: OmniSafe's default, and as many as it can share a batch
of 4096 steps out to, each with a whole episode; without one it stops."""
LEARNING: dict[str, Any] = {
    "env": ENV,
    "preset": "robots",
    "seeds": 1,
    "steps": 6_000_000,
    "environments": 10,
}
"""Options of `reins learn-constraint`: our best settings, for as long as S2 learned."""
WANTED = {"omnisafe": 10.0, "minutes": 10.0}
WHOLE_SECONDS = 3600.0
"""That the whole experiment may take."""


def stepping(found: dict[str, str], n: int, seconds: float) -> list[Contestant]:
    """All that step, n environments each."""
    own = {"env": ENV, "seconds": min(seconds, BRIEF_SECONDS), "threads": cores()}
    place = "stepping"

    def one(name: str, command: list[str]) -> Contestant:
        return Contestant(name, n, command, own, place=place)

    all_ = []
    if place in found:
        python = found[place]
        simulator = [python, str(HERE / "halfcheetah_reins.py"), "simulator"]
        all_.append(one("reins", simulator))
        script = str(HERE / "stepped_reins.py")
        all_ += [one(name, [python, script, work]) for name, work in STEPPERS.items()]
    if "envpool" in found:
        script = str(PEER_SCRIPTS / "step_envpool.py")
        all_.insert(1, one("envpool", [found["envpool"], script, "envpool"]))
    return all_


def training(found: dict[str, str]) -> list[Contestant]:
    """PPO-Lagrangian, ours and OmniSafe's, with one environment and with several."""
    all_: list[Contestant] = []
    for n in SIDE_BY_SIDE:
        told: dict[str, Any] = {"environments": n, "place": "training"}
        if "training" in found:
            command = [found["training"], str(HERE / "halfcheetah_reins.py"), "reins"]
            all_.append(Contestant("reins", command=command, **told))
        if "omnisafe" in found:
            script = str(PEER_SCRIPTS / "train_omnisafe.py")
            command = [found["omnisafe"], script, "omnisafe"]
            all_ += in_threads("omnisafe", [1, 2], command=command, **told)
    for contestant in all_:
        contestant.settings = TRAINING | contestant.settings
    return all_


def learning(
    found: dict[str, str], demonstrations: str, *, whole: bool
) -> list[Contestant]:
    """A share of the experiment, or the whole of it."""
    if "learning" not in found:
        return []
    name, work = ("icrl, whole", "whole") if whole else ("icrl", "share")
    told = LEARNING | {"demonstrations": demonstrations}
    settings: dict[str, Any] = {"learn": told, "warm_up": 2}
    if whole:
        settings["seconds"] = WHOLE_SECONDS
    command = [found["learning"], str(HERE / "icrl_reins.py"), work]
    n = LEARNING["environments"]
    return [Contestant(name, n, command, settings, place="learning")]


def shares(all_: Sequence[Contestant]) -> dict[str, dict[str, float]]:
    """Microseconds of a step by part, of all that learn."""
    found: dict[str, dict[str, float]] = {}
    for contestant in all_:
        if contestant.turns and contestant.place != "stepping":
            parts = contestant.microseconds()
            parts["rest"] = max(0.0, 2 * parts["whole"] - sum(parts.values()))
            found[f"{contestant.name}, {contestant.environments}"] = parts
    return found


PARTS = ("simulate", "act", "gather", "update", "constraint", "rest", "whole")


def shares_table(found: dict[str, dict[str, float]]) -> Table:
    """Where the time of a step goes; the peers' gathering is not taken apart."""
    table = new_table(
        "microseconds per environment step, and % of the whole",
        *("contestant", "simulation", "policy", "both", "update", "constraint"),
        *("rest", "whole"),
    )
    for name, parts in found.items():
        told = dict(parts)
        if "act" in told:
            told["gather"] = told["simulate"] + told["act"]
        share = {part: 100 * x / parts["whole"] for part, x in told.items()}
        table.add_row(
            name,
            *[
                f"{told[part]:.1f} ({share[part]:.0f})" if part in told else "-"
                for part in PARTS[:-1]
            ],
            cell(parts["whole"]),
        )
    return table


def expected_minutes(contestant: Contestant) -> float | None:
    """What the whole experiment takes by its share: start, updates and evaluations."""
    if "start" not in next(iter(contestant.turns), {}):
        return None
    steps = contestant.settings["learn"]["steps"]
    seconds = [
        turn["start"]
        + steps * turn["seconds"] / turn["steps"]
        + turn["evaluations"] * turn["evaluation"]
        for turn in contestant.turns
    ]
    return statistics.median(seconds) / 60


def verdicts(all_: Sequence[Contestant]) -> list[str]:
    """What was wanted, and what was found."""
    said = []
    for n in SIDE_BY_SIDE:
        here = [c for c in all_ if c.place == "training" and c.environments == n]
        sentence = verdict(here, "reins", "omnisafe", WANTED["omnisafe"])
        said.append(f"PPO-Lagrangian, {n} side by side: {sentence}")
    at_most = f" (wanted: at most {WANTED['minutes']:g})"
    for contestant in all_:
        if contestant.name == "icrl" and contestant.turns:
            minutes = cell(expected_minutes(contestant))
            said.append(f"ICRL, 6,000,000 steps by a share: {minutes} min{at_most}")
        if contestant.name == "icrl, whole" and contestant.turns:
            (turn,) = contestant.turns
            seed, *ends = turn["found"].values()
            said.append(
                f"ICRL, {turn['steps']:,} steps from start to end: "
                f"{turn['seconds'] / 60:.1f} min{at_most}; seed {seed}: return "
                f"{ends[0]:,.0f}, violation rate {ends[1]:.4f}"
            )
    return said


def main() -> int:
    """0 when all that could be installed was measured."""
    names = (*OURS, *PEERS)
    parser = common_options(__doc__, "constraints", names, seconds=10.0)
    add = parser.add_argument
    told = "environments side by side in the stepping (10)"
    add("--environments", "-n", type=positive, nargs="+", default=[10], help=told)
    shown = "HalfCheetahWall"
    told = f"what is learned from, as of `reins learn-constraint` ({shown})"
    add("--demonstrations", metavar="FILE", default=shown, help=told)
    told = "run the whole experiment of 6,000,000 steps, once, after the turns"
    add("--whole", action="store_true", help=told)
    asked = parser.parse_args()
    if Path(shown := asked.demonstrations).exists():
        shown = str(Path(shown).absolute())  # each turn has a folder of its own
    console = begin()
    wanted = [name for name in names if name in asked.only]
    found, missing = pythons(wanted, asked.peers, console)
    all_ = [c for n in asked.environments for c in stepping(found, n, asked.seconds)]
    all_ += training(found) + learning(found, shown, whole=False)
    once = learning(found, shown, whole=True) if asked.whole else []
    about = {"schema": "reins.benchmark.constraints/1", "left_out": missing}
    about = hold(console, all_, {}, asked, about, once=once)
    all_ += once
    about["microseconds"] = shares(all_)
    about["expected_minutes"] = {
        c.name: expected_minutes(c) for c in all_ if c.place == "learning"
    }
    write_json(asked.out, about)
    compared = ("gymnasium, sync", "gymnasium, async", "envpool", "mujoco.batch")
    for size in sizes(all_):
        rivals = [c.name for c in all_ if c.name.startswith("omnisafe")]
        beside = compared if size.startswith("stepping") else dict.fromkeys(rivals)
        console.print(rates_table("HalfCheetah", all_, size, tuple(beside)))
    console.print(shares_table(about["microseconds"]))
    for sentence in verdicts(all_):
        console.print(sentence)
    return close(console, all_, asked)


if __name__ == "__main__":
    sys.exit(main())
