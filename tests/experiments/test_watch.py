"""Watching an agent: what is played, what is filmed, and what is refused."""

import json
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from PIL import Image

from reins.cli import main
from reins.envs import HostOptions
from reins.errors import CapabilityError
from reins.experiments import display, watch
from reins.experiments.video import captioned
from reins.experiments.watch import Moment, open_env, play
from tests.envs.check.faulty import Sound, faulty

LAP, SOUND = "reins/LapGridWorld-v0", "tests.envs.check.faulty:Sound-v0"
LAST = Moment(episode=1, step=5, total=5.0, cost=2.5, ending="terminated")


def zero(observation):
    return 0


def played(env, act=zero, *, episodes=1, limit=50, key=0):
    return list(play(env, act, episodes=episodes, limit=limit, key=key))


def read(path):
    """The pictures of a .gif, and for how many milliseconds each is shown."""
    with Image.open(path) as film:
        pictures, durations = [], []
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(np.asarray(film.convert("RGB")))
            durations.append(film.info["duration"])
        return pictures, durations


@pytest.fixture
def screen(monkeypatch):
    """As with a display, that pygame does not look for."""
    monkeypatch.setenv("DISPLAY", ":nowhere")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


@pytest.fixture
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MUJOCO_GL", "egl")  # so that none is looked for


def test_every_step_is_a_moment_and_sums_go_up():
    moments = played(Sound(), episodes=2)
    assert [m.episode for m in moments] == [1] * 6 + [2] * 6
    assert [m.step for m in moments] == [0, 1, 2, 3, 4, 5] * 2
    assert moments[0] == Moment(1, 0, 0.0, None, None)
    assert moments[3] == Moment(1, 3, 3.0, 1.5, None)
    assert moments[5] == LAST
    assert moments[11] == LAST._replace(episode=2)


def test_an_episode_is_cut_at_the_limit_and_truncation_is_told():
    assert played(Sound(), limit=3)[-1].ending == "cut"
    assert played(Sound(), limit=5)[-1].ending == "terminated"
    assert played(TimeLimit(Sound(), 4), limit=4)[-1].ending == "truncated"


def test_without_a_cost_there_is_none():
    env = faulty(info=lambda self: {})()
    assert played(env)[-1] == LAST._replace(cost=None)
    assert str(LAST) == "episode 1   step 5   return 5.0   cost 2.5"
    assert str(LAST._replace(cost=None)) == "episode 1   step 5   return 5.0"


def test_the_agent_sees_what_the_environment_shows_and_its_action_is_taken():
    env, seen = Sound(), []

    def act(observation):
        seen.append(observation.tolist())
        return 1

    played(env, act, key=3)
    place = Sound().reset(seed=3)[0].tolist()[0]
    assert seen == [[place, t / 8] for t in range(5)]
    assert env.action == 1
    seen.clear()
    played(env, act, key=4, episodes=2)
    # Another key, another place; and only the first episode is seeded.
    assert len({place, seen[0][0], seen[5][0]}) == 3


def test_a_run_is_filmed_with_its_numbers(trained, tmp_path, capsys, no_screen):
    film = tmp_path / "lap.gif"
    arguments = ["watch", str(trained.folder), "--video", str(film), "--steps", "7"]
    arguments += ["--episodes", "2", "--seed", "1", "--json", "--out", str(tmp_path)]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    agent = trained.agent(seed=1)
    env = gymnasium.make(LAP, render_mode="rgb_array")
    expected = []
    for episode in (1, 2):
        observation, _ = env.reset()
        total = cost = 0.0
        told = ""
        for step in range(8):
            text = f"episode {episode}   step {step}   return {total:.1f}{told}"
            expected.append(captioned(env.render(), text))
            if step < 7:
                action, _ = agent.predict(observation)
                observation, reward, _, _, info = env.step(action)
                total, cost = total + reward, cost + info["cost"]
                told = f"   cost {cost:g}"
        assert summary["returns"][episode - 1] == total
        assert summary["costs"][episode - 1] == cost
    pictures, durations = read(film)
    assert durations == [100] * 16  # its own rate, 10 a second
    assert len(pictures) == summary["video"].pop("frames") == 16
    for found, drawn in zip(pictures, expected, strict=True):
        # 256 colours are not all of them; another digit is far more away.
        np.testing.assert_allclose(found.astype(int), drawn.astype(int), atol=60)
    assert summary["lengths"] == [7, 7]
    assert summary["endings"] == ["cut", "cut"]
    assert summary["video"] == {
        "file": str(film),
        "width": 352,
        "height": 374,
        "fps": 10,
    }
    about = ("command", "agent", "env", "seed", "key", "deterministic", "episodes")
    assert [summary[name] for name in about] == [
        *("watch", "ppo-lagrangian", LAP, 1, 0, False, 2)
    ]
    assert "gymnasium" in summary["versions"]


def test_it_says_how_it_went(trained, tmp_path, capsys, no_screen):
    film = tmp_path / "lap.gif"
    arguments = ["--video", str(film), "--fps", "500"]
    assert main(["watch", str(trained.folder), *arguments]) == 0
    said = capsys.readouterr().out
    assert "episode 1   step 200   return " in said
    assert "truncated" in said
    assert f"Filmed to {film}: 21 pictures of 352 x 374, 50 per second." in said
    assert "%" not in said  # nothing that short needs a progress line


