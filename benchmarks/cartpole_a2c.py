"""A2C on CartPole-v1: environment steps per second, beside Stable-Baselines3.

    python -m benchmarks.cartpole_a2c

    reins               as `reins train a2c --seeds 1` trains in reins/CartPole-v1
    compiled            the same compiled updates: without reins's loop
    environment         the limit: our environments alone under random actions
    update              our update alone
    stable-baselines3   its A2C with `make_vec_env`, torch in 1 and in 2 threads

Both make a batch of 16 environments x 5 steps and one step of Adam (ε 1e-5) on it. Each
is a process of its own; they take turns, and ratios are within a turn.
"""

import sys
from typing import Any

from benchmarks.cartpole import CARTPOLE, OURS, ours, shares_table
from benchmarks.contest import (
    PEER_SCRIPTS,
    begin,
    close,
    common_options,
    hold,
    in_threads,
    pythons,
    rates_table,
    sizes,
    verdict,
)

PEER = "stable-baselines3"
ENVIRONMENTS = 16
WANTED = 15.0
"""Times the rate of the peer at its best."""
SETTINGS: dict[str, Any] = CARTPOLE | {
    "agent": "a2c",
    "batch_steps": 5 * ENVIRONMENTS,
    "learning_rate": 7e-4,
    "gae_lambda": 1.0,
    "warm_up": 200,
}
"""`warm_up` counts updates; the rest is in reins's words."""


def main() -> int:
    """0 when all that could be installed was measured."""
    names = (*OURS, PEER)
    asked = common_options(__doc__, "cartpole-a2c", names, seconds=10.0).parse_args()
    console = begin()
    found, missing = pythons(
        [n for n in names if n in asked.only], asked.peers, console
    )
    all_ = ours(asked.only, ENVIRONMENTS, asked.seconds)
    if PEER in found:
        command = [found[PEER], str(PEER_SCRIPTS / "train_sb3.py"), PEER]
        all_ += in_threads(PEER, [1, 2], environments=ENVIRONMENTS, command=command)
    about = {"schema": "reins.benchmark.cartpole-a2c/1", "left_out": missing}
    hold(console, all_, SETTINGS, asked, about)
    compared = [c.name for c in all_ if c.name == "environment" or c.name not in OURS]
    for size in sizes(all_):
        console.print(rates_table("A2C, CartPole-v1", all_, size, compared))
    console.print(shares_table(all_))
    console.print(verdict(all_, "reins", PEER, WANTED))
    return close(console, all_, asked)


if __name__ == "__main__":
    sys.exit(main())
