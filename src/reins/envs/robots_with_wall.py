"""Robots with a wall behind them: the experiments of S2, on today's simulator.

A record for each, made from that of Gymnasium's robot, and the same environment as one
`gymnasium.Env`, put together from Gymnasium's own. What steps the records, N at once,
is in `reins.envs.mujoco`.
"""
# MuJoCo's compiled modules have no stubs.
# pyright: reportAttributeAccessIssue=false

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import mujoco
from gymnasium.envs.registration import load_env_creator

from reins.envs.robots import ROBOTS, Arguments, Robot, all_arguments
from reins.envs.walls import WALL, Wall
from reins.errors import ConfigError

DRAWING = (
    *("render_mode", "width", "height", "camera_id", "camera_name"),
    *("default_camera_config", "max_geom", "visual_options"),
)
"""Arguments of Gymnasium's robots that change nothing but the picture."""


class Walled(NamedTuple):
    """A robot with a wall.

    Attributes:
      inner: id of Gymnasium's robot.
      robot: its record here.
      fixed: arguments of Gymnasium's that are no choice here.
      summary: one line for `reins list`.
      twins: ids of the nominal and the constrained one.
    """

    inner: str
    robot: Robot
    fixed: Arguments
    summary: str
    twins: tuple[str, str] = ("", "")


def _walled(
    inner: str, summary: str, *, fixed: Arguments | None = None, **changed: Any
) -> Walled:
    """The record of a robot of Gymnasium's with a wall and these changes."""
    told = {"exclude_current_positions_from_observation": False, **(fixed or {})}
    robot = ROBOTS[inner]._replace(**{"paid": "either way", **changed})
    arguments = {**robot.arguments, "wall": WALL}
    served = {name: x for name, x in arguments.items() if name not in told}
    return Walled(inner, robot._replace(arguments=served), told, summary)


_NOMINAL = {
    "HalfCheetahWall": _walled(
        "HalfCheetah-v5", "A half-cheetah, paid for speed either way; a wall behind."
    ),
}


def _with_twins(nominal: dict[str, Walled]) -> dict[str, Walled]:
    """By ids: each one, and its twin in which the wall ends the episode."""
    twins = {}
    for name, walled in nominal.items():
        ids = f"reins/{name}-v0", f"reins/{name}Constrained-v0"
        twins[ids[0]] = walled._replace(twins=ids)
        twins[ids[1]] = walled._replace(
            twins=ids,
            robot=walled.robot._replace(ends_at_wall=True),
            summary=f"{walled.summary.rstrip('.')}; the wall ends the episode.",
        )
    return twins


WALLED: dict[str, Walled] = _with_twins(_NOMINAL)
"""Robots with a wall by their ids, nominal and constrained twins."""


def robot_with_wall(env_id: str, given: Arguments) -> tuple[Robot, Arguments] | None:
    """The record of a robot with a wall and all its arguments; None if not served.

    Args:
      env_id: its id.
      given: arguments that were given; nothing about drawing.
    """
    walled = WALLED.get(env_id)
    if walled is None:
        return None
    settings = all_arguments(walled.robot, given)
    return None if settings is None else (walled.robot, {**settings, **walled.fixed})


def walled_robot(env_id: str, **given: Any) -> gymnasium.Env:
    """A robot with a wall as one `gymnasium.Env`, without its time limit.

    Args:
      env_id: its id in `WALLED`.
      given: `wall`, where it is; of Gymnasium's robot, what is not fixed here; and what
        is about drawing.

    Raises: ConfigError for any other argument, or a value of another kind.
    """
    drawing = {name: given.pop(name) for name in DRAWING if name in given}
    found = robot_with_wall(env_id, given)
    if found is None:
        names = ", ".join((*WALLED[env_id].robot.arguments, *DRAWING))
        raise ConfigError(
            f"{env_id} was asked for with {given}; it has not all of these arguments, "
            f"or takes other values. It has {names}."
        )
    robot, settings = found
    told = {name: value for name, value in settings.items() if name != "wall"}
    make: Any = load_env_creator(str(gymnasium.spec(WALLED[env_id].inner).entry_point))
    if drawing.get("render_mode") is not None:
        make = _drawn_with_wall(make, settings["wall"])
    env = _Paid(make(**told, **drawing), robot.paid)
    return Wall(env, settings["wall"], position=0, ends=robot.ends_at_wall)


class _Paid(gymnasium.Wrapper):
    """Pays for something else than the way forward."""

    def __init__(self, env: gymnasium.Env, paid: str):
        super().__init__(env)
        self.paid = paid

    def step(self, action: Any):
        observation, reward, *ends, info = self.env.step(action)
        forward = info["reward_forward"]
        other = abs(forward)
        if self.paid == "distance":
            other = info["distance_from_origin"]
        info = {**info, "reward_forward": other}
        return observation, float(reward) - forward + other, *ends, info


def _drawn_with_wall(robot: Any, wall: float) -> Callable[..., gymnasium.Env]:
    """Gymnasium's robot with a red box in its picture, which nothing collides with."""

    class Drawn(robot):
        def _initialize_simulation(self):
            spec = mujoco.MjSpec.from_file(self.fullpath)
            spec.worldbody.add_geom(
                name="wall",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                # A metre behind the rule, as drawn in 2021: the body has a length.
                pos=[wall - 1.0, 0.0, 0.0],
                size=[0.1, 20.0, 1.5],
                rgba=[0.9, 0.1, 0.1, 0.4],
                contype=0,
                conaffinity=0,
            )
            with warnings.catch_warnings():
                # About Gymnasium's file there is nothing that a user could do.
                warnings.simplefilter("ignore")
                model = spec.compile()
            size = model.vis.global_
            size.offwidth = max(size.offwidth, self.width)
            size.offheight = max(size.offheight, self.height)
            return model, mujoco.MjData(model)

    return Drawn
