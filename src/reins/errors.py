"""Errors at the door: what was asked, what was found, why it cannot be, what to do."""

import difflib
from collections.abc import Iterable, Sequence


class ReinsError(Exception):
    """Anything that a user can mend; the command line prints it plainly."""


class ConfigError(ReinsError):
    """A setting, name or path that cannot be used."""


class DataError(ReinsError):
    """Demonstrations, or another file of data, that cannot be used."""


class CapabilityError(ReinsError):
    """Two parts that cannot be joined: one needs what the other cannot give."""


class RunError(ReinsError):
    """A run that could not go on; what it had reached is saved."""


def sentence_of_faults(subject: str, faults: Sequence[str]) -> str:
    """All faults of `subject` at once, one to a line when there are several."""
    if len(faults) == 1:
        return f"{subject}: {faults[0]}"
    lines = "".join(f"\n  - {fault}" for fault in faults)
    return f"{subject} ({len(faults)} faults):{lines}"


def unknown_name(kind: str, found: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not in a list, with the nearest one that is."""
    names = sorted(known)
    nearest = difflib.get_close_matches(found, names, n=1, cutoff=0.4)
    hint = f" Did you mean `{nearest[0]}`?" if nearest else ""
    return f"there is no {kind} `{found}`.{hint} Known: {', '.join(names)}."
