"""One environment for each fault: the check finds it, and finds nothing else."""

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from reins.envs.check import check_env
from tests.envs.check.faulty import LENGTH, FiveFaults, Sound, faulty, raises

F32 = np.float32


def checked(kind, *, limit=50, **settings):
    return check_env(lambda mode: kind(render_mode=mode), limit=limit, **settings)


def box(*args):
    return spaces.Box(*args)


def after(time, fault, sound):
    """A method that turns from `sound` to `fault` at a time of the episode."""
    return lambda self: fault(self) if self.time >= time else sound(self)


def overwritten(self):
    self.buffer = getattr(self, "buffer", np.zeros(2, F32))
    self.buffer[:] = self.place, self.time / 8
    return self.buffer


def without_seed(self, options=None):
    return Sound.reset(self)


def without_options(self, seed=None):
    return Sound.reset(self, seed=seed)


def old_reset(self):
    return Sound.reset(self)[0]


def unseeded_reset(self, *, seed=None, options=None):
    self.place = np.random.default_rng().random()
    self.time = 0
    return self.first()


def leaking_reset(self, *, seed=None, options=None):
    """Keeps counting where the episode before ended."""
    gymnasium.Env.reset(self, seed=seed)
    self.place = self.np_random.random()
    self.age = getattr(self, "age", 0.0) + 0.01
    self.time = 0
    return self.first()


