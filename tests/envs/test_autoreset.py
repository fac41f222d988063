"""One transition contract, in every autoreset mode, against a script."""

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from reins.data import host_rollout, start_host_rollout
from reins.envs import AutoresetVector, HostEnv
from reins.envs.autoreset import EnvPoolVector
from reins.errors import CapabilityError
from tests.scripted import FakePool, Scripted, expected_steps, scripted_vector

COPIES, STEPS = 4, 23
SCRIPT = HostEnv(
    "Scripted-v0",
    Scripted.observation_space,
    Scripted.action_space,
    horizon=3,
    make=lambda copies, threads: vector("disabled", copies),
    costs=True,
)
WAYS = [
    "next-step",
    "same-step",
    "disabled",
    "envpool",
    "terminated only, next-step",
    "terminated only, same-step",
    "terminated only, disabled",
    "both, same-step",
]


def vector(way: str, copies: int):
    told, _, mode = way.rpartition(", ")
    if mode == "envpool":
        return EnvPoolVector(FakePool, copies)
    mode = AutoresetMode[mode.upper().replace("-", "_")]
    return AutoresetVector(scripted_vector(mode, copies, told=told or "all"))


def rolled(way: str, steps: int = STEPS):
    """The real steps of each copy, as the loop records them."""
    made = vector(way, COPIES)
    standing = start_host_rollout(SCRIPT, made, np.arange(COPIES))
    standing, batch, finished = host_rollout(
        SCRIPT, made, lambda o, t: np.full((COPIES, 1), 3.0), standing, steps=steps
    )
    return standing, batch, finished


@pytest.mark.parametrize("way", WAYS)
def test_what_is_recorded_is_what_happened(way):
    _, batch, _ = rolled(way)
    for copy in range(COPIES):
        real = batch.mask[copy]
        rows = expected_steps(copy, int(real.sum()))
        for name in rows[0]:
            found = getattr(batch, name)[copy][real]
            np.testing.assert_array_equal(
                found, [row[name] for row in rows], err_msg=name
            )


@pytest.mark.parametrize("way", WAYS)
def test_a_reset_is_never_a_step_to_learn_from(way):
    _, batch, _ = rolled(way)
    ends = batch.terminated | batch.truncated
    resets = ~batch.mask
    if "next-step" in way or way == "envpool":
        np.testing.assert_array_equal(resets[:, 1:], ends[:, :-1])
        assert not resets[:, 0].any()
        np.testing.assert_array_equal(batch.times[resets], -1)
        np.testing.assert_array_equal(batch.rewards[resets], 0.0)
        np.testing.assert_array_equal(batch.costs[resets], 0.0)
    else:
        assert not resets.any()
    assert not (ends & resets).any()


@pytest.mark.parametrize("way", WAYS)
def test_an_episode_that_ends_for_both_reasons_has_terminated(way):
    _, batch, _ = rolled(way)
    assert not (batch.terminated & batch.truncated).any()
    episodes = batch.observations[..., 1]
    ends = batch.terminated | batch.truncated
    np.testing.assert_array_equal(batch.terminated[ends], episodes[ends] % 2 == 0)


@pytest.mark.parametrize("way", WAYS)
def test_a_rollout_goes_on_where_the_last_one_stopped(way):
    _, whole, finished = rolled(way)
    made = vector(way, COPIES)
    standing = start_host_rollout(SCRIPT, made, np.arange(COPIES))
    parts, told = [], []
    for steps in (1, 2, 5, 15):
        standing, batch, ended = host_rollout(
            SCRIPT, made, lambda o, t: np.zeros((COPIES, 1)), standing, steps=steps
        )
        parts.append(batch)
        told += zip(*ended, strict=True)
    assert sorted(told) == sorted(zip(*finished, strict=True))
    for name in whole._fields:
        if name == "actions":
            continue
        joined = np.concatenate([getattr(part, name) for part in parts], axis=1)
        np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_finished_episodes_are_told_with_their_returns(way):
    _, batch, finished = rolled(way)
    ends = batch.terminated | batch.truncated
    expected = []
    for copy in range(COPIES):
        total = length = 0
        for t in range(STEPS):
            total += batch.rewards[copy, t] * batch.mask[copy, t]
            length += int(batch.mask[copy, t])
            if ends[copy, t]:
                expected.append((copy, length, total))
                total = length = 0
    found = sorted(zip(*finished, strict=True))
    assert len(found) > 2 * COPIES
    assert found == sorted(expected)


def test_actions_are_recorded_as_drawn_and_clipped_at_the_door():
    standing, batch, _ = rolled("disabled", steps=1)
    np.testing.assert_array_equal(batch.actions, 3.0)
    assert standing.times.tolist() == [1, 1, 0, 1]


def test_a_mode_written_as_a_word_counts_too():
    inner = scripted_vector(AutoresetMode.SAME_STEP, 2)
    inner.metadata = {"autoreset_mode": "SAME_STEP"}
    assert AutoresetVector(inner).mode is AutoresetMode.SAME_STEP


def test_a_vector_environment_that_does_not_say_how_it_resets_is_refused():
    inner = scripted_vector(AutoresetMode.NEXT_STEP, 2)
    inner.metadata = {}
    with pytest.raises(CapabilityError, match=r"says autoreset_mode None.*reins make"):
        AutoresetVector(inner)


def test_a_same_step_environment_that_loses_the_last_observation_is_refused():
    inner = scripted_vector(AutoresetMode.SAME_STEP, 3)
    inner.reset(seed=[0, 1, 2])
    step = inner.step

    def forgetful(actions):
        *shown, info = step(actions)
        info.pop("final_obs", None)
        return *shown, info

    inner.step = forgetful  # pyright: ignore
    made = AutoresetVector(inner)
    with pytest.raises(CapabilityError, match="the last observation is lost"):
        made.step(np.zeros((3, 1)))


def test_a_pool_is_made_anew_for_other_seeds():
    made = EnvPoolVector(FakePool, 2)
    first = made.inner
    made.reset([5, 7])
    assert first.closed
    assert made.inner.seeds == [5, 7]
    made.step(np.zeros((2, 1)))
