"""Gymnasium's MuJoCo robots, N of them stepped together by C++ in threads.

The reasons and the measurements: docs/decisions/0006-batched-mujoco.md.
"""

import functools
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

from reins.envs.robots import (
    ROBOTS,
    Arguments,
    Robot,
    all_arguments,
    beginning,
    healthy_bounds,
)
from reins.envs.vector import HostEnv, VectorEnv, VectorStep
from reins.errors import DataError

HORIZON = 1000
"""The time limit with which Gymnasium registers all of them."""

_ASSETS = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
_UNSTABLE = slice(
    int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADCTRL) + 1
)
"""MuJoCo's warnings that what follows means nothing."""


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


def mujoco_env(env_id: str, **arguments: Any) -> HostEnv | None:
    """One of Gymnasium's robots as a batch, or None where that would be another one.

    Served is what `ROBOTS` lists: six robots and their arguments, but no other model
    files, and nothing about rendering.

    Args:
      env_id: its id in Gymnasium's registry.
      arguments: as for `gymnasium.make`.
    """
    robot = ROBOTS.get(env_id)
    settings = None if robot is None else all_arguments(robot, arguments)
    if robot is None or settings is None:
        return None
    model = _model(robot.file)
    if "main_body" in settings and _body(model, settings["main_body"]) is None:
        return None
    make = functools.partial(MujocoVector, robot, settings)
    low, high = _action_bounds(model)
    return HostEnv(
        name=env_id,
        observation_space=spaces.Box(-np.inf, np.inf, make(1, 1).shape, np.float32),
        action_space=spaces.Box(low, high, dtype=np.float32),
        horizon=HORIZON,
        make=make,
        saves=True,
    )


