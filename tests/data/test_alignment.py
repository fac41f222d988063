"""Shifted actions and resets left in are told from recordings that are right."""

import numpy as np
import pytest

from reins.data.alignment import alignment, as_vectors, reset_rows

EPISODES, STEPS = 8, 80


def pendulum(*, noise: float = 1.0, episodes: int = EPISODES, steps: int = STEPS):
    """A damped oscillator pushed by feedback plus noise, from random starts."""
    rng = np.random.default_rng(0)
    observations, actions = [], []
    for _ in range(episodes):
        x, v = rng.normal(size=2)
        seen, done = [(x, v)], []
        for _ in range(steps):
            push = -0.5 * x - 0.8 * v + noise * rng.normal()
            v += 0.2 * (push - np.sin(x) - 0.1 * v)
            x += 0.2 * v
            seen.append((x, v))
            done.append([push])
        observations.append(np.asarray(seen, np.float32))
        actions.append(np.asarray(done, np.float32))
    return observations, actions


def laps(*, chance: float = 0.5, episodes: int = EPISODES, steps: int = STEPS):
    """Random drives round a lap of 40 cells, which wraps; actions are 0 and 1."""
    rng = np.random.default_rng(1)
    actions = [(rng.random(steps) < chance).astype(int) for _ in range(episodes)]
    cells = [np.concatenate([[0], np.cumsum(1 - 2 * a)]) % 40 for a in actions]
    return [(c / 20 - 1.0).astype(np.float32)[:, None] for c in cells], actions


def too_late(observations, actions):
    """Each action beside the observation that it led to."""
    return [o[1:] for o in observations], [a[:-1] for a in actions]


def too_early(observations, actions):
    """Each action beside the observation before the one that it answered."""
    return [o[:-1] for o in observations], [a[1:] for a in actions]


@pytest.mark.parametrize("made", [pendulum, laps])
@pytest.mark.parametrize(
    ("spoil", "shift"), [(lambda *x: x, 0), (too_late, 1), (too_early, -1)]
)
def test_the_shift_of_actions_is_found(made, spoil, shift):
    found = alignment(*spoil(*made()))
    assert found is not None
    assert found.shift == shift
    assert min(found.unexplained, key=lambda k: found.unexplained[k]) == shift


def test_the_shares_are_those_of_independent_fits():
    """1 minus the adjusted R² of each action on both states, by plain arithmetic."""
    observations, actions = pendulum()
    found = alignment(observations, actions)
    assert found is not None
    for k in (-1, 0, 1):
        now = np.concatenate([o[1:-2] for o in observations]).astype(np.float64)
        step = np.concatenate([o[2:-1] for o in observations]) - now
        typical = 3 * np.median(np.abs(step), axis=0)
        x = np.concatenate([now, step, np.clip(step / typical, -1, 1)], axis=1)
        x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
        y = np.concatenate([a[1 + k : STEPS - 1 + k, 0] for a in actions])
        left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        share = (left @ left / (len(y) - 7)) / y.var(ddof=1)
        assert found.unexplained[k] == pytest.approx(share, rel=1e-4)


def test_a_deterministic_policy_raises_no_alarm():
    """The next action is then as well told by the observations as this one."""
    found = alignment(*pendulum(noise=0.0))
    assert found is not None
    assert found.shift == 0
    assert found.unexplained[1] < 0.01


def test_a_difference_of_a_hundredth_is_no_alarm():
    """Half of next to nothing is next to nothing."""
    found = alignment(*too_late(*pendulum(noise=0.02)))
    assert found is not None
    assert found.unexplained[1] < 0.5 * found.unexplained[0] < 0.01
    assert found.shift == 0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("walk", [False, True])
def test_noise_raises_no_alarm(seed, walk):
    rng = np.random.default_rng(seed)
    observations = [rng.normal(size=(61, 3)) for _ in range(3)]
    actions = [rng.normal(size=(60, 2)) for _ in range(3)]
    if walk:
        observations = [o.cumsum(axis=0) for o in observations]
        actions = [a.cumsum(axis=0) for a in actions]
    found = alignment(observations, actions)
    assert found is not None
    assert found.shift == 0


