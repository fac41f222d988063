"""PPO on CartPole-v1: environment steps per second, beside rejax and PureJaxRL.

    python -m benchmarks.cartpole_ppo [--purejaxrl CHECKOUT]

    reins         as `reins train ppo` trains in reins/CartPole-v1
    compiled      the same compiled updates: without reins's loop
    environment   the limit: our environments alone under random actions
    update        our update alone
    rejax         its PPO in gymnax's CartPole-v1
    purejaxrl     the same of PureJaxRL; it is no package: a checkout is cloned into
                  --peers unless one is given

All have 64 environments x 128 steps, 4 passes in 4 minibatches of 2048, two layers of
64, and train many updates without an evaluation. Peers clip the critic's loss as well;
we value the observations before resets too, so that a time limit keeps its bootstrap.

Then several seeds at once: reins deals them out to the cores, rejax vmaps over them.
"""

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.cartpole import CARTPOLE, OURS, ours, shares_table
from benchmarks.contest import (
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
    sizes,
    verdict,
)
from benchmarks.peers.install import PeerError, purejaxrl_checkout
from benchmarks.turns import Contestant, ratio

PEERS = ("rejax", "purejaxrl")
ENVIRONMENTS = 64
WANTED = 1.2
"""Times the rate of each peer."""
SETTINGS: dict[str, Any] = CARTPOLE | {
    "agent": "ppo",
    "batch_steps": 128 * ENVIRONMENTS,
    "minibatch_steps": 2048,
    "epochs": 4,
    "learning_rate": 2.5e-4,
    "gae_lambda": 0.95,
    "clip_epsilon": 0.2,
    "warm_up": 5,
}
"""`warm_up` counts updates; the rest is in reins's words."""


def peers(
    asked: Any, found: dict[str, str], missing: dict[str, str], say: Any
) -> list[Contestant]:
    """Those that are installed, with one seed; PureJaxRL's checkout with it."""
    settings: dict[str, dict[str, Any]] = {"rejax": {}}
    if "purejaxrl" in found:
        try:
            folder = purejaxrl_checkout(asked.purejaxrl, asked.peers, say)
            settings["purejaxrl"] = {"purejaxrl": str(folder)}
        except PeerError as error:
            missing["purejaxrl"] = str(error)
            say(f"purejaxrl is left out: {error}")
    script = str(PEER_SCRIPTS / "train_gymnax.py")
    return [
        Contestant(name, ENVIRONMENTS, [found[name], script, name], settings=told)
        for name, told in settings.items()
        if name in found
    ]


def seeds_table(all_: list[Contestant]) -> Any:
    """Steps per second of all seeds together, and what each further seed costs."""
    table = new_table(
        "several seeds at once: environment steps per second of all together",
        *("contestant", "seeds", "median", "lowest", "highest"),
        *("/ its 1 seed", "/ rejax", "a seed more costs, % of the first"),
    )
    measured = {(c.name, c.seeds): c.rates for c in all_ if c.turns}
    for (name, n), rates in sorted(measured.items(), key=lambda item: item[0][1]):
        gain = ratio(rates, measured.get((name, 1), []))
        more = None if gain is None or n == 1 else 100 * (n / gain - 1) / (n - 1)
        middle = statistics.median(rates)
        rejax = ratio(rates, measured.get(("rejax", n), []))
        table.add_row(
            *(name, str(n)),
            *(f"{x:,.0f}" for x in (middle, min(rates), max(rates))),
            *(cell(gain, ".2f"), cell(rejax, ".2f"), cell(more, ".0f")),
        )
    return table


def main() -> int:
    """0 when all that could be installed was measured."""
    names = (*OURS, *PEERS)
    parser = common_options(__doc__, "cartpole-ppo", names, seconds=10.0)
    told = "a checkout of PureJaxRL (cloned into --peers)"
    parser.add_argument("--purejaxrl", type=Path, metavar="DIR", help=told)
    told = "seeds at once (1 2 4 8)"
    parser.add_argument(
        "--seeds", type=positive, nargs="+", default=[1, 2, 4, 8], help=told
    )
    asked = parser.parse_args()
    console = begin()
    found, missing = pythons(
        [n for n in names if n in asked.only], asked.peers, console
    )
    single = ours(asked.only, ENVIRONMENTS, asked.seconds)
    single += peers(asked, found, missing, console.print)
    all_ = single + [
        Contestant(c.name, c.environments, c.command, c.settings, seeds=n)
        for n in asked.seeds
        for c in single
        if n > 1 and c.name in ("reins", "rejax")
    ]
    about = {"schema": "reins.benchmark.cartpole-ppo/1", "left_out": missing}
    hold(console, all_, SETTINGS, asked, about)
    compared = (*PEERS, "environment")
    for size in sizes(single):
        console.print(rates_table("PPO, CartPole-v1", single, size, compared))
    console.print(shares_table(all_))
    console.print(seeds_table([c for c in all_ if c.name in ("reins", "rejax")]))
    for peer in PEERS:
        console.print(verdict(all_, "reins", peer, WANTED))
    return close(console, all_, asked)


if __name__ == "__main__":
    sys.exit(main())
