"""Rollouts outside JAX: what an environment may not do, and whole episodes.

That the rows are what happened is shown in tests/envs/test_autoreset.py.
"""

import tracemalloc

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from reins.data import (
    FaultyEnvError,
    host_rollout,
    run_host_episodes,
    start_host_rollout,
    total_host_episodes,
)
from reins.envs import AutoresetVector, HostEnv
from tests.scripted import LENGTHS, Scripted, scripted_vector

BOX = spaces.Box(-5, 5, (2,), np.float32)


class Faulty(gymnasium.Env):
    """Well behaved for two steps; then copy 1 does what it is told."""

    observation_space = BOX
    action_space = spaces.Discrete(2)

    def __init__(self, fault: str):
        self.fault, self.time, self.copy = fault, 0, 0

    def reset(self, *, seed=None, options=None):
        self.copy, self.time = seed, 0
        if self.fault == "resets badly":
            raise OSError("no such model")
        first = np.nan if self.fault == "begins with nan" else 0.0
        return np.full(2, first, np.float32), {}

    def step(self, action):
        self.time += 1
        observation, reward = np.ones(2, np.float32), 1.0
        info = {"cost": 0.5}
        if self.copy == 1 and self.time == 3:
            match self.fault:
                case "raises":
                    raise ZeroDivisionError("mass is 0")
                case "shows nan":
                    observation[1] = np.nan
                case "leaves its space":
                    observation[0] = -5.5
                case "changes shape":
                    observation = np.ones(3, np.float32)
                case "pays nan":
                    reward = np.nan
                case "costs infinity":
                    info["cost"] = np.inf
        return observation, reward, False, False, info


def roll(fault: str, *, steps: int = 5):
    env = HostEnv("Faulty-v0", BOX, Faulty.action_space, 9, lambda n, threads: None)  # pyright: ignore
    inner = SyncVectorEnv(
        [lambda: Faulty(fault)] * 3, autoreset_mode=AutoresetMode.DISABLED
    )
    vector = AutoresetVector(inner)
    standing = start_host_rollout(env, vector, np.arange(3))
    return host_rollout(
        env, vector, lambda o, t: np.zeros(3, np.int64), standing, steps=steps
    )


FAULTS = {
    "raises": (None, "step raised ZeroDivisionError: mass is 0"),
    "shows nan": (1, r"observation \[ 1\. nan\]; expected finite numbers"),
    "leaves its space": (1, r"observation \[-5\.5  1\. \], outside its space Box\(-5"),
    "changes shape": (None, "step raised ValueError"),
    "pays nan": (1, "reward nan; expected a number"),
    "costs infinity": (1, "cost inf; expected a number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_promise_is_named_with_its_step_and_copy(fault):
    place, sentence = FAULTS[fault]
    with pytest.raises(FaultyEnvError, match=sentence) as caught:
        roll(fault)
    assert caught.value.step == 2
    assert caught.value.place == place
    assert len(roll(fault, steps=2)) == 3, "the steps before it are good"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("resets badly", "reset raised OSError: no such model"),
        ("begins with nan", "expected finite numbers"),
    ],
)
def test_an_environment_that_cannot_begin_is_named(fault, sentence):
    with pytest.raises(FaultyEnvError, match=sentence):
        roll(fault)


def test_the_last_observation_of_a_rollout_is_looked_at_too():
    with pytest.raises(FaultyEnvError, match="expected finite"):
        roll("shows nan", steps=3)


def test_rounding_at_a_bound_is_no_fault():
    env = HostEnv("Edge-v0", BOX, Faulty.action_space, 9, lambda n, threads: None)  # pyright: ignore

    class Edge(Faulty):
        def step(self, action):
            _, *rest = super().step(action)
            return np.full(2, 5.0, np.float32) * np.float32(1 + 1e-6), *rest

    inner = SyncVectorEnv([lambda: Edge("none")], autoreset_mode=AutoresetMode.DISABLED)
    vector = AutoresetVector(inner)
    standing = start_host_rollout(env, vector, np.arange(1))
    host_rollout(env, vector, lambda o, t: np.zeros(1, int), standing, steps=2)


