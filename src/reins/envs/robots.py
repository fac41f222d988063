"""Gymnasium's MuJoCo robots, version 5: what tells one from another, as a record.

The formulas that all six share are in `reins.envs.mujoco`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Arguments = Mapping[str, Any]
"""Keyword arguments of a robot's constructor, all of them, by name."""
HORIZON = 1000
"""The time limit with which Gymnasium registers its six robots."""


class Part(NamedTuple):
    """A part of the observation after positions and velocities, where asked for.

    Attributes:
      field: of MuJoCo's data, with bodies or degrees of freedom as its first axis.
      argument: of the constructor, which asks for it.
      skip: how many of the first rows are not shown: the world, or the root's.
    """

    field: str
    argument: str
    skip: int


class Robot(NamedTuple):
    """What tells one robot from another.

    Attributes:
      file: of its model, among Gymnasium's own.
      arguments: of its constructor that are served, with their defaults.
      hidden: how many first positions the observation leaves out by default: x, or
        x and y.
      place: whose way along x is rewarded: that of the first position, of the body
        `main_body`, or of the centre of mass.
      normal: velocities begin with normal noise; with uniform noise otherwise.
      speed_shown: the largest speed that the observation shows.
      healthy: argument -> entries of (positions, velocities) that must lie within it.
      closed: whether the ends of those ranges are healthy.
      parts: of the observation, after positions and velocities.
      cost_of_controls: the control cost is of MuJoCo's controls, in float64; otherwise
        of the action, in its own precision.
      horizon: steps after which an episode is truncated.
      paid: for what, beside health and costs: speed along x, the same in either
        direction, or at every step the distance from the origin.
      broken: motors that get 0 whatever the action says.
      zeros: how many zeros the observation ends with.
      ends_at_wall: whether to be beyond x = `wall`, where there is that argument,
        pays 0 and terminates; it costs 1 in any case.
    """

    file: str
    arguments: Arguments
    hidden: int
    place: Literal["position", "body", "mass"] = "position"
    normal: bool = False
    speed_shown: float = math.inf
    healthy: Mapping[str, slice] = {}
    closed: bool = False
    parts: tuple[Part, ...] = ()
    cost_of_controls: bool = False
    horizon: int = HORIZON
    paid: Literal["speed", "either way", "distance"] = "speed"
    broken: slice = slice(0)
    zeros: int = 0
    ends_at_wall: bool = False


_FORCES = Part("cfrc_ext", "include_cfrc_ext_in_observation", skip=1)
_COMMON = {
    "forward_reward_weight": 1.0,
    "exclude_current_positions_from_observation": True,
}
_HEALTH = {"healthy_reward": 1.0, "terminate_when_unhealthy": True}

