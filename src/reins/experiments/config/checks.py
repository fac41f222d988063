"""What settings are checked for when they are built."""

from reins.errors import ConfigError, sentence_of_faults


def positive(name: str, value: float) -> str | None:
    """The fault of a value that is not above 0, or None."""
    return None if value > 0 else f"{name} must be positive; found {value}"


def not_negative(name: str, value: float) -> str | None:
    """The fault of a value below 0, or None."""
    return None if value >= 0 else f"{name} must not be negative; found {value}"


def unit(name: str, value: float) -> str | None:
    """The fault of a value outside [0, 1], or None."""
    return None if 0 <= value <= 1 else f"{name} must lie in [0, 1]; found {value}"


def refuse(subject: str, faults: list[str | None]) -> None:
    """Say all faults at once.

    Raises: ConfigError when there are any.
    """
    found = [fault for fault in faults if fault]
    if found:
        raise ConfigError(sentence_of_faults(f"{subject} cannot be used", found))