class MujocoVector(VectorEnv):
    """N copies of one robot.

    A simulation is the row of its integration state. The rows, and what `save` adds to
    them, are all that it takes to go on exactly, at any number of threads.
    """

    def __init__(self, robot: Robot, settings: Arguments, copies: int, threads: int):
        self._robot, self._settings = robot, settings
        self._model = model = _model(robot.file)
        feels = "contact_cost_weight" in settings
        self._batch = batch = Batch(model, copies, threads, persistent=feels)
        self._forces = np.zeros((copies, model.nbody, 6)) if feels else None
        self._scratch = mujoco.MjData(model)
        self._place = _place(robot, settings, batch)
        self._shown = _shown(robot, settings, batch, self._forces)
        self.shape = (sum(view.shape[1] for view in self._shown),)
        self._qpos, self._qvel, self._ctrl = batch.qpos, batch.qvel, batch.ctrl
        # A row begins with the time, positions and velocities.
        self._moving = batch.state[:, 1 : 1 + model.nq + model.nv]
        self._healthy = healthy_bounds(robot, settings, self._moving.shape[1])
        self._low, self._high = _action_bounds(model)
        self._warnings = batch.warning[:, _UNSTABLE, 1]
        self._calm = self._warnings.tobytes()
        self._seconds = model.opt.timestep * settings["frame_skip"]
        self._x = np.zeros(copies)
        self._seeds = np.zeros(copies, np.uint64)
        self._episodes = np.zeros(copies, np.int64)
        self._began = np.zeros(copies, np.int64)
        self._clock, self._deadline = 0, HORIZON
        self._never, self._always = np.zeros(copies, bool), np.ones(copies, bool)
        self._free = np.zeros(copies, np.float32)
        for constant in (self._never, self._always, self._free):
            constant.flags.writeable = False

    def reset(self, seeds: Sequence[int]) -> Float[np.ndarray, "N S"]:
        """Begin the first episode of every seed."""
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
        """One step of every robot; what became unstable shows NaN."""
        if actions.shape != self._ctrl.shape:
            raise DataError(
                f"actions of shape {actions.shape} were given to environments that take "
                f"{self._ctrl.shape}: one row to each, one number to each motor."
            )
        actions = np.clip(actions, self._low, self._high)
        self._ctrl[...] = actions
        self._batch.step(nstep=self._settings["frame_skip"])
        if self._warnings.tobytes() == self._calm:
            return self._end(actions)
        # Set back by MuJoCo it would look like a healthy robot.
        self._moving[self._warnings.any(axis=1)] = np.nan
        with np.errstate(all="ignore"):
            return self._end(actions)

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
        self._deadline = int(self._began.min()) + HORIZON
        self._episodes[:] = arrays["episodes"]
        self._seeds[:] = arrays["seeds"]

    def close(self) -> None:
        """Let go of the simulations; their threads end with the last view of them."""
        self.__dict__.clear()

    def _end(self, actions: np.ndarray) -> VectorStep:
        """What the step that was just taken shows, and resets where an episode ended."""
        if self._forces is not None:
            self._feel(self._forces)
        before, self._x = self._x, self._place()
        observations = self._observe()
        rewards, terminated = self._judge(actions, (self._x - before) / self._seconds)
        truncated, following = self._never, observations
        self._clock += 1
        late = self._clock >= self._deadline
        if late or np.count_nonzero(terminated):
            if late:
                truncated = (self._clock - self._began >= HORIZON) & ~terminated
            ended = np.flatnonzero(terminated | truncated)
            self._begin(ended)
            following = observations.copy()
            following[ended] = self._observe()[ended]
        return VectorStep(
            observations=observations,
            rewards=rewards,
            costs=self._free,
            terminated=terminated,
            truncated=truncated,
            mask=self._always,
            following=following,
        )

    def _judge(
        self, actions: np.ndarray, speeds: Float[np.ndarray, " N"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rewards, and where an episode terminated."""
        settings = self._settings
        rewards, terminated = settings["forward_reward_weight"] * speeds, self._never
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
        shown = np.empty((len(self._x), *self.shape), np.float32)
        end = 0
        for view in self._shown:
            begin, end = end, end + view.shape[1]
            shown[:, begin:end] = view
        limit = self._robot.speed_shown
        if limit < np.inf:
            speeds = shown[:, -self._model.nv :]
            np.clip(speeds, -limit, limit, out=speeds)
        return shown

    def _begin(self, which: Int[np.ndarray, " M"]) -> None:
        """Begin the next episode of these; what is drawn is the seed's and its number's."""
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
        self._deadline = int(self._began.min()) + HORIZON


_ANY = (-np.inf, np.inf)


@functools.cache
def _model(file: str) -> mujoco.MjModel:
    """Gymnasium's model, in which what became unstable is not set back in silence."""
    # About Gymnasium's file there is nothing that a user could do.
    before = _log_to(logto_console=False)
    try:
        model = mujoco.MjModel.from_xml_path(str(_ASSETS / file))
    finally:
        mujoco.MjLogConfig.set(before)
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    return model


def _action_bounds(
    model: mujoco.MjModel,
) -> tuple[Float[np.ndarray, " A"], Float[np.ndarray, " A"]]:
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    return low, high


def _body(model: mujoco.MjModel, name: int | str) -> int | None:
    """The number of a body by its name or number, None where there is none."""
    try:
        return model.body(name).id
    except (KeyError, IndexError):
        return None


def _place(
    robot: Robot, settings: Arguments, batch: Batch
) -> Callable[[], Float[np.ndarray, " N"]]:
    """What tells where along x each robot is, as Gymnasium measures its way."""
    if robot.place == "position":
        return batch.qpos[:, 0].copy
    if robot.place == "body":
        return batch.xpos[:, _body(batch.model, settings["main_body"]), 0].copy
    masses, x = batch.model.body_mass, batch.xipos[:, :, 0]
    total = masses.sum()
    return lambda: np.add.reduce(x * masses, axis=1) / total


def _shown(
    robot: Robot,
    settings: Arguments,
    batch: Batch,
    forces: Float[np.ndarray, "N B 6"] | None,
) -> list[Float[np.ndarray, "N _"]]:
    """The arrays that make up an observation, one after the other, as live views."""
    hidden = settings["exclude_current_positions_from_observation"] * robot.hidden
    model = batch.model
    views = [batch.state[:, 1 + hidden : 1 + model.nq + model.nv]]
    for part in robot.parts:
        if settings[part.argument]:
            field = forces if part.field == "cfrc_ext" else batch.bind(part.field)
            width = math.prod(field.shape[2:])
            views.append(field.reshape(batch.nsim, -1)[:, part.skip * width :])
    return views
