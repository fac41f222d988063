"""Gives each peer an environment of its own, with the simulator that reins has."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# First, and by itself: what else is installed is then content with this build. Where
# pip would bring a build for GPUs, PIP_INDEX_URL can name an index of CPU builds.
TORCH = "torch==2.13.0"
PEERS = {"stable-baselines3": "stable-baselines3==2.9.2", "sbx": "sbx-rl==0.28.0"}
SIMULATOR = {"gymnasium": "gymnasium[mujoco]", "mujoco": "mujoco"}
"""By the names of what is installed here, what is asked for in the same version."""
STAMP = ".complete"
TIMEOUT = 1800
PIP = "-m pip --quiet --no-input --disable-pip-version-check --retries 2 install"


class PeerError(Exception):
    """A peer that cannot be measured here, and why."""


def peer_python(peer: str, folder: Path, say: Callable[[str], None]) -> Path:
    """The Python of a peer's environment in `folder`, which is made if need be.

    An environment that is complete is taken as it is. One that broke off, or holds
    other versions, is made anew.

    Args:
      peer: a name in `PEERS`.
      say: is told what takes time.

    Raises: PeerError when it cannot be made.
    """
    simulator = [
        f"{package}=={importlib.metadata.version(name)}"
        for name, package in SIMULATOR.items()
    ]
    steps = [[TORCH], [PEERS[peer], *simulator]]
    home = (folder / peer).absolute()
    python = home / "bin" / "python"
    wanted = "\n".join([str(home), sys.version, *steps[0], *steps[1]])
    stamp = home / STAMP
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    if home.exists() and any(home.iterdir()) and not (home / "pyvenv.cfg").exists():
        raise PeerError(
            f"{home} was to become an environment, and holds other things; choose "
            "another --peers."
        )
    stamp.unlink(missing_ok=True)
    say(f"{peer}: making an environment in {home}")
    _run([sys.executable, "-m", "venv", "--clear", str(home)])
    for packages in steps:
        say(f"{peer}: installing {', '.join(packages)} (a few minutes)")
        _run([str(python), *PIP.split(), *packages])
    stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, timeout=TIMEOUT, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"`{' '.join(command)}` took over {TIMEOUT} s") from None
    except OSError as error:
        raise PeerError(f"`{command[0]}` cannot be run ({error})") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PeerError(said[-1] if said else f"`{' '.join(command)}` failed")
