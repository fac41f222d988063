"""Screens, and drawing without one: what this machine can show."""

import importlib
import os
import subprocess
import sys

import gymnasium
from gymnasium.error import DependencyNotInstalled

from reins.errors import CapabilityError

BACKENDS = {"egl": "libegl1", "osmesa": "libosmesa6"}
"""How MuJoCo draws without a screen, by the Debian package that it takes."""

_TRIAL = (
    "import mujoco; "
    "mujoco.Renderer(mujoco.MjModel.from_xml_string('<mujoco/>'), 16, 16).render()"
)


def has_display() -> bool:
    """Whether a window can be opened, as far as the environment tells."""
    named = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return named or not sys.platform.startswith("linux")


def draw_without_display() -> dict[str, str]:
    """Choose how MuJoCo and pygame draw where there is no screen, unless the user has.

    MuJoCo's way is found out in another process, since a library that fails to load
    cannot be let go of again. It is tried before anything is drawn here.

    Returns: why each of MuJoCo's ways fails when none works; empty otherwise.
    """
    if has_display():
        return {}
    # pygame's surfaces need no screen, but its start-up looks for one and complains.
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    if "MUJOCO_GL" in os.environ:
        return {}
    faults = {}
    for backend in BACKENDS:
        fault = backend_fault(backend)
        if fault is None:
            os.environ["MUJOCO_GL"] = backend
            _choose_again()
            return {}
        faults[backend] = fault
    return faults


def backend_fault(backend: str) -> str | None:
    """Why MuJoCo cannot draw in this way here; None when it can."""
    try:
        found = subprocess.run(  # noqa: S603 - our own interpreter, and fixed text
            [sys.executable, "-c", _TRIAL],
            env={**os.environ, "MUJOCO_GL": backend},
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    if found.returncode == 0:
        return None
    said = found.stderr.strip().splitlines()
    return said[-1] if said else f"exit status {found.returncode}"


def _choose_again() -> None:
    # MuJoCo reads MUJOCO_GL when it is imported, which may have been long ago.
    for name in ("mujoco.rendering.classic.gl_context", "mujoco.gl_context"):
        if name in sys.modules:
            importlib.reload(sys.modules[name])


def is_mujoco(env: gymnasium.Env) -> bool:
    """Whether Gymnasium's MuJoCo draws this environment."""
    bases = type(env.unwrapped).__mro__
    return any(base.__module__.startswith("gymnasium.envs.mujoco") for base in bases)


def drawing_error(name: str, fault: Exception) -> CapabilityError:
    """The sentence for an environment that raised when it was to be drawn."""
    told = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, DependencyNotInstalled):
        remedy = "What draws most environments is pygame: pip install pygame-ce."
    elif "MUJOCO_GL" in os.environ:
        remedy = f"MUJOCO_GL is {os.environ['MUJOCO_GL']!r}; unset, it is chosen here."
    else:
        remedy = "`reins check-env` tells more."
    return CapabilityError(f"{name} was to be drawn, and raised {told}. {remedy}")


def no_backend(name: str, faults: dict[str, str]) -> CapabilityError:
    """The sentence for a MuJoCo environment where none of MuJoCo's ways works."""
    found = "; ".join(f"{backend} fails ({why})" for backend, why in faults.items())
    packages = " or ".join(f"apt-get install {name}" for name in BACKENDS.values())
    return CapabilityError(
        f"{name} was to be drawn without a display. MuJoCo does that by EGL or OSMesa, "
        f"and here {found}. One of the two is enough: {packages} (on Debian and "
        "Ubuntu)."
    )
