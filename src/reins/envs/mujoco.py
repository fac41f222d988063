"""MuJoCo's robots, N of them stepped together by C++ in threads.

The reasons and the measurements: docs/decisions/0006-batched-mujoco.md.
"""
# MuJoCo's compiled modules have no stubs.
# pyright: reportAttributeAccessIssue=false

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Int, Shaped
from mujoco.batch import Batch

from reins.envs.env import Boundary
from reins.envs.robots import (
    ROBOTS,
    Arguments,
    Robot,
    all_arguments,
    beginning,
    healthy_bounds,
)
from reins.envs.robots_with_wall import robot_with_wall
from reins.envs.vector import HostEnv, VectorEnv, VectorStep
from reins.errors import DataError

_ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
_UNSTABLE = slice(
    int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADCTRL) + 1
)
"""MuJoCo's warnings that what follows means nothing."""
_ANY = (-np.inf, np.inf)


def _log_to(**where: bool) -> mujoco.MjLogConfig:
    """Change where MuJoCo's warnings go; returns where they went."""
    before, after = mujoco.MjLogConfig.get(), mujoco.MjLogConfig.get()
    for name, wanted in where.items():
        setattr(after, name, wanted)
    mujoco.MjLogConfig.set(after)
    return before


# MuJoCo writes its warnings to the terminal, and into a file of the working directory
# too: one for every half-cheetah of Gymnasium's that is made, whoever makes it.
_log_to(logto_file=False)


def mujoco_env(
    env_id: str, horizon: int | None = None, **arguments: Any
) -> HostEnv | None:
    """A robot as a batch, or None where that would be another one.

    Served is what `ROBOTS` and `WALLED` list: Gymnasium's six robots, those with a
    wall, and their arguments, but no other model files, and nothing about rendering.

    Args:
      env_id: its id in Gymnasium's registry.
      horizon: steps after which an episode is truncated; its own when None.
      arguments: as for `gymnasium.make`.
    """
    found = _served(env_id, arguments)
    if found is None:
        return None
    robot, settings = found
    robot = robot if horizon is None else robot._replace(horizon=horizon)
    model = load_model(robot.file)
    if "main_body" in settings and _body(model, settings["main_body"]) is None:
        return None
    make = functools.partial(MujocoVector, robot, settings)
    shape = make(1, 1).observation_shape
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return HostEnv(
        name=env_id,
        observation_space=spaces.Box(-np.inf, np.inf, shape, np.float32),
        action_space=spaces.Box(low, high, dtype=np.float32),
        horizon=robot.horizon,
        make=make,
        saves=True,
        costs="wall" in settings,
        replay=functools.partial(_replay, make),
        boundary=Boundary(0, settings["wall"]) if "wall" in settings else None,
        observation_names=_named(robot, settings, model),
        action_names=tuple(
            f"motor of {_joint(model, int(i))}" for i in model.actuator_trnid[:, 0]
        ),
    )


def _served(env_id: str, arguments: Arguments) -> tuple[Robot, Arguments] | None:
    """A robot's record with all its arguments, or None where they are not served."""
    robot = ROBOTS.get(env_id)
    if robot is None:
        return robot_with_wall(env_id, arguments)
    settings = all_arguments(robot, arguments)
    return None if settings is None else (robot, settings)


