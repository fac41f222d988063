"""Any Gymnasium environment by its id: found, flattened, limited, and tried out."""

import sys
import types

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from reins.envs import (
    HostOptions,
    host_env,
    is_image,
    make_env,
    nominal_twin,
    providers,
    single_env,
)
from reins.envs.autoreset import EnvPoolVector
from reins.envs.host import DEFAULT_HORIZON, find_spec
from reins.errors import CapabilityError, ConfigError
from tests.scripted import FakePool

VECTOR = spaces.Box(-1, 1, (2,), np.float64)
PICTURE = spaces.Box(0, 255, (8, 8, 3), np.uint8)


class Bare(gymnasium.Env):
    """An environment of any observation space, without an end of its own."""

    action_space = spaces.Discrete(2)

    def __init__(self, space=VECTOR, *, fails: str = "", cost: bool = False):
        self.observation_space, self.fails, self.cost = space, fails, cost

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.fails == "reset":
            raise KeyError("no wheels")
        return self.observation_space.sample(), {}

    def step(self, action):
        if self.fails == "step":
            raise KeyError("no road")
        info = {"cost": 1.0} if self.cost else {}
        return self.observation_space.sample(), 0.0, False, False, info


gymnasium.register("tests/Bare-v0", entry_point=Bare)
gymnasium.register("tests/Limited-v0", entry_point=Bare, max_episode_steps=33)


@pytest.mark.parametrize(
    ("space", "shape"),
    [
        (VECTOR, (2,)),
        (spaces.Box(-1, 1, (2, 3)), (6,)),
        (spaces.Discrete(4), (4,)),
        (spaces.MultiDiscrete([2, 3]), (5,)),
        (spaces.MultiBinary(3), (3,)),
        (spaces.Dict({"a": VECTOR, "b": spaces.Discrete(3)}), (5,)),
        (spaces.Tuple([VECTOR, spaces.Tuple([VECTOR])]), (4,)),
        (PICTURE, (8, 8, 3)),
    ],
)
def test_observations_become_one_vector_and_pictures_stay(space, shape):
    env = single_env("tests/Bare-v0", {"space": space})
    assert env.observation_space.shape == shape
    observation, _ = env.reset(seed=0)
    assert np.shape(observation) == shape
    assert env.observation_space.contains(observation)


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (spaces.Sequence(VECTOR), "no fixed length"),
        (spaces.Dict({"a": spaces.Sequence(VECTOR)}), "no fixed length"),
        (spaces.Dict({"eye": PICTURE, "speed": VECTOR}), "an image among other"),
        (spaces.Tuple([PICTURE]), "an image among other"),
    ],
)
def test_what_no_network_takes_is_refused_with_what_to_do(space, reason):
    with pytest.raises(CapabilityError, match=f"{reason}.*shows one vector"):
        single_env("tests/Bare-v0", {"space": space})


def test_only_bytes_with_channels_are_pictures():
    assert is_image(PICTURE)
    assert not is_image(spaces.Box(0, 1, (8, 8, 3), np.float32))
    assert not is_image(spaces.Box(0, 255, (8, 8), np.uint8))


def episode_length(env) -> int:
    env.reset(seed=0)
    for t in range(2 * DEFAULT_HORIZON):
        *_, terminated, truncated, _ = env.step(0)
        if terminated or truncated:
            return t + 1
    return -1


def test_an_episode_is_cut_where_asked_else_where_registered_else_at_a_thousand():
    assert episode_length(single_env("tests/Bare-v0")) == DEFAULT_HORIZON == 1000
    assert episode_length(single_env("tests/Limited-v0")) == 33
    assert episode_length(single_env("tests/Limited-v0", horizon=50)) == 50
    assert episode_length(single_env("tests/Bare-v0", horizon=7)) == 7
    horizons = [
        host_env(env_id, HostOptions(horizon=horizon)).horizon
        for env_id, horizon in [
            ("tests/Bare-v0", None),
            ("tests/Limited-v0", None),
            ("tests/Limited-v0", 50),
        ]
    ]
    assert horizons == [1000, 33, 50]


def test_it_is_known_whether_a_true_cost_is_told():
    assert not host_env("tests/Bare-v0").costs
    assert host_env("tests/Bare-v0", HostOptions({"cost": True})).costs


