"""What a finished run amounts to: the numbers of `summary.json` (docs/summary.md)."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from reins.constraints import Constraint
from reins.data import Demonstrations, Episodes
from reins.divergences import total_variation
from reins.envs import Rule, true_rule
from reins.experiments.build import Task
from reins.experiments.check_demonstrations import warnings_of
from reins.experiments.checkpoint import load_checkpoint, load_record
from reins.experiments.config import LearnConfig, TrainConfig, to_record
from reins.experiments.constraint_file import constraint_of, save_constraint
from reins.experiments.files import load_demonstrations
from reins.experiments.judge import episodes_of
from reins.experiments.loops import Group
from reins.experiments.program import SeedState
from reins.experiments.record import (
    Curves,
    read_curves,
    versions,
    wall_seconds,
    with_interval,
)
from reins.experiments.validity import OUTSIDE
from reins.policies import Policy
from reins.types import Key

Summary = dict[str, Any]


class Run(NamedTuple):
    """One run, made ready: its folder, its task, and its groups of seeds."""

    folder: Path
    config: TrainConfig | LearnConfig
    task: Task
    groups: list[Group]


def summarise(run: Run) -> Summary:
    """The numbers of one finished run; lists hold one per seed, in seed order."""
    seeds, curves = read_curves(run.folder)
    settings = run.config.run
    steps = settings.updates * settings.batch_steps
    seconds = wall_seconds([run.folder])
    return {
        "agent": run.config.agent,
        "env": run.config.env,
        "seeds": seeds,
        "steps": steps,
        **judged(
            run.task,
            curves.values["return"][-1].tolist(),
            _last(curves, "violation_rate"),
        ),
        "evaluation_episodes": run.task.evaluation_episodes,
        **left_by_agents(curves),
        "resume": resumed(run),
        **news_of(run),
        "steps_per_second": steps * len(seeds) / seconds,
        "wall_seconds": seconds,
        "versions": versions(run.config.env),
    }


def _last(curves: Curves, name: str) -> list[float] | None:
    return curves.values[name][-1].tolist() if name in curves.values else None


def left_by_agents(curves: Curves) -> Summary:
    """In which share of its last steps each agent left what its constraint has seen."""
    left = _last(curves, OUTSIDE)
    return {} if left is None else {"constraint_outside": left}


def resumed(run: Run) -> Summary:
    """Whether a resumed run equals an uninterrupted one, and where it does not.

    `fresh_starts` are the steps of each group of seeds at which it was resumed with
    episodes begun afresh, as happens where an environment's state cannot be saved.
    """
    records = [load_record(group.checkpoint) for group in run.groups]
    batch = run.config.run.batch_steps
    return {
        "exact": all(
            group.program.exact and group.program.repeatable for group in run.groups
        ),
        "fresh_starts": [[k * batch for k in r["fresh_starts"]] for r in records],
    }


def news_of(run: Run) -> Summary:
    """What befell a run; and whether chance had a hand in it beside the seed."""
    records = [load_record(group.checkpoint) for group in run.groups]
    news = [sentence for record in records for sentence in record.get("news", [])]
    if all(group.program.repeatable for group in run.groups):
        return {"news": news} if news else {}
    return {"repeatable": False, "news": news}


def judged(task: Task, returns: list[float], rates: list[float] | None) -> Summary:
    """Final return and violation rate, with where they were measured.

    Without a rate, since no environment told a cost, there are only the returns.
    """
    found = {
        "final_return": returns,
        "final_return_interval": with_interval(returns),
        "return_env": task.return_env.name,
    }
    if rates is None:
        return found
    return found | {
        "final_violation_rate": rates,
        "final_violation_rate_interval": with_interval(rates),
        "violation_env": task.violation_env.name,
    }


def final_states(run: Run) -> dict[int, SeedState]:
    """Each seed's state at its last checkpoint."""
    states = {}
    for group in run.groups:
        state, _ = load_checkpoint(group.checkpoint, group.template)
        for place, seed in enumerate(group.seeds):
            states[seed] = jax.tree.map(lambda x, i=place: x[i], state)
    return states


def learned_constraints(run: Run) -> dict[int, Constraint]:
    """Each seed's constraint at its last checkpoint, with the ranges of its inputs."""
    states = final_states(run)
    return {seed: constraint_of(state.agent) for seed, state in states.items()}


def constraint_file(folder: Path, seed: int) -> Path:
    """Where a run keeps the constraint that a seed learned."""
    return folder / f"constraint-seed-{seed}.safetensors"


