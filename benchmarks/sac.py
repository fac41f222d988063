"""Soft actor-critic: environment steps per second, beside three other libraries.

    python -m benchmarks.sac [--env HalfCheetah-v5]

    reins               as `reins train sac` trains: an update after every step
    reins, 8 at a time  8 steps, then 8 updates
    stable-baselines3   its SAC
    sbx                 its SAC, compiled by JAX
    cleanrl             its sac_continuous_action.py, as the package has it
    update              the limit of reins: its update alone
    products            the machine's limit: the matrix products of an update, at the
                        rate of 256 x 256 x 256 in 32 bits, on all cores and on one

All make one update of batch 256 per step, have two layers of 256, and begin to learn
after 1000 random steps; their time counts from 200 updates later. torch has 1 and 2
threads, the better counts. Then 4 seeds of reins, dealt out to the cores, beside the
others training seed after seed; and updates of the forward KL beside the reverse one.
"""

import statistics
import sys
from collections.abc import Sequence
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
    short,
    sizes,
    verdict,
)
from benchmarks.turns import Contestant, ratio
from reins.envs import make_env

PEERS = {
    "stable-baselines3": "train_sb3.py",
    "sbx": "train_sb3.py",
    "cleanrl": "train_cleanrl.py",
}
"""Whom we are measured beside, and by which script."""
OURS = ("reins", "seeds", "update", "forward", "products")
"""Groups of our own contestants, for --only."""
ENVS = ("HalfCheetah-v5", "Humanoid-v5")
WANTED = {
    "HalfCheetah-v5": {"stable-baselines3": 1.9, "sbx": 1.3, "cleanrl": 1.9},
    "Humanoid-v5": {"stable-baselines3": 1.8, "sbx": 1.8, "cleanrl": 1.8},
}
"""How many times their rate one seed of ours should make."""
SEEDS = 4
WANTED_OF_SEEDS = {"stable-baselines3": 2.3, "sbx": 1.6}
FORWARD = {
    "forward KL, 1 critic": ({"policy_critic": "first"}, 1.6),
    "forward KL, both critics": ({}, 2.4),
}
"""What each is told, and how many times a reverse-KL update it may take at most."""
SAMPLES = 16
BRIEF_SECONDS = 6.0
"""That suffice for what has no environment."""
SETTINGS: dict[str, Any] = {
    "agent": "sac",
    "policy_loss": "reverse-kl",
    "hidden": [256, 256],
    "batch_steps": 1,
    "batch_size": 256,
    "buffer_size": 1_000_000,
    "learning_starts": 1000,
    "learning_rate": 3e-4,
    "discount": 0.99,
    "polyak": 0.005,
    "warm_up": 200,
}
"""`warm_up` counts updates; the rest is in reins's words."""


def operations(env: str, *, samples: int | None = None, critics: int = 2) -> float:
    """Of the matrix products of one update; biases and the like are not counted.

    A product of B rows forwards is one as large backwards for the weights, and one for
    its inputs where anything is behind them. A critic's first layer takes the state
    once for all actions there.

    Args:
      samples: actions at a state, of the forward KL; None for the reverse KL.
      critics: that value them.
    """
    known: Any = make_env(env)
    s, a = known.observation_space.shape[0], known.action_space.shape[0]
    first, second = SETTINGS["hidden"]
    actor = s * first + first * second + second * 2 * a
    of_action = a * first + first * second + second
    critic = s * first + of_action
    targets = actor + 2 * critic
    regression = 2 * (3 * critic - (s + a) * first)
    policy = 3 * actor - s * first
    policy += critics * (s * first + (samples or 1) * of_action)
    if samples is None:
        policy += critics * of_action  # the gradient on its way back to the actions
    return 2.0 * SETTINGS["batch_size"] * (targets + regression + policy)


def ours(env: str, only: Sequence[str], seconds: float) -> list[Contestant]:
    """Our contestants in an environment; what is not there in every one comes last."""
    brief: dict[str, Any] = {"seconds": min(seconds, BRIEF_SECONDS)}

    def one(name: str, work: str, *, seeds: int = 1, **told: Any) -> Contestant:
        command = [sys.executable, str(HERE / "sac_reins.py"), work]
        told = told | {"env": env}
        return Contestant(name, 1, command, told, seeds=seeds, place=env)

    limit = brief | {"flops": operations(env)}
    forward = {"policy_loss": "forward-kl", "action_samples": SAMPLES}
    groups = {
        "reins": [
            one("reins", "reins"),
            one("reins, 8 at a time", "reins", batch_steps=8),
        ],
        "update": [
            one("update", "update", **brief),
            one("update, 8 at a time", "update", batch_steps=8, **brief),
        ],
        "products": [
            one("products", "limit", **limit),
            one("products, 1 core", "limit", cores=1, **limit),
        ],
        "seeds": [
            one("reins", "reins", seeds=SEEDS),
            one("reins, 8 at a time", "reins", batch_steps=8, seeds=SEEDS),
        ],
        "forward": [
            one(name, "update", **forward, **told, **brief)
            for name, (told, _) in FORWARD.items()
        ],
    }
    if env != ENVS[0]:
        del groups["seeds"], groups["forward"]
    return [c for name, group in groups.items() if name in only for c in group]


