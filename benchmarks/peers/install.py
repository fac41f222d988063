"""Gives each peer an environment of its own, with the simulator that reins has."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# First, and by itself: what else is installed is then content with this build. Where
# pip would bring a build for GPUs, PIP_INDEX_URL can name an index of CPU builds.
TORCH = ("torch==2.13.0",)
SB3 = "stable-baselines3==2.9.2"
HERE = ("gymnasium", "mujoco", "jax")
"""Asked for in the versions that are installed here, where a peer needs them."""
HOMES: dict[str, list[tuple[str, ...]]] = {
    "stable-baselines3": [TORCH, (SB3, "sb3-contrib==2.9.2", "gymnasium", "mujoco")],
    "sbx": [TORCH, ("sbx-rl==0.28.0", "gymnasium", "mujoco")],
    "tianshou": [TORCH, ("tianshou==2.0.1", "gymnasium", "mujoco")],
    # Its pins are of 2023: it gets today's packages, and its script is left as it is.
    "cleanrl": [
        TORCH,
        (SB3, "tensorboard", "gymnasium", "mujoco"),
        ("--no-deps", "--ignore-requires-python", "cleanrl==1.2.0"),
    ],
    "envpool": [("envpool==1.2.5", "gymnasium==1.4.0")],
    # Its own pins cannot be met: pygame 2.1.0 has no build for today's Python.
    "omnisafe": [
        TORCH,
        (
            *("numpy<2", "gymnasium==0.28.1", "mujoco==2.3.3", "pandas==2.0.3"),
            *("pygame", "xmltodict", "imageio", "moviepy<2", "pyyaml", "rich"),
            *("tensorboard", "wandb", "seaborn", "typer", "gdown"),
        ),
        (
            *("--no-deps", "omnisafe==0.5.0", "safety-gymnasium==1.0.0"),
            *("gymnasium-robotics==1.2.2", "pettingzoo==1.24.3"),
        ),
    ],
    # gymnax 1.0 breaks both that live here; distrax is PureJaxRL's.
    "gymnax": [("rejax==0.1.3", "gymnax==0.0.9", "distrax==0.1.9", "jax")],
}
"""What goes into each environment, one call of pip after another."""
PEERS = {
    "stable-baselines3": "stable-baselines3",
    "sb3-contrib": "stable-baselines3",
    "sbx": "sbx",
    "tianshou": "tianshou",
    "cleanrl": "cleanrl",
    "envpool": "envpool",
    "omnisafe": "omnisafe",
    "rejax": "gymnax",
    "purejaxrl": "gymnax",
}
"""In which environment each peer lives."""
PUREJAXRL = ("https://github.com/luchris429/purejaxrl", "31756b1")
"""Where it is, and which commit; it is no package."""
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
    name = PEERS[peer]
    steps = [list(map(_pinned, packages)) for packages in HOMES[name]]
    home = (folder / name).absolute()
    python = home / "bin" / "python"
    wanted = "\n".join([str(home), sys.version, *(p for step in steps for p in step)])
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


def purejaxrl_checkout(
    given: Path | None, folder: Path, say: Callable[[str], None]
) -> Path:
    """A checkout of PureJaxRL: the given one, or one that is cloned into `folder`.

    Raises: PeerError when it cannot be had.
    """
    address, commit = PUREJAXRL
    home = (given or folder / "purejaxrl").absolute()
    if (home / "purejaxrl" / "ppo.py").is_file():
        return home
    if given is not None:
        raise PeerError(f"{home} holds no purejaxrl/ppo.py; give a checkout of it")
    say(f"purejaxrl: cloning {address} at {commit} into {home}")
    _run(["git", "clone", "--quiet", address, str(home)])
    _run(["git", "-C", str(home), "checkout", "--quiet", commit])
    return home


def _pinned(package: str) -> str:
    """The requirement, in the version that is installed here if it is one of HERE."""
    if package not in HERE:
        return package
    version = importlib.metadata.version(package)
    return f"{package}{'[mujoco]' * (package == 'gymnasium')}=={version}"


def _run(command: Sequence[str]) -> None:
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