ROBOTS: dict[str, Robot] = {
    "HalfCheetah-v5": Robot(
        "half_cheetah.xml",
        {
            **_COMMON,
            "frame_skip": 5,
            "ctrl_cost_weight": 0.1,
            "reset_noise_scale": 0.1,
        },
        hidden=1,
        normal=True,
    ),
    "Hopper-v5": Robot(
        "hopper.xml",
        {
            **_COMMON,
            **_HEALTH,
            "frame_skip": 4,
            "ctrl_cost_weight": 1e-3,
            "reset_noise_scale": 5e-3,
            "healthy_state_range": (-100.0, 100.0),
            "healthy_z_range": (0.7, math.inf),
            "healthy_angle_range": (-0.2, 0.2),
        },
        hidden=1,
        speed_shown=10.0,
        healthy={
            "healthy_z_range": slice(1, 2),
            "healthy_angle_range": slice(2, 3),
            "healthy_state_range": slice(2, None),
        },
    ),
    "Walker2d-v5": Robot(
        "walker2d_v5.xml",
        {
            **_COMMON,
            **_HEALTH,
            "frame_skip": 4,
            "ctrl_cost_weight": 1e-3,
            "reset_noise_scale": 5e-3,
            "healthy_z_range": (0.8, 2.0),
            "healthy_angle_range": (-1.0, 1.0),
        },
        hidden=1,
        speed_shown=10.0,
        healthy={"healthy_z_range": slice(1, 2), "healthy_angle_range": slice(2, 3)},
    ),
    "Swimmer-v5": Robot(
        "swimmer.xml",
        {
            **_COMMON,
            "frame_skip": 4,
            "ctrl_cost_weight": 1e-4,
            "reset_noise_scale": 0.1,
        },
        hidden=2,
    ),
    "Ant-v5": Robot(
        "ant.xml",
        {
            **_COMMON,
            **_HEALTH,
            "frame_skip": 5,
            "ctrl_cost_weight": 0.5,
            "reset_noise_scale": 0.1,
            "contact_cost_weight": 5e-4,
            "contact_force_range": (-1.0, 1.0),
            "healthy_z_range": (0.2, 1.0),
            "main_body": 1,
            "include_cfrc_ext_in_observation": True,
        },
        hidden=2,
        place="body",
        normal=True,
        healthy={"healthy_z_range": slice(2, 3)},
        closed=True,
        parts=(_FORCES,),
    ),
    "Humanoid-v5": Robot(
        "humanoid.xml",
        {
            **_COMMON,
            **_HEALTH,
            "forward_reward_weight": 1.25,
            "healthy_reward": 5.0,
            "frame_skip": 5,
            "ctrl_cost_weight": 0.1,
            "reset_noise_scale": 1e-2,
            "contact_cost_weight": 5e-7,
            "contact_cost_range": (-math.inf, 10.0),
            "healthy_z_range": (1.0, 2.0),
            "include_cinert_in_observation": True,
            "include_cvel_in_observation": True,
            "include_qfrc_actuator_in_observation": True,
            "include_cfrc_ext_in_observation": True,
        },
        hidden=2,
        place="mass",
        healthy={"healthy_z_range": slice(2, 3)},
        parts=(
            Part("cinert", "include_cinert_in_observation", skip=1),
            Part("cvel", "include_cvel_in_observation", skip=1),
            Part("qfrc_actuator", "include_qfrc_actuator_in_observation", skip=6),
            _FORCES,
        ),
        cost_of_controls=True,
    ),
}


def all_arguments(robot: Robot, given: Arguments) -> Arguments | None:
    """The defaults with what was given in their place; None where that is not served.

    Not served are names that are not in the record (another model file, everything
    about rendering), and values of another kind or range than the default.
    """
    if all(
        name in robot.arguments and _fits(name, robot.arguments[name], value)
        for name, value in given.items()
    ):
        return {**robot.arguments, **given}
    return None


def healthy_bounds(
    robot: Robot, arguments: Arguments, size: int
) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, " S"]]:
    """Bounds between which every position and velocity lies, strictly, when healthy.

    Args:
      robot: its record.
      arguments: all of them.
      size: S, how many positions and velocities it has.
    """
    low, high = np.full(size, -np.inf), np.full(size, np.inf)
    for name, entries in robot.healthy.items():
        least, most = map(float, arguments[name])
        if robot.closed:
            # x >= a is x > the number before a.
            least, most = np.nextafter(least, -np.inf), np.nextafter(most, np.inf)
        low[entries] = np.maximum(low[entries], least)
        high[entries] = np.minimum(high[entries], most)
    return low, high


def beginning(
    robot: Robot, scale: float, sizes: tuple[int, int], rng: np.random.Generator
) -> tuple[Float[np.ndarray, " Q"], Float[np.ndarray, " V"]]:
    """Noise on the Q positions and V velocities with which an episode begins.

    Args:
      robot: its record.
      scale: `reset_noise_scale`.
      sizes: Q and V.
      rng: drawn from as Gymnasium draws.
    """
    positions, velocities = sizes
    of_positions = rng.uniform(-scale, scale, positions)
    if robot.normal:
        return of_positions, scale * rng.standard_normal(velocities)
    return of_positions, rng.uniform(-scale, scale, velocities)


_WHOLE = (int, np.integer)
_NUMBER = (*_WHOLE, float, np.floating)


def _fits(name: str, default: Any, value: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    if name == "main_body":
        return isinstance(value, (str, *_WHOLE))
    if name == "frame_skip":
        return isinstance(value, _WHOLE) and bool(value >= 1)
    if isinstance(default, tuple):
        pair = isinstance(value, Sequence) and len(value) == 2
        return pair and all(isinstance(x, _NUMBER) and x == x for x in value)
    number = isinstance(value, _NUMBER) and math.isfinite(value)
    return number and (name != "reset_noise_scale" or float(value) >= 0)