class MujocoVector(VectorEnv):
    """N copies of one robot.

    A simulation is the row of its integration state. The rows, and what `save` adds to
    them, are all that it takes to go on exactly, at any number of threads.
    """

    def __init__(self, robot: Robot, settings: Arguments, copies: int, threads: int):
        self._robot, self._settings = robot, settings
        self._model = model = load_model(robot.file)
        feels = "contact_cost_weight" in settings
        self._batch = batch = Batch(model, copies, threads, persistent=feels)
        self._forces = np.zeros((copies, model.nbody, 6)) if feels else None
        self._scratch = mujoco.MjData(model)
        self._place = _place(robot, settings, batch)
        self._shown = _shown(robot, settings, batch, self._forces)
        seen = sum(view.shape[1] for _, view in self._shown)
        self.observation_shape = (seen + robot.zeros,)
        self._qpos, self._qvel, self._ctrl = batch.qpos, batch.qvel, batch.ctrl
        # A row begins with the time, positions and velocities.
        self._moving = batch.state[:, 1 : 1 + model.nq + model.nv]
        self._healthy = healthy_bounds(robot, settings, self._moving.shape[1])
        # One for every copy: where there is one, broadcasting is dear.
        bounds = model.actuator_ctrlrange.astype(np.float32).T
        self._low, self._high = (np.tile(bound, (copies, 1)) for bound in bounds)
        self._forward = np.full(copies, float(settings["forward_reward_weight"]))
        self._warnings = batch.warning[:, _UNSTABLE, 1]
        self._calm = self._warnings.tobytes()
        self._seconds = np.full(copies, model.opt.timestep * settings["frame_skip"])
        self._x = np.zeros(copies)
        self._seeds = np.zeros(copies, np.uint64)
        self._episodes = np.zeros(copies, np.int64)
        self._began = np.zeros(copies, np.int64)
        self._clock, self._deadline = 0, robot.horizon
        self._horizon = robot.horizon
        self._never, self._always = np.zeros(copies, bool), np.ones(copies, bool)
        self._free = np.zeros(copies, np.float32)
        for constant in (self._never, self._always, self._free):
            constant.flags.writeable = False

    def reset(self, seeds: Sequence[int]) -> Float[np.ndarray, "N S"]:
        """Begin the first episode of every seed.

        Args:
          seeds: one for each copy, from 0 to 2⁶⁴ - 1.

        Raises: DataError when there are not as many seeds as copies.
        """
        if len(seeds) != len(self._seeds):
            raise DataError(
                f"{len(self._seeds)} environments were given {len(seeds)} seeds; give "
                "each its own."
            )
        self._seeds[:] = seeds
        self._episodes[:] = 0
        self._begin(np.arange(len(seeds)))
        return self._observe()

    def step(self, actions: Shaped[np.ndarray, "N A"]) -> VectorStep:
        """One step of every robot; one that has become unstable shows and earns NaN.

        Raises: DataError when there is not one action for each copy.
        """
        if actions.shape != self._ctrl.shape:
            raise DataError(
                f"actions of shape {actions.shape} were given to environments that "
                f"take {self._ctrl.shape}: a row for each, a number for each motor."
            )
        actions = np.maximum(np.minimum(actions, self._high), self._low)
        actions[:, self._robot.broken] = 0
        self._ctrl[...] = actions
        self._batch.step(nstep=self._settings["frame_skip"])
        if self._warnings.tobytes() == self._calm:
            return self._finish(actions)
        # MuJoCo has set these back to where they would look healthy. NaN in a state
        # stays until the episode ends.
        unstable = self._warnings.any(axis=1)
        self._moving[unstable] = np.nan
        step = self._finish(actions)
        step.rewards[unstable] = np.nan
        return step

    def save(self) -> dict[str, np.ndarray]:
        """The rows, where along x each robot was, and what decides about resets."""
        return {
            "state": self._batch.state.copy(),
            # Of a body, x is what it was within the last step of integration, and does
            # not follow from the state after it.
            "x": self._x.copy(),
            "elapsed": self._clock - self._began,
            "episodes": self._episodes.copy(),
            "seeds": self._seeds.copy(),
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what `save` gave."""
        self._batch.state[...] = arrays["state"]
        self._batch.warning[...] = 0
        self._x = arrays["x"].copy()
        self._clock = 0
        self._began[:] = -arrays["elapsed"]
        self._deadline = int(self._began.min()) + self._horizon
        self._episodes[:] = arrays["episodes"]
        self._seeds[:] = arrays["seeds"]

    def put(self, observations: Float[np.ndarray, "N S"]) -> None:
        """Go to where these were seen; positions that are not shown become 0."""
        every = np.arange(len(observations))
        self._batch.reset(every, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        exclude = self._settings["exclude_current_positions_from_observation"]
        hidden = exclude * self._robot.hidden
        shown = self._moving.shape[1] - hidden
        self._moving[:, :hidden] = 0.0
        self._moving[:, hidden:] = observations[:, :shown]
        self._batch.forward(every)
        self._x = self._place()

    def close(self) -> None:
        """Let go of the simulations; their threads end with the last view of them."""
        vars(self).clear()

    def _finish(self, actions: np.ndarray) -> VectorStep:
        """What the step that was just taken shows; resets where an episode ended."""
        if self._forces is not None:
            self._feel(self._forces)
        before, self._x = self._x, self._place()
        observations = self._observe()
        rewards, terminated = self._judge(actions, (self._x - before) / self._seconds)
        costs = self._free
        if "wall" in self._settings:
            beyond = self._moving[:, 0] <= self._settings["wall"]
            costs = beyond.astype(np.float32)
            if self._robot.ends_at_wall:
                rewards = np.where(beyond, 0.0, rewards)
                terminated = terminated | beyond
        truncated, following = self._never, observations
        self._clock += 1
        late = self._clock >= self._deadline
        if late or np.count_nonzero(terminated):
            if late:
                truncated = (self._clock - self._began >= self._horizon) & ~terminated
            ended = np.flatnonzero(terminated | truncated)
            self._begin(ended)
            following = observations.copy()
            following[ended] = self._observe()[ended]
        ends = terminated, truncated
        return VectorStep(observations, rewards, costs, *ends, self._always, following)

    def _judge(
        self, actions: np.ndarray, speeds: Float[np.ndarray, " N"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rewards, and where an episode terminated."""
        settings, paid = self._settings, self._robot.paid
        rewards, terminated = self._forward * speeds, self._never
        if paid == "either way":
            rewards = np.abs(rewards)
        elif paid == "distance":
            rewards = np.hypot(self._moving[:, 0], self._moving[:, 1])
        if self._robot.healthy:
            low, high = self._healthy
            inside = (low < self._moving) & (self._moving < high)
            healthy = np.logical_and.reduce(inside, axis=1)
            rewards += healthy * settings["healthy_reward"]
            if settings["terminate_when_unhealthy"]:
                terminated = ~healthy
        controls = self._ctrl if self._robot.cost_of_controls else actions
        squares = np.add.reduce(controls * controls, axis=1)
        costs = settings["ctrl_cost_weight"] * squares
        if self._forces is not None:
            forces = self._forces.reshape(len(rewards), -1)
            squares = np.add.reduce(forces * forces, axis=1)
            contacts = settings["contact_cost_weight"] * squares
            costs = costs + np.clip(contacts, *settings.get("contact_cost_range", _ANY))
        return rewards - costs, terminated

    def _feel(self, forces: Float[np.ndarray, "N B 6"]) -> None:
        """Contact forces on every body, which MuJoCo works out only when asked."""
        for i, on_bodies in enumerate(forces):
            self._batch.get_data(i, self._scratch)
            mujoco.mj_rnePostConstraint(self._model, self._scratch)
            on_bodies[:] = self._scratch.cfrc_ext
        if "contact_force_range" in self._settings:
            np.clip(forces, *self._settings["contact_force_range"], out=forces)

    def _observe(self) -> Float[np.ndarray, "N S"]:
        """What all robots show now."""
        shown = np.empty((len(self._x), *self.observation_shape), np.float32)
        shown[:, self.observation_shape[0] - self._robot.zeros :] = 0.0
        for columns, view in self._shown:
            shown[:, columns] = view
        limit = self._robot.speed_shown
        if limit < np.inf:
            speeds = shown[:, -self._model.nv :]
            np.clip(speeds, -limit, limit, out=speeds)
        return shown

    def _begin(self, which: Int[np.ndarray, " M"]) -> None:
        """Begin the next episode of these, as its number and the seed have it."""
        batch, robot, model = self._batch, self._robot, self._model
        batch.reset(which, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        for i in which:
            entropy = np.random.SeedSequence(
                int(self._seeds[i]), spawn_key=(int(self._episodes[i]),)
            )
            rng = np.random.default_rng(entropy)
            scale = self._settings["reset_noise_scale"]
            qpos, qvel = beginning(robot, scale, (model.nq, model.nv), rng)
            self._qpos[i] += qpos
            self._qvel[i] += qvel
        batch.forward(which)
        if self._forces is not None:
            self._forces[which] = 0.0
        self._x = self._place()
        self._episodes[which] += 1
        self._began[which] = self._clock
        self._deadline = int(self._began.min()) + self._horizon


@functools.cache
def load_model(file: str) -> mujoco.MjModel:
    """Gymnasium's model of a robot, by the name of its file."""
    # About Gymnasium's file there is nothing that a user could do.
    before = _log_to(logto_console=False)
    try:
        return mujoco.MjModel.from_xml_path(str(_ASSETS / file))
    finally:
        mujoco.MjLogConfig.set(before)


def _replay(
    make: Callable[[int, int], MujocoVector],
    observations: np.ndarray,
    actions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where these actions lead to from there, and what that pays."""
    vector = make(len(actions), 1)
    try:
        vector.put(observations)
        step = vector.step(actions)
        return step.observations, step.rewards
    finally:
        vector.close()


def _body(model: mujoco.MjModel, name: int | str) -> int | None:
    """The number of a body by its name or number, None where there is none."""
    try:
        return model.body(name).id
    except (KeyError, IndexError):
        return None


def _named(robot: Robot, settings: Arguments, model: mujoco.MjModel) -> tuple[str, ...]:
    """Names and units of the positions and velocities that are shown."""
    positions, velocities = [], []
    for i in range(model.njnt):
        kind, name = model.jnt_type[i], _joint(model, i)
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            positions += [f"{axis} (m)" for axis in "xyz"]
            positions += [f"orientation {part}" for part in "wxyz"]
            velocities += [f"speed along {axis} (m/s)" for axis in "xyz"]
            velocities += [f"turning about {axis} (rad/s)" for axis in "xyz"]
        elif kind == mujoco.mjtJoint.mjJNT_SLIDE:
            name = "xyz"[np.abs(model.jnt_axis[i]).argmax()]
            positions.append(f"{name} (m)")
            velocities.append(f"speed along {name} (m/s)")
        else:
            positions.append(f"{name} (rad)")
            velocities.append(f"speed of {name} (rad/s)")
    hidden = settings["exclude_current_positions_from_observation"] * robot.hidden
    return tuple([*positions, *velocities][hidden:])


def _joint(model: mujoco.MjModel, i: int) -> str:
    """A joint's name, for people."""
    name = model.joint(i).name
    about = name.removeprefix("root")
    return f"tilt about {about}" if about != name else name.replace("_", " ")


def _place(
    robot: Robot, settings: Arguments, batch: Batch
) -> Callable[[], Float[np.ndarray, " N"]]:
    """What tells where along x each robot is, as Gymnasium measures its way."""
    if robot.place == "position":
        return batch.qpos[:, 0].copy
    if robot.place == "body":
        return batch.xpos[:, _body(batch.model, settings["main_body"]), 0].copy
    masses, bodies = batch.model.body_mass, batch.xipos
    total = masses.sum()
    # The sum in Gymnasium's order, so that the last bit is the same.
    return lambda: np.einsum("b,nbj->nj", masses, bodies)[:, 0] / total


def _shown(
    robot: Robot,
    settings: Arguments,
    batch: Batch,
    forces: Float[np.ndarray, "N B 6"] | None,
) -> list[tuple[slice, Float[np.ndarray, "N _"]]]:
    """The parts of the observation: its columns, and the live array they show."""
    hidden = settings["exclude_current_positions_from_observation"] * robot.hidden
    model = batch.model
    views = [batch.state[:, 1 + hidden : 1 + model.nq + model.nv]]
    for part in robot.parts:
        if settings[part.argument]:
            ours = forces if part.field == "cfrc_ext" else None
            field = batch.bind(part.field) if ours is None else ours
            width = math.prod(field.shape[2:])
            views.append(field.reshape(batch.nsim, -1)[:, part.skip * width :])
    ends = itertools.accumulate(view.shape[1] for view in views)
    return [
        (slice(end - view.shape[1], end), view)
        for end, view in zip(ends, views, strict=True)
    ]
