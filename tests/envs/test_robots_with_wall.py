"""Robots with a wall: the formulas of 2021, and Gymnasium's copies beside the batch."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from reins.envs import AutoresetVector, HostOptions, host_env, make_env, twin_ids
from reins.envs.mujoco import mujoco_env
from reins.envs.robots_with_wall import FORCES, WALLED, walled_robot
from reins.errors import ConfigError

ALL = list(WALLED)
NOMINAL = [env_id for env_id in ALL if "Constrained" not in env_id]
MEASURED, ABSENT = {"contact_forces": "measured"}, {"contact_forces": "absent"}
NEAR = -0.02
"""A wall that random actions reach within a few steps."""
HORIZON, COPIES = 40, 2


def actions_of(env_id, steps, copies, seed=0):
    size = mujoco_env(env_id).action_space.shape[0]
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (steps, copies, size)).astype(np.float32)


def batch(env_id, copies=1, threads=1, horizon=None, **arguments):
    return mujoco_env(env_id, horizon, **arguments).make(copies, threads)


class Numbered(gymnasium.Wrapper):
    """Begins each episode with the noise that the batch begins it with."""

    seed, episode = 0, 0

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.seed, self.episode = seed, 0
        noise = np.random.SeedSequence(self.seed, spawn_key=(self.episode,))
        self.unwrapped.np_random = np.random.default_rng(noise)
        self.episode += 1
        return self.env.reset(options=options)


def gymnasiums(env_id, mode, arguments):
    def make():
        told = {"max_episode_steps": HORIZON, "disable_env_checker": True}
        return Numbered(gymnasium.make(env_id, **told, **arguments))

    return AutoresetVector(SyncVectorEnv([make] * COPIES, autoreset_mode=mode))


def rows_of(vector, actions):
    """Every real step of each copy, answered by the copy's own next action."""
    rows = [[] for _ in range(COPIES)]
    while any(len(of_copy) < len(actions) for of_copy in rows):
        times = [min(len(of_copy), len(actions) - 1) for of_copy in rows]
        step = vector.step(actions[times, range(COPIES)])
        for i in np.flatnonzero(step.mask):
            rows[i].append([part[i] for part in step])
    return rows


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("env_id", "others"),
    [
        *((env_id, {}) for env_id in ALL),
        *(("reins/AntWallConstrained-v0", how) for how in (MEASURED, ABSENT)),
        ("reins/AntBrokenWall-v0", MEASURED),
        ("reins/HalfCheetahWall-v0", {"reset_noise_scale": 0.3, "frame_skip": 3}),
    ],
)
def test_every_step_is_that_of_gymnasiums_copies(env_id, others, mode):
    arguments = {"wall": NEAR, **others}
    actions = actions_of(env_id, 2 * HORIZON + 5, COPIES)
    ours = batch(env_id, COPIES, 2, HORIZON, **arguments)
    theirs = gymnasiums(env_id, mode, arguments)
    first = ours.reset([3, 4])
    np.testing.assert_array_equal(first, theirs.reset([3, 4]).astype(np.float32))
    found, expected = rows_of(ours, actions), rows_of(theirs, actions)
    seen = {"cost": 0, "terminated": 0, "truncated": 0}
    for mine, their in zip(found, expected, strict=True):
        for row, other in zip(mine[: len(actions)], their, strict=False):
            observation, reward, *marks, _, following = other
            np.testing.assert_array_equal(row[0], observation.astype(np.float32))
            np.testing.assert_allclose(row[1], reward, rtol=1e-12, atol=1e-13)
            assert [*row[2:5]] == marks
            if mode != AutoresetMode.NEXT_STEP:
                np.testing.assert_array_equal(row[6], following.astype(np.float32))
            for name, mark in zip(seen, marks, strict=True):
                seen[name] += mark
    assert seen["cost"] > 0
    if "Constrained" in env_id:
        assert seen["terminated"] >= seen["cost"]
    elif "Walker" not in env_id:
        assert seen["terminated"] == 0
        assert seen["truncated"] == 2 * COPIES