def test_observations_are_kept_in_single_precision():
    env = host_env("tests/Bare-v0")
    assert env.observation_space.dtype == np.float32
    np.testing.assert_array_equal(env.observation_space.low, -1)
    huge = spaces.Box(-np.inf, 1e300, (1,), np.float64)
    found = host_env("tests/Bare-v0", HostOptions({"space": huge})).observation_space
    assert np.isneginf(found.low)
    assert np.isfinite(found.high)
    pictures = host_env("tests/Bare-v0", HostOptions({"space": PICTURE}))
    assert pictures.observation_space == PICTURE


@pytest.mark.parametrize(("fails", "said"), [("reset", "wheels"), ("step", "no road")])
def test_an_environment_is_tried_out_before_a_run_begins(fails, said):
    with pytest.raises(ConfigError, match=rf"{said}.*reins check-env tests/Bare-v0"):
        host_env("tests/Bare-v0", HostOptions({"fails": fails}))


def test_ways_of_stepping_copies():
    def inner(way: str):
        made = host_env("CartPole-v1", HostOptions(vectorisation=way)).make(2, 1)  # pyright: ignore
        made.close()
        return made

    for way in ("auto", "sync"):
        assert isinstance(inner(way).inner, SyncVectorEnv)
        assert inner(way).mode is AutoresetMode.DISABLED
    assert isinstance(inner("async").inner, AsyncVectorEnv)
    assert type(inner("own").inner).__name__ == "CartPoleVectorEnv"
    assert inner("own").mode is AutoresetMode.NEXT_STEP


def test_robots_are_one_batch_unless_they_are_another_robot():
    batched = host_env("HalfCheetah-v5")
    assert batched.saves
    assert host_env("HalfCheetah-v5", HostOptions(vectorisation="mujoco")).saves
    assert not host_env("HalfCheetah-v5", HostOptions(vectorisation="sync")).saves
    shorter = host_env("HalfCheetah-v5", HostOptions(horizon=10))
    assert (shorter.saves, shorter.horizon) == (True, 10)
    other = {"terminate_when_unhealthy": True}
    with pytest.raises(ConfigError, match="one MuJoCo batch"):
        host_env("HalfCheetah-v5", HostOptions(other, vectorisation="mujoco"))


def test_envpool_is_used_where_it_is_installed(monkeypatch):
    asked = {}

    def make(env_id, **settings):
        asked.update(settings, env_id=env_id)
        return FakePool(settings["seed"])

    module = types.ModuleType("envpool")
    module.make, module.list_all_envs = make, lambda: ["CartPole-v1"]  # pyright: ignore
    monkeypatch.setitem(sys.modules, "envpool", module)
    env = host_env("CartPole-v1", HostOptions({}, "envpool", 40))
    made = env.make(3, 2)
    assert isinstance(made, EnvPoolVector)
    made.reset([4, 5, 6])
    assert asked["env_id"] == "CartPole-v1"
    assert asked["seed"] == [4, 5, 6]
    assert asked["num_threads"] == 2
    assert asked["max_episode_steps"] == 40
    assert asked["env_type"] == "gymnasium"
    with pytest.raises(ConfigError, match="which it does not have"):
        host_env("Pendulum-v1", HostOptions({}, "envpool"))


def test_a_module_is_imported_for_its_environments(tmp_path, monkeypatch):
    source = (
        "import gymnasium\n"
        "from tests.envs.test_host import Bare\n"
        "gymnasium.register('Mine-v0', entry_point=Bare, max_episode_steps=9)\n"
    )
    (tmp_path / "somebodys.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_spec("somebodys:Mine-v0").max_episode_steps == 9
    assert host_env("somebodys:Mine-v0").name == "somebodys:Mine-v0"


def test_the_package_of_an_environment_is_known_for_the_record():
    assert providers("HalfCheetah-v5") == ["gymnasium"]
    assert providers("tests/Bare-v0") == []


def test_ids_of_others_are_their_own_twins():
    assert nominal_twin("tests/Limited-v0").horizon == 33
    assert make_env("tests/Limited-v0").name == "tests/Limited-v0"