def test_prediction_has_a_veto():
    """Observations that repeat an old action tell that one best, and follow this."""
    rng = np.random.default_rng(3)
    observations, actions = [], []
    for _ in range(10):
        pushes = rng.normal(size=62)
        moved = pushes[2:, None] + 0.5 * rng.normal(size=(60, 2))
        place = np.concatenate([np.zeros((1, 2)), moved.cumsum(axis=0)])
        observations.append(np.concatenate([place, pushes[:61, None]], axis=1))
        actions.append(pushes[2:, None])
    found = alignment(observations, actions)
    assert found is not None
    assert found.unexplained[-1] < 0.05 < found.unexplained[0]
    assert found.explained[-1] < found.explained[0]
    assert found.shift == 0


@pytest.mark.parametrize(
    ("observations", "actions"),
    [
        pytest.param(*laps(chance=0.0), id="one action"),
        pytest.param(*laps(episodes=1, steps=40), id="few steps"),
        pytest.param(
            [np.random.default_rng(0).normal(size=(60, 6))],
            [np.arange(59) % 2],
            id="few steps for so many dimensions",
        ),
        pytest.param([np.zeros((90, 2))], [np.arange(89) % 2], id="one observation"),
        pytest.param([np.zeros((90, 40, 40))], [np.arange(89) % 2], id="pictures"),
        pytest.param(*pendulum(episodes=60, steps=2), id="short episodes"),
        pytest.param(*pendulum(episodes=3, steps=1), id="single steps"),
    ],
)
def test_what_cannot_be_told_is_not_told(observations, actions):
    assert alignment(observations, actions) is None


def test_whole_numbers_are_one_hot_and_numbers_stay():
    vectors = as_vectors([np.array([5, 2]), np.array([2, 9])])
    np.testing.assert_array_equal(vectors[0], [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_array_equal(vectors[1], [[1, 0, 0], [0, 0, 1]])
    same = as_vectors([np.array([0.5, 2.0])])
    np.testing.assert_array_equal(same[0], [[0.5], [2.0]])


def with_resets(observations):
    """The last observation replaced by the first one of the next episode."""
    return [
        np.concatenate([o[:-1], observations[(i + 1) % len(observations)][:1]])
        for i, o in enumerate(observations)
    ]


@pytest.mark.parametrize("made", [pendulum, laps])
def test_resets_that_were_left_in_are_counted(made):
    observations = made()[0]
    assert reset_rows(observations) == 0
    assert reset_rows(with_resets(observations)) >= len(observations) / 2


def test_resets_are_seen_where_first_observations_are_missing():
    """As in archives that record what each action led to, up to the reset."""
    rng = np.random.default_rng(4)
    far = [
        np.stack([np.arange(50.0), rng.normal(size=50)], axis=1)
        + [0, 0.1 * rng.normal()]
        for _ in range(6)
    ]
    late = [o[1:] for o in with_resets(far)]
    assert reset_rows(late) == 6
    assert reset_rows([o[:-1] for o in late]) == 0


def test_laps_that_end_where_they_began_are_no_resets():
    """200 steps are five laps: the last cell is the first, by an ordinary step."""
    cells = np.arange(201) % 40
    lap = (cells / 20 - 1.0).astype(np.float32)[:, None]
    assert reset_rows([lap] * 20) == 0


def test_an_episode_that_runs_far_at_its_end_is_no_reset():
    """It ends with a jump, and away from where episodes begin."""
    rng = np.random.default_rng(5)
    episodes = [rng.normal(size=(30, 2)).cumsum(axis=0) for _ in range(5)]
    for episode in episodes:
        episode[-1] += 500.0
    assert reset_rows(episodes) == 0


@pytest.mark.parametrize("shape", [(2, 1), (3, 1)])
def test_short_episodes_pass(shape):
    assert reset_rows([np.zeros(shape)] * 3) == 0


def test_pictures_are_not_looked_at():
    rng = np.random.default_rng(6)
    pictures = [rng.uniform(size=(5, 40, 40)) for _ in range(4)]
    assert reset_rows(with_resets(pictures)) == 0
