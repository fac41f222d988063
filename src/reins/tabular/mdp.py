"""Finite MDPs: checked tables, a random one, and every trajectory of a small one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from reins.errors import ConfigError, sentence_of_faults
from reins.types import Key

_TOLERANCE = 1e-5  # of sums of probabilities; float32 tables must pass


class TabularMDP(eqx.Module):
    """A finite MDP of at most `horizon` steps; made and checked by `tabular_mdp`.

    Attributes:
      transitions: P(s'|s, a).
      rewards: r(s, a, s'), in units of reward.
      costs: c(s, a) ≥ 0, in units of cost.
      initial: p(s_0); no mass on terminal states.
      terminal: states that end the episode on arrival; nothing is earned from them.
      discount: γ in [0, 1].
      horizon: T, steps.
    """

    transitions: Float[Array, "S A S"]
    rewards: Float[Array, "S A S"]
    costs: Float[Array, "S A"]
    initial: Float[Array, " S"]
    terminal: Bool[Array, " S"]
    discount: float = eqx.field(static=True)
    horizon: int = eqx.field(static=True)


Table = ArrayLike | Sequence[Any]
"""Numbers in a given shape: an array, or nested lists."""


def tabular_mdp(
    transitions: Table,
    rewards: Table,
    *,
    initial: Table,
    horizon: int,
    costs: Table | None = None,
    terminal: Table | None = None,
    discount: float = 1.0,
) -> TabularMDP:
    """Check the tables of an MDP and put them together.

    Args:
      transitions: (S, A, S), each row P(.|s, a) a distribution, of terminal states too.
      rewards: (S, A) for r(s, a), or (S, A, S) for r(s, a, s').
      initial: (S,), the distribution of the first state.
      horizon: steps after which every episode ends.
      costs: (S, A), not negative; none means zero.
      terminal: (S,), the states that end an episode; none means no state does.
      discount: γ in [0, 1].

    Raises: ConfigError, all faults at once.
    """
    shape = np.shape(transitions)[:2]
    tables = {
        "transitions": jnp.asarray(transitions, float),
        "rewards": jnp.asarray(rewards, float),
        "costs": jnp.asarray(jnp.zeros(shape) if costs is None else costs, float),
        "initial": jnp.asarray(initial, float),
        "terminal": jnp.asarray(
            np.zeros(shape[:1]) if terminal is None else terminal, bool
        ),
    }
    faults = _faults_of_shape(tables) or _faults_of_values(tables)
    if not 0.0 <= discount <= 1.0:
        faults.append(f"the discount is {discount}; choose one in [0, 1]")
    if horizon < 1:
        faults.append(f"the horizon is {horizon} steps; an episode needs at least one")
    if faults:
        raise ConfigError(sentence_of_faults("these tables make no MDP", faults))
    if tables["rewards"].ndim == 2:
        rewards = tables["rewards"][:, :, None]
        tables["rewards"] = jnp.broadcast_to(rewards, tables["transitions"].shape)
    return TabularMDP(**tables, discount=float(discount), horizon=horizon)


def random_mdp(
    key: Key,
    states: int,
    actions: int,
    *,
    horizon: int,
    discount: float = 1.0,
    deterministic: bool = False,
    terminal_states: int = 0,
) -> TabularMDP:
    """A seeded MDP with nothing symmetric about it.

    P and p(s_0) are Dirichlet of concentration 1, r(s, a, s') is a unit exponential
    less 1/2 (skewed), costs are uniform in (0, 1). The last `terminal_states` states
    are terminal. Compiles and vmaps over keys.
    """
    keys = jax.random.split(key, 4)
    shape = (states, actions, states)
    terminal = jnp.arange(states) >= states - terminal_states
    if deterministic:
        following = jax.random.randint(keys[0], shape[:2], 0, states)
        transitions = jax.nn.one_hot(following, states)
    else:
        # Normalised exponentials are Dirichlet(1), and compile much faster.
        transitions = jax.random.exponential(keys[0], shape)
        transitions = transitions / jnp.sum(transitions, axis=-1, keepdims=True)
    initial = jax.random.exponential(keys[1], (states,)) * ~terminal
    return TabularMDP(
        transitions=transitions,
        rewards=jax.random.exponential(keys[2], shape) - 0.5,
        costs=jax.random.uniform(keys[3], shape[:2]),
        initial=initial / jnp.sum(initial),
        terminal=terminal,
        discount=discount,
        horizon=horizon,
    )


class AllTrajectories(NamedTuple):
    """Every trajectory of positive probability, one to a row, padded to the horizon.

    After the end of an episode the state stays, the action is 0, and rewards and costs
    are 0.

    Attributes:
      states: s_0..s_T.
      actions: a_0..a_{T−1}.
      log_dynamics: log p(s_0) Π_t P(s_{t+1}|s_t, a_t), in nats.
      rewards, costs: r_t in units of reward, c_t in units of cost.
      mask: valid steps.
    """

    states: Int[Array, "N T+1"]
    actions: Int[Array, "N T"]
    log_dynamics: Float[Array, " N"]
    rewards: Float[Array, "N T"]
    costs: Float[Array, "N T"]
    mask: Bool[Array, "N T"]


def enumerate_trajectories(mdp: TabularMDP, *, limit: int = 100_000) -> AllTrajectories:
    """Write down every trajectory that dynamics allow; not compiled, for tiny MDPs.

    Raises: ConfigError when there are more than `limit`.
    """
    p, initial, terminal = (
        np.asarray(table) for table in (mdp.transitions, mdp.initial, mdp.terminal)
    )
    states = np.flatnonzero(initial > 0)[:, None]
    actions = np.zeros((len(states), 0), int)
    log_dynamics = np.log(initial[states[:, 0]])
    for _ in range(mdp.horizon):
        now = states[:, -1]
        onward = p[now]
        # An ended episode goes on in exactly one way, with probability 1.
        ended = np.flatnonzero(terminal[now])
        onward[ended] = 0.0
        onward[ended, 0, now[ended]] = 1.0
        row, action, following = np.nonzero(onward)
        _check_count(len(row), limit, mdp.horizon)
        states = np.hstack([states[row], following[:, None]])
        actions = np.hstack([actions[row], action[:, None]])
        log_dynamics = log_dynamics[row] + np.log(onward[row, action, following])
    mask = ~terminal[states[:, :-1]]
    steps = (states[:, :-1], actions)
    rewards = np.where(mask, np.asarray(mdp.rewards)[*steps, states[:, 1:]], 0.0)
    costs = np.where(mask, np.asarray(mdp.costs)[steps], 0.0)
    return AllTrajectories(
        *map(jnp.asarray, (states, actions, log_dynamics, rewards, costs, mask))
    )


def _check_count(found: int, limit: int, horizon: int) -> None:
    if found > limit:
        raise ConfigError(
            f"every trajectory of {horizon} steps was asked for; there are at least "
            f"{found}, more than the limit of {limit}. Shorten the horizon, take fewer "
            "states or actions, or raise `limit`."
        )


def _faults_of_shape(tables: dict[str, Array]) -> list[str]:
    shape = tables["transitions"].shape
    if len(shape) != 3 or shape[0] != shape[2] or min(shape) == 0:
        return [f"transitions have shape {shape}; they must have (S, A, S)"]
    s, a, _ = shape
    wanted = {
        "rewards": [(s, a), (s, a, s)],
        "costs": [(s, a)],
        "initial": [(s,)],
        "terminal": [(s,)],
    }
    return [
        f"{name} have shape {tables[name].shape}; with {s} states and {a} actions they "
        f"must have {' or '.join(map(str, shapes))}"
        for name, shapes in wanted.items()
        if tables[name].shape not in shapes
    ]


def _faults_of_values(tables: dict[str, Array]) -> list[str]:
    p, rewards, costs, initial, terminal = map(np.asarray, tables.values())
    faults = []
    if negative := np.sum(~(p >= 0)):  # true of NaN as well
        faults.append(f"{negative} of {p.size} transition probabilities are not ≥ 0")
    sums = p.sum(axis=2)
    wrong = np.argwhere(~(np.abs(sums - 1.0) <= _TOLERANCE))
    if len(wrong):
        s, a = wrong[0]
        faults.append(
            f"{len(wrong)} of {sums.size} rows of transitions do not sum to 1, the "
            f"first in state {s}, action {a} ({sums[s, a]:.6g}); divide each by its sum"
        )
    if infinite := np.sum(~np.isfinite(rewards)):
        faults.append(f"{infinite} of {rewards.size} rewards are not finite")
    if unusable := np.sum(~(np.isfinite(costs) & (costs >= 0))):
        faults.append(f"{unusable} of {costs.size} costs are negative or not finite")
    if not (np.all(initial >= 0) and abs(initial.sum() - 1.0) <= _TOLERANCE):
        faults.append(
            f"initial probabilities sum to {initial.sum():.6g}, the least of them is "
            f"{initial.min():.6g}; they must be ≥ 0 and sum to 1"
        )
    if np.any(initial[terminal] > 0):
        faults.append(
            f"an episode starts in a terminal state with probability "
            f"{initial[terminal].sum():.6g}, and then has no step; start it elsewhere"
        )
    return faults
