"""Several actor-learners in one run: alone as a2c, together, and when some fail."""

import functools
import itertools
import threading
from pathlib import Path

import gymnasium
import jax
import numpy as np
import optax
import pytest
from gymnasium import spaces
from rich.console import Console
from safetensors.numpy import load_file

from reins.agents import a2c
from reins.agents.a3c import a3c
from reins.critics import value_critic
from reins.envs import make_env
from reins.errors import RunError
from reins.experiments.build import Task
from reins.experiments.checkpoint import load_record
from reins.experiments.config import RunConfig, TrainConfig
from reins.experiments.engines.local import make_programs, run_groups
from reins.experiments.engines.threads import Crew, Failure
from reins.experiments.loops import Group, run_group
from reins.experiments.program import compiled_program
from reins.experiments.report import Terminal
from reins.experiments.summary import Run, news_of, resumed
from reins.policies import categorical_policy
from tests.toys import delayed_bandit

RUN = RunConfig(
    seeds=1,
    steps=96,
    environments=2,
    rollout_steps=4,
    evaluation_interval=32,
    evaluation_episodes=2,
)
CONFIG = TrainConfig("a2c", "reins/CartPole-v1", run=RUN)
ENV = delayed_bandit(delay=1)


class Frail(gymnasium.Env):
    """Noise, until a worker whose number is in `doomed` comes to its tenth step."""

    observation_space = spaces.Box(-9, 9, (2,), np.float32)
    action_space = spaces.Discrete(2)
    doomed: frozenset[int] = frozenset()
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=2).clip(-9, 9).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        name = threading.current_thread().name
        if self.steps == 10 and name in {f"worker {i}" for i in Frail.doomed}:
            raise ValueError("the door is stuck")
        observation = self.np_random.normal(size=2).clip(-9, 9).astype(np.float32)
        return observation, float(action), False, False, {}


gymnasium.register("tests/Frail-v0", entry_point=Frail, max_episode_steps=5)


def optimizer(rate=0.05):
    return optax.chain(
        optax.clip_by_global_norm(5.0), optax.rmsprop(rate, decay=0.9, eps=1e-5)
    )


def made(agent, env=ENV, **settings):
    parts = categorical_policy(2, 2, hidden=()), value_critic(2, hidden=())
    told = {"discount": 0.5, "entropy_weight": 0.01}
    return Task(
        agent(*parts, optimizer(), **told, **settings), env, env, env, episodes(env)
    )


def episodes(env) -> int:
    return 20 if env is ENV else 2


def group(program, file: Path, run=RUN, seed=3, env=ENV.name) -> Group:
    return Group("a3c", env, (seed,), program, run, file)


@functools.cache
def compiled(workers: int, run: RunConfig = RUN, seeds: int = 1):
    """A program for each seed; closed, it begins anew."""
    return make_programs(made(a3c, workers=workers), run, [(3,)] * seeds)


def go(one: Group, *, until: int | None = None) -> list[str]:
    """Train a group, or stop it after so many updates; what it said on the way."""
    stop, updates, news = threading.Event(), 0, []

    def report(progress) -> None:
        nonlocal updates
        updates += progress.info is not None
        if updates == until:
            stop.set()
        if progress.news is not None:
            news.append(progress.news)

    run_group(one, jax.local_devices()[0], report, stop)
    return news


def nobody_is_left() -> bool:
    return not any(t.name.startswith("worker ") for t in threading.enumerate())


def test_one_worker_is_the_sequential_algorithm_step_by_step(tmp_path):
    """The same seed, batches, numbers and parameters as `a2c` in the compiled loop."""
    (alone,) = compiled(1)
    go(group(alone, tmp_path / "a3c"))
    go(group(compiled_program(made(a2c), RUN, 1), tmp_path / "a2c"))
    found, expected = (load_record(tmp_path / name) for name in ("a3c", "a2c"))
    assert [row["steps"] for row in found["history"]] == [0, 32, 64, 96]
    for row, wanted in zip(found["history"], expected["history"], strict=True):
        for name in wanted:
            np.testing.assert_allclose(row[name], wanted[name], rtol=1e-4, atol=1e-6)
    arrays, wanted = load_file(tmp_path / "a3c"), load_file(tmp_path / "a2c")
    named = [name for name in wanted if name.startswith(".agent")]
    assert len(named) == 8
    for name in named:
        np.testing.assert_allclose(arrays[name], wanted[name], rtol=1e-4, atol=1e-6)


def test_one_worker_stopped_and_resumed_is_one_that_was_not(tmp_path):
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    (program,) = compiled(1)
    go(group(program, parts), until=5)
    assert load_record(parts)["updates"] == 5
    go(group(program, parts))
    go(group(program, whole))
    found, wanted = load_file(parts), load_file(whole)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
    assert load_record(parts)["history"] == load_record(whole)["history"]


