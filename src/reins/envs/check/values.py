"""What can be wrong with a value of a space: kind, type, shape, numbers, bounds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Shaped

from reins.envs.check.finding import Finding, error, warning
from reins.envs.host import is_image

ROUNDING = 1e-5
"""How far outside its bounds a number may be, relative to the bound, as rounding."""


def value_findings(
    space: spaces.Space, value: Any, subject: str = "observation"
) -> Iterator[Finding]:
    """Everything in which a value is not of its space, down to the leaves.

    Args:
      subject: what to call it; the parts are called `observation["arm"]`,
        `observation[0]`.
    """
    if isinstance(space, spaces.Dict):
        yield from _dict_findings(space, value, subject)
    elif isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            what = f"a {_kind(value)}" + (
                f" of {len(value)}" if isinstance(value, tuple) else ""
            )
            yield _misfit(subject, f"a tuple of {len(space.spaces)}", what)
            return
        for place, (part, item) in enumerate(zip(space.spaces, value, strict=True)):
            yield from value_findings(part, item, f"{subject}[{place}]")
    elif isinstance(space, spaces.Discrete):
        yield from _choice_findings(space, value, subject)
    elif isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        yield from _array_findings(space, value, subject)
    elif not space.contains(value):
        yield _misfit(subject, f"a member of {space}", short(value))


def _dict_findings(space: Any, value: Any, subject: str) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield _misfit(subject, f"a dict of {', '.join(space)}", f"a {_kind(value)}")
        return
    if missing := [key for key in space if key not in value]:
        yield _misfit(subject, f"a dict of {', '.join(space)}", f"no {missing}")
    if extra := [key for key in value if key not in space.spaces]:
        yield _misfit(subject, f"a dict of {', '.join(space)}", f"also {extra}")
    for key, part in space.items():
        if key in value:
            yield from value_findings(part, value[key], f"{subject}[{key!r}]")


def _choice_findings(
    space: spaces.Discrete, value: Any, subject: str
) -> Iterator[Finding]:
    last = int(space.start + space.n - 1)
    expected = f"an integer from {space.start} to {last}"
    array = np.asarray(value)
    if array.shape != () or not np.issubdtype(array.dtype, np.integer):
        yield _misfit(subject, expected, f"{short(value)}, a {_kind(value)}")
    elif not space.start <= int(array) <= last:
        yield _misfit(subject, expected, str(value))


def _array_findings(
    space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary,
    value: Any,
    subject: str,
) -> Iterator[Finding]:
    if not isinstance(value, np.ndarray | np.generic):
        expected = f"a NumPy array of shape {space.shape}"
        yield _misfit(subject, expected, f"a {_kind(value)}: {short(value)}")
        return
    castable = np.can_cast(value.dtype, space.dtype, "same_kind")
    if not castable:
        yield _misfit(subject, f"dtype {space.dtype}", f"dtype {value.dtype}")
    elif not np.can_cast(value.dtype, space.dtype):
        yield warning(
            subject,
            f"dtype {space.dtype}, as its space says",
            f"dtype {value.dtype}",
            f"Return .astype(np.{space.dtype}); reins converts it.",
        )
    if value.shape != space.shape:
        yield _misfit(subject, f"shape {space.shape}", f"shape {value.shape}")
        return
    if not castable:
        return
    value = np.asarray(value)
    finite = np.isfinite(value)
    if not np.all(finite):
        first = np.argwhere(~finite)[0].tolist()
        yield _misfit(
            subject,
            "finite numbers",
            f"{np.sum(~finite)} of {value.size} are not, the first at {first}: "
            f"{value[tuple(first)]}",
        )
    yield from _bound_findings(space, value, subject)


def _bound_findings(
    space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary,
    value: Shaped[np.ndarray, "..."],
    subject: str,
) -> Iterator[Finding]:
    """How far the finite numbers are outside their bounds, at the worst place."""
    low, high = _bounds(space)
    finite = np.isfinite(value)
    value = np.where(finite, value, 0.0)
    past = np.where(finite, np.maximum(low - value, value - high), 0.0)
    bound = np.where(value < low, low, high)
    allowed = ROUNDING * np.maximum(np.abs(np.where(np.isfinite(bound), bound, 0.0)), 1)
    outside = past > allowed
    if np.any(outside):
        worst = np.unravel_index(np.argmax(past), past.shape)
        yield _misfit(
            subject,
            "numbers within the bounds of its space",
            f"{value[worst]:g}{_at(worst)}, {past[worst]:g} outside of {low[worst]:g} "
            f"to {high[worst]:g}"
            + (f"; {outside.sum()} of {outside.size} are out" if outside.ndim else ""),
        )


def _bounds(
    space: spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary,
) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(space, spaces.Box):
        return np.asarray(space.low, float), np.asarray(space.high, float)
    if isinstance(space, spaces.MultiDiscrete):
        first = np.asarray(space.start, float)
        return first, first + space.nvec - 1.0
    return np.zeros(space.shape), np.ones(space.shape)


def _at(place: tuple[Any, ...]) -> str:
    return f" at {[int(i) for i in place]}" if place else ""


def leaves(observation: Any) -> list[Shaped[np.ndarray, "..."]]:
    """The arrays in an observation, however deep they lie; no copies."""
    if isinstance(observation, dict):
        return [leaf for part in observation.values() for leaf in leaves(part)]
    if isinstance(observation, tuple | list):
        return [leaf for part in observation for leaf in leaves(part)]
    return [np.asarray(observation)]


def measures(space: Any, observation: Any) -> Iterator[Shaped[np.ndarray, "..."]]:
    """The arrays in an observation that measure something: no images, no choices."""
    if isinstance(space, spaces.Dict) and isinstance(observation, dict):
        for key in space.spaces.keys() & observation.keys():
            yield from measures(space[key], observation[key])
    elif isinstance(space, spaces.Tuple) and isinstance(observation, tuple):
        for part, item in zip(space.spaces, observation, strict=False):
            yield from measures(part, item)
    elif isinstance(space, spaces.Box) and not is_image(space):
        for leaf in leaves(observation):
            if np.issubdtype(leaf.dtype, np.number):
                yield leaf


def _misfit(subject: str, expected: str, found: str) -> Finding:
    return error(
        subject,
        expected,
        found,
        "Return what observation_space says, or change the space.",
    )


def _kind(value: Any) -> str:
    return type(value).__name__


def short(value: Any) -> str:
    """A value in at most 60 characters of one line; numbers have six digits."""
    text = " ".join(_told(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        more = ", ..." if len(value) > 6 else ""
        return f"[{', '.join(_told(item) for item in value[:6])}{more}]"
    return repr(value)
