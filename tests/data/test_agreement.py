"""Demonstrations are held against what the environment itself would do and pay."""

import numpy as np
import pytest

from reins.data.agreement import disagreements

RNG = np.random.default_rng(0)


def replay(observations, actions):
    """s' = s + a along two axes; it pays the first action."""
    return observations + actions, actions[:, 0]


def walks(n: int = 4, steps: int = 50):
    """Random walks that `replay` would have walked."""
    actions = [RNG.normal(size=(steps, 2)) for _ in range(n)]
    starts = [np.zeros((1, 2))] * n
    moved = [
        np.cumsum(np.concatenate([s, a]), axis=0)
        for s, a in zip(starts, actions, strict=True)
    ]
    return moved, actions, [a[:, 0] for a in actions]


def found(parts, **told):
    return list(disagreements(*parts, **told))


def only(parts, **told):
    (finding,) = found(parts, **told)
    return finding


def test_what_the_environment_would_have_done_is_passed():
    assert found(walks(), horizon=50, replay=replay) == []
    assert found(walks()) == []


def test_rounding_is_no_other_dynamics():
    moved, actions, rewards = walks()
    moved = [m + 1e-3 * RNG.normal(size=m.shape) for m in moved]
    rewards = [r + 1e-3 * RNG.normal(size=r.shape) for r in rewards]
    assert found((moved, actions, rewards), replay=replay) == []


def test_other_dynamics_are_told_by_the_entry_that_is_worst():
    moved, actions, rewards = walks()
    slower = [m * np.array([1.0, 0.5]) for m in moved]
    finding = only((slower, actions, rewards), replay=replay)
    assert finding[:2] == ("warning", "dynamics")
    assert "of 200 steps lead elsewhere; entry 1" in finding.found


def test_a_few_steps_apart_are_not_other_dynamics():
    """One step in fifty jumps, as where a robot is put back on its feet."""
    moved, actions, rewards = walks()
    for m in moved:
        m[20:] += 7.0
    assert found((moved, actions, rewards), replay=replay) == []


def test_other_rewards_are_told_with_both_means():
    moved, actions, rewards = walks()
    doubled = [2.0 * r + 1.0 for r in rewards]
    finding = only((moved, actions, doubled), replay=replay)
    assert finding[:2] == ("warning", "rewards")
    mean = np.concatenate(rewards).mean()
    assert f"{2.0 * mean + 1.0:.4g} in the mean where it pays {mean:.4g}" in (
        finding.found
    )


def test_rewards_that_never_change_are_compared_too():
    moved, actions, _ = walks()
    ones = [np.ones(50)] * 4

    def paying(reward: float):
        return lambda o, a: (o + a, np.full(len(a), reward))

    assert only((moved, actions, ones), replay=paying(0.9)).subject == "rewards"
    assert found((moved, actions, ones), replay=paying(1.0)) == []


def test_steps_that_cannot_be_taken_again_are_left_out():
    def broken(observations, actions):
        following, paid = replay(observations, actions)
        following[::2] = np.nan
        return following, paid

    assert found(walks(), replay=broken) == []
    assert found(walks(), replay=lambda o, a: (o * np.nan, a[:, 0])) == []


@pytest.mark.parametrize(
    ("lengths", "horizon", "told"),
    [
        ([50] * 4, 100, "4 of 4 that end after 50 steps"),
        ([50, 50, 30, 41], 100, "2 of 4 that end after 50 steps"),
        ([100, 120, 90, 120], 100, "2 of 4 longer ones, of up to 120 steps"),
    ],
)
def test_another_time_limit(lengths, horizon, told):
    observations, actions, rewards = walks(4, 130)
    parts = (
        [o[: n + 1] for o, n in zip(observations, lengths, strict=True)],
        [a[:n] for a, n in zip(actions, lengths, strict=True)],
        [r[:n] for r, n in zip(rewards, lengths, strict=True)],
    )
    finding = only(parts, horizon=horizon)
    assert finding[:2] == ("warning", "horizon")
    assert finding.found == told


@pytest.mark.parametrize("lengths", [[100] * 4, [96] * 4, [20, 50, 60, 70], [50]])
def test_no_other_time_limit(lengths):
    """As long as the limit, nearly so, each otherwise, or one alone."""
    parts = walks(len(lengths), 100)
    cut = [
        [x[: n + extra] for x, n in zip(part, lengths, strict=True)]
        for part, extra in zip(parts, (1, 0, 0), strict=True)
    ]
    assert found(cut, horizon=100) == []
