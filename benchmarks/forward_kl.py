"""The forward KL in soft actor-critic: how far off its gradient is, and what it costs.

    python -m benchmarks.forward_kl

A policy is trained on HalfCheetah-v5 by the reverse KL. Then: the gradient of the
forward KL from M remembered states and K actions at each, drawn afresh every time,
against that of very many; and what a whole update with so many takes. Updates take
turns (A B C A B C): medians, and ratios within a turn to an update by the reverse KL.

    cost    of an update, in updates by the reverse KL (two critics, all states)
    error   root mean square of the distance to the true gradient, over its length
    bias    the distance of the mean gradient, which more minibatches cannot mend
    ess     how many of the K actions carry the weight

Beside the numbers a picture: error and, dotted, bias against cost, for each M.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from reins.experiments.engines.local import make_programs, use_all_cores

use_all_cores()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import matplotlib as mpl  # noqa: E402

mpl.use("agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.ours import train_config  # noqa: E402
from benchmarks.sac import SETTINGS  # noqa: E402
from benchmarks.turns import cpu_model, load, ratio  # noqa: E402
from reins.agents import uniform_prior  # noqa: E402
from reins.agents.soft_losses import AtStates, policy_loss  # noqa: E402
from reins.agents.values import least  # noqa: E402
from reins.data.replay import sample_replay  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.files import write_json  # noqa: E402
from reins.experiments.program import keys_of  # noqa: E402
from reins.experiments.record import versions  # noqa: E402

ENV = "HalfCheetah-v5"
FORMS = {"first": 1, "least": 2}
"""Q of the policy's update, and how many critics that are."""
MANY, REPEATS_OF_MANY = 1024, 96
"""Actions of the true gradient, and how many minibatches of them are averaged."""
REPEATS = 128
"""Gradients of each M and K."""
MOST = 256 * 64
"""Pairs of state and action in an update; more are not measured."""
Case = tuple[str, int, int]
"""Whose Q, states M, actions K."""


class Variant(NamedTuple):
    """One way to update the policy.

    Attributes:
      settings: in reins's words, beyond those of the benchmark.
      rates: updates per second in each turn.
    """

    settings: dict[str, Any]
    rates: list[float]


def config_of(told: dict[str, Any], steps: int) -> Any:
    settings = SETTINGS | {"env": ENV, "environments": 1, "seeds": 1} | told
    return train_config(settings, steps=steps)


def trained(steps: int) -> tuple[Any, Any]:
    """An agent's state after so many steps of the reverse KL, and a batch of steps."""
    config = config_of({"batch_steps": 8}, steps)
    (program,) = make_programs(build(config), config.run, [(0,)])
    state, done = program.init(keys_of([0])), 0
    while done < config.run.updates:
        state, _, n = program.advance(state, config.run.updates - done)
        done += n
    _, batch, _ = program.gather(state)
    program.close()
    return jax.tree.map(lambda x: jnp.asarray(x[0]), (state.agent, batch))


def updates_of(told: dict[str, Any], steps: int, start: Any, batch: Any) -> Callable:
    """A function that makes updates from the trained state for some seconds."""
    agent: Any = build(config_of(told, steps)).agent
    one = jax.tree.map(lambda x: x[:, :1], batch)

    def once(state: Any, key: jax.Array) -> Any:
        key, now = jax.random.split(key)
        return agent.update(state, one, now)[0], key

    go = jax.jit(once, donate_argnums=(0, 1))
    carry = go(jax.tree.map(jnp.copy, start), jax.random.key(0))

    def run(seconds: float) -> float:
        nonlocal carry
        updates, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds:
            carry = jax.block_until_ready(go(*carry))
            updates += 1
        return updates / taken

    return run


def gradients_of(state: Any, critics: int) -> Callable[..., tuple[Any, Any]]:
    """(keys, M, K) -> gradients of the forward KL, and their mean ESS.

    Each key draws M remembered states, and K actions at each.
    """
    task = build(config_of({}, 2000))
    prior = uniform_prior(task.env.action_space)
    alpha = state.temperature.multiplier

    def unused() -> Any:
        raise AssertionError("the forward KL by samples asks for no table of actions")

    def loss(policy: Any, key: jax.Array, m: int, k: int) -> Any:
        state_key, action_key = jax.random.split(key)
        seen = sample_replay(state.replay, state_key, m).observations

        values = least(state.critics[:critics], discrete=False)

        def q_of(actions: jax.Array) -> jax.Array:
            return values.of(seen, actions)

        at = AtStates(seen, q_of, unused, lambda a: prior.log_prob((), seen, a), unused)
        told: Any = {"action_samples": k, "temperature": alpha}
        return policy_loss("forward-kl", policy, at, action_key, **told)

    def gradients(keys: jax.Array, m: int, k: int) -> Any:
        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            found, info = jax.grad(loss, has_aux=True)(state.policy, key, m, k)
            return ravel_pytree(found)[0], info["ess"]

        found, ess = jax.lax.map(one, keys)
        return found, jnp.mean(ess)

    return jax.jit(gradients, static_argnums=(1, 2))


