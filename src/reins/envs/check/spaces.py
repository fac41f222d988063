"""What can be wrong with the spaces of an environment, and what reins makes of them."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from reins.envs.actions import hybrid_space
from reins.envs.check.finding import Finding, error, warning
from reins.envs.host import flattened, is_image
from reins.errors import CapabilityError

HUGE = 1e3
"""Half the width of an action's range from which steps of size 1 are lost in it."""


def observation_space_findings(env: gymnasium.Env) -> list[Finding]:
    """Whether reins can show a policy what this environment lets it observe."""
    subject, space = "observation space", getattr(env, "observation_space", None)
    if not isinstance(space, spaces.Space):
        return [_no_space(subject, space)]
    try:
        flattened(env)
    except CapabilityError as fault:
        expected = "numbers of a fixed count, or one image of bytes"
        return [error(subject, expected, str(space), str(fault))]
    return []


def observed_as(env: gymnasium.Env) -> str:
    """What reins makes of observations: a vector of some length, or an image.

    Raises: CapabilityError when it makes nothing of them.
    """
    space, seen = env.observation_space, flattened(env).observation_space
    if is_image(seen):
        return f"an image of {' x '.join(map(str, seen.shape or ()))} bytes"
    plain = isinstance(space, spaces.Box) and len(space.shape) == 1
    return f"a vector of {(seen.shape or (0,))[0]}{'' if plain else ', flattened'}"


def acted_as(env: gymnasium.Env) -> str:
    """What reins makes of actions that it can choose."""
    space = env.action_space
    if isinstance(space, spaces.Box):
        return f"a vector of {space.shape[0]}, clipped to its bounds"
    hybrid = hybrid_space(space)
    if hybrid is not None:
        numbers = f"a vector of {hybrid.box.shape[0]}, clipped to its bounds"
        return f"one of {hybrid.choices}, and {numbers} (sac, mpo and awr)"
    return f"one of {space.n}" if isinstance(space, spaces.Discrete) else str(space)


def action_space_findings(env: gymnasium.Env) -> list[Finding]:
    """Whether a policy of reins can act in this environment."""
    subject, space = "action space", getattr(env, "action_space", None)
    if not isinstance(space, spaces.Space):
        return [_no_space(subject, space)]
    if isinstance(space, spaces.Discrete):
        return _discrete_findings(space)
    if isinstance(space, spaces.Box):
        return _box_findings(space)
    if hybrid_space(space) is not None:
        return []
    return [
        error(
            subject,
            "Discrete counted from 0, or a Box with one axis, or a Tuple of them",
            str(space),
            "Wrap the environment with gymnasium.wrappers.TransformAction, so that one "
            "number or one vector says what to do.",
        )
    ]


def _no_space(subject: str, space: Any) -> Finding:
    return error(
        subject,
        "a space of gymnasium.spaces",
        "nothing"
        if space is None
        else f"a {type(space).__module__}.{type(space).__name__}",
        f"Set self.{subject.replace(' ', '_')} in the environment's __init__.",
    )


def _discrete_findings(space: spaces.Discrete) -> list[Finding]:
    if space.start == 0:
        return []
    return [
        error(
            "action space",
            "actions counted from 0",
            f"actions counted from {space.start}: {space}",
            "Count from 0, and shift inside step.",
        )
    ]


def _box_findings(space: spaces.Box) -> list[Finding]:
    found = []
    if len(space.shape) != 1:
        found.append(
            error(
                "action space",
                "a Box with one axis",
                f"shape {space.shape}: {space}",
                "Wrap it with gymnasium.wrappers.RescaleAction or TransformAction, so "
                "that an action is one vector.",
            )
        )
    if not np.issubdtype(space.dtype, np.floating):
        found.append(
            error(
                "action space",
                "a Box of floating-point numbers",
                f"dtype {space.dtype}: {space}",
                "A Gaussian's actions are real numbers: use Discrete to choose, or a "
                "Box of np.float32 and round inside step.",
            )
        )
    low, high = np.asarray(space.low, float), np.asarray(space.high, float)
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    if np.any(unbounded):
        found.append(
            warning(
                "action space",
                "finite bounds in every dimension",
                f"{unbounded.sum()} of {unbounded.size} dimensions without",
                "A policy then begins with actions of about −1 to 1: bound the Box, or "
                "wrap it with gymnasium.wrappers.RescaleAction.",
            )
        )
    width = np.where(unbounded, 0.0, high - low)
    if np.any(empty := (width <= 0.0) & ~unbounded):
        found.append(
            warning(
                "action space",
                "lower bounds below upper bounds",
                f"{empty.sum()} of {empty.size} dimensions without room between",
                "Give each action a range, or leave it out.",
            )
        )
    if np.max(width, initial=0.0) > 2 * HUGE:
        found.append(
            warning(
                "action space",
                f"bounds of about −1 and 1, at most ±{HUGE:,.0f}",
                f"a range of {np.max(width):,.4g}",
                "Wrap it with gymnasium.wrappers.RescaleAction.",
            )
        )
    return found
