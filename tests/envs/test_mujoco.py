"""The batch of robots is Gymnasium's robots, and goes on exactly from what it saved."""

import inspect
import math
import weakref

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium import spaces

from reins.envs.mujoco import load_model, mujoco_env
from reins.envs.robots import HORIZON, ROBOTS
from reins.errors import DataError

ALL = list(ROBOTS)
FALLING = ["Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"]
OTHERWISE = {
    "HalfCheetah-v5": {
        "frame_skip": 3,
        "forward_reward_weight": 0.7,
        "ctrl_cost_weight": 0.2,
        "reset_noise_scale": 0.3,
        "exclude_current_positions_from_observation": False,
    },
    "Hopper-v5": {
        "frame_skip": 2,
        "forward_reward_weight": 2,
        "ctrl_cost_weight": 0.1,
        "healthy_reward": 0.3,
        "healthy_state_range": (-3.0, 3.0),
        "healthy_z_range": [0.9, 1.3],
        "healthy_angle_range": (-0.1, 0.15),
        "reset_noise_scale": 0.02,
        "exclude_current_positions_from_observation": False,
    },
    "Walker2d-v5": {
        "frame_skip": 5,
        "forward_reward_weight": 0.5,
        "ctrl_cost_weight": 0.05,
        "healthy_reward": 2.0,
        "terminate_when_unhealthy": False,
        "healthy_z_range": (1.0, 1.3),
        "healthy_angle_range": (-0.3, 0.2),
        "reset_noise_scale": 0.05,
        "exclude_current_positions_from_observation": False,
    },
    "Swimmer-v5": {
        "frame_skip": 2,
        "forward_reward_weight": 3.0,
        "ctrl_cost_weight": 0.3,
        "reset_noise_scale": 0.4,
        "exclude_current_positions_from_observation": False,
    },
    "Ant-v5": {
        "frame_skip": 3,
        "forward_reward_weight": 0.8,
        "ctrl_cost_weight": 0.2,
        "contact_cost_weight": 0.05,
        "healthy_reward": 0.4,
        "main_body": "aux_2",
        "healthy_z_range": (0.4, 0.9),
        "contact_force_range": (-0.4, 0.7),
        "reset_noise_scale": 0.2,
        "exclude_current_positions_from_observation": False,
    },
    "Humanoid-v5": {
        "frame_skip": 2,
        "forward_reward_weight": 0.9,
        "ctrl_cost_weight": 0.4,
        "contact_cost_weight": 1e-4,
        "contact_cost_range": (0.5, 4.0),
        "healthy_reward": 1.5,
        "healthy_z_range": (1.1, 1.6),
        "reset_noise_scale": 0.05,
        "exclude_current_positions_from_observation": False,
        "include_cvel_in_observation": False,
    },
}


def robots(env_id, copies, threads=1, **arguments):
    env = mujoco_env(env_id, **arguments)
    assert env is not None
    return env.make(copies, threads)


def random_actions(env_id, steps, copies, *, scale=1.0, seed=0):
    box = mujoco_env(env_id).action_space
    rng = np.random.default_rng(seed)
    unit = rng.uniform(-scale, scale, (steps, copies, *box.shape))
    return (unit * box.high).astype(np.float32)


class Theirs:
    """Gymnasium's own robots, one by one, begun with the noise that ours begin with."""

    def __init__(self, env_id, seeds, arguments):
        self.envs = [gymnasium.make(env_id, **arguments).unwrapped for _ in seeds]
        self.seeds, self.episodes = seeds, [0] * len(seeds)

    def reset(self, i):
        noise = np.random.SeedSequence(self.seeds[i], spawn_key=(self.episodes[i],))
        self.envs[i].np_random = np.random.default_rng(noise)
        self.episodes[i] += 1
        return self.envs[i].reset()[0]


def assert_agreement(env_id, arguments, actions, given):
    """Ours with `actions`, theirs with `given`; returns how often an episode ended."""
    seeds = list(range(3, 3 + actions.shape[1]))
    theirs = Theirs(env_id, seeds, arguments)
    ours = robots(env_id, len(seeds), 2, **arguments)
    first = ours.reset(seeds)
    expected = np.stack([theirs.reset(i) for i in range(len(seeds))])
    np.testing.assert_array_equal(first, expected.astype(np.float32))
    for mine, their in zip(actions, given, strict=True):
        step = ours.step(mine)
        for i, env in enumerate(theirs.envs):
            observation, reward, terminated, _, _ = env.step(their[i])
            observation = observation.astype(np.float32)
            np.testing.assert_array_equal(step.observations[i], observation)
            np.testing.assert_allclose(step.rewards[i], reward, rtol=1e-13)
            assert step.terminated[i] == terminated
            if terminated:
                observation = theirs.reset(i).astype(np.float32)
            np.testing.assert_array_equal(step.following[i], observation)
    return sum(theirs.episodes) - len(seeds)