def errors(state: Any, pairs: list[tuple[int, int]]) -> dict[Case, dict[str, float]]:
    """How far off the gradient of each form is, by M and K."""
    found: dict[Case, dict[str, float]] = {}
    for form, critics in FORMS.items():
        gradients = gradients_of(state, critics)
        keys = jax.random.split(jax.random.key(1), REPEATS_OF_MANY)
        many, _ = gradients(keys, SETTINGS["batch_size"], MANY)
        truth = np.mean(many, axis=0)
        length = float(np.linalg.norm(truth))
        for m, k in pairs:
            some, ess = gradients(jax.random.split(jax.random.key(2), REPEATS), m, k)
            away = np.asarray(some) - truth
            square = float(np.mean(np.sum(away**2, axis=1)))
            # The mean of so many has a variance of its own, which is no bias.
            bias = float(np.sum(np.mean(away, axis=0) ** 2))
            bias = max(0.0, (REPEATS * bias - square) / (REPEATS - 1))
            found[form, m, k] = {
                "error": square**0.5 / length,
                "bias": bias**0.5 / length,
                "ess": float(ess),
            }
    return found


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for the reverse KL, and one for each form, M and K."""
    state, batch = trained(given.steps)
    pairs = [(m, k) for m in given.states for k in given.samples if m * k <= MOST]
    wrong = errors(state, pairs)
    reverse = Variant({"policy_loss": "reverse-kl"}, [])
    forward = {"policy_loss": "forward-kl"}
    variants = {
        (form, m, k): Variant(
            forward | {"policy_critic": form, "state_samples": m, "action_samples": k},
            [],
        )
        for form, m, k in wrong
    }
    all_ = [reverse, *variants.values()]
    runs = [updates_of(v.settings, given.steps, state, batch) for v in all_]
    for _ in range(given.turns):
        for variant, run in zip(all_, runs, strict=True):
            variant.rates.append(run(given.seconds))
    rows: list[dict[str, Any]] = [{"loss": "reverse KL", "rates": reverse.rates}]
    for case, variant in variants.items():
        form, m, k = case
        told = {"loss": "forward KL", "critics": FORMS[form], "states": m, "actions": k}
        cost = ratio(reverse.rates, variant.rates)
        rows.append(told | {"cost": cost} | wrong[case] | {"rates": variant.rates})
    return rows


def table_of(rows: list[dict[str, Any]]) -> Table:
    """All rows, for reading."""
    table = Table(title=ENV, title_justify="left")
    forms = {"states": "d", "actions": "d", "cost": ".2f"}
    forms |= {"error": ".3f", "bias": ".3f", "ess": ".1f"}
    for heading in ("loss", "critics", "updates/s", *forms):
        table.add_column(heading, justify="left" if heading == "loss" else "right")
    for row in rows:
        rate = f"{statistics.median(row['rates']):.0f}"
        cells = [format(row[n], form) if n in row else "" for n, form in forms.items()]
        table.add_row(row["loss"], str(row.get("critics", 2)), rate, *cells)
    return table


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Error and (dotted) bias against cost, for each M and number of critics."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="tight")
    forward = [row for row in rows if "states" in row]
    for axis, critics in zip(axes, sorted(FORMS.values()), strict=True):
        here = [row for row in forward if row["critics"] == critics]
        for m in sorted({row["states"] for row in here}, reverse=True):
            line = [row for row in here if row["states"] == m]
            costs, wrong = ([row[n] for row in line] for n in ("cost", "error"))
            (drawn,) = axis.plot(costs, wrong, "o-", label=f"M = {m}")
            biases = [row["bias"] for row in line]
            axis.plot(costs, biases, ":", color=drawn.get_color())
            for row in line:
                where = (row["cost"], row["error"])
                axis.annotate(f" {row['actions']}", where, fontsize=8)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.set_xlabel("cost of an update, in updates by the reverse KL")
        axis.set_title(
            f"Q of {critics} critic{'s' if critics > 1 else ''}; K at points"
        )
        axis.legend()
    axes[0].set_ylabel("error of the gradient, over its length")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure, print the table, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--steps", type=int, default=10_000, help="of training before (10000)")
    ms, ks = [256, 64, 16], [1, 4, 16, 64, 256]
    add("--states", type=int, nargs="+", default=ms, help="M, of a minibatch")
    add("--samples", type=int, nargs="+", default=ks, help="K, actions at each state")
    add("--turns", type=int, default=3)
    add("--seconds", type=float, default=2.0, help="of each in a turn (2)")
    out = Path("runs/benchmark-forward-kl.json")
    add("--out", type=Path, default=out, metavar="FILE.json")
    given = parser.parse_args()
    with jax.default_device(jax.local_devices()[0]):
        rows = measure(given)
    Console(width=110).print(table_of(rows))
    about = {"cpu": cpu_model(), "load": load(), "versions": versions()}
    told = {"steps": given.steps, "settings": SETTINGS, "env": ENV}
    schema = "reins.benchmark.forward-kl/2"
    write_json(given.out, {"schema": schema, "rows": rows, **told, **about})
    draw(rows, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