def write_constraints(run: Run, demonstrations: str) -> Summary:
    """Save each seed's constraint, and say how well it recovered the true rule.

    Args: demonstrations: those that it was learned from, whose cost is kept beside it.
    """
    constraints = learned_constraints(run)
    shown = load_demonstrations(demonstrations).pairs()
    for seed, constraint in constraints.items():
        costs = constraint.cost(shown.observations, shown.actions)
        about = {
            "seed": seed,
            "demonstrated_cost": float(jnp.mean(costs, where=shown.mask)),
            "config": to_record(run.config),
            "versions": versions(),
        }
        save_constraint(constraint_file(run.folder, seed), constraint, about)
    files = [constraint_file(run.folder, seed).name for seed in constraints]
    rule = true_rule(run.config.env)
    if rule is None:
        return {"files": files}
    return {"files": files, **judge_rule(rule, list(constraints.values()))}


def judge_rule(rule: Rule, constraints: list[Constraint]) -> Summary:
    """On how many pairs ζ lies on the true rule's side of 1/2, and by how much.

    The rule is recovered where it does on every pair.
    """
    tables = [np.asarray(c.zeta(rule.observations, rule.actions)) for c in constraints]
    right = [(zeta < 0.5) == rule.forbidden for zeta in tables]
    return {
        "rule_recovered": [bool(r.all()) for r in right],
        "pairs": len(rule.forbidden),
        "pairs_right": [int(r.sum()) for r in right],
        "zeta_forbidden_max": [float(z[rule.forbidden].max()) for z in tables],
        "zeta_allowed_min": [float(z[~rule.forbidden].min()) for z in tables],
    }


def rule_costs(rule: Rule, constraints: list[Constraint]) -> np.ndarray:
    """Mean cost 1 − ζ over seeds of every pair of a rule's table."""
    tables = [np.asarray(c.cost(rule.observations, rule.actions)) for c in constraints]
    return np.mean(tables, axis=0)


def summarise_expert(config: LearnConfig) -> Summary:
    """The demonstrations' own returns, and violations of the true rule."""
    demonstrations = load_demonstrations(config.demonstrations)
    rule = true_rule(config.env)
    rate = None if rule is None else violation_rate(demonstrations, rule)
    return {
        "demonstrations": str(config.demonstrations),
        "made_by": demonstrations.made_by,
        "episodes": len(demonstrations.actions),
        "return": demonstrations.returns.tolist(),
        "violation_rate": rate,
        "findings": [finding._asdict() for finding in warnings_of(config)],
    }


def violation_rate(demonstrations: Demonstrations, rule: Rule) -> float:
    """Share of demonstrated steps that a rule forbids."""
    return float(np.sum(demonstrated_occupancy(demonstrations, rule)[rule.forbidden]))


def occupancy_distances(run: Run) -> list[float] | None:
    """How far each seed's behaviour is from the demonstrator's, in [0, 1].

    Half the L1 distance between the shares of steps that each spends on every pair of
    state and action, the agent's from episodes of its stochastic policy in the nominal
    twin. 0 is S2's "behaviourally equivalent". None where pairs are not listed.

    Source: S2, problem statement.
    """
    rule = true_rule(run.config.env)
    if rule is None or not isinstance(run.config, LearnConfig):
        return None
    episodes = run.task.evaluation_episodes
    demonstrations = load_demonstrations(run.config.demonstrations)
    expert = demonstrated_occupancy(demonstrations, rule)

    @jax.jit
    def behave(policy: Policy, key: Key) -> Episodes:
        return episodes_of(run.task.violation_env, policy, key, episodes)

    distances = []
    for seed, state in final_states(run).items():
        found = behave(state.agent.policy, jax.random.key(seed)).trajectory
        mask = np.asarray(found.mask)
        seen, done = np.asarray(found.observations), np.asarray(found.actions)
        distances.append(
            float(
                total_variation(
                    jnp.asarray(occupancy(rule, seen[mask], done[mask])),
                    jnp.asarray(expert),
                )
            )
        )
    return distances


def demonstrated_occupancy(demonstrations: Demonstrations, rule: Rule) -> np.ndarray:
    """The shares of steps that demonstrations spend on each pair."""
    seen = np.concatenate([o[:-1] for o in demonstrations.observations])
    return occupancy(rule, seen, np.concatenate(demonstrations.actions))


def occupancy(rule: Rule, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The share of steps on each pair of a rule's table; adds up to 1.

    Each step is looked up as the nearest pair of the table with the same action.
    """
    distance = np.abs(observations[:, None] - rule.observations[None]).sum(axis=2)
    distance[actions[:, None] != rule.actions[None]] = np.inf
    counts = np.bincount(distance.argmin(axis=1), minlength=len(rule.forbidden))
    return counts / len(actions)
