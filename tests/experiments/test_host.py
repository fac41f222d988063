"""The loop outside JAX: from an id to a trained agent, and through every misfortune."""

import dataclasses
import threading
from pathlib import Path

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium import spaces
from safetensors.numpy import load_file

import reins
from reins.data import FaultyEnvError
from reins.errors import CapabilityError, ConfigError, RunError
from reins.experiments.build import build
from reins.experiments.checkpoint import load_record
from reins.experiments.config import EnvConfig, PPOConfig, RunConfig, TrainConfig
from reins.experiments.engines.local import make_programs, run_groups
from reins.experiments.loops import Group, run_group
from reins.experiments.run import prepare
from reins.experiments.summary import resumed

SMALL = {
    "seeds": 2,
    "steps": 320,
    "environments": 2,
    "rollout_steps": 40,
    "evaluation_interval": 160,
    "evaluation_episodes": 2,
    "hidden": (8,),
    "epochs": 2,
    "minibatches": 2,
}
RUN = RunConfig(**{k: v for k, v in SMALL.items() if k in RunConfig.__annotations__})
PPO = PPOConfig(hidden=(8,), epochs=2, minibatches=2)


class Breaking(gymnasium.Env):
    """Noise, until `steps_left` steps have been taken by all copies; then NaN."""

    observation_space = spaces.Box(-9, 9, (3,), np.float32)
    action_space = spaces.Discrete(2)
    steps_left: int | None = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=3).clip(-9, 9).astype(np.float32), {}

    def step(self, action):
        observation = self.np_random.normal(size=3).clip(-9, 9).astype(np.float32)
        if Breaking.steps_left is not None:
            Breaking.steps_left -= 1
            if Breaking.steps_left < 0:
                observation[:] = np.nan
        return observation, float(action), False, False, {}


gymnasium.register("tests/Breaking-v0", entry_point=Breaking, max_episode_steps=15)


def groups(env: str, files: list[Path], run: RunConfig = RUN) -> list[Group]:
    """As many lives of seed 1 as there are files, compiled once for all."""
    task = build(TrainConfig("ppo", env, run=run, ppo=PPO))
    programs = make_programs(task, run, [(1,)] * len(files))
    return [
        Group("ppo", env, (1,), program, run, file)
        for program, file in zip(programs, files, strict=True)
    ]


def raising(error: Exception):
    def fails(*_):
        raise error

    return fails


def go(group: Group, *, until: int | None = None, seen: list | None = None) -> None:
    """Train a group, or stop it after so many updates of this life.

    Args:
      seen: what is reported is put there.
    """
    stop, updates = threading.Event(), 0

    def report(progress) -> None:
        nonlocal updates
        if seen is not None:
            seen.append(progress)
        updates += progress.info is not None
        if updates == until:
            stop.set()

    run_group(group, jax.local_devices()[0], report, stop)


