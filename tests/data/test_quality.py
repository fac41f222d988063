"""Every oddity of demonstrations is found, by the right name, and nothing else."""

import numpy as np
import pytest
from gymnasium import spaces

from reins.data import findings
from reins.data.quality import ranges
from reins.envs import Boundary

ENV = "reins/Some-v0"
SPACES = {
    "observation_space": spaces.Box(-9.0, 9.0, (2,), np.float32),
    "action_space": spaces.Discrete(3),
}


def episodes(lengths=(30,) * 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    observations = [rng.uniform(-9, 9, (n + 1, 2)) for n in lengths]
    actions = [rng.integers(3, size=n) for n in lengths]
    return observations, actions, [np.ones(n) for n in lengths]


def found(parts, *, env_id: str = ENV, **changed):
    return findings(*parts, env_id=env_id, **{"env_ids": [ENV], **SPACES, **changed})


def only(parts, **changed):
    (finding,) = found(parts, **changed)
    return finding


def test_good_demonstrations_are_passed():
    assert found(episodes()) == []


def test_few_episodes():
    assert found(episodes((30,) * 10)) == []
    finding = only(episodes((30,) * 9))
    assert finding[:2] == ("warning", "number of episodes")
    assert finding.found == "9"
    assert "9 draws" in finding.remedy


@pytest.mark.parametrize(
    ("kept", "text"), [(1, "all 12 the same"), (11, "11 different ones among 12")]
)
def test_repeated_episodes(kept, text):
    parts = tuple(x[:kept] + [x[0]] * (12 - kept) for x in episodes())
    finding = only(parts)
    assert finding[:2] == ("warning", "episodes")
    assert finding.found == text


def test_repetitions_are_no_evidence_of_anything_else():
    """One episode whose last step happens to jump, many times over."""
    observations, actions, rewards = episodes()
    observations[0][-1] = observations[0][0] + 30.0
    observations[0][0] = observations[0][-1]
    parts = [observations[0]] * 12, [actions[0]] * 12, rewards
    wide = spaces.Box(-99.0, 99.0, (2,), np.float32)
    assert only(parts, observation_space=wide).subject == "episodes"


def test_the_same_actions_elsewhere_are_no_repetition():
    observations, actions, rewards = episodes()
    assert found((observations, [actions[0]] * 12, rewards)) == []


def test_unequal_lengths():
    assert found(episodes((20,) + (100,) * 11)) == []
    finding = only(episodes((19,) + (100,) * 11))
    assert finding[:2] == ("warning", "lengths of episodes")
    assert finding.found == "19 to 100 steps (median 100)"


def test_dimensions_that_never_change_are_named():
    observations, actions, rewards = episodes()
    for o in observations:
        o[:, 1] = 4.0
    finding = only((observations, actions, rewards))
    assert finding[:2] == ("warning", "observations")
    assert finding.found == "dimensions 1 of 2 never change"
    assert "--observation-dims" in finding.remedy


def test_actions_that_never_change_are_named():
    observations, actions, rewards = episodes()
    finding = only((observations, [np.full_like(a, 2) for a in actions], rewards))
    assert finding[:2] == ("warning", "actions")
    assert finding.found == "all 360 are 2"
    assert "--action-dims" in finding.remedy


def test_observations_out_of_bounds_are_a_warning():
    observations, actions, rewards = episodes()
    observations[3][7] = (0.0, 40.0)
    finding = only((observations, actions, rewards))
    assert finding[:2] == ("warning", "bounds")
    assert "1 values of observations lie outside" in finding.found
    assert "to 40" in finding.found


def test_forbidden_steps_are_counted_by_the_observation_they_answer():
    observations, actions, rewards = episodes()
    for o in observations:
        o[:, 0] = np.abs(o[:, 0])
    observations[0][4, 0] = observations[5][7, 0] = -1.0
    observations[2][-1, 0] = -1.0  # where it ended: no action answers it
    rules = {
        "left": lambda o, a: o[:, 0] < 0,
        "all": lambda o, a: a >= 0,
        "none": lambda o, a: a > 5,
    }
    left, everything = found((observations, actions, rewards), forbidden=rules)
    assert left[:2] == everything[:2] == ("warning", "violations")
    assert (left.expected, left.found) == (
        "no step that left forbids",
        "2 of 360 (0.56 %)",
    )
    assert everything.found.startswith("360 of 360")


def approaching(*nearest: float):
    """Walks of stride 1/2 that come so near to -3 along the second entry, and turn."""
    observations, actions, rewards = episodes()
    for o, least in zip(observations, [*nearest, *[5.0] * 12], strict=False):
        o[:, 1] = least + 0.5 * np.abs(np.arange(31) - 15.0)
        o[:, 1] = np.minimum(o[:, 1], 8.5)
    return observations, actions, rewards


@pytest.mark.parametrize(
    ("nearest", "told"), [(-2.0, "the nearest is 1 away"), (4.0, "7 away")]
)
def test_demonstrations_that_never_come_near_the_boundary(nearest, told):
    finding = only(approaching(nearest), boundary=Boundary(1, -3.0))
    assert finding[:2] == ("warning", "boundary")
    assert told in finding.found
    assert "a stride (0.5)" in finding.expected
    assert "below -3 in entry 1" in finding.expected


def test_within_a_stride_of_the_boundary_is_near():
    assert found(approaching(-2.75), boundary=Boundary(1, -3.0)) == []


def test_the_boundary_has_a_side():
    observations, actions, rewards = approaching(-2.75)
    mirrored = [o * np.array([1.0, -1.0]) for o in observations], actions, rewards
    assert found(mirrored, boundary=Boundary(1, 3.0, "above")) == []
    assert only(mirrored, boundary=Boundary(1, 8.9, "above")).subject == "boundary"


def test_steps_that_end_beyond_the_boundary_are_violations():
    """Of the first walk three end on it or beyond; where it starts does not count."""
    parts = approaching(-3.5)
    finding = only(parts, boundary=Boundary(1, -3.0))
    assert finding[:2] == ("warning", "violations")
    assert finding.found.startswith("3 of 360 ")
    assert "the environment's rule (below -3 in entry 1)" in finding.expected


def test_shifted_actions_are_a_warning():
    rng = np.random.default_rng(2)
    actions = [rng.integers(3, size=30) for _ in range(12)]
    cells = [np.concatenate([[0.0], np.cumsum(a - 1.0)]) for a in actions]
    observations = [np.stack([c, rng.uniform(size=31)], axis=1) / 9 for c in cells]
    rewards = [np.ones(29)] * 12
    right = observations, actions, [np.ones(30)] * 12
    assert found(right) == []
    late = [o[1:] for o in observations], [a[:-1] for a in actions], rewards
    finding = only(late)
    assert finding[:2] == ("warning", "alignment")
    assert "the observation that it led to" in finding.found
    assert finding.remedy == "Pair observations[:-1] with actions[1:]."
    early = [o[:-1] for o in observations], [a[1:] for a in actions], rewards
    finding = only(early)
    assert "the observation before" in finding.found
    assert finding.remedy == "Pair observations[1:] with actions[:-1]."


def test_resets_left_in_are_a_warning():
    observations, actions, rewards = episodes()
    for i in range(6):
        observations[i][-1] = observations[i + 1][0]
    finding = only((observations, actions, rewards))
    assert finding[:2] == ("warning", "last observations")
    assert finding.found.startswith("6 of 12 episodes")
    observations[5][-1] = 0.0
    assert found((observations, actions, rewards)) == []


def test_errors_come_first_and_all_at_once():
    observations, actions, rewards = episodes((30,) * 3)
    actions[1] = actions[1] + 2
    wide = [np.concatenate([o, o], axis=1) for o in observations]
    told = found((wide, actions, rewards), env_id="reins/Other-v0")
    assert [f[:2] for f in told] == [
        ("error", "env"),
        ("error", "spaces"),
        ("error", "spaces"),
        ("warning", "number of episodes"),
    ]
    assert "recorded in reins/Other-v0" in told[0].found
    assert "observations have shape (4,)" in told[1].found
    assert "values of actions lie outside Discrete(3)" in told[2].found


def test_broken_episodes_are_looked_at_no_further():
    observations, actions, rewards = episodes((30,) * 3)
    observations[0][2] = np.nan
    rewards[1][0] = np.inf
    told = found((observations, actions, rewards), env_id="reins/Other-v0")
    assert [f[:2] for f in told] == [
        ("error", "episodes"),
        ("error", "episodes"),
        ("error", "env"),
    ]
    assert "2 values of observations are not finite" in told[0].found


def test_rules_are_not_asked_about_what_does_not_fit():
    observations, actions, rewards = episodes()
    wide = [np.concatenate([o, o], axis=1) for o in observations]

    def rule(observations, actions):
        raise AssertionError

    told = found((wide, actions, rewards), forbidden={"rule": rule})
    assert [f.subject for f in told] == ["spaces"]


def test_an_unknown_environment_leaves_the_rest():
    parts = episodes((30,) * 3)
    told = findings(*parts, env_id="reins/Nowhere-v0")
    assert [f.subject for f in told] == ["number of episodes"]


def test_ranges_of_numbers():
    assert ranges(np.array([0, 3, 4, 5, 9])) == "0, 3-5, 9"
    assert ranges(np.array([7])) == "7"
