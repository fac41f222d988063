"""TRPO and NPG on HalfCheetah-v5: environment steps per second, beside two libraries.

    python -m benchmarks.halfcheetah_trust

    trpo          as `reins train trpo --seeds 1` trains, observations and rewards
                  normalised, which is its default
    sb3-contrib   its TRPO with `make_vec_env`, and nothing normalised
    npg           as `reins train npg --seeds 1` trains
    tianshou      its NPG, and nothing normalised
    simulator     the limit: reins's simulator under random actions

All have 16 environments x 128 steps and two layers of 64. Both TRPOs make 15 iterations
of conjugate gradients, up to 10 tries of the line search, and 10 passes of the critic
in minibatches of 128; both NPGs 10 iterations and 10 steps of the critic on the whole
batch, which is all that Tianshou has. torch has 1 and 2 threads, the better counts.
"""

import sys
from typing import Any

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
    pythons,
    rates_table,
    sizes,
    verdict,
)
from benchmarks.turns import Contestant

ENVIRONMENTS = 16
BATCH_STEPS = 128 * ENVIRONMENTS
SIMULATOR_SECONDS = 5.0
PEERS = {
    "trpo": ("sb3-contrib", "train_sb3.py"),
    "npg": ("tianshou", "train_tianshou.py"),
}
"""Beside whom each of our agents is measured, and by which script."""
SETTINGS: dict[str, Any] = {
    "env": "HalfCheetah-v5",
    "hidden": [64, 64],
    "batch_steps": BATCH_STEPS,
    "discount": 0.99,
    "gae_lambda": 0.95,
    "kl_bound": 0.01,
    "damping": 0.1,
    "critic_epochs": 10,
    "critic_learning_rate": 1e-3,
    "warm_up": 2,
}
"""`warm_up` counts updates; the rest is in reins's words."""
AGENTS: dict[str, dict[str, Any]] = {
    # `shrink` is reins's default, which the peer is told.
    "trpo": {"cg_iterations": 15, "minibatch_steps": 128, "shrink": 0.5},
    "npg": {"cg_iterations": 10, "minibatch_steps": BATCH_STEPS},
}
"""What only one of them is told."""


def contestants(found: dict[str, str], seconds: float) -> list[Contestant]:
    """Each agent of ours, its peer after it; the simulator last."""
    script = str(HERE / "halfcheetah_reins.py")
    all_: list[Contestant] = []
    for agent, told in AGENTS.items():
        (peer, theirs), own = PEERS[agent], told | {"agent": agent}
        if agent in found:
            command = [found[agent], script, "reins"]
            all_.append(Contestant(agent, ENVIRONMENTS, command, own))
        if peer in found:
            command = [found[peer], str(PEER_SCRIPTS / theirs), peer]
            rivals = in_threads(
                peer, [1, 2], environments=ENVIRONMENTS, command=command
            )
            for rival in rivals:
                rival.settings |= own
            all_ += rivals
    if "simulator" in found:
        brief = {"seconds": min(seconds, SIMULATOR_SECONDS)}
        command = [found["simulator"], script, "simulator"]
        all_.append(Contestant("simulator", ENVIRONMENTS, command, brief))
    return all_


def parts_table(all_: list[Contestant]) -> Any:
    """Where the time of a step goes."""
    table = new_table(
        "microseconds per environment step, mean over the turns",
        *("contestant", "gathering", "update", "whole"),
    )
    for contestant in all_:
        if not contestant.turns:
            continue
        parts = contestant.microseconds()
        whole, update = parts["whole"], parts.get("update")
        gathering = None if update is None else whole - update
        cells = [cell(value) for value in (gathering, update, whole)]
        table.add_row(contestant.name, *cells)
    return table


def main() -> int:
    """0 when all that could be installed was measured."""
    peers = [peer for peer, _ in PEERS.values()]
    names = (*AGENTS, *peers, "simulator")
    asked = common_options(
        __doc__, "halfcheetah-trust", names, seconds=20.0
    ).parse_args()
    console = begin()
    found, missing = pythons(
        [n for n in names if n in asked.only], asked.peers, console
    )
    all_ = contestants(found, asked.seconds)
    about = {"schema": "reins.benchmark.halfcheetah-trust/1", "left_out": missing}
    hold(console, all_, SETTINGS, asked, about)
    for agent, (peer, _) in PEERS.items():
        mine = [c for c in all_ if c.name.split(",")[0] in (agent, peer, "simulator")]
        compared = [c.name for c in mine if c.name != agent]
        for size in sizes(mine):
            console.print(rates_table(f"{agent}, HalfCheetah-v5", mine, size, compared))
    console.print(parts_table(all_))
    for agent, (peer, _) in PEERS.items():
        console.print(verdict(all_, agent, peer))
    console.print("reins normalises observations and rewards; the peers do not.")
    return close(console, all_, asked)


if __name__ == "__main__":
    sys.exit(main())
