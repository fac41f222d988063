"""Robots with a wall behind them: the experiments of S2, on today's simulator.

A record for each, made from that of Gymnasium's robot, and the same environment as one
`gymnasium.Env`, put together from Gymnasium's own. What steps the records, N at once,
is in `reins.envs.mujoco`.
"""
# MuJoCo's compiled modules have no stubs.
# pyright: reportAttributeAccessIssue=false

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import load_env_creator

from reins.envs.robots import ROBOTS, Arguments, Part, Robot, all_arguments
from reins.envs.walls import WALL, Wall
from reins.errors import ConfigError

ContactForces = Literal["zero", "measured", "absent"]
"""What an ant shows and pays of them.

`zero`: 84 zeros and no contact cost, as in all data of 2021, whose simulator never
filled them in. `measured`: today's forces, clipped to ±1, at a cost of 5e-4 of their
squares. `absent`: neither numbers nor cost.
"""
FORCES = 84
"""Six for each of an ant's bodies, the world's included, as in 2021."""
OURS = ("wall", "contact_forces")
"""Arguments that Gymnasium's robots do not have."""
CAMERA = ("camera_id", "camera_name", "default_camera_config")
DRAWING = ("render_mode", "width", "height", *CAMERA, "max_geom", "visual_options")
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
    inner: str,
    summary: str,
    *,
    fixed: Arguments | None = None,
    arguments: Arguments | None = None,
    **changed: Any,
) -> Walled:
    """The record of a robot of Gymnasium's with a wall and these changes."""
    robot = ROBOTS[inner]
    told = {"exclude_current_positions_from_observation": False, **(fixed or {})}
    every = {**robot.arguments, **(arguments or {}), "wall": WALL}
    served = {name: x for name, x in every.items() if name not in told}
    changed = {"paid": "either way", **changed, "arguments": served}
    return Walled(inner, robot._replace(**changed), told, summary)


def _ant(summary: str, **changed: Any) -> Walled:
    return _walled(
        "Ant-v5",
        summary,
        fixed={
            "forward_reward_weight": 0.0,
            "main_body": 1,
            "include_cfrc_ext_in_observation": False,
        },
        arguments={"terminate_when_unhealthy": False, "contact_forces": "zero"},
        horizon=500,
        place="position",
        paid="distance",
        **changed,
    )