@pytest.mark.parametrize("env_id", ALL)
@pytest.mark.parametrize("otherwise", [False, True])
def test_every_step_is_gymnasiums(env_id, otherwise):
    arguments = OTHERWISE[env_id] if otherwise else {}
    actions = random_actions(env_id, 150, 2)
    ended = assert_agreement(env_id, arguments, actions, actions)
    can_fall = arguments.get("terminate_when_unhealthy", env_id in FALLING)
    assert (ended > 0) == can_fall


@pytest.mark.parametrize("env_id", ALL)
def test_an_action_out_of_bounds_is_clipped_before_anything_else(env_id):
    actions = random_actions(env_id, 20, 2, scale=4.0)
    box = mujoco_env(env_id).action_space
    clipped = np.clip(actions, box.low, box.high)
    assert (clipped != actions).any()
    assert_agreement(env_id, {}, actions, clipped)


@pytest.mark.parametrize("env_id", ["HalfCheetah-v5", "Humanoid-v5"])
def test_actions_of_double_precision_are_gymnasiums_too(env_id):
    actions = random_actions(env_id, 20, 2).astype(np.float64) / 3
    assert_agreement(env_id, {}, actions, actions)


@pytest.mark.parametrize("env_id", ALL)
def test_the_arguments_are_gymnasiums(env_id):
    spec = gymnasium.spec(env_id)
    made = gymnasium.make(env_id).unwrapped
    theirs = {
        name: parameter.default
        for name, parameter in inspect.signature(type(made)).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    del theirs["xml_file"], theirs["default_camera_config"]
    assert theirs == ROBOTS[env_id].arguments
    assert spec.max_episode_steps == HORIZON == mujoco_env(env_id).horizon


@pytest.mark.parametrize("env_id", ALL)
@pytest.mark.parametrize("otherwise", [False, True])
def test_the_spaces_are_gymnasiums_in_single_precision(env_id, otherwise):
    arguments = OTHERWISE[env_id] if otherwise else {}
    ours = mujoco_env(env_id, **arguments)
    theirs = gymnasium.make(env_id, **arguments)
    shape = theirs.observation_space.shape
    assert ours.observation_space == spaces.Box(-np.inf, np.inf, shape, np.float32)
    assert ours.action_space == theirs.action_space
    assert (ours.name, ours.saves, ours.costs, ours.cost) == (env_id, True, False, None)
    first = ours.make(2, 1).reset([0, 1])
    assert all(ours.observation_space.contains(one) for one in first)


@pytest.mark.parametrize(
    ("env_id", "arguments"),
    [
        ("HalfCheetah-v4", {}),
        ("Reacher-v5", {}),
        ("HalfCheetah-v5", {"xml_file": "other.xml"}),
        ("HalfCheetah-v5", {"render_mode": "rgb_array"}),
        ("HalfCheetah-v5", {"healthy_reward": 1.0}),
        ("HalfCheetah-v5", {"frame_skip": 0}),
        ("HalfCheetah-v5", {"frame_skip": 2.0}),
        ("HalfCheetah-v5", {"ctrl_cost_weight": "0.1"}),
        ("HalfCheetah-v5", {"ctrl_cost_weight": True}),
        ("HalfCheetah-v5", {"ctrl_cost_weight": math.nan}),
        ("HalfCheetah-v5", {"reset_noise_scale": -0.1}),
        ("HalfCheetah-v5", {"exclude_current_positions_from_observation": 1}),
        ("Hopper-v5", {"healthy_z_range": 0.7}),
        ("Hopper-v5", {"healthy_z_range": (0.7, 1.0, 2.0)}),
        ("Hopper-v5", {"healthy_z_range": (0.7, math.nan)}),
        ("Ant-v5", {"main_body": "head"}),
        ("Ant-v5", {"main_body": 99}),
        ("Ant-v5", {"main_body": True}),
        ("Ant-v5", {"main_body": 1.0}),
    ],
)
def test_what_would_be_another_environment_is_left_to_gymnasium(env_id, arguments):
    assert mujoco_env(env_id, **arguments) is None


def taken(vector, actions):
    return [vector.step(of_all) for of_all in actions]


def assert_same(steps, others):
    for one, other in zip(steps, others, strict=True):
        for mine, their in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, their)


