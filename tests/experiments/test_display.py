"""Screens, and drawing without one: what is chosen, and what is said if nothing is."""

import os
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from reins.errors import CapabilityError
from reins.experiments import display


@pytest.fixture
def no_display(monkeypatch):
    """A Linux without a screen; nothing that is chosen outlives the test."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "linux")
    return monkeypatch


def test_a_display_is_what_the_environment_names(no_display):
    assert not display.has_display()
    no_display.setenv("DISPLAY", ":0")
    assert display.has_display()
    no_display.delenv("DISPLAY")
    no_display.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert display.has_display()


def test_other_systems_always_have_one(no_display):
    no_display.setattr(sys, "platform", "darwin")
    assert display.has_display()


@pytest.mark.parametrize(("works", "tried"), [("egl", 1), ("osmesa", 2)])
def test_the_first_way_that_works_is_chosen(no_display, works, tried):
    asked = []

    def fault(backend):
        asked.append(backend)
        return None if backend == works else "no library"

    no_display.setattr(display, "backend_fault", fault)
    no_display.setattr(display, "_choose_again", lambda: asked.append("again"))
    assert display.draw_without_display() == {}
    assert os.environ["MUJOCO_GL"] == works
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
    assert asked == [*list(display.BACKENDS)[:tried], "again"]


def test_where_none_works_each_says_why(no_display):
    no_display.setattr(display, "backend_fault", lambda backend: f"no lib{backend}")
    found = display.draw_without_display()
    assert found == {"egl": "no libegl", "osmesa": "no libosmesa"}
    assert "MUJOCO_GL" not in os.environ


def test_what_the_user_has_chosen_stays(no_display):
    no_display.setattr(display, "backend_fault", lambda backend: pytest.fail("tried"))
    no_display.setenv("MUJOCO_GL", "osmesa")
    no_display.setenv("SDL_VIDEODRIVER", "offscreen")
    assert display.draw_without_display() == {}
    assert os.environ["MUJOCO_GL"] == "osmesa"
    assert os.environ["SDL_VIDEODRIVER"] == "offscreen"
    no_display.delenv("MUJOCO_GL")
    no_display.setenv("DISPLAY", ":0")
    assert display.draw_without_display() == {}
    assert "MUJOCO_GL" not in os.environ


def test_a_way_that_is_none_says_why():
    fault = display.backend_fault("nonsense")
    assert "nonsense" in fault
    assert "\n" not in fault


def test_a_way_that_hangs_is_given_up(monkeypatch):
    def hang(*args, **settings):
        raise subprocess.TimeoutExpired("python", settings["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    assert display.backend_fault("egl") == "no answer within 60 s"


def test_an_environment_of_mujoco_is_known_by_its_class():
    robot = gymnasium.make("InvertedPendulum-v5")
    assert display.is_mujoco(robot)
    robot.close()
    assert not display.is_mujoco(gymnasium.make("CartPole-v1"))


def test_the_choice_reaches_a_mujoco_that_was_imported_before(no_display):
    """MuJoCo's own renderer, which reads MUJOCO_GL when it is imported."""
    script = (
        "import mujoco\n"
        "from reins.experiments import display\n"
        "faults = display.draw_without_display()\n"
        "model = mujoco.MjModel.from_xml_string('<mujoco/>')\n"
        "if not faults: print(mujoco.Renderer(model, 8, 12).render().shape)\n"
        "print(len(faults))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout in ("(8, 12, 3)\n0\n", "2\n"), found.stderr


def test_the_sentence_without_a_way_names_both_and_what_to_install():
    error = display.no_backend("Ant-v5", {"egl": "no libEGL", "osmesa": "no GL"})
    for text in (
        "Ant-v5 was to be drawn without a display",
        "EGL or OSMesa",
        "egl fails (no libEGL); osmesa fails (no GL)",
        "apt-get install libegl1 or apt-get install libosmesa6",
    ):
        assert text in str(error)


def test_a_robot_is_drawn_or_it_is_said_what_is_missing(no_display):
    faults = display.draw_without_display()
    env = gymnasium.make("HalfCheetah-v5", render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    if faults:
        assert set(faults) == set(display.BACKENDS)
        assert isinstance(display.no_backend("HalfCheetah-v5", faults), CapabilityError)
    else:
        picture = env.render()
        assert picture.shape == (48, 64, 3)
        assert np.ptp(picture) > 50
    env.close()


@pytest.mark.parametrize(
    ("chosen", "fault", "texts"),
    [
        (None, DependencyNotInstalled("no pygame"), ["pip install pygame-ce"]),
        ("glx", ValueError("odd"), ["ValueError: odd", "MUJOCO_GL is 'glx'"]),
        (None, ValueError("odd"), ["ValueError: odd", "reins check-env"]),
    ],
)
def test_what_drawing_raises_is_told_with_what_to_do(no_display, chosen, fault, texts):
    if chosen is not None:
        no_display.setenv("MUJOCO_GL", chosen)
    said = str(display.drawing_error("Ant-v5", fault))
    for text in ["Ant-v5 was to be drawn, and raised", *texts]:
        assert text in said
