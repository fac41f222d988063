"""Where a learned constraint is applied outside of what it was learned from."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Shaped

from reins.constraints import Constraint, chosen_inputs
from reins.envs import Env, HostEnv
from reins.experiments.build import Task
from reins.experiments.cost_map import input_names
from reins.experiments.judge import episodes_of
from reins.policies import Policy
from reins.types import Key

OUTSIDE = "constraint/outside"
"""The share of an agent's steps in which an input lies outside of its range."""
SMALL = 0.01
"""Above this share it is news."""
EPISODES = 2
"""So many of the agent's say which inputs these are."""
NAMED = 3
"""Most inputs that are named."""


class Beyond(NamedTuple):
    """An input that went where it was not seen while the constraint was learned.

    Attributes:
      name: with its unit.
      share: of the steps.
      found, seen: least and largest value now, and in the data learned from.
      clip: beyond ± this ζ cannot tell its values apart; inf for an action.
    """

    name: str
    share: float
    found: tuple[float, float]
    seen: tuple[float, float]
    clip: float

    def __str__(self) -> str:
        ranges = [f"{low:.4g} to {high:.4g}" for low, high in (self.found, self.seen)]
        told = f"{self.name} was {ranges[0]}, and {ranges[1]} in the data"
        if max(map(abs, self.found)) > self.clip:
            told += f", beyond ±{self.clip:g} all the same to it"
        return f"{told} (outside in {100 * self.share:.2g} % of the steps)"


def outside(
    constraint: Constraint,
    env: Env | HostEnv | None,
    observations: Shaped[np.ndarray, "M ..."],
    actions: Shaped[np.ndarray, "M ..."],
) -> tuple[float, list[Beyond]]:
    """The share of steps outside of what was seen, and by which inputs, worst first."""
    inputs = constraint.inputs
    beyond = np.asarray(constraint.outside(observations, actions))
    values = np.asarray(chosen_inputs(inputs, observations, actions))
    names = input_names(inputs, env)
    observed = len(inputs.observation_dims)
    found = [
        Beyond(
            names[k],
            float(beyond[:, k].mean()),
            (float(values[:, k].min()), float(values[:, k].max())),
            (inputs.seen_low[k], inputs.seen_high[k]),
            inputs.clip if k < observed else float("inf"),
        )
        for k in np.flatnonzero(beyond.any(axis=0))
    ]
    worst = sorted(found, key=lambda one: -one.share)
    return float(beyond.any(axis=1).mean()), worst


def outside_of_agent(
    constraint: Constraint,
    env: Env | HostEnv,
    policy: Policy,
    key: Key,
    *,
    episodes: int = EPISODES,
) -> tuple[float, list[Beyond]]:
    """The same in fresh episodes of a stochastic policy."""
    steps = episodes_of(env, policy, key, episodes).trajectory
    there = np.asarray(steps.mask)
    seen, done = np.asarray(steps.observations), np.asarray(steps.actions)
    return outside(constraint, env, seen[there], done[there])


def extrapolation(share: float, worst: Sequence[Beyond], steps: str) -> str:
    """What to say of it: which inputs, what is known of them, and what follows.

    Args:
      steps: whose steps, as in `the steps of 2 episodes`.
    """
    named = "; ".join(map(str, worst[:NAMED]))
    more = f"; and {len(worst) - NAMED} more inputs" if len(worst) > NAMED else ""
    return (
        f"the learned cost is an extrapolation in {100 * share:.2g} % of {steps}, "
        f"which lie outside of what the constraint was learned from: {named}{more}. "
        "What it allows and forbids there comes from no data: look at it with `reins "
        "constraint show`, or learn it from data that goes there."
    )


def teller(task: Task) -> Callable[[Policy, Key], str]:
    """What says, of a policy, which inputs of its constraint it takes too far.

    Nothing where in some fresh episodes it does not: what it did at first is over.
    """

    def tell(policy: Policy, key: Key) -> str:
        if task.constraint is None:
            return ""
        share, worst = outside_of_agent(task.constraint, task.env, policy, key)
        if share <= SMALL:
            return ""
        return extrapolation(share, worst, f"the steps of {EPISODES} episodes just now")

    return tell


def validity_news(
    row: dict[str, Any],
    seeds: Sequence[int],
    before: Sequence[str],
    tell: Callable[[int], str],
) -> Iterator[str]:
    """A sentence for each seed that leaves the ranges, if it was not told before.

    Args:
      row: of the curves.
      tell: place among the seeds -> which inputs do, of its agent now; "" for none,
        which is no news.
    """
    for place, share in enumerate(row.get(OUTSIDE, ())):
        about = f"seed {seeds[place]}: {OUTSIDE}:"
        if share > SMALL and not any(about in told for told in before):
            told_now = tell(place)
            if told_now:
                yield f"{about} {told_now}"


def policy_of(state: Any, place: int) -> Policy:
    """The policy of one seed of a group's state."""
    return jax.tree.map(lambda x: x[place], state.agent.policy)