def theirs(env: str, found: dict[str, str]) -> list[Contestant]:
    """The peers that are installed; torch in 1 and 2 threads."""
    all_: list[Contestant] = []
    for name, script in PEERS.items():
        if name not in found:
            continue
        command = [found[name], str(PEER_SCRIPTS / script), name]
        told: dict[str, Any] = {"environments": 1, "command": command, "place": env}
        rivals = [Contestant(name, **told)]  # SBX's networks are not torch's
        if name != "sbx":
            rivals = in_threads(name, [1, 2], **told)
        for rival in rivals:
            rival.settings |= {"env": env}
        all_ += rivals
    return all_


def shares_table(all_: Sequence[Contestant], env: str) -> Any:
    """What of the machine's limit is used."""
    here = {c.name: c for c in all_ if c.place == env and c.turns and c.seeds == 1}
    table = new_table(
        f"{env}: matrix products, in GFLOP/s, and as a share of the limit",
        *("contestant", "GFLOP each", "per second", "GFLOP/s", "% of the limit"),
    )
    each = operations(env)
    sized = dict.fromkeys(here, each) | {
        name: operations(env, samples=SAMPLES, critics=1 if told else 2)
        for name, (told, _) in FORWARD.items()
    }
    limit = here["products"].rates if "products" in here else []
    for name, contestant in here.items():
        rate, work = statistics.median(contestant.rates), sized[name] / 1e9
        share = ratio(contestant.rates, limit)
        share = None if share is None else 100 * share * sized[name] / each
        cells = (cell(work, ".3f"), cell(rate), cell(rate * work), cell(share, ".0f"))
        table.add_row(short(name), *cells)
    return table


def verdicts(all_: Sequence[Contestant], env: str) -> list[str]:
    """What was wanted in this environment, and what was found."""
    here = [c for c in all_ if c.place == env]
    said = [
        verdict(here, name, peer, wanted)
        for name in ("reins", "reins, 8 at a time")
        for peer, wanted in WANTED[env].items()
    ]
    for several in (c for c in here if c.seeds > 1 and c.turns):
        together = Contestant(f"4 seeds of {several.name}", 1, [], turns=several.turns)
        said += [
            verdict([together, *here], together.name, peer, wanted) + ", seed by seed"
            for peer, wanted in WANTED_OF_SEEDS.items()
        ]
    measured = {c.name: c.rates for c in here if c.turns}
    for name, (_, most) in FORWARD.items():
        cost = ratio(measured.get("update", []), measured.get(name, []))
        if cost is not None:
            said.append(f"{name}: {cost:.2f} reverse-KL updates (at most: {most:g})")
    return said


def memory_table(all_: Sequence[Contestant]) -> Any:
    """The most memory that a process had."""
    table = new_table("peak memory", "contestant", "environment", "GiB")
    for contestant in all_:
        if contestant.peak_mib is not None:
            size = cell(contestant.peak_mib / 1024, ".2f")
            table.add_row(short(contestant.name), contestant.size, size)
    return table


def main() -> int:
    """0 when all that could be installed was measured."""
    names = (*OURS, *PEERS)
    parser = common_options(__doc__, "sac", names, seconds=15.0)
    told = f"in which environments ({' '.join(ENVS)})"
    parser.add_argument("--env", choices=ENVS, nargs="+", default=ENVS, help=told)
    asked = parser.parse_args()
    console = begin()
    peers = [name for name in PEERS if name in asked.only]
    found, missing = pythons(peers, asked.peers, console)
    all_ = [
        contestant
        for env in asked.env
        for contestant in ours(env, asked.only, asked.seconds) + theirs(env, found)
    ]
    about = {
        "schema": "reins.benchmark.sac/1",
        "left_out": missing,
        "operations": {env: operations(env) for env in asked.env},
    }
    hold(console, all_, SETTINGS, asked, about)
    for size in sizes(all_):
        console.print(rates_table("SAC", all_, size, ("products", *_rivals(all_))))
    for env in asked.env:
        console.print(shares_table(all_, env))
    console.print(memory_table(all_))
    for env in asked.env:
        for sentence in verdicts(all_, env):
            console.print(f"{env}: {sentence}")
    return close(console, all_, asked)


def _rivals(all_: Sequence[Contestant]) -> list[str]:
    names = [c.name for c in all_ if c.name.split(",")[0] in PEERS]
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    sys.exit(main())