SECONDS = {"HalfCheetah": 0.05, "Swimmer": 0.04, "Walker2d": 0.008}
CONTROL = {"HalfCheetah": 0.1, "Swimmer": 1e-4, "Walker2d": 1e-3}
SIZES = {"HalfCheetah": 18, "Swimmer": 10, "Walker2d": 18, "Ant": 113, "AntBroken": 113}
HORIZONS = {"HalfCheetah": 1000}


def reward_of(name, before, action, after):
    """What 2021 paid, from what is seen."""
    squares = np.square(action).sum()
    if name.startswith("Ant"):
        if name == "AntBroken":
            squares = np.square(action[:4]).sum()
        away, z = np.hypot(after[0], after[1]), after[2]
        return away + float(0.2 <= z <= 1.0) - 0.5 * squares
    speed = abs(after[0] - before[0]) / SECONDS[name]
    return speed - CONTROL[name] * squares + float(name == "Walker2d")


@pytest.mark.parametrize("env_id", NOMINAL)
def test_observation_reward_cost_and_horizon_are_those_of_2021(env_id):
    name = env_id.removeprefix("reins/").removesuffix("Wall-v0")
    env, vector = make_env(env_id), batch(env_id, 3)
    assert env.horizon == HORIZONS.get(name, 500)
    before, costs = vector.reset([0, 1, 2]), 0
    # Moved to before the wall, to where it is, and behind it.
    way, saved = np.array([-2.8, -3.0, -3.3]), vector.save()
    saved["state"][:, 1] += way
    saved["x"] += way
    vector.restore(saved)
    before[:, 0] += way
    assert before.shape[1] == SIZES[name]
    for actions in actions_of(env_id, 60, 3):
        step = vector.step(actions)
        for i in range(3):
            expected = reward_of(name, before[i], actions[i], step.observations[i])
            if not step.terminated[i]:
                np.testing.assert_allclose(step.rewards[i], expected, atol=1e-3)
            assert step.costs[i] == float(step.observations[i, 0] <= -3.0)
            assert step.costs.dtype == np.float32
        costs += step.costs.sum()
        before = step.following
    assert 0 < costs < 180


@pytest.mark.parametrize("env_id", NOMINAL)
def test_the_wall_ends_the_episode_in_the_constrained_twin_alone(env_id):
    nominal, constrained = twin_ids(env_id)
    assert twin_ids(constrained) == (nominal, constrained)
    steps = {}
    for name in (nominal, constrained):
        vector = batch(name, 2)
        vector.reset([0, 1])
        saved = vector.save()
        saved["state"][0, 1] = -5.0
        saved["elapsed"][:] = mujoco_env(name).horizon - 2
        vector.restore(saved)
        actions = actions_of(env_id, 2, 2)
        steps[name] = [vector.step(action) for action in actions]
    free, walled = (steps[name][0] for name in (nominal, constrained))
    np.testing.assert_array_equal(free.costs, [1.0, 0.0])
    np.testing.assert_array_equal(walled.costs, [1.0, 0.0])
    assert not free.terminated.any()
    np.testing.assert_array_equal(walled.terminated, [True, False])
    assert free.rewards[0] != walled.rewards[0] == 0.0
    assert free.rewards[1] == walled.rewards[1]
    np.testing.assert_array_equal(walled.observations, free.observations)
    assert walled.following[0, 0] > -1.0
    # The time limit comes a step later: for the one that has not begun anew.
    np.testing.assert_array_equal(steps[nominal][1].truncated, [True, True])
    np.testing.assert_array_equal(steps[constrained][1].truncated, [False, True])


