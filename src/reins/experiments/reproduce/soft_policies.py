"""Soft actor-critic's policies side by side: discrete, hierarchical and hybrid actions.

Settings were chosen on seeds 100 and 101; tables are of seeds 0 to 4.
"""

from pathlib import Path

from reins.agents.soft_losses import PolicyLoss
from reins.experiments.config import PPOConfig, RunConfig, SACConfig, TrainConfig
from reins.experiments.plot import save_figure
from reins.experiments.reproduce.cell import Asked, Cell, Comparison, Results
from reins.experiments.reproduce.draw_soft_policies import (
    draw_clubs,
    draw_curves_of,
    draw_doors,
)
from reins.policies import SoftKind

DOORS, GOLF = "TwoDoors-v0", "Golf-v0"
DISCRETE = ("CartPole-v1", "Acrobot-v1", "LunarLander-v3")
DISCRETE_LOSSES: tuple[PolicyLoss, ...] = (
    *("exact-reverse", "reverse-kl-score", "exact-forward", "forward-kl"),
)
"""Each divergence by all actions, and by some that are drawn."""
_DOORS_CELLS: dict[str, tuple[PolicyLoss, SoftKind]] = {
    "Gaussian, reverse-kl": ("reverse-kl", "squashed"),
    "Gaussian, forward-kl": ("forward-kl", "squashed"),
    "mixture, reverse-kl-score": ("reverse-kl-score", "mixture"),
    "mixture, forward-kl": ("forward-kl", "mixture"),
}
_GOLF_LOSSES: tuple[PolicyLoss, ...] = ("reverse-kl-score", "forward-kl")
BEST = {
    DOORS: "at best 10 without memory, 0.5 with one Gaussian",
    GOLF: "at best −2.15, −5.7 with one club",
}
"""Computed without sampling by the tests of the two environments."""


def soft_policies() -> list[Cell]:
    """The short ones first."""
    return [*_doors(), *_golf(), *(c for task in DISCRETE for c in _discrete(task))]


def _doors() -> list[Cell]:
    run = RunConfig(steps=6000)
    net = PPOConfig(learning_rate=1e-3, hidden=(64, 64), discount=0.5)
    cells = []
    for name, (loss, kind) in _DOORS_CELLS.items():
        agent = SACConfig(policy_loss=loss, policy_kind=kind, temperature="0.1")
        config = TrainConfig("sac", f"reins/{DOORS}", run=run, ppo=net, soft=agent)
        cells.append(Cell(DOORS, name, config, BEST[DOORS]))
    return cells


def _golf() -> list[Cell]:
    run = RunConfig(steps=8000)
    net = PPOConfig(learning_rate=1e-3, hidden=(64, 64), discount=0.95)
    cells = []
    for loss in _GOLF_LOSSES:
        agent = SACConfig(policy_loss=loss, temperature="0.1")
        config = TrainConfig("sac", f"reins/{GOLF}", run=run, ppo=net, soft=agent)
        cells.append(Cell(GOLF, f"hybrid, {loss}", config, BEST[GOLF]))
    return cells


_STEPS = {"CartPole-v1": 30_000, "Acrobot-v1": 60_000, "LunarLander-v3": 100_000}
_TEMPERATURES = {"Acrobot-v1": "0.02"}
"""Where an entropy of half of log A keeps the agent from ever coming to the goal."""


def _discrete(task: str) -> list[Cell]:
    compiled = task != "LunarLander-v3"
    run = RunConfig(steps=_STEPS[task])
    temperature = _TEMPERATURES.get(task, "auto")
    net = PPOConfig(learning_rate=1e-3, hidden=(64, 64))
    return [
        Cell(
            task,
            loss,
            TrainConfig(
                "sac",
                f"reins/{task}" if compiled else task,
                run=run,
                ppo=net,
                soft=SACConfig(policy_loss=loss, temperature=temperature),
            ),
        )
        for loss in DISCRETE_LOSSES
    ]


def compare(results: Results, folder: Path, asked: Asked) -> Comparison:
    """Draw what the policies do, where their runs lie beside the results."""
    del asked
    runs = folder.parent
    discrete = {task: results[task] for task in DISCRETE if task in results}
    if discrete:
        save_figure(draw_curves_of(discrete), folder / "discrete.png")
    for table, name, draw in (
        (DOORS, "two-doors.png", draw_doors),
        (GOLF, "golf.png", draw_clubs),
    ):
        there = [n for n in results.get(table, {}) if (runs / table / n).is_dir()]
        if there:
            finals = {n: results[table][n].values["return"][-1] for n in there}
            figure = draw({n: runs / table / n for n in there}, finals)
            save_figure(figure, folder / name)
    return Comparison(_page(results))


def _page(results: Results) -> str:
    """The small returns with two decimals, beside the best that there can be."""
    lines = ["| | return of each seed | |", "|---|---|---|"]
    for table in (DOORS, GOLF):
        for name, curves in results.get(table, {}).items():
            final = ", ".join(f"{x:.2f}" for x in curves.values["return"][-1])
            lines.append(f"| {table}, {name} | {final} | {BEST[table]} |")
    return "\n".join(lines) + "\n" if len(lines) > 2 else ""