@pytest.mark.parametrize("env_id", ALL)
def test_it_goes_on_bit_for_bit_from_what_was_saved(env_id):
    actions = random_actions(env_id, 150, 3)
    whole = robots(env_id, 3)
    before_any_reset = whole.save()
    whole.reset([5, 6, 7])
    steps = taken(whole, actions[:70])
    saved = whole.save()
    for array in whole.save().values():
        array[...] = 0
    steps += taken(whole, actions[70:])
    undisturbed = robots(env_id, 3)
    undisturbed.reset([5, 6, 7])
    assert_same(steps, taken(undisturbed, actions))
    ended = [np.flatnonzero(step.terminated).tolist() for step in steps[70:]]
    assert any(ended) == (env_id in FALLING)
    for threads in (1, 2):
        other = robots(env_id, 3, threads)
        # What it did before must leave no trace.
        other.reset([1, 2, 3])
        taken(other, np.append(actions[:9], np.full_like(actions[:1], np.nan), axis=0))
        other.restore(saved)
        again = other.save()
        assert_same(steps[70:], taken(other, actions[70:]))
        for name, array in saved.items():
            np.testing.assert_array_equal(again[name], array)
    for name, array in saved.items():
        empty = before_any_reset[name]
        assert (empty.shape, empty.dtype) == (array.shape, array.dtype)
        assert len(array) == 3


@pytest.mark.parametrize("env_id", ALL)
def test_a_robot_does_not_depend_on_how_many_others_there_are(env_id):
    actions = random_actions(env_id, 60, 5)
    many, one = robots(env_id, 5, 2), robots(env_id, 1)
    np.testing.assert_array_equal(many.reset(range(5))[3:4], one.reset([3]))
    for step, alone in zip(
        taken(many, actions), taken(one, actions[:, 3:4]), strict=True
    ):
        for mine, their in zip(step, alone, strict=True):
            np.testing.assert_array_equal(mine[3:4], their)


def test_episodes_begin_anew_with_the_seed_and_their_number():
    def beginnings(seeds):
        vector = robots("HalfCheetah-v5", len(seeds))
        shown = [vector.reset(seeds)]
        for _ in range(2):
            saved = vector.save()
            saved["elapsed"][:] = HORIZON - 1
            vector.restore(saved)
            shown.append(vector.step(np.zeros((len(seeds), 6), np.float32)).following)
        return np.concatenate(shown)

    same, far = beginnings([0, 1, 2**32]), beginnings([2**63, 2**32 + 1, 7])
    assert len(np.unique(np.concatenate([same, far]), axis=0)) == 18
    np.testing.assert_array_equal(same, beginnings([0, 1, 2**32]))


def test_a_reset_in_the_middle_is_the_first_one():
    vector = robots("Humanoid-v5", 2)
    first = vector.reset([8, 9])
    taken(vector, random_actions("Humanoid-v5", 40, 2))
    np.testing.assert_array_equal(vector.reset([8, 9]), first)
    step = vector.step(np.zeros((2, 17), np.float32))
    other = robots("Humanoid-v5", 2)
    other.reset([8, 9])
    assert_same([step], [other.step(np.zeros((2, 17), np.float32))])


def test_the_time_limit_truncates_after_1000_steps():
    vector = robots("Swimmer-v5", 3)
    vector.reset([0, 1, 2])
    saved = vector.save()
    saved["elapsed"][:] = [0, 400, 998]
    vector.restore(saved)
    steps = taken(vector, random_actions("Swimmer-v5", 1001, 3))
    ends = [(t, *np.flatnonzero(step.truncated)) for t, step in enumerate(steps, 1)]
    assert [end for end in ends if len(end) > 1] == [(2, 2), (600, 1), (1000, 0)]
    assert not any(step.terminated.any() for step in steps)
    for step in steps:
        moved = (step.following != step.observations).any(axis=1)
        np.testing.assert_array_equal(moved, step.truncated)


def test_what_falls_at_the_time_limit_is_terminated_and_not_truncated():
    actions = random_actions("Hopper-v5", 100, 1)
    vector = robots("Hopper-v5", 1)
    vector.reset([0])
    saved = vector.save()
    fall = 1 + np.argmax([step.terminated[0] for step in taken(vector, actions)])
    for early, ends in ((0, (True, False)), (1, (False, True))):
        saved["elapsed"][:] = HORIZON - fall + early
        vector.restore(saved)
        last = taken(vector, actions[: fall - early])[-1]
        assert (last.terminated[0], last.truncated[0]) == ends