def test_several_workers_share_the_updates_and_tell_how_stale_they_are(tmp_path):
    (program,) = compiled(3)
    one = group(program, tmp_path / "seed")
    go(one)
    assert nobody_is_left()
    record, arrays = load_record(one.checkpoint), load_file(one.checkpoint)
    assert [row["steps"] for row in record["history"]] == [0, 32, 64, 96]
    assert arrays[".updates"] == RUN.updates
    counts = [int(arrays[f".rollout[{i}].updates"][0]) for i in range(3)]
    assert sum(counts) == RUN.updates
    for row in record["history"][1:]:
        assert row["workers_alive"] == [3.0]
        assert 0.0 <= row["staleness"][0] <= row["staleness_max"][0] < RUN.updates
        assert row["staleness_max"][0] % 1 == 0.0  # the largest, not a mean
        assert {"entropy", "value_loss", "gradient_norm"} <= row.keys()
    places = [arrays[f".rollout[{i}].key"] for i in range(3)]
    assert not np.array_equal(places[0], places[1])
    assert not np.array_equal(places[1], places[2])
    run = Run(tmp_path, CONFIG, made(a3c), [one])
    assert resumed(run)["exact"] is False
    assert news_of(run) == {"repeatable": False, "news": []}


def test_several_workers_stopped_and_resumed_come_to_the_same_end(tmp_path):
    (program,) = compiled(3)
    file = tmp_path / "seed"
    go(group(program, file), until=5)
    assert nobody_is_left()
    assert load_record(file)["updates"] == 5
    assert load_record(file)["fresh_starts"] == []
    go(group(program, file))
    assert load_record(file)["updates"] == RUN.updates
    assert load_file(file)[".updates"] == RUN.updates


def test_seeds_learn_what_pays_one_after_another(tmp_path):
    run = RunConfig(steps=4_800, environments=4, rollout_steps=4)
    run = RunConfig(**{**vars(run), "evaluation_interval": 4_800})
    groups = [
        group(program, tmp_path / str(seed), run, seed)
        for seed, program in enumerate(compiled(3, run, seeds=2))
    ]
    order = []
    failures = run_groups(groups, lambda progress: order.append(progress.group))
    assert not failures
    assert sum(a is not b for a, b in itertools.pairwise(order)) == 1
    for one in groups:
        first, last = load_record(one.checkpoint)["history"]
        assert first["return"][0] < 0.8
        assert last["return"][0] > 0.9


# What goes wrong.


@functools.cache
def outside():
    env = make_env("tests/Frail-v0")
    return make_programs(made(a3c, env, workers=3), RUN, [(3,)])[0]


def frail(file: Path) -> Group:
    return group(outside(), file, env="tests/Frail-v0")


def test_a_worker_that_fails_is_named_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Frail, "doomed", frozenset({1}))
    one = frail(tmp_path / "seed")
    (sentence,) = go(one)
    assert nobody_is_left()
    assert sentence.startswith("a3c in tests/Frail-v0, seed 3: worker 1 of 3 (from 0)")
    assert "failed at step 9 of each of its copies: step raised ValueError" in sentence
    assert sentence.endswith("the door is stuck. The other 2 go on.")
    record, arrays = load_record(one.checkpoint), load_file(one.checkpoint)
    assert record["news"] == [sentence]
    assert record["updates"] == RUN.updates
    assert int(arrays[".rollout[1].updates"][0]) == 2
    assert record["history"][-1]["workers_alive"] == [2.0]
    run = Run(tmp_path, CONFIG, made(a3c), [one])
    assert news_of(run)["news"] == [sentence]


@pytest.mark.parametrize("terminal", [True, False])
def test_failures_are_said_on_the_terminal(terminal, tmp_path, monkeypatch):
    monkeypatch.setattr(Frail, "doomed", frozenset({0, 2}))
    one = frail(tmp_path / "seed")
    shown = Terminal()
    shown.console = Console(
        record=True, force_terminal=terminal, width=400, quiet=False
    )
    with shown.progress(RUN.updates * RUN.batch_steps) as show:
        run_group(one, jax.local_devices()[0], show, threading.Event())
    text = shown.console.export_text()
    assert text.count("the door is stuck. The other") == 2
    assert "The other 1 go on" in text


def test_when_all_fail_the_checkpoint_goes_on_with_all_of_them(tmp_path, monkeypatch):
    one = frail(tmp_path / "seed")
    monkeypatch.setattr(Frail, "doomed", frozenset({0, 1, 2}))
    with pytest.raises(RunError) as caught:
        go(one)
    assert nobody_is_left()
    message = str(caught.value)
    assert "tests/Frail-v0, seed 3: no worker is left: worker " in message
    assert message.count("the door is stuck") == 3
    assert f"{tmp_path / 'seed'} holds it as it was after 6 updates" in message
    record = load_record(tmp_path / "seed")
    assert record["updates"] == 6  # two of each
    assert len(record["news"]) == 2
    monkeypatch.setattr(Frail, "doomed", frozenset())
    assert go(one) == []
    record = load_record(tmp_path / "seed")
    assert record["updates"] == RUN.updates
    assert record["fresh_starts"] == [6]
    assert record["history"][-1]["workers_alive"] == [3.0]


def test_what_a_lost_worker_had_begun_another_one_does():
    """Leave for one update; whoever takes it first fails, and someone else ends it."""
    taken = []

    def work(worker, more, tell):
        while more():
            taken.append(worker)
            if len(taken) == 1:
                raise OSError("gone")
            tell(worker)

    crew = Crew(work, 2)
    crew.allow(1)
    failure, done = crew.hear(), crew.hear()
    crew.stop()
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, OSError)
    assert {failure.worker, done} == {0, 1}
    assert nobody_is_left()