def test_a_film_keeps_time_where_the_environment_is_faster_than_films(
    trained, tmp_path, capsys, no_screen
):
    film = tmp_path / "lap.gif"
    arguments = ["watch", str(trained.folder), "--video", str(film), "--steps", "13"]
    assert main([*arguments, "--fps", "120", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["video"]["fps"] == 40  # every third step, 0 to 12, and the end
    assert summary["video"]["frames"] == 6
    assert sum(read(film)[1]) == 150
    assert main([*arguments, "--fps", "50", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["video"]["frames"] == 14


def test_the_key_moves_the_actions(trained, tmp_path, capsys, no_screen):
    returns = []
    for key in ("0", "0", "1"):
        arguments = ["watch", str(trained.folder), "--video", str(tmp_path / "a.gif")]
        assert main([*arguments, "--key", key, "--fps", "500", "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        returns.append((summary["returns"], summary["costs"]))
    assert returns[0] == returns[1] != returns[2]


def test_a_window_shows_it_and_writes_nothing(trained, tmp_path, capsys, screen):
    shown = []

    def flip():
        import pygame

        surface = pygame.surfarray.array3d(pygame.display.get_surface())
        shown.append(surface.transpose(1, 0, 2))

    import pygame

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pygame.display, "flip", flip)
        arguments = ["watch", str(trained.folder), "--steps", "2", "--json"]
        assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["video"], summary["lengths"]) == (None, [2])
    first = gymnasium.make(LAP, render_mode="rgb_array")
    first.reset()
    assert len(shown) == 4  # the trial, the reset, two steps
    np.testing.assert_array_equal(shown[1], first.render())


def test_closing_a_window_by_ctrl_c_ends_the_watching(
    trained, capsys, screen, monkeypatch
):
    def interrupted(*args, **settings):
        yield Moment(1, 0, 0.0, None, None)
        yield LAST
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "play", interrupted)
    assert main(["watch", str(trained.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["returns"] == [5.0]


def test_ctrl_c_while_filming_leaves_no_film(trained, tmp_path, no_screen, monkeypatch):
    def interrupted(env, act, **settings):
        yield from play(env, act, **{**settings, "limit": 3})
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "play", interrupted)
    film = tmp_path / "lap.gif"
    assert main(["watch", str(trained.folder), "--video", str(film)]) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ([], ["a window was asked for", "no display", "--video film.gif"]),
        (["--video", "a.avi"], [".gif and .mp4"]),
        (
            ["--video", "a.gif", "--episodes", "0"],
            ["episodes must be positive; found 0"],
        ),
        (["--video", "a.gif", "--steps", "-1"], ["steps must be positive; found -1"]),
        (["--video", "a.gif", "--fps", "0"], ["fps must be positive; found 0"]),
        (["--video", "a.gif", "--fps", "nan"], ["fps must be positive; found nan"]),
        (["--video", "a.gif", "--seed", "7"], ["seed 7 was asked for", "0, 1"]),
    ],
)
def test_what_cannot_be_shown_is_refused(trained, capsys, no_screen, arguments, texts):
    assert main(["watch", str(trained.folder), *arguments]) == 2
    said = capsys.readouterr().err
    for text in texts:
        assert text in said


def test_a_rate_for_a_window_is_refused(trained, capsys, screen):
    assert main(["watch", str(trained.folder), "--fps", "3"]) == 2
    assert "--fps 3 was given for a window" in capsys.readouterr().err


def test_no_run_is_told(tmp_path, capsys, no_screen):
    assert main(["watch", str(tmp_path), "--video", "a.gif"]) == 2
    assert "no config.json" in capsys.readouterr().err


def test_an_environment_without_a_picture_is_refused(no_screen):
    gymnasium.register("Blind-v0", faulty(metadata={"render_modes": ["ansi"]}))
    try:
        with pytest.raises(
            CapabilityError, match="as rgb_array; it can be drawn as an"
        ):
            open_env("Blind-v0", HostOptions(), window=False, faults={})
    finally:
        gymnasium.registry.pop("Blind-v0")


def test_a_robot_where_nothing_draws_is_refused_with_what_to_install():
    faults = {"egl": "no libEGL", "osmesa": "no libOSMesa"}
    with pytest.raises(CapabilityError, match="libosmesa6"):
        open_env("InvertedPendulum-v5", HostOptions(), window=False, faults=faults)
    open_env(SOUND, HostOptions(), window=False, faults=faults).close()


def test_classic_control_without_pygame_says_what_to_install(monkeypatch, no_screen):
    open_env("CartPole-v1", HostOptions(), window=False, faults={}).close()
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(CapabilityError, match="pip install pygame-ce"):
        open_env("CartPole-v1", HostOptions(), window=False, faults={})


def test_arguments_and_horizon_reach_the_environment(no_screen):
    env = open_env(SOUND, HostOptions(horizon=2), window=False, faults={})
    assert [m.ending for m in played(env)] == [None, None, "truncated"]
    options = HostOptions({"sutton_barto_reward": True})
    env = open_env("CartPole-v1", options, window=False, faults={})
    assert played(env)[1].total == 0.0
    env.close()


def test_a_robot_is_filmed_or_it_is_said_what_is_missing(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.delenv("MUJOCO_GL")
    monkeypatch.delenv("DISPLAY", raising=False)
    faults = display.draw_without_display()
    small = HostOptions({"width": 64, "height": 48})
    if faults:
        with pytest.raises(
            CapabilityError, match=r"EGL or OSMesa.*libegl1.*libosmesa6"
        ):
            open_env("InvertedPendulum-v5", small, window=False, faults=faults)
    else:
        env = open_env("InvertedPendulum-v5", small, window=False, faults=faults)
        assert env.render().shape == (48, 64, 3)
        env.close()