@pytest.mark.parametrize("run", [run_host_episodes, total_host_episodes])
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_whole_episodes_are_the_first_of_each_copy(mode, run):
    env = HostEnv(
        "Scripted-v0",
        Scripted.observation_space,
        Scripted.action_space,
        3,
        lambda n, threads: None,  # pyright: ignore
        costs=True,
    )
    vector = AutoresetVector(scripted_vector(mode, 3))
    found = run(env, vector, lambda o, t: np.zeros((3, 1)), np.asarray([0, 1, 2]))
    lengths = [LENGTHS[i % 3] for i in range(3)]
    assert found.lengths.tolist() == lengths
    sums = [sum(range(1, n + 1)) for n in lengths]
    returns = [
        100.0 * i * n + s for i, (n, s) in enumerate(zip(lengths, sums, strict=True))
    ]
    assert found.returns.tolist() == returns
    assert found.costs.tolist() == [s / 8 for s in sums]
    rate = getattr(found, "totals", found).violation_rate
    assert rate == pytest.approx(sum(sums) / 8 / sum(lengths))


def test_acting_over_whole_episodes_counts_the_steps_on():
    env = HostEnv("Long-v0", BOX, Faulty.action_space, 230, lambda n, threads: None)  # pyright: ignore
    inner = SyncVectorEnv(
        [lambda: Faulty("none")], autoreset_mode=AutoresetMode.DISABLED
    )
    asked = []

    def act(observations, t):
        asked.append(t)
        return np.zeros(1, int)

    found = run_host_episodes(env, AutoresetVector(inner), act, np.asarray([0]))
    assert asked == list(range(230)), "an episode without an end stops at the horizon"
    assert found.lengths.tolist() == [230]
    assert found.returns.tolist() == [230.0]


@pytest.mark.parametrize("run", [run_host_episodes, total_host_episodes])
def test_only_the_first_episode_counts_however_long_the_others_last(run):
    class Uneven(Faulty):
        def step(self, action):
            observation, reward, *_, info = super().step(action)
            return observation, reward, self.copy == 0 and self.time == 40, False, info

        def reset(self, *, seed=None, options=None):
            again = self.copy if seed is None else seed
            return super().reset(seed=again)

    env = HostEnv("Uneven-v0", BOX, Faulty.action_space, 230, lambda n, threads: None)  # pyright: ignore
    inner = SyncVectorEnv(
        [lambda: Uneven("none")] * 2, autoreset_mode=AutoresetMode.DISABLED
    )
    found = run(
        env, AutoresetVector(inner), lambda o, t: np.zeros(2, int), np.arange(2)
    )
    assert found.lengths.tolist() == [40, 230]
    assert found.returns.tolist() == [40.0, 230.0]


def test_totals_keep_no_step_longer_than_a_stretch():
    """An evaluation in pictures once kept every one until its last game had ended."""

    class Wide(Faulty):
        observation_space = spaces.Box(0, 255, (64, 64), np.uint8)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros((64, 64), np.uint8), {}

        def step(self, action):
            return np.zeros((64, 64), np.uint8), 1.0, False, False, {}

    def peak(run, horizon):
        space = Wide.observation_space
        env = HostEnv("Wide-v0", space, Wide.action_space, horizon, lambda n, t: None)  # pyright: ignore
        inner = SyncVectorEnv(
            [lambda: Wide("none")], autoreset_mode=AutoresetMode.DISABLED
        )
        tracemalloc.start()
        run(env, AutoresetVector(inner), lambda o, t: np.zeros(1, int), np.arange(1))
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    short, long = (peak(total_host_episodes, steps) for steps in (200, 1000))
    assert long < 1.5 * short
    assert peak(run_host_episodes, 1000) > 3 * short, "the measure sees what is kept"