@pytest.mark.parametrize("env", ["Hopper-v5", "CartPole-v1"])
def test_a_stopped_run_equals_the_whole_one_where_its_state_can_be_saved(env, tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    first, second, third, unbroken = groups(env, [parts, parts, parts, whole])
    go(first, until=1)
    go(second, until=2)
    go(third)
    go(unbroken)
    record, expected = load_record(parts), load_record(whole)
    found, wanted = load_file(parts), load_file(whole)
    same = found.keys() == wanted.keys() and all(
        np.array_equal(found[name], wanted[name]) for name in found
    )
    if env == "Hopper-v5":
        assert same
        assert record["history"] == expected["history"]
        assert record["fresh_starts"] == []
    else:
        assert not same
        assert record["fresh_starts"] == [1, 3]
        assert expected["fresh_starts"] == []
    assert len(record["spans"]) == 3


def test_a_summary_says_where_episodes_were_begun_afresh(tmp_path):
    config = TrainConfig("ppo", "CartPole-v1", run=RUN, ppo=PPO)
    run = prepare(config, tmp_path)
    go(run.groups[0])
    go(run.groups[1], until=2)
    run.groups[1].program.close()
    go(run.groups[1])
    assert resumed(run) == {"exact": False, "fresh_starts": [[], [160]]}


def test_a_broken_environment_is_named_and_leaves_a_checkpoint_that_goes_on(tmp_path):
    file = tmp_path / "seed"
    broken, mended = groups("tests/Breaking-v0", [file, file])
    Breaking.steps_left = 2 * 15 + 2 * (40 + 7)  # an evaluation, 40 steps, and 7
    with pytest.raises(RunError) as caught:
        go(broken)
    message = str(caught.value)
    assert "tests/Breaking-v0, seed 1, step 47 of each copy, in copy 0 of 2" in message
    assert "it showed observation [nan nan nan]; expected finite numbers" in message
    assert str(file) in message
    assert "`reins check-env tests/Breaking-v0`" in message
    assert load_record(file)["updates"] == 1
    Breaking.steps_left = None
    go(mended)
    assert load_record(file)["updates"] == RUN.updates


def test_a_fault_amid_several_updates_keeps_those_before_it(tmp_path):
    file, run = tmp_path / "seed", dataclasses.replace(RUN, rollout_steps=2)
    broken, mended = groups("tests/Breaking-v0", [file, file], run)
    # An evaluation, 5 updates of the 16 between two reports, and a step of the 6th.
    Breaking.steps_left = 2 * 15 + 2 * (5 * 2 + 1)
    reported = []
    with pytest.raises(RunError, match="step 11 of each copy, in copy 0 of 2"):
        go(broken, seen=reported)
    assert [p.steps for p in reported if p.info is not None] == [5 * 2 * 2]
    assert load_record(file)["updates"] == 5
    Breaking.steps_left = None
    go(mended)
    assert load_record(file)["updates"] == run.updates


def test_an_environment_that_fails_at_once_or_in_an_evaluation_is_named_too(tmp_path):
    first, judged = groups("tests/Breaking-v0", [tmp_path / "a", tmp_path / "b"])
    error = FaultyEnvError(0, None, "reset raised OSError: no model")
    with pytest.raises(RunError, match=r"seed 1, step 0.*nothing of it was there"):
        go(first._replace(program=first.program._replace(init=raising(error))))
    Breaking.steps_left = 7
    with pytest.raises(
        RunError, match=r"seed 1, step 0.*evaluation after it, it showed"
    ):
        go(judged)
    assert load_record(tmp_path / "b")["updates"] == 0


def test_a_broken_environment_stops_its_own_seed_only(tmp_path):
    one, other = groups("tests/Breaking-v0", [tmp_path / "a", tmp_path / "b"])
    Breaking.steps_left = None
    sabotaged = one._replace(
        program=one.program._replace(advance=raising(FaultyEnvError(3, None, "gone")))
    )
    failures = run_groups([sabotaged, other], lambda progress: None)
    assert list(failures) == [sabotaged]
    assert load_record(tmp_path / "a")["updates"] == 0
    assert load_record(tmp_path / "b")["updates"] == RUN.updates


def test_seeds_of_one_group_are_the_seeds_one_by_one(tmp_path):
    config = TrainConfig("ppo", "Swimmer-v5", run=RUN, ppo=PPO)
    task = build(config)
    alone = make_programs(task, RUN, [(0,), (1,)])
    (together,) = make_programs(task, RUN, [(0, 1)])
    keys = jax.vmap(jax.random.key)(np.asarray([0, 1], np.uint32))
    both = together.init(keys)
    singles = [program.init(keys[i : i + 1]) for i, program in enumerate(alone)]
    for _ in range(2):
        both, info, _ = together.advance(both, 1)
        singles, infos, _ = zip(
            *[p.advance(s, 1) for p, s in zip(alone, singles, strict=True)],
            strict=True,
        )
    for i, single in enumerate(singles):
        np.testing.assert_allclose(
            both.rollout.standing.observations[i],
            single.rollout.standing.observations[0],
            rtol=1e-3,
            atol=1e-3,
        )
        for name in ("train/reward_per_step", "entropy"):
            np.testing.assert_allclose(info[name][i], infos[i][name][0], rtol=1e-3)
    judged = together.evaluate(both)
    assert judged["return"].shape == (2,)
    for program in (*alone, together):
        program.close()


@pytest.mark.parametrize("vectorisation", ["sync", "async", "own"])
def test_every_way_of_stepping_copies_trains(vectorisation, tmp_path):
    settings = {**SMALL, "seeds": 1, "vectorisation": vectorisation}
    found = reins.train("ppo", "CartPole-v1", out=tmp_path, quiet=True, **settings)
    assert found.summary["final_return"][0] > 5


def test_pictures_dictionaries_and_unbounded_arguments_train(tmp_path):
    class Mixed(gymnasium.Env):
        observation_space = spaces.Dict(
            {"place": spaces.Box(-1, 1, (2, 2)), "mode": spaces.Discrete(3)}
        )
        action_space = spaces.Box(
            np.float32([-2, 10]), np.float32([2, 30]), dtype=np.float32
        )

        def __init__(self, least: float = 0.0):
            self.least = least

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return {"place": np.zeros((2, 2), np.float32), "mode": 2}, {}

        def step(self, action):
            assert self.least <= action[1] <= 30
            place = np.full((2, 2), action[0] / 2, np.float32)
            info = {"cost": float(action[0] > 1)}
            return {"place": place, "mode": 1}, float(action[1]), False, False, info

    class Picture(Mixed):
        observation_space = spaces.Box(0, 255, (11, 6, 2), np.uint8)

        def reset(self, *, seed=None, options=None):
            return np.zeros((11, 6, 2), np.uint8), {}

        def step(self, action):
            _, *rest = super().step(action)
            return np.full((11, 6, 2), 200, np.uint8), *rest

    gymnasium.register("tests/Mixed-v0", entry_point=Mixed)
    gymnasium.register("tests/Picture-v0", entry_point=Picture)
    settings = {**SMALL, "seeds": 1, "horizon": 7}
    arguments = {"env_args": '{"least": 10.0}'}
    mixed = reins.train(
        "ppo", "tests/Mixed-v0", out=tmp_path / "a", quiet=True, **settings, **arguments
    )
    assert 70 <= mixed.summary["final_return"][0] <= 210
    assert 0 <= mixed.summary["final_violation_rate"][0] <= 1
    observation = mixed.agent().env.observation_space.sample()
    assert observation.shape == (7,)
    action, _ = mixed.predict(observation)
    assert mixed.agent().env.action_space.contains(action)
    picture = reins.train(
        "ppo", "tests/Picture-v0", out=tmp_path / "b", quiet=True, **settings
    )
    action, _ = picture.predict(np.zeros((11, 6, 2), np.uint8))
    assert action.shape == (2,)


def test_what_cannot_be_trained_in_is_refused_with_what_to_do():
    class Sequence(gymnasium.Env):
        observation_space = spaces.Sequence(spaces.Box(-1, 1, (2,)))
        action_space = spaces.MultiDiscrete([2, 3])

    gymnasium.register("tests/Sequence-v0", entry_point=Sequence)

    def asked(env: str, **options):
        build(TrainConfig("ppo", env, run=RUN, ppo=PPO, host=EnvConfig(**options)))

    with pytest.raises(CapabilityError, match=r"no fixed length.*shows one vector"):
        asked("tests/Sequence-v0")
    with pytest.raises(ConfigError, match=r"no environment `CartPole-v9`.*CartPole-v1"):
        asked("CartPole-v9")
    with pytest.raises(ConfigError, match="module 'nothing_here' cannot be imported"):
        asked("nothing_here:Some-v0")
    with pytest.raises(ConfigError, match=r"could not be made: TypeError.*gravitas"):
        asked("CartPole-v1", env_args='{"gravitas": 3}')
    with pytest.raises(ConfigError, match="expected a JSON object"):
        asked("CartPole-v1", env_args="[1]")
    with pytest.raises(ConfigError, match="single quotes"):
        asked("CartPole-v1", env_args="{gravity")
    with pytest.raises(ConfigError, match="asked to be stepped as one MuJoCo batch"):
        asked("CartPole-v1", vectorisation="mujoco")
    with pytest.raises(ConfigError, match=r"EnvPool was asked for.*not installed"):
        asked("CartPole-v1", vectorisation="envpool")
    with pytest.raises(ConfigError, match="it has none"):
        asked("Pendulum-v1", vectorisation="own")
    with pytest.raises(ConfigError, match=r"horizon 7.*no such options"):
        asked("reins/LapGridWorld-v0", horizon=7)
    with pytest.raises(ConfigError, match="horizon must be positive"):
        EnvConfig(horizon=0)
