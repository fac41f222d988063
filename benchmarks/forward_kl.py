"""The forward KL in soft actor-critic: how far off its gradient is, and what it costs.

    python -m benchmarks.forward_kl

A policy is trained on HalfCheetah-v5 by the reverse KL. Then, at one minibatch of its
states: the gradient of the forward KL with K actions at each state against that of very
many; and what a whole update with so many takes. Updates take turns (A B C A B C):
medians, and ratios within a turn to an update by the reverse KL.

    error   root mean square of the distance to the true gradient, over its length
    bias    the distance of the mean gradient, which more minibatches cannot mend
    ess     how many of the K actions carry the weight
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
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.ours import train_config  # noqa: E402
from benchmarks.sac import SETTINGS  # noqa: E402
from benchmarks.turns import cpu_model, load, ratio  # noqa: E402
from reins.agents import uniform_prior  # noqa: E402
from reins.agents.soft_losses import AtStates, policy_loss  # noqa: E402
from reins.data.replay import sample_replay  # noqa: E402
from reins.experiments.build import build  # noqa: E402
from reins.experiments.files import write_json  # noqa: E402
from reins.experiments.program import keys_of  # noqa: E402
from reins.experiments.record import versions  # noqa: E402

ENV = "HalfCheetah-v5"
FORMS = {"first": 1, "least": 2}
"""Q of the policy's update, and how many critics that are."""
MANY, REPEATS_OF_MANY = 1024, 32
"""Actions of the true gradient, and how many such are averaged."""
REPEATS = 64
"""Gradients of each K."""


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
    """(keys, K) -> gradients of the forward KL at one minibatch, and their mean ESS."""
    task = build(config_of({}, 2000))
    prior = uniform_prior(task.env.action_space)
    steps = sample_replay(state.replay, jax.random.key(5), SETTINGS["batch_size"])
    seen = steps.observations
    alpha = state.temperature.multiplier

    def q_of(actions: jax.Array) -> jax.Array:
        each = [critic(seen, actions) for critic in state.critics[:critics]]
        return jnp.min(jnp.stack(each), axis=0)

    def unused() -> Any:
        raise NotImplementedError

    at = AtStates(seen, q_of, unused, lambda a: prior.log_prob((), seen, a), unused)

    def loss(policy: Any, key: jax.Array, k: int) -> Any:
        return policy_loss(
            "forward-kl", policy, at, key, action_samples=k, temperature=alpha
        )

    def gradients(keys: jax.Array, k: int) -> Any:
        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            found, info = jax.grad(loss, has_aux=True)(state.policy, key, k)
            return ravel_pytree(found)[0], info["ess"]

        found, ess = jax.lax.map(one, keys)
        return found, jnp.mean(ess)

    return jax.jit(gradients, static_argnums=1)


def errors(state: Any, ks: list[int]) -> dict[tuple[str, int], dict[str, float]]:
    """How far off the gradient of each form is with each K."""
    found = {}
    for form, critics in FORMS.items():
        gradients = gradients_of(state, critics)
        many, _ = gradients(jax.random.split(jax.random.key(1), REPEATS_OF_MANY), MANY)
        truth = np.mean(many, axis=0)
        length = float(np.linalg.norm(truth))
        for k in ks:
            some, ess = gradients(jax.random.split(jax.random.key(2), REPEATS), k)
            away = np.asarray(some) - truth
            square = float(np.mean(np.sum(away**2, axis=1)))
            # The mean of so many has a variance of its own, which is no bias.
            bias = float(np.sum(np.mean(away, axis=0) ** 2))
            bias = max(0.0, (REPEATS * bias - square) / (REPEATS - 1))
            found[form, k] = {
                "error": square**0.5 / length,
                "bias": bias**0.5 / length,
                "ess": float(ess),
            }
    return found


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for the reverse KL, and one for each form and K."""
    state, batch = trained(given.steps)
    wrong = errors(state, given.samples)
    reverse = Variant({"policy_loss": "reverse-kl"}, [])
    variants = {
        (form, k): Variant(
            {"policy_loss": "forward-kl", "policy_critic": form, "action_samples": k},
            [],
        )
        for form, k in wrong
    }
    all_ = [reverse, *variants.values()]
    runs = [updates_of(v.settings, given.steps, state, batch) for v in all_]
    for _ in range(given.turns):
        for variant, run in zip(all_, runs, strict=True):
            variant.rates.append(run(given.seconds))
    rows: list[dict[str, Any]] = [{"loss": "reverse KL", "rates": reverse.rates}]
    for (form, k), variant in variants.items():
        cost = ratio(reverse.rates, variant.rates)
        row = {"loss": "forward KL", "critics": FORMS[form], "actions": k, "cost": cost}
        rows.append(row | wrong[form, k] | {"rates": variant.rates})
    return rows


def table_of(rows: list[dict[str, Any]]) -> Table:
    """All rows, for reading."""
    table = Table(title=f"{ENV}, {SETTINGS['batch_size']} states", title_justify="left")
    forms = {"actions": "d", "cost": ".2f", "error": ".3f", "bias": ".3f", "ess": ".1f"}
    for heading in ("loss", "critics", "updates/s", *forms):
        table.add_column(heading, justify="left" if heading == "loss" else "right")
    for row in rows:
        rate = f"{statistics.median(row['rates']):.0f}"
        cells = [format(row[n], form) if n in row else "" for n, form in forms.items()]
        table.add_row(row["loss"], str(row.get("critics", 2)), rate, *cells)
    return table


def main() -> None:
    """Measure, print the table, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--steps", type=int, default=10_000, help="of training before (10000)")
    ks = [1, 2, 4, 8, 16, 32, 64]
    add("--samples", type=int, nargs="+", default=ks, help="actions at each state")
    add("--turns", type=int, default=3)
    add("--seconds", type=float, default=3.0, help="of each in a turn (3)")
    out = Path("runs/benchmark-forward-kl.json")
    add("--out", type=Path, default=out, metavar="FILE.json")
    given = parser.parse_args()
    with jax.default_device(jax.local_devices()[0]):
        rows = measure(given)
    Console(width=110).print(table_of(rows))
    about = {"cpu": cpu_model(), "load": load(), "versions": versions()}
    told = {"steps": given.steps, "settings": SETTINGS, "env": ENV}
    schema = "reins.benchmark.forward-kl/1"
    write_json(given.out, {"schema": schema, "rows": rows, **told, **about})


if __name__ == "__main__":
    main()
