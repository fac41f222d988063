"""Forbidden regions and actions, and costs, around any environment."""

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from reins.envs.env import Boundary, Env, EnvState, Step
from reins.errors import CapabilityError, ConfigError
from reins.types import Key

Forbidden = Callable[[Array, Array, Array], Bool[Array, ""]]
"""(observation, action, next observation) -> whether the step breaks the rule."""

CostFunction = Callable[[ArrayLike, ArrayLike], Array]
"""(observations, actions) -> cost >= 0 of each pair."""

_MOVING = (0, 2)
"""MuJoCo's numbers of free and of sliding joints."""
WALL = -3.0
"""Where the wall of S2's robots is, in metres along x."""


def forbid(
    env: Env, forbidden: Forbidden, *, reward: float = 0.0, moves: bool = True
) -> Env:
    """The constrained twin of an environment: a forbidden step ends the episode.

    The forbidden step pays `reward` instead of its own, costs 1 and terminates.

    Source: S2, M ∪ C; the test environments of 2021.

    Args:
      env: the nominal environment; its state contains what the observation shows.
      forbidden: the rule, on one step. A region looks at the next observation, an
        action rule at the action.
      reward: what the forbidden step pays, in units of reward.
      moves: whether the forbidden step is carried out before the episode ends.
    """

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = env.reset(key)
        return (state, observation), observation

    def step(state: EnvState, action: Array, key: Key) -> tuple[EnvState, Step]:
        inner, observation = state
        moved, result = env.step(inner, action, key)
        broken = forbidden(observation, action, result.observation)
        stays = broken & (not moves)
        shown = jnp.where(stays, observation, result.observation)
        kept = jax.tree.map(lambda old, new: jnp.where(stays, old, new), inner, moved)
        return (kept, shown), Step(
            observation=shown,
            reward=jnp.where(broken, reward, result.reward),
            cost=broken.astype(jnp.float32),
            terminated=result.terminated | broken,
            truncated=result.truncated & ~broken,
        )

    return env._replace(
        name=f"{env.name}+forbidden",
        reset=reset,
        step=step,
        picture=_inner(env),
        costs=True,
        state_of=None,
    )


def cost_from(env: Env, cost: CostFunction) -> Env:
    """The same compiled environment with c_t = cost(s_t, a_t) as its cost."""

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = env.reset(key)
        return (state, observation), observation

    def step(state: EnvState, action: Array, key: Key) -> tuple[EnvState, Step]:
        inner, observation = state
        inner, result = env.step(inner, action, key)
        result = result._replace(cost=cost(observation, action))
        return (inner, result.observation), result

    return env._replace(
        reset=reset, step=step, picture=_inner(env), costs=True, state_of=None
    )


def paid_also(env: Env, bonus: CostFunction) -> Env:
    """The same compiled environment, its reward r_t + bonus(s_t, a_t)."""

    def reset(key: Key) -> tuple[EnvState, Array]:
        state, observation = env.reset(key)
        return (state, observation), observation

    def step(state: EnvState, action: Array, key: Key) -> tuple[EnvState, Step]:
        inner, observation = state
        inner, result = env.step(inner, action, key)
        reward = result.reward + bonus(observation, action)
        return (inner, result.observation), result._replace(reward=reward)

    return env._replace(reset=reset, step=step, picture=_inner(env), state_of=None)


class Wall(gymnasium.Wrapper, RecordConstructorArgs):
    """A wall across any Gymnasium environment in which something has a position.

    A step that ends on the wall or beyond costs 1 in `info["cost"]`, beside what the
    environment costs itself. In the constrained twin, `ends`, it pays 0 and terminates.

    Source: S2, the walls of 2021: x <= -3 after the step.

    Args:
      env: anything; the wall does not stop it.
      at: the position of the wall, in the position's units.
      position: what tells the position: an entry of a vector of observations, or a
        function of the observation. Of a MuJoCo robot that moves freely, None is where
        it is along x.
      side: which side of the wall is forbidden, `below` or `above`.
      ends: whether to be there pays 0 and terminates the episode.

    Raises: CapabilityError where nothing tells a position, ConfigError for a wall that
      is nowhere.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        at: float = WALL,
        *,
        position: int | Callable[[Any], float] | None = None,
        side: str = "below",
        ends: bool = False,
    ):
        # What Gymnasium makes the same environment again from, with its spec.
        told = {"at": at, "position": position, "side": side, "ends": ends}
        RecordConstructorArgs.__init__(self, **told)
        gymnasium.Wrapper.__init__(self, env)
        if not np.isfinite(at):
            raise ConfigError(f"a wall was asked for at {at}; say a finite position.")
        if side not in ("below", "above"):
            raise ConfigError(
                f"a wall was asked for with the side {side!r} forbidden; it is `below` "
                "or `above` the wall."
            )
        self.at, self.side, self.ends = at, side, ends
        self._position = _position(env, position)
        self.boundary = None
        if isinstance(position, int):
            self.boundary = Boundary(position, at, side)

    def step(self, action: Any):
        observation, reward, terminated, truncated, info = self.env.step(action)
        place = self._position(observation)
        beyond = place <= self.at if self.side == "below" else place >= self.at
        info = {**info, "cost": float(info.get("cost", 0.0)) + float(beyond)}
        if self.ends and beyond:
            return observation, 0.0, True, False, info
        return observation, reward, terminated, truncated, info


def boundary_of(env: gymnasium.Env) -> Boundary | None:
    """The wall in an environment, where an entry of its observations tells of it."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, Wall):
            return env.boundary
        if isinstance(env, gymnasium.ObservationWrapper):
            return None  # what it shows are other entries
        env = env.env
    return None


def _position(
    env: gymnasium.Env, told: int | Callable[[Any], float] | None
) -> Callable[[Any], float]:
    """What tells the position in an environment from an observation.

    Raises: CapabilityError where nothing does.
    """
    if callable(told):
        return told
    space, name = env.observation_space, type(env.unwrapped).__name__
    advice = "Say which, as in `Wall(env, position=lambda observation: ...)`."
    if told is None:
        data = getattr(env.unwrapped, "data", None)
        model = getattr(env.unwrapped, "model", None)
        if data is None or model is None or not hasattr(model, "jnt_type"):
            raise CapabilityError(
                f"a wall was asked for across {name}, of which nothing here knows what "
                f"its position is. {advice}"
            )
        if model.njnt == 0 or model.jnt_type[0] not in _MOVING:
            raise CapabilityError(
                f"a wall was asked for across {name}, whose first joint turns and does "
                f"not move: its first number is an angle. {advice}"
            )
        return lambda observation: float(data.qpos[0])
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        raise CapabilityError(
            f"a wall was asked for across {name} at entry {told} of its observations, "
            f"which are no vectors but {space}. {advice}"
        )
    if not 0 <= told < space.shape[0]:
        raise CapabilityError(
            f"a wall was asked for across {name} at entry {told} of its observations, "
            f"which have entries 0 to {space.shape[0] - 1}. {advice}"
        )
    return lambda observation: float(observation[told])


def _inner(env: Env) -> Callable[[EnvState, EnvState], np.ndarray] | None:
    """The picture of an environment whose state now has an observation beside it."""
    draw = env.picture
    return None if draw is None else lambda state, before: draw(state[0], before[0])