FAULTS = {
    # name: (parts, level, subject, where, expected, found)
    "float64 for float32": (
        {"observation": lambda self: np.asarray([self.place, 0.5])},
        ("warning", "observation", "reset of episode 0", "dtype float32", "float64"),
    ),
    "shape": (
        {"observation": lambda self: np.zeros(3, F32)},
        ("error", "observation", "reset of episode 0", "shape (2,)", "shape (3,)"),
    ),
    "nan in an observation": (
        {
            "observation": after(
                2, lambda self: np.asarray([self.place, np.nan], F32), Sound.observation
            )
        },
        ("error", "observation", "episode 0, step 1", "finite", "1 of 2 are not, the"),
    ),
    "out of bounds": (
        {
            "observation": after(
                3, lambda self: np.asarray([self.place, 1.25], F32), Sound.observation
            )
        },
        (
            "error",
            "observation",
            "episode 0, step 2",
            "within the bounds",
            "1.25 at [1], 0.25 outside of 0 to 1; 1 of 2 are out",
        ),
    ),
    "a list": (
        {"observation": lambda self: [self.place, 0.5]},
        ("error", "observation", "reset of", "a NumPy array of shape (2,)", "a list"),
    ),
    "nothing observed": (
        {"observation": lambda self: None},
        ("error", "observation", "reset of", "a NumPy array", "a NoneType: None"),
    ),
    "observation overwritten": (
        {"observation": overwritten},
        ("warning", "observation", "episode 0, step 0", "a new array", "new numbers"),
    ),
    "reward not finite": (
        {"reward": lambda self: np.inf},
        ("error", "reward", "episode 0, step 0", "a finite number", "inf"),
    ),
    "reward in an array": (
        {"reward": lambda self: np.ones(1)},
        (
            "error",
            "reward",
            "episode 0, step 0",
            "one number",
            "an array of shape (1,)",
        ),
    ),
    "reward as a word": (
        {"reward": lambda self: "much"},
        ("error", "reward", "episode 0, step 0", "one number", "'much', a str"),
    ),
    "no reward": (
        {"reward": lambda self: 0.0},
        ("warning", "reward", "", "other than 0", "0 at each of 15 steps"),
    ),
    "large rewards": (
        {"reward": lambda self: -150.0 * self.time},
        ("warning", "scale of rewards", "", "±100", "from -750 to -150"),
    ),
    "terminated as a number": (
        {"ending": lambda self: (int(self.time == LENGTH), False)},
        ("error", "terminated", "episode 0, step 0", "True or False", "0, a int"),
    ),
    "truncated as nothing": (
        {"ending": lambda self: (self.time == LENGTH, None)},
        ("error", "truncated", "episode 0, step 0", "True or False", "None, a NoneT"),
    ),
    "both flags": (
        {"ending": lambda self: (self.time == LENGTH, self.time == LENGTH)},
        ("warning", "terminated", "episode 0, step 4", "one reason", "at once"),
    ),
    "old step": (
        {"answer": lambda self: (self.observation(), 1.0, self.time == LENGTH, {})},
        ("error", "step", "episode 0, step 0", "terminated, truncated", "4 parts"),
    ),
    "a step of three": (
        {"answer": lambda self: (self.observation(), 1.0, False)},
        ("error", "step", "episode 0, step 0", "terminated, truncated", "3 parts"),
    ),
    "a step of nothing": (
        {"answer": lambda self: None},
        ("error", "step", "episode 0, step 0", "terminated, truncated", "a NoneType"),
    ),
    "no info": (
        {"info": lambda self: None},
        ("error", "info", "episode 0, step 0", "a dict", "a NoneType"),
    ),
    "negative cost": (
        {"info": lambda self: {"cost": -0.25}},
        ("error", 'info["cost"]', "episode 0, step 0", "at least 0", "-0.25"),
    ),
    "cost not finite": (
        {"info": lambda self: {"cost": np.nan}},
        ("error", 'info["cost"]', "episode 0, step 0", "a finite number", "nan"),
    ),
    "cost now and then": (
        {"info": lambda self: {"cost": 1.0} if self.time == 2 else {}},
        ("warning", 'info["cost"]', "", "at every step, or", "one at 3 of 15 steps"),
    ),
    "reset shows the observation only": (
        {"first": lambda self: self.observation()},
        ("error", "reset", "reset of episode 0", "(observation, info)", "a ndarray"),
    ),
    "reset without a dict": (
        {"first": lambda self: (self.observation(), None)},
        ("error", "reset", "reset of episode 0", "info is a dict", "is a NoneType"),
    ),
    "reset without seed": (
        {"reset": without_seed},
        ("error", "reset", "", "arguments `seed` and", "reset(options=None)"),
    ),
    "reset without options": (
        {"reset": without_options},
        ("error", "reset", "", "arguments `seed` and", "reset(seed=None)"),
    ),
    "reset raises": (
        {"first": raises},
        (
            "error",
            "reset",
            "reset of episode 0",
            "no exception",
            "ValueError: the motor",
        ),
    ),
    "step raises": (
        {"reward": after(3, raises, Sound.reward)},
        ("error", "step", "episode 0, step 2, action ", "no exception", "the motor is"),
    ),
    "close raises": (
        {"close": raises},
        ("error", "close", "", "no exception", "ValueError: the motor is off"),
    ),
    "reset does not seed": (
        {"reset": unseeded_reset},
        ("warning", "reproducibility", "", "the same episode", "reset differs: [[0."),
    ),
    "an observation that outlives its episode": (
        {
            "reset": leaking_reset,
            "observation": lambda self: np.asarray([self.place, self.age], F32),
        },
        ("warning", "reproducibility", "", "from the same seed (0)", "reset differs"),
    ),
    "actions counted from 1": (
        {"action_space": spaces.Discrete(2, start=1)},
        ("error", "action space", "", "counted from 0", "counted from 1"),
    ),
    "actions in a table": (
        {"action_space": box(-1.0, 1.0, (2, 3))},
        ("error", "action space", "", "one axis", "shape (2, 3)"),
    ),
    "whole actions": (
        {"action_space": box(-1, 1, (2,), np.int64)},
        ("error", "action space", "", "floating-point", "dtype int64"),
    ),
    "actions without bounds": (
        {"action_space": box(np.asarray([-1, -np.inf], F32), np.ones(2, F32))},
        ("warning", "action space", "", "finite bounds", "1 of 2 dimensions without"),
    ),
    "huge actions": (
        {"action_space": box(-1e4, 1e4, (1,))},
        ("warning", "action space", "", "at most ±1,000", "a range of 2e+04"),
    ),
    "an action without room": (
        {"action_space": box(np.asarray([-1, 1], F32), np.ones(2, F32))},
        ("warning", "action space", "", "below upper bounds", "1 of 2 dimensions"),
    ),
    "several choices": (
        {"action_space": spaces.MultiDiscrete([2, 3])},
        ("error", "action space", "", "Discrete counted from 0, or", "MultiDiscrete"),
    ),
    "no action space": (
        {"action_space": None},
        ("error", "action space", "", "a space of gymnasium.spaces", "nothing"),
    ),
    "no observation space": (
        {"observation_space": "Box"},
        ("error", "observation space", "", "gymnasium.spaces", "a builtins.str"),
    ),
    "observations without a length": (
        {
            "observation_space": spaces.Sequence(spaces.Discrete(2)),
            "observation": lambda self: (0, 1),
        },
        ("error", "observation space", "", "of a fixed count", "Sequence(Discrete(2)"),
    ),
    "large observations": (
        {
            "observation_space": box(-1e4, 1e4, (2,)),
            "observation": lambda self: np.asarray([-30 * self.time, 0], F32),
        },
        ("warning", "scale of observations", "", "up to about 100", "up to 150"),
    ),
    "a reset of its own": (
        {"info": lambda self: {"cost": 0.0, "final_observation": None}},
        ("warning", "step", "episode 0, step 4", "last observation", "resets itself"),
    ),
    "no render modes": (
        {"metadata": {}},
        ("warning", "rendering", "", "a list of render_modes", "None"),
    ),
    "a picture of floats": (
        {"render": lambda self: np.zeros((4, 6, 3))},
        ("error", "rendering", "as rgb_array", "np.uint8", "float64, shape (4, 6, 3)"),
    ),
    "a picture of one colour": (
        {"render": lambda self: np.zeros((4, 6, 1), np.uint8)},
        ("error", "rendering", "as rgb_array", "x 3", "shape (4, 6, 1)"),
    ),
    "no picture": (
        {"render": lambda self: None},
        ("error", "rendering", "as rgb_array", "np.uint8", "NoneType"),
    ),
    "a picture that raises": (
        {"render": raises},
        ("warning", "rendering", "as rgb_array", "no exception", "the motor is off"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_alone(name):
    parts, (level, subject, where, expected, found) = FAULTS[name]
    report = checked(faulty(**parts))
    (finding,) = report.findings
    assert (finding.level, finding.subject) == (level, subject)
    assert finding.where.startswith(where)
    assert bool(finding.where) == bool(where)
    assert expected in finding.expected
    assert found in finding.found
    assert finding.remedy


def test_a_sound_environment_has_no_fault():
    report = checked(Sound, seed=3)
    assert report.findings == ()
    assert report.facts.pop("steps_per_second") > 0
    assert report.facts.pop("largest_observation") == pytest.approx(0.9, abs=0.3)
    assert report.facts == {
        "observation_space": "Box(0.0, 1.0, (2,), float32)",
        "observation": "a vector of 2",
        "action_space": "Discrete(2)",
        "action": "one of 2",
        "max_episode_steps": 50,
        "lengths": [5, 5, 5],
        "endings": ["terminated"] * 3,
        "returns": [5.0] * 3,
        "costs": [2.5] * 3,
        "rewards": [1.0, 1.0],
        "render_modes": ["rgb_array"],
    }


def test_five_faults_are_five_findings():
    report = checked(FiveFaults, episodes=2)
    assert report.count("error") == len(report.findings) == 5
    subjects = {finding.subject: finding for finding in report.findings}
    assert subjects.keys() == {
        "observation",
        "reward",
        "terminated",
        'info["cost"]',
        "reset",
    }
    assert subjects["reward"].times == 10
    assert subjects["observation"].times == 12  # the resets show it too
    assert subjects["observation"].where == "reset of episode 0"
    assert subjects["reset"].times == 2
    assert report.facts["returns"] == [0, 0]
    assert report.facts["lengths"] == [5, 5]


def test_errors_come_before_warnings():
    doubles = faulty(
        observation=lambda self: np.asarray([self.place, 0.5]), info=lambda self: None
    )
    assert [f.level for f in checked(doubles).findings] == ["error", "warning"]


def test_an_environment_that_cannot_be_made_is_one_finding():
    report = checked(faulty(__init__=raises))
    (finding,) = report.findings
    assert (finding.level, finding.subject) == ("error", "making it")
    assert "TypeError" in finding.found
    assert report.facts == {}
    assert report.count("error") == 1


def test_an_exception_is_told_with_its_line_and_the_next_episode_is_played():
    kind = faulty(reward=after(3, raises, Sound.reward))
    report = checked(kind)
    assert report.facts["endings"] == ["exception"] * 3
    assert report.facts["lengths"] == [2, 2, 2]
    (finding,) = report.findings
    assert finding.times == 3
    assert "faulty.py, line" in finding.remedy


def test_without_a_time_limit_it_says_what_reins_does():
    report = checked(Sound, limit=None)
    (finding,) = report.findings
    assert (finding.level, finding.subject) == ("warning", "time limit")
    assert "3 of 3 episodes ended by themselves within 1000 steps" in finding.found
    assert "after 1000 steps" in finding.remedy
    endless = faulty(
        ending=lambda self: (False, False), observation=lambda self: np.zeros(2, F32)
    )
    (finding,) = checked(endless, limit=None, steps=40, episodes=2).findings
    assert "0 of 2 episodes ended by themselves within 40 steps" in finding.found


def test_it_plays_no_further_than_the_limit_and_says_so():
    endless = faulty(
        ending=lambda self: (False, False), observation=lambda self: np.zeros(2, F32)
    )
    facts = checked(endless, limit=7).facts
    assert (facts["lengths"], facts["endings"]) == ([7] * 3, ["time limit"] * 3)
    facts = checked(endless, limit=7, steps=6).facts
    assert (facts["lengths"], facts["endings"]) == ([6] * 3, ["cut"] * 3)


def test_an_end_that_is_not_seeded_is_found():
    def ending(self):
        self.games = getattr(self, "games", 0) + (self.time == 1)
        return self.time == self.games, False

    (finding,) = checked(faulty(ending=ending)).findings
    assert finding.subject == "reproducibility"
    assert finding.found.startswith("step 3 differs")


def test_only_the_first_episode_is_seeded():
    kind = faulty(ending=lambda self: (self.time > 50 * self.place, False))
    lengths = checked(kind, seed=3).facts["lengths"]
    assert len(set(lengths)) == 3
    assert checked(kind, seed=3).facts["lengths"] == lengths
    assert checked(kind, seed=4).facts["lengths"][0] != lengths[0]


def games(self):
    """How many episodes there were; the check plays three, and two alike."""
    self.game = getattr(self, "game", 0) + (self.time == 1)
    return self.game


def test_an_episode_that_breaks_off_the_second_time_is_not_the_same():
    def reward(self):
        return raises(self) if games(self) == 5 and self.time == 3 else 1.0

    (finding,) = checked(faulty(reward=reward)).findings
    assert finding.subject == "reproducibility"
    assert finding.found == "5 steps, then 2"


def test_a_first_observation_with_one_part_more_is_not_the_same():
    def first(self):
        self.resets = getattr(self, "resets", 0) + 1
        shown = np.asarray([self.place, 0], F32)
        return (shown if self.resets < 5 else (shown, 1)), {}

    (finding,) = checked(faulty(first=first)).findings
    assert finding.subject == "reproducibility"
    assert finding.found.startswith("reset differs: [[0.")
    assert finding.found.endswith("], 1]")


def test_what_an_environment_draws_from_its_own_space_is_not_seeded_for_it():
    def first(self):
        self.place = self.action_space.sample() / 1000
        return self.observation(), {}

    kind = faulty(action_space=spaces.Discrete(1000), first=first)
    (finding,) = checked(kind).findings
    assert finding.subject == "reproducibility"


def test_a_done_that_was_a_time_limit_is_truncation():
    def answer(self):
        info = {"TimeLimit.truncated": self.time == 5}
        return self.observation(), 1.0, self.time == 5, info

    report = checked(faulty(answer=answer))
    assert report.facts["endings"] == ["truncated"] * 3
    assert [f.subject for f in report.findings] == ["step"]


def test_a_reset_that_takes_anything_takes_a_seed():
    def reset(self, **settings):
        return Sound.reset(self, **settings)

    assert checked(faulty(reset=reset)).findings == ()


def test_spaces_that_are_made_anew_at_a_reset_are_no_fault():
    """As in environments that can be configured between episodes."""

    def fresh(self, *, seed=None, options=None):
        self.action_space = spaces.Discrete(1000)
        return Sound.reset(self, seed=seed)

    kind = faulty(
        action_space=spaces.Discrete(1000),
        reset=fresh,
        reward=lambda self: self.action / 1e3,
    )
    assert checked(kind).findings == ()


def test_a_reset_without_any_argument_is_still_played():
    report = checked(faulty(reset=old_reset, answer=Sound.answer))
    assert [f.expected for f in report.findings] == [
        "arguments `seed` and `options`",
        "(observation, info)",
    ]
    assert report.facts["lengths"] == [5, 5, 5]


def test_the_extreme_actions_are_tried_first():
    taken = []

    def info(self):
        taken.append(self.action)
        return {}

    checked(faulty(info=info, action_space=spaces.Discrete(9)), episodes=1)
    assert taken[:2] == [0, 8]
    taken.clear()
    space = box(np.asarray([-3, -2], F32), np.asarray([1, 5], F32))
    checked(faulty(info=info, action_space=space), episodes=2)
    np.testing.assert_array_equal(taken[:2], [[-3, -2], [1, 5]])
    assert all(space.contains(action) for action in taken)
    assert not np.array_equal(taken[5], [-3, -2])  # once is enough


def test_a_wrapper_that_resets_is_told():
    report = check_env(
        lambda mode: gymnasium.wrappers.Autoreset(Sound(mode)), limit=50, episodes=1
    )
    assert [f.subject for f in report.findings] == ["wrappers"]


def test_parts_of_an_observation_are_named_and_flattened():
    space = spaces.Dict(
        arm=spaces.Box(-1.0, 1.0, (2,)),
        colour=spaces.Discrete(300),
        hands=spaces.Tuple([spaces.MultiBinary(2), spaces.MultiDiscrete([3, 4])]),
    )

    def observation(self, seen=299):
        hands = (np.ones(2, np.int8), np.asarray([2, 3]))
        return {"arm": np.zeros(2, F32), "colour": seen, "hands": hands}

    report = checked(faulty(observation_space=space, observation=observation))
    assert report.findings == ()
    assert report.facts["observation"] == "a vector of 311, flattened"
    assert report.facts["largest_observation"] == 0  # a choice is no size
    wrong = faulty(
        observation_space=space, observation=functools.partialmethod(observation, 300)
    )
    (finding,) = checked(wrong).findings
    assert finding.subject == "observation['colour']"
    assert (finding.expected, finding.found) == ("an integer from 0 to 299", "300")


def test_images_stay_images_whatever_their_numbers():
    report = checked(
        faulty(
            observation_space=box(0, 255, (8, 9, 3), np.uint8),
            observation=lambda self: np.full((8, 9, 3), 200, np.uint8),
        )
    )
    assert report.findings == ()
    assert report.facts["observation"] == "an image of 8 x 9 x 3 bytes"
