"""The study: policies trained to several stages, every baseline measured at each.

At a stage many batches of episodes are gathered, and every baseline makes its estimate
of the gradient from the same batches, so that their ratios are of pairs.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from reins.envs import Env, make_env
from reins.errors import CapabilityError, ConfigError, sentence_of_faults
from reins.lab.studies.gradient_variance.estimates import CREDITS, Name
from reins.lab.studies.gradient_variance.measured import (
    STATES,
    Measured,
    Steps,
    measuring,
)
from reins.lab.studies.gradient_variance.rows import Found, rows_of
from reins.lab.studies.gradient_variance.training import Training, training_to_stages
from reins.lab.studies.gradient_variance.variance import HINDSIGHT
from reins.lab.study import Advance, Sheet, Study, ignore

_CONSTANTS = ("none", "constant", "optimal constant", HINDSIGHT, "time")
BASELINES: dict[str, tuple[str, ...]] = {
    CREDITS[0]: _CONSTANTS,
    CREDITS[1]: (*_CONSTANTS, *STATES),
}
"""What is measured with each credit, in the order of the tables."""


@dataclasses.dataclass(frozen=True)
class GradientVarianceConfig:
    """Variance of REINFORCE's gradient under every baseline, on a real task."""

    env: str = "reins/CartPole-v1"
    """A compiled environment (`reins list`)."""
    episodes: tuple[int, ...] = (8,)
    """Episodes of one estimate."""
    batches: int = 100
    """Estimates of each baseline, for each policy and number of episodes."""
    seeds: int = 5
    """Policies trained, each from its own start."""
    stages: tuple[float, ...] = (20.0, 60.0, 150.0, 300.0, 490.0)
    """Mean returns at which a policy in training is frozen and measured."""
    updates: int = 60
    """Batches of 8 episodes that it is trained on, at most."""
    discount: float = 1.0
    """γ; with γ < 1 step t of the reward-to-go is not weighed by γ^t, as is usual."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers of policies and critics."""
    fit_episodes: int = 128
    """Episodes of the frozen policy that refitted critics learn from."""
    key: int = 0
    """Seed of everything."""

    def __post_init__(self) -> None:
        faults = []
        if not self.episodes or min(self.episodes) < 2:
            faults.append(
                f"estimates from {self.episodes} episodes; the mean over the others "
                "needs at least 2"
            )
        if self.batches < 10:
            faults.append(f"{self.batches} batches; resampling them needs at least 10")
        least = (self.seeds, self.updates, self.fit_episodes, len(self.stages))
        if min(least) < 1:
            faults.append(
                "{} seeds, {} updates, {} episodes for critics, {} stages; choose at "
                "least 1 of each".format(*least)
            )
        if not 0.0 <= self.discount <= 1.0:
            faults.append(f"a discount of {self.discount}; choose one in [0, 1]")
        if faults:
            raise ConfigError(sentence_of_faults("no study of the variance", faults))


def gradient_variance_study(
    config: GradientVarianceConfig, advance: Advance = ignore
) -> Study:
    """tr Cov ĝ of REINFORCE's gradient, by credit and baseline, as a policy learns.

    Source: S3, variance; baselines.
    Raises: CapabilityError for an environment outside JAX; ConfigError when no policy
      reached any stage.
    """
    env = _compiled(config.env)
    training = Training(config.hidden, updates=config.updates, discount=config.discount)
    train = training_to_stages(env, training, config.stages)
    names = ("episodes", "batches", "fit_episodes", "hidden", "discount")
    measure = measuring(env, **{name: getattr(config, name) for name in names})
    found: dict[tuple[int, int], list[Measured]] = {}
    returns = []
    for seed in range(config.seeds):
        key = jax.random.fold_in(jax.random.key(config.key), seed)
        trained = train(jax.random.fold_in(key, 0))
        returns.append(np.asarray(trained.returns))
        reached = np.flatnonzero(trained.reached).tolist()
        share = 1.0 / config.seeds / (1 + len(reached))
        advance(share, f"seed {seed} is trained")
        for stage in reached:
            learner = jax.tree.map(lambda x: x[stage], trained.learners)  # noqa: B023
            each = measure(learner, jax.random.fold_in(key, 1 + stage))
            found[seed, stage] = each
            advance(share, f"seed {seed} at a return of {each[0].earned:.0f}")
    _check_reached(config, found, np.array(returns))
    rows = rows_of(config.stages, config.episodes, BASELINES, found)
    return Study(
        "gradient-variance",
        rows,
        _sheets(config, rows),
        _findings(config, rows, found),
        _fields(found),
    )