_NOMINAL = {
    "HalfCheetahWall": _walled(
        "HalfCheetah-v5", "A half-cheetah, paid for speed either way; a wall behind."
    ),
    "AntWall": _ant("An ant, paid for its distance from the start; a wall behind."),
    "AntBrokenWall": _ant(
        "The same ant without power in two of its legs.", broken=slice(4, None)
    ),
    "SwimmerWall": _walled(
        "Swimmer-v5",
        "A swimmer, paid for speed either way; a wall behind.",
        horizon=500,
    ),
    "Walker2dWall": _walled(
        "Walker2d-v5",
        "A walker, paid for speed either way; a wall behind.",
        horizon=500,
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
    robot = walled.robot
    if "contact_forces" in robot.arguments:
        how = given.get("contact_forces", "zero")
        if how not in get_args(ContactForces):
            return None
        robot = _with_forces(robot, how)
    settings = all_arguments(robot, given)
    return None if settings is None else (robot, {**settings, **walled.fixed})


def _with_forces(robot: Robot, how: ContactForces) -> Robot:
    """An ant that shows and pays its contact forces in this way."""
    if how == "measured":
        return robot._replace(parts=(Part("cfrc_ext", "contact_forces", skip=0),))
    felt = ("contact_cost_weight", "contact_force_range")
    arguments = {k: v for k, v in robot.arguments.items() if k not in felt}
    zeros = FORCES if how == "zero" else 0
    return robot._replace(arguments=arguments, parts=(), zeros=zeros)


def walled_robot(env_id: str, **given: Any) -> gymnasium.Env:
    """A robot with a wall as one `gymnasium.Env`, without its time limit.

    Args:
      env_id: its id in `WALLED`.
      given: `wall`, where it is; of Gymnasium's robot, what is not fixed here; and what
        is about drawing.

    Raises: ConfigError for any other argument, or a value of another kind.
    """
    drawing = {name: given.pop(name) for name in DRAWING if name in given}
    walled = WALLED[env_id]
    found = robot_with_wall(env_id, given)
    if found is None:
        names = ", ".join((*walled.robot.arguments, *DRAWING))
        raise ConfigError(
            f"{env_id} was asked for with {given}. Not all of that are arguments that "
            f"it has, of the right kind: {names}. `contact_forces` of an ant are "
            f"{' or '.join(get_args(ContactForces))}; contact costs need `measured`."
        )
    robot, settings = found
    told = {name: value for name, value in settings.items() if name not in OURS}
    if "contact_forces" in settings:
        told.setdefault("contact_cost_weight", 0.0)
    make: Any = load_env_creator(str(gymnasium.spec(walled.inner).entry_point))
    if drawing.get("render_mode") is not None:
        make = _drawn_with_wall(make, settings["wall"])
        if not any(name in drawing for name in CAMERA):
            drawing["camera_name"] = "with the wall"
    env = _paid_otherwise(make, robot)(**told, **drawing)
    return Wall(env, settings["wall"], position=0, ends=robot.ends_at_wall)


def _paid_otherwise(inner: Any, robot: Robot) -> Callable[..., gymnasium.Env]:
    """Gymnasium's robot as the record has it, all but the wall."""
    forces = bool(robot.zeros or robot.parts)

    class Otherwise(inner):
        def __init__(self, **told: Any):
            super().__init__(**told)
            (seen,) = self.observation_space.shape
            shape = (seen + forces * FORCES,)
            self.observation_space = spaces.Box(-np.inf, np.inf, shape, np.float64)

        def reset(self, *, seed: int | None = None, options: dict | None = None):
            observation, info = super().reset(seed=seed, options=options)
            return self._with_forces(observation), info

        def step(self, action: Any):
            action = np.array(action)
            action[robot.broken] = 0
            observation, reward, *ends, info = super().step(action)
            forward = info["reward_forward"]
            paid = abs(forward)
            if robot.paid == "distance":
                paid = info["distance_from_origin"]
            info = {**info, "reward_forward": paid}
            reward = float(reward - forward + paid)
            return self._with_forces(observation), reward, *ends, info

        def _with_forces(self, observation: np.ndarray) -> np.ndarray:
            if not forces:
                return observation
            felt = self.contact_forces.ravel() if robot.parts else np.zeros(FORCES)
            return np.concatenate([observation, felt])

    return Otherwise


def _drawn_with_wall(inner: Any, wall: float) -> Any:
    """Gymnasium's robot with a red box in its picture, which nothing collides with."""

    class Drawn(inner):
        def _initialize_simulation(self):
            spec = mujoco.MjSpec.from_file(self.fullpath)
            spec.add_material(name="wall", emission=0.8)
            spec.worldbody.add_geom(
                name="wall",
                type=mujoco.mjtGeom.mjGEOM_BOX,
                # A metre behind the rule, as drawn in 2021: the body has a length.
                pos=[wall - 1.0, 0.0, 0.0],
                size=[0.1, 20.0, 1.5],
                rgba=[0.9, 0.1, 0.1, 0.4],
                material="wall",
                contype=0,
                conaffinity=0,
            )
            tilt = np.radians(66.0)  # from looking straight down
            # It goes along, from far enough to see the wall where an episode begins.
            spec.body("torso").add_camera(
                name="with the wall",
                mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM,
                pos=[-1.0, -6.0, 2.6],
                quat=[np.cos(tilt / 2), np.sin(tilt / 2), 0.0, 0.0],
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