@pytest.mark.parametrize(
    ("env_id", "others"),
    [*((env_id, {}) for env_id in ALL), ("reins/AntWallConstrained-v0", MEASURED)],
)
def test_it_goes_on_bit_for_bit_from_what_was_saved(env_id, others):
    arguments = {"wall": NEAR, "horizon": HORIZON, **others}
    actions = actions_of(env_id, 70, 3)
    whole = batch(env_id, 3, 2, **arguments)
    whole.reset([5, 6, 7])
    for action in actions[:30]:
        whole.step(action)
    saved = whole.save()
    rest = [whole.step(action) for action in actions[30:]]
    assert any(step.costs.any() for step in rest)
    for threads in (1, 2):
        other = batch(env_id, 3, threads, **arguments)
        other.restore(saved)
        for step, action in zip(rest, actions[30:], strict=True):
            for mine, their in zip(other.step(action), step, strict=True):
                np.testing.assert_array_equal(mine, their)


def test_contact_forces_are_zeros_unless_they_are_asked_for():
    env_id = "reins/AntWall-v0"
    actions = actions_of(env_id, 80, 2)

    def played(**arguments):
        vector = batch(env_id, 2, **arguments)
        first = vector.reset([0, 1])
        steps = [vector.step(action) for action in actions]
        observations = np.stack([first, *(step.observations for step in steps)])
        return observations, np.stack([step.rewards for step in steps])

    zeros, unpaid = played()
    shown, paid = played(**MEASURED)
    alone, as_much = played(**ABSENT)
    assert zeros.shape == shown.shape == (81, 2, 29 + FORCES)
    assert alone.shape == (81, 2, 29)
    for observations in (zeros, shown):
        np.testing.assert_array_equal(observations[..., :29], alone)
    assert not zeros[..., 29:].any()
    forces = shown[1:, :, 29:].astype(np.float64)
    felt = np.abs(forces).max(axis=(0, 1)) > 0
    assert felt.sum() >= 12
    assert not felt[:6].any()
    assert np.abs(forces).max() == 1.0
    np.testing.assert_array_equal(unpaid, as_much)
    squares = np.square(forces).sum(axis=2)
    np.testing.assert_allclose(unpaid - paid, 5e-4 * squares, atol=1e-8)


def test_legs_without_power_are_the_two_behind():
    broken, whole = "reins/AntBrokenWall-v0", "reins/AntWall-v0"
    actions = actions_of(broken, 30, 2)
    weak = actions.copy()
    weak[..., 4:] = 0.0
    ours, theirs = batch(broken, 2), batch(whole, 2)
    np.testing.assert_array_equal(ours.reset([0, 1]), theirs.reset([0, 1]))
    given = actions.copy()
    for action, powerless in zip(actions, weak, strict=True):
        for mine, their in zip(ours.step(action), theirs.step(powerless), strict=True):
            np.testing.assert_array_equal(mine, their)
    np.testing.assert_array_equal(actions, given)
    env = walled_robot(broken, reset_noise_scale=0.0)
    env.reset(seed=0)
    model, data = env.unwrapped.model, env.unwrapped.data
    joints = model.actuator_trnid[:, 0]
    places = data.xpos[model.jnt_bodyid[joints], 0]
    assert (places[4:] < -0.1).all()
    assert (places[:4] > 0.1).sum() == (places < -0.1).sum() == 4


@pytest.mark.filterwarnings("ignore:.*WARN")
@pytest.mark.parametrize("env_id", ALL)
def test_gymnasium_knows_it_and_its_checker_has_no_complaint(env_id):
    made, ours = gymnasium.make(env_id), make_env(env_id)
    assert made.spec.max_episode_steps == ours.horizon
    assert made.observation_space.shape == ours.observation_space.shape
    assert made.action_space == ours.action_space
    assert (ours.saves, ours.costs) == (True, True)
    check_env(walled_robot(env_id), skip_render_check=True)
    again = gymnasium.make(made.spec)
    action = made.action_space.sample()
    for env in (made, again):
        env.reset(seed=0)
        *_, info = env.step(action)
        assert info["cost"] == 0.0
    np.testing.assert_array_equal(*(e.unwrapped.data.qpos for e in (made, again)))