def _compiled(name: str) -> Env:
    env = make_env(name)
    if not isinstance(env, Env):
        raise CapabilityError(
            f"{name} was asked for; it is stepped outside JAX, and this study plays "
            "hundreds of episodes at once. Choose a compiled one (`reins list`)."
        )
    return env


def _check_reached(
    config: GradientVarianceConfig, found: Found, returns: np.ndarray
) -> None:
    if not found:
        raise ConfigError(
            f"policies in {config.env} were to be measured at mean returns of "
            f"{config.stages}; in {config.updates} updates those of their batches were "
            f"between {returns.min():.4g} and {returns.max():.4g}. Choose --stages "
            "there, or more --updates."
        )


def _fields(found: Found) -> dict[str, np.ndarray]:
    """The curves over time of every policy, and which policy each is."""
    curves = {
        name: np.stack([getattr(each[-1].steps, name) for each in found.values()])
        for name in Steps._fields
    }
    return curves | {"policies": np.array(list(found))}


# What is reported.


def over_seeds(
    rows: list[dict[str, Any]], episodes: int, name: Name
) -> list[dict[str, Any]]:
    """The rows of one baseline over all seeds, by stage."""
    wanted = ("all", episodes, *name)
    keys = ("seed", "episodes", "credit", "baseline")
    return [row for row in rows if tuple(row[key] for key in keys) == wanted]


def _sheets(config: GradientVarianceConfig, rows: list[dict[str, Any]]) -> list[Sheet]:
    sheets = []
    for n in config.episodes:
        for credit, baselines in BASELINES.items():
            lines = {name: over_seeds(rows, n, (credit, name)) for name in baselines}
            heads = [f"{row['return']:.0f}" for row in lines["none"]]
            first = [_shown(row, "of_total_return") for row in lines["none"]]
            cells = [["none", *first]] if credit != CREDITS[0] else []
            cells += [
                [name, *(_shown(row, "ratio") for row in line)]
                for name, line in lines.items()
                if name != "none"
            ]
            title = f"{credit}, {n} episodes: variance / variance without a baseline"
            if credit != CREDITS[0]:
                title += "\n(none: / that of the total return)"
            sheets.append(Sheet(title, ["mean return", *heads], cells))
    return sheets


def _shown(row: dict[str, Any], name: str) -> str:
    """With half its interval, which the rows have whole."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    return f"{value:.2g} ±{(high - low) / 2:.1g}"


def _findings(
    config: GradientVarianceConfig, rows: list[dict[str, Any]], measured: Found
) -> dict[str, Any]:
    """Ratios over all seeds, by stage, and the order of the baselines."""
    first = over_seeds(rows, config.episodes[0], (CREDITS[0], "none"))
    found: dict[str, Any] = {
        "mean_returns": [row["return"] for row in first],
        "seeds_that_reached": [
            sum(s == stage for _, s in measured) for stage in range(len(config.stages))
        ],
    }
    for n in config.episodes:
        for credit, baselines in BASELINES.items():
            lines = {name: over_seeds(rows, n, (credit, name)) for name in baselines}
            for name, line in lines.items():
                label = f"{credit} {name} {n}".replace(",", "").replace("-", " ")
                ratios = [row["ratio"] for row in line]
                found["variance_ratio_" + label.replace(" ", "_")] = ratios
            found[f"order_{credit.replace('-', '_')}_{n}"] = [
                sorted(baselines, key=lambda name, i=i: lines[name][i]["ratio"])
                for i in range(len(first))
            ]
    return found
