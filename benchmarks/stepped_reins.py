"""HalfCheetah with a wall, stepped by what reins does not step it by, and MuJoCo alone.

    python stepped_reins.py sync    '{"environments": 10, "seconds": 3, ...}'
    python stepped_reins.py async   ...
    python stepped_reins.py loop    ...
    python stepped_reins.py rollout ...
    python stepped_reins.py ahead   ...
    python stepped_reins.py batch   ...

Prints one line of JSON, as the peers' parts do. Actions are random, and drawn before.

    sync, async   Gymnasium's vector environments of the one that reins registers
    loop          `mj_step` of each copy in turn, from Python
    rollout       `mujoco.rollout`, one call for each step of all copies
    ahead         the same, many steps in a call: nobody could act between them
    batch         `mujoco.batch`, which reins's simulator is made of

The last four only simulate: no observation, no reward, no cost, no reset.
"""
# MuJoCo's compiled modules have no stubs.
# pyright: reportAttributeAccessIssue=false

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch
from mujoco.rollout import Rollout

from reins.envs.mujoco import load_model
from reins.envs.robots import ROBOTS
from reins.experiments.engines.local import cores
from reins.experiments.record import versions

STEPS_BETWEEN_LOOKS = 100
"""Steps of all copies from one look at the clock to the next."""
ROBOT = ROBOTS["HalfCheetah-v5"]
FRAMES: Any = ROBOT.arguments["frame_skip"]
"""Steps of MuJoCo's in one of an environment's."""

Stepper = Callable[[], None]
"""Makes STEPS_BETWEEN_LOOKS steps of all copies."""


def actions_for(model: mujoco.MjModel, copies: int) -> np.ndarray:
    """Of so many steps, uniform between the bounds."""
    low, high = model.actuator_ctrlrange.T
    size = (STEPS_BETWEEN_LOOKS, copies, model.nu)
    return np.random.default_rng(0).uniform(low, high, size)


def gymnasium_steps(way: str, env: str, actions: np.ndarray) -> Stepper:
    """Gymnasium's vector environment of so many copies."""
    with warnings.catch_warnings():
        # JAX warns of forks; these workers never use it.
        warnings.simplefilter("ignore")
        vector = gymnasium.make_vec(
            env, num_envs=actions.shape[1], vectorization_mode=way
        )
        vector.reset(seed=0)
    chosen = actions.astype(np.float32)

    def go() -> None:
        for action in chosen:
            vector.step(action)

    return go


def loop_steps(model: mujoco.MjModel, actions: np.ndarray) -> Stepper:
    """One copy after another, in one thread."""
    copies = [mujoco.MjData(model) for _ in range(actions.shape[1])]

    def go() -> None:
        for chosen in actions:
            for data, action in zip(copies, chosen, strict=True):
                data.ctrl[:] = action
                mujoco.mj_step(model, data, nstep=FRAMES)

    return go


def rollout_steps(
    model: mujoco.MjModel, actions: np.ndarray, *, ahead: bool
) -> Stepper:
    """All copies in threads; from where they stand, or many steps ahead."""
    n = actions.shape[1]
    several = [mujoco.MjData(model) for _ in range(cores())]
    pool = Rollout(nthread=cores())
    full = mujoco.mjtState.mjSTATE_FULLPHYSICS
    start = np.empty(mujoco.mj_stateSize(model, full))
    mujoco.mj_getState(model, several[0], start, full)
    held = np.repeat(actions.swapaxes(0, 1), FRAMES, axis=1)
    place = {"now": np.tile(start, (n, 1))}

    def go() -> None:
        width = held.shape[1] if ahead else FRAMES
        for begin in range(0, held.shape[1], width):
            control = held[:, begin : begin + width]
            state: Any = pool.rollout(model, several, place["now"], control)[0]
            place["now"] = np.ascontiguousarray(state[:, -1])

    return go


def batch_steps(model: mujoco.MjModel, actions: np.ndarray) -> Stepper:
    """All copies in threads, as rows."""
    batch = Batch(model, actions.shape[1], cores())

    def go() -> None:
        for chosen in actions:
            batch.ctrl[...] = chosen
            batch.step(nstep=FRAMES)

    return go


def stepper(work: str, settings: dict[str, Any]) -> Stepper:
    """What steps so many copies in the way that was asked for."""
    model = load_model(ROBOT.file)
    actions = actions_for(model, settings["environments"])
    if work in ("sync", "async"):
        return gymnasium_steps(work, settings["env"], actions)
    if work in ("rollout", "ahead"):
        return rollout_steps(model, actions, ahead=work == "ahead")
    return {"loop": loop_steps, "batch": batch_steps}[work](model, actions)


def main() -> None:
    """Do what is asked for, and print the line."""
    work, settings = sys.argv[1], json.loads(sys.argv[2])
    go, n = stepper(work, settings), settings["environments"]
    go()
    steps, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < settings["seconds"]:
        go()
        steps += n * STEPS_BETWEEN_LOOKS
    threads = 1 if work in ("sync", "loop") else n if work == "async" else cores()
    result = {
        "steps": steps,
        "seconds": seconds,
        "parts": {},
        "threads": {"simulator": threads},
        "versions": versions(),
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
