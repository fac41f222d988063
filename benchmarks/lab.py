"""Gradient estimates per second in the lab, and the same work as a loop over NumPy.

    python -m benchmarks.lab        (also part of `make bench`)

Both draw trajectories of the problem `random` and make of every 64 of them an estimate
of the gradient: reins all repeats at once, compiled; the loop one trajectory after
another, step by step, as one writes it first. They take turns (A B A B); the ratio is
the median of those within a turn. Before that, their mean estimates must agree.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.turns import cpu_model, load, ratio
from reins.experiments.files import write_json
from reins.experiments.record import versions
from reins.lab import lab_problem
from reins.lab.measure import measure_together
from reins.lab.subject import Subject, lab_estimator, prepare

SAMPLES = 64
PROBLEM = "random"


class Tables(NamedTuple):
    """What the loop walks through."""

    transitions: np.ndarray
    rewards: np.ndarray
    initial: np.ndarray
    terminal: np.ndarray
    policy: np.ndarray
    acting: np.ndarray
    shares: np.ndarray
    prior: np.ndarray
    discount: float
    horizon: int
    temperature: float
    log_z0: float


def tables_of(subject: Subject) -> Tables:
    """The numbers of the problem, as NumPy has them."""
    given = subject.design.tables
    logits = np.asarray(subject.design.params).reshape(given.log_prior.shape)
    return Tables(
        *(np.asarray(getattr(given.mdp, name)) for name in Tables._fields[:4]),
        _softmax(logits),
        _softmax(np.asarray(given.acting)),
        np.exp(np.asarray(given.log_shares)),
        np.exp(np.asarray(given.log_prior)),
        given.mdp.discount,
        given.mdp.horizon,
        float(given.temperature),
        float(given.log_z0),
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


class Episode(NamedTuple):
    """What happened, step by step."""

    states: list[int]
    actions: list[int]
    rewards: list[float]


def play(tables: Tables, generator: np.random.Generator) -> Episode:
    """One episode of one of the policies that act."""
    policy = tables.acting[generator.choice(len(tables.shares), p=tables.shares)]
    state = generator.choice(len(tables.initial), p=tables.initial)
    states, actions, rewards = [], [], []
    for _ in range(tables.horizon):
        if tables.terminal[state]:
            break
        action = generator.choice(policy.shape[1], p=policy[state])
        odds = tables.transitions[state, action]
        following = generator.choice(len(odds), p=odds)
        states.append(state)
        actions.append(action)
        rewards.append(tables.rewards[state, action, following])
        state = following
    return Episode(states, actions, rewards)


def to_go(tables: Tables, rewards: list[float], ratios: list[float]) -> list[float]:
    """Discounted rewards to go, each with the ratios of the decisions in between."""
    returns, following = [0.0] * len(rewards), 0.0
    for t in reversed(range(len(rewards))):
        returns[t] = rewards[t] + tables.discount * following
        following = ratios[t] * returns[t]
    return returns


def reward_to_go(tables: Tables, episodes: list[Episode]) -> np.ndarray:
    """The mean of Σ γ^t G_t ∇ log π."""
    gradient = np.zeros_like(tables.policy)
    for states, actions, rewards in episodes:
        returns = to_go(tables, rewards, [1.0] * len(rewards))
        for t, (s, a, g) in enumerate(zip(states, actions, returns, strict=True)):
            gradient[s] -= tables.discount**t * g * tables.policy[s]
            gradient[s, a] += tables.discount**t * g
    return gradient / len(episodes)


def per_decision(tables: Tables, episodes: list[Episode]) -> np.ndarray:
    """S4 (35), with the mixture of the behaviour policies as one."""
    gradient = np.zeros_like(tables.policy)
    for states, actions, rewards in episodes:
        mixture = tables.shares.copy()
        before, ratios = 1.0, []
        for s, a in zip(states, actions, strict=True):
            mixture = mixture * tables.acting[:, s, a]
            ratios.append(tables.policy[s, a] * before / mixture.sum())
            before = mixture.sum()
        returns = to_go(tables, rewards, ratios)
        product = 1.0
        for t, (s, a, g) in enumerate(zip(states, actions, returns, strict=True)):
            product *= ratios[t]
            weight = tables.discount**t * product * g
            gradient[s] -= weight * tables.policy[s]
            gradient[s, a] += weight
    return gradient / len(episodes)


def forward_kl(tables: Tables, episodes: list[Episode]) -> np.ndarray:
    """S1 (9): self-normalised over the episodes."""
    totals, scores = [], []
    for states, actions, rewards in episodes:
        score, total = np.zeros_like(tables.policy), 0.0
        for s, a, r in zip(states, actions, rewards, strict=True):
            score[s] -= tables.policy[s]
            score[s, a] += 1.0
            ratio_here = np.log(tables.policy[s, a] / tables.prior[s, a])
            total += r / tables.temperature - tables.log_z0 - ratio_here
        totals.append(total)
        scores.append(score)
    weights = _softmax(np.asarray(totals))
    return np.tensordot(weights, np.asarray(scores), axes=1)


LOOPS: dict[str, Callable[[Tables, list[Episode]], np.ndarray]] = {
    "score_reward_to_go": reward_to_go,
    "per_decision": per_decision,
    "forward_kl_trajectory": forward_kl,
}


def loop(
    tables: Tables,
    estimate: Callable[[Tables, list[Episode]], np.ndarray],
    repeats: int,
    seed: int,
) -> np.ndarray:
    """As many estimates, one after another."""
    generator = np.random.default_rng(seed)
    return np.stack(
        [
            estimate(tables, [play(tables, generator) for _ in range(SAMPLES)]).ravel()
            for _ in range(repeats)
        ]
    )


def check(subject: Subject, estimates: np.ndarray, repeats: int) -> None:
    """Refuse to time two things that are not the same."""
    found = measure_together([subject], SAMPLES, repeats, jax.random.key(9))[0]
    spread = found.statistics.trace_covariance.value
    error = float(np.linalg.norm(found.mean - estimates.mean(axis=0)))
    allowed = 5 * float(np.sqrt(spread / repeats + spread / len(estimates)))
    if error > allowed:
        sys.exit(f"{subject.name}: means differ by {error:.3g}, beyond {allowed:.3g}")


def time_one(name: str, turns: int, repeats: int, loops: int) -> dict[str, Any]:
    """Rates of both in every turn."""
    label, estimator = lab_estimator(name)
    subject = prepare(label, estimator, lab_problem(PROBLEM))
    tables = tables_of(subject)
    check(subject, loop(tables, LOOPS[name], 4 * loops, 1), repeats)
    ours, theirs = [], []
    for turn in range(turns):
        began = time.perf_counter()
        measure_together([subject], SAMPLES, repeats, jax.random.key(turn))
        ours.append(repeats / (time.perf_counter() - began))
        began = time.perf_counter()
        loop(tables, LOOPS[name], loops, turn)
        theirs.append(loops / (time.perf_counter() - began))
    return {
        "estimator": name,
        "reins": ours,
        "numpy_loop": theirs,
        "ratio": ratio(ours, theirs),
    }


def main() -> None:
    """Time every estimator, print the table, and write it down when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20_000, help="of reins, a turn")
    parser.add_argument("--loops", type=int, default=50, help="of the loop, a turn")
    parser.add_argument("--out", type=Path, help="FILE.json")
    given = parser.parse_args()
    rows = [time_one(name, given.turns, given.repeats, given.loops) for name in LOOPS]
    table = Table(title=f"Estimates per second, each from {SAMPLES} trajectories")
    for heading in ("estimator", "reins", "loop over NumPy", "ratio"):
        table.add_column(heading, justify="left" if heading == "estimator" else "right")
    for row in rows:
        middle = [statistics.median(row[x]) for x in ("reins", "numpy_loop")]
        cells = [f"{middle[0]:,.0f}", f"{middle[1]:,.1f}", f"{row['ratio']:,.0f}"]
        table.add_row(row["estimator"], *cells)
    Console().print(table)
    if given.out is not None:
        about = {"cpu": cpu_model(), "load": load(), "versions": versions()}
        settings = {"samples": SAMPLES, "problem": PROBLEM, "repeats": given.repeats}
        write_json(given.out, {"rows": rows, **settings, **about})


if __name__ == "__main__":
    main()