def test_a_step_keeps_its_arrays():
    vector = robots("Ant-v5", 2)
    first = vector.reset([0, 1])
    kept = [first.copy()]
    actions = random_actions("Ant-v5", 120, 2)
    given = actions.copy()
    steps = [vector.step(actions[0])]
    kept += [array.copy() for array in steps[0]]
    saved = vector.save()
    saved_before = {name: array.copy() for name, array in saved.items()}
    taken(vector, actions[1:])
    for array, copy in zip([first, *steps[0]], kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    for name, copy in saved_before.items():
        np.testing.assert_array_equal(saved[name], copy)
    vector.restore(saved)
    taken(vector, actions[1:])
    for name, copy in saved_before.items():
        np.testing.assert_array_equal(saved[name], copy)
    np.testing.assert_array_equal(actions, given)


@pytest.mark.parametrize("env_id", ALL)
def test_a_step_is_of_the_kinds_that_the_contract_names(env_id):
    vector = robots(env_id, 2)
    vector.reset([0, 1])
    for step in taken(vector, random_actions(env_id, 60, 2)):
        assert step.observations.dtype == step.following.dtype == np.float32
        assert step.rewards.dtype == np.float64
        for ends in (step.terminated, step.truncated, step.mask):
            assert ends.dtype == bool
            assert ends.shape == (2,)
        assert step.mask.all()
        np.testing.assert_array_equal(step.costs, np.zeros(2, np.float32))
        # Steps share them.
        assert not step.costs.flags.writeable
        assert not step.mask.flags.writeable


@pytest.mark.parametrize("env_id", ALL)
@pytest.mark.parametrize("spoilt", ["action", "fast", "faster", "far"])
def test_what_becomes_unstable_shows_nan_and_leaves_the_others_alone(
    env_id, spoilt, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    actions = random_actions(env_id, 6, 3)
    calm, vector = robots(env_id, 3), robots(env_id, 3, 2)
    calm.reset([0, 1, 2])
    vector.reset([0, 1, 2])
    saved = vector.save()
    row = saved["state"][1]
    model = load_model(ROBOTS[env_id].file)
    if spoilt in ("fast", "faster"):
        speed = 9e9 if spoilt == "fast" else 1e200
        row[1 + model.nq : 1 + model.nq + model.nv] = speed
    elif spoilt == "far":
        row[1] = 1e11
    vector.restore(saved)
    bad = actions.copy()
    if spoilt == "action":
        bad[0, 1, 0] = np.nan
    steps, quiet = taken(vector, bad), taken(calm, actions)
    assert not steps[0].terminated[[0, 2]].any()
    for step, expected in zip(steps, quiet, strict=True):
        for mine, their in zip(step, expected, strict=True):
            np.testing.assert_array_equal(mine[[0, 2]], their[[0, 2]])
    falls = env_id in FALLING
    for step in steps[: 1 if falls else None]:
        assert np.isnan(step.observations[1]).any()
        assert np.isnan(step.rewards[1])
        assert step.terminated[1] == falls
        assert np.isfinite(step.following[1]).all() == falls
    assert all(np.isfinite(step.observations[1]).all() for step in steps[1:]) == falls
    assert not list(tmp_path.iterdir())
    assert "unstable" in capfd.readouterr().err


def test_infinite_actions_are_the_bounds():
    actions = random_actions("HalfCheetah-v5", 5, 1)
    infinite = np.where(actions > 0, np.inf, -np.inf).astype(np.float32)
    ours, theirs = robots("HalfCheetah-v5", 1), robots("HalfCheetah-v5", 1)
    ours.reset([0])
    theirs.reset([0])
    assert_same(taken(ours, infinite), taken(theirs, np.sign(actions)))


def test_the_wrong_number_of_seeds_or_actions_is_refused():
    vector = robots("Hopper-v5", 3)
    with pytest.raises(DataError, match=r"3 environments were given 1 seed"):
        vector.reset([0])
    vector.reset([0, 1, 2])
    with pytest.raises(DataError, match=r"shape \(1, 3\) .* take \(3, 3\)"):
        vector.step(np.zeros((1, 3), np.float32))


def test_to_load_gymnasiums_models_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for robot in ROBOTS.values():
        inspect.unwrap(load_model)(robot.file)
    assert capfd.readouterr().err == ""
    # Gymnasium's own way: its warning on the terminal stays, and there is no file.
    gymnasium.make("HalfCheetah-v5")
    assert mujoco.MjLogConfig.get().logto_console
    assert not list(tmp_path.iterdir())


def test_closing_lets_the_simulations_and_their_threads_go():
    vector = robots("HalfCheetah-v5", 2, 2)
    first = vector.reset([0, 1])
    batch = weakref.ref(vector._batch)
    assert vector._batch.nthread == 2
    kept = first.copy()
    vector.close()
    assert batch() is None
    np.testing.assert_array_equal(first, kept)
    vector.close()
