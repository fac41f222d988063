"""Maximum-likelihood constraint inference: the hard rules that demonstrations suggest.

The rules that can be found are *minimal constraints*, or items: never to be in a state,
never to take an action, never to meet a feature. Trajectories are weighed as in
`max_entropy`, and those that break a rule that holds have no mass.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from reins.errors import ConfigError, DataError
from reins.tabular.max_entropy import (
    TrajectoryModel,
    model_log_partition,
    model_messages,
    moves_of,
    start_masses,
    trajectory_model,
)
from reins.tabular.mdp import TabularMDP

Some = Bool[ArrayLike, " I"]
"""Which of the items."""


class Items(NamedTuple):
    """I minimal constraints: what each of them forbids.

    Attributes:
      pairs: the (s, a) that an item forbids.
      places: the states that an item forbids to be in, the last one included.
    """

    pairs: Bool[Array, "I S A"]
    places: Bool[Array, "I S"]


class RuleProblem(eqx.Module):
    """A nominal MDP, the items in question, and how its trajectories are weighed.

    Attributes:
      mdp: its costs and its discount play no part.
      items: the minimal constraints.
      temperature: α > 0, units of reward per nat.
      arrive: whether every episode ends in a terminal state within the horizon.
    """

    mdp: TabularMDP
    items: Items
    temperature: ScalarLike = 1.0
    arrive: bool = eqx.field(static=True, default=False)


def minimal_constraints(
    states: int, actions: int, features: Bool[Array, "K S"] | None = None
) -> Items:
    """Every feature, then every action, then every state, as an item.

    A feature is a set of states. Where two items explain as much, the first is taken.
    """
    places = np.zeros((0, states), bool) if features is None else np.asarray(features)
    k = len(places)
    pairs = np.zeros((k + actions + states, states, actions), bool)
    pairs[k + np.arange(actions), :, np.arange(actions)] = True
    none = np.zeros((actions, states), bool)
    places = np.concatenate([places, none, np.eye(states, dtype=bool)])
    return Items(jnp.asarray(pairs), jnp.asarray(places))


@jax.jit
def items_used(
    items: Items,
    states: Int[Array, "N T_plus_1"],
    actions: Int[Array, "N T"],
    mask: Bool[Array, "N T"],
) -> Bool[Array, "N I"]:
    """Which items each trajectory uses; after its end the state must stay.

    Args: as the fields of `AllTrajectories`, or of `Walks`.
    """
    taken = items.pairs[:, states[:, :-1], actions] & mask
    return (jnp.any(taken, axis=2) | jnp.any(items.places[:, states], axis=2)).T


def model_without(problem: RuleProblem, forbidden: Some) -> TrajectoryModel:
    """The trajectories that use none of these items."""
    forbidden = jnp.asarray(forbidden)
    pairs = jnp.any(problem.items.pairs & forbidden[:, None, None], axis=0)
    places = jnp.any(problem.items.places & forbidden[:, None], axis=0)
    return trajectory_model(
        problem.mdp,
        jnp.where(pairs, -jnp.inf, 0.0),
        allowed=~places,
        arrive=problem.arrive,
        temperature=problem.temperature,
    )


@jax.jit
def accrual_history(model: TrajectoryModel, items: Items) -> Float[Array, "T_plus_1 I"]:
    """Φ_t: the probability that each item has been used by step t, once or often.

    D_t(s) is the mass in s, and A_t(s) that part of it that has used the item:

    D'(s') = Σ_{s,a} D(s) p(a, s'|s),   A'(s') = Σ_{s,a} [A + φ(s, a)(D − A)] p(a, s'|s)
    and, on arrival, A'(s') + φ(s') (D' − A')

    Source: Scobee & Sastry 2020, Algorithm 1, on the model S2 (1).
    Identities: `items_used`, averaged over all trajectories; never falls; an item that
    is forbidden has 0 exactly.
    """
    messages = model_messages(model)
    pairs = items.pairs.astype(messages.dtype)
    places = items.places.astype(messages.dtype)

    def step(carry, ahead):
        mass, used = carry
        moves = moves_of(model, *ahead)
        fresh = pairs * (mass - used)[:, :, None]
        arrived = jnp.einsum("isa,sax->ix", used[:, :, None] + fresh, moves)
        stayed = jnp.where(model.terminal, used, 0.0)
        ended = jnp.where(model.terminal, mass, 0.0)
        mass = jnp.einsum("s,sax->x", mass, moves) + ended
        used = arrived + stayed
        used = used + places * (mass - used)
        return (mass, used), jnp.sum(used, axis=1)

    start = start_masses(model, messages)
    used = places * start
    _, later = jax.lax.scan(step, (start, used), (messages[:-1], messages[1:]))
    return jnp.concatenate([jnp.sum(used, axis=1)[None], later])


@jax.jit
def item_masses(problem: RuleProblem, forbidden: Some) -> Float[Array, " I"]:
    """Φ_T of every item while some are forbidden: what each would forbid besides.

    Source: Scobee & Sastry 2020: the likelihood of demonstrations that do not use item
    c grows by 1/(1 − Φ_T(c)) for each, when c is forbidden.
    """
    return accrual_history(model_without(problem, forbidden), problem.items)[-1]


@jax.jit
def _log_partition(problem: RuleProblem, forbidden: Some) -> Float[Array, ""]:
    return model_log_partition(model_without(problem, forbidden))


class Inferred(NamedTuple):
    """The items found, in order.

    Attributes:
      items: their numbers.
      masses: Φ_T of each when it was chosen: the probability of what it forbids.
      gains: fall of KL(demonstrations ‖ model) by each, nats per trajectory.
    """

    items: list[int]
    masses: list[float]
    gains: list[float]

    def until(self, threshold: float) -> "Inferred":
        """What a larger threshold would have found."""
        n = next((i for i, x in enumerate(self.gains) if x <= threshold), None)
        return Inferred(self.items[:n], self.masses[:n], self.gains[:n])


def infer_constraints(
    problem: RuleProblem,
    used: Some,
    *,
    threshold: float = 0.1,
    most: int | None = None,
) -> Inferred:
    """Forbid, one by one, the item of most mass that no demonstration uses.

    gain(c) = log Z(C) − log Z(C + c) = −log(1 − Φ_T(c)): at once the growth of the
    log-likelihood of a demonstration, and the fall of KL(demonstrations ‖ model).

    Source: Scobee & Sastry 2020, Algorithm 2, on the likelihood S2 (4), (5).
    Identities: with all that the true model does as demonstrations and threshold 0 it
    finds exactly the true items when these are `identifiable`.

    Args:
      used: items that demonstrations use (any of `items_used`).
      threshold: d ≥ 0; stop when the gain is not above it, in nats per trajectory.
      most: stop after so many items; none is no limit.
    Raises: DataError when the MDP has no trajectory that uses only what was used.
    """
    if threshold < 0:
        raise ConfigError(
            f"constraints were to be inferred down to a gain of {threshold} nats; no "
            "item gains less than 0. Choose 0 or more."
        )
    used = np.asarray(used)
    forbidden = np.zeros(len(used), bool)
    now = float(_log_partition(problem, forbidden))
    found = Inferred([], [], [])
    while most is None or len(found.items) < most:
        masses = np.asarray(item_masses(problem, forbidden))
        best = int(np.argmax(np.where(used | forbidden, 0.0, masses)))
        if used[best] or forbidden[best]:
            break  # nothing is left that has mass
        forbidden[best] = True
        following = float(_log_partition(problem, forbidden))
        if not np.isfinite(following):
            raise DataError(
                f"{len(used) - int(used.sum())} of {len(used)} items are used by no "
                "demonstration; without them the MDP has no trajectory at all, so the "
                "demonstrations cannot be of it. Check the horizon, `arrive`, and that "
                "states and actions mean the same in both."
            )
        gain = now - following
        if gain <= threshold:
            break
        now = following
        found.items.append(best)
        found.masses.append(float(masses[best]))
        found.gains.append(gain)
    return found


def identifiable(
    problem: RuleProblem, planted: Some, *, least: float = 0.0
) -> list[str]:
    """Why planted items cannot be found from demonstrations; an empty list if they can.

    Let C be the planted items. A trajectory is *c's own* if it uses c and no other of
    C. C is identifiable when

      every c in C has trajectories of its own (is reachable, and not implied);
      every other item u is used by a trajectory that C allows, or by none of the MDP,
      or is outdone by one c in C: all that uses u uses c, and some of c's own does not.

    Then C is the only smallest set of items with its distribution over trajectories,
    and `infer_constraints` with threshold 0 and unlimited demonstrations returns it: an
    item outside C is either used, or of less mass than the c that outdoes it, or of
    none; and an item of C that is missing has mass.

    Args:
      least: the probability that "has" and "some" stand for; rounding hides less than
        about 1e-12.
    """
    planted = np.asarray(planted)

    def mass(*chosen: int, of: int) -> float:
        forbidden = np.isin(np.arange(len(planted)), chosen)
        return float(item_masses(problem, forbidden)[of])

    inside = np.flatnonzero(planted).tolist()
    others = {c: [x for x in inside if x != c] for c in inside}
    faults = [
        f"item {c} has no trajectory of its own"
        for c in inside
        if not mass(*others[c], of=c) > least
    ]
    nominal = np.asarray(item_masses(problem, np.zeros_like(planted)))
    remaining = np.asarray(item_masses(problem, planted))
    if not float(_log_partition(problem, planted)) > -np.inf:
        return [*faults, "nothing is allowed"]
    alone = {c: np.asarray(item_masses(problem, _only(planted, c))) for c in inside}
    for u in np.flatnonzero(~planted & (remaining == 0) & (nominal > 0)).tolist():
        covers = [c for c in inside if alone[c][u] == 0]
        if not any(mass(*others[c], u, of=c) > least for c in covers):
            faults.append(
                f"item {u} is not used either, and no planted item outdoes it"
            )
    return faults


def _only(like: np.ndarray, item: int) -> Bool[np.ndarray, " I"]:
    return np.arange(len(like)) == item