@pytest.mark.parametrize(
    ("env_id", "arguments"),
    [
        ("reins/HalfCheetahWall-v0", {"wall": "near"}),
        ("reins/HalfCheetahWall-v0", {"wall": float("nan")}),
        ("reins/HalfCheetahWall-v0", {"contact_forces": "zero"}),
        (
            "reins/HalfCheetahWall-v0",
            {"exclude_current_positions_from_observation": True},
        ),
        ("reins/AntWall-v0", {"contact_forces": "some"}),
        ("reins/AntWall-v0", {"contact_forces": True}),
        ("reins/AntWall-v0", {"contact_cost_weight": 1.0}),
        ("reins/AntWall-v0", {"forward_reward_weight": 1.0, **MEASURED}),
        ("reins/AntBrokenWall-v0", {"xml_file": "other.xml"}),
    ],
)
def test_other_arguments_are_refused_with_those_that_there_are(env_id, arguments):
    assert mujoco_env(env_id, **arguments) is None
    for make in (
        lambda: walled_robot(env_id, **arguments),
        lambda: host_env(env_id, HostOptions(arguments)),
    ):
        with pytest.raises(ConfigError, match=r"reset_noise_scale, .*wall"):
            make()


def test_contact_costs_can_be_changed_where_they_are_measured():
    changed = {**MEASURED, "contact_cost_weight": 0.1, "contact_force_range": (-2, 2)}
    assert mujoco_env("reins/AntWall-v0", **changed) is not None
    assert walled_robot("reins/AntWall-v0", **changed).action_space.shape == (8,)


@pytest.mark.parametrize("env_id", NOMINAL)
def test_the_wall_in_the_picture_stops_nothing(env_id):
    plain = walled_robot(env_id)
    drawn = walled_robot(env_id, render_mode="rgb_array", width=64, height=48)
    model = drawn.unwrapped.model
    wall = model.geom("wall")
    assert wall.pos[0] == -4.0
    assert wall.contype == wall.conaffinity == 0
    assert 0 < wall.rgba[3] < 1
    assert model.ngeom == plain.unwrapped.model.ngeom + 1
    np.testing.assert_array_equal(model.body_mass, plain.unwrapped.model.body_mass)
    for env in (plain, drawn):
        env.reset(seed=0)
        data = env.unwrapped.data
        data.qpos[0] = -4.0
        env.unwrapped.set_state(data.qpos.copy(), data.qvel.copy())
    for (action,) in actions_of(env_id, 20, 1):
        one, other = plain.step(action), drawn.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:4] == other[1:4]


def test_the_camera_goes_along_unless_another_is_asked_for():
    ours = walled_robot("reins/AntWall-v0", render_mode="rgb_array").unwrapped
    camera = ours.model.camera("with the wall")
    assert ours.mujoco_renderer.camera_id == camera.id
    env = walled_robot("reins/AntWall-v0", render_mode="rgb_array", camera_id=-1)
    assert env.unwrapped.mujoco_renderer.camera_id == -1
    ours.reset(seed=0)
    before = ours.data.cam_xpos[camera.id].copy()
    ours.data.qpos[:2] = [-3.0, 7.0]
    ours.set_state(ours.data.qpos.copy(), ours.data.qvel.copy())
    moved = ours.data.cam_xpos[camera.id] - before
    np.testing.assert_allclose(moved, [-3.0, 7.0, 0.0], atol=0.2)


def test_the_wall_is_red_in_the_picture():
    """In a process of its own, since MuJoCo looks once how it can draw."""
    script = (
        "from reins.experiments import display\n"
        "faults = display.draw_without_display()\n"
        "import reins, gymnasium\n"
        "env = gymnasium.make('reins/HalfCheetahWall-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0)\n"
        "if not faults:\n"
        "    left = env.render()[:, :240].astype(int)\n"
        "    red = left[..., 0] - left[..., 1:].max(axis=-1)\n"
        "    print(int((red > 60).sum()))\n"
        "print(len(faults))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    lines = found.stdout.split()
    assert lines[-1] == "2" or int(lines[0]) > 5000, found.stderr
