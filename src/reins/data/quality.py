"""What is wrong or suspicious about demonstrations, all of it at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from gymnasium import spaces

from reins.data.agreement import Replay, disagreements
from reins.data.alignment import alignment, reset_rows
from reins.data.demonstrations import (
    faults_of_env,
    faults_of_episodes,
    faults_of_fit,
    values_outside,
)
from reins.envs import Boundary
from reins.envs.check.finding import Finding, error, warning

Episodes = Sequence[np.ndarray]
Forbidden = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(observations, actions), one row per step -> which of the steps are forbidden."""

FEW_EPISODES = 10
UNEQUAL_LENGTHS = 5


def findings(
    observations: Episodes,
    actions: Episodes,
    rewards: Episodes,
    *,
    env_id: str,
    env_ids: Sequence[str] = (),
    observation_space: spaces.Space | None = None,
    action_space: spaces.Space | None = None,
    forbidden: Mapping[str, Forbidden] | None = None,
    boundary: Boundary | None = None,
    horizon: int | None = None,
    replay: Replay | None = None,
) -> list[Finding]:
    """Everything that is wrong or suspicious with demonstrations, errors first.

    An error is what `Demonstrations` or `check_fit` refuse; a warning is what can be
    used and looks wrong. Episodes that are no demonstrations (other lengths, NaN) are
    looked at no further, and rules are asked only about steps that fit the spaces.

    Args:
      observations, actions, rewards: per episode, as `Demonstrations` has them.
      env_id: where they say that they were recorded.
      env_ids: the ids that count as the environment they are checked for; none where it
        is not known.
      observation_space, action_space: that environment's, where known.
      forbidden: rules by name; each says which steps it forbids.
      boundary: of what the environment's own rule forbids, where it is one.
      horizon, replay: as `disagreements` takes them.
    """
    whole = faults_of_episodes(observations, actions, rewards)
    found = [*_errors(whole, env_id, env_ids)]
    if whole:
        return found
    misfits: list[str] = []
    if observation_space is not None and action_space is not None:
        misfits = faults_of_fit(observations, actions, observation_space, action_space)
    wanted = f"observations in {observation_space}, actions in {action_space}"
    remedy = "Record demonstrations in this environment, or name theirs with --env."
    found += [error("spaces", wanted, fault, remedy) for fault in misfits]
    found += _few(actions)
    found += _repeated(observations, actions)
    found += _unequal(actions)
    found += _constant("action", actions)
    found += _constant("observation", observations)
    kept = _different(observations, actions)  # a repetition is no further evidence
    seen, done = ([x[i] for i in kept] for x in (observations, actions))
    found += _resets(seen)
    found += _shifted(seen, done)
    if not misfits:
        found += _out_of_bounds(observations, observation_space)
        found += _violations(observations, actions, forbidden or {})
        if boundary is not None:
            found += _at_boundary(observations, boundary)
        found += disagreements(
            observations, actions, rewards, horizon=horizon, replay=replay
        )
    return found


def _errors(
    whole: Sequence[str], env_id: str, env_ids: Sequence[str]
) -> Iterator[Finding]:
    wanted = "T + 1 observations, T actions, T rewards in an episode, all finite"
    for fault in whole:
        yield error("episodes", wanted, fault, "Mend these episodes or leave them out.")
    if env_ids:
        for fault in faults_of_env(env_id, env_ids):
            wanted = f"demonstrations of {' or '.join(env_ids)}"
            remedy = "Name the environment that they are of with --env."
            yield error("env", wanted, fault, remedy)


def _few(actions: Episodes) -> Iterator[Finding]:
    n = len(actions)
    if n < FEW_EPISODES:
        yield warning(
            "number of episodes",
            f"{FEW_EPISODES} or more",
            f"{n}",
            "Record more: the likelihood of a constraint is a mean over demonstrated "
            f"episodes, and as uncertain as {n} draws are.",
        )


def _different(observations: Episodes, actions: Episodes) -> list[int]:
    """Places of the episodes that are not the same as one before them."""
    first: dict[tuple[bytes, bytes], int] = {}
    for i, (o, a) in enumerate(zip(observations, actions, strict=True)):
        first.setdefault((np.asarray(o).tobytes(), np.asarray(a).tobytes()), i)
    return list(first.values())


def _repeated(observations: Episodes, actions: Episodes) -> Iterator[Finding]:
    n, kinds = len(actions), len(_different(observations, actions))
    if kinds < n:
        yield warning(
            "episodes",
            "all different",
            f"all {n} the same" if kinds == 1 else f"{kinds} different ones among {n}",
            "A repetition shows nothing new. It is right for a deterministic expert in "
            "a deterministic environment.",
        )


def _unequal(actions: Episodes) -> Iterator[Finding]:
    lengths = np.asarray([len(a) for a in actions])
    if lengths.max() > UNEQUAL_LENGTHS * lengths.min():
        yield warning(
            "lengths of episodes",
            f"the longest at most {UNEQUAL_LENGTHS} times the shortest",
            f"{lengths.min()} to {lengths.max()} steps (median {np.median(lengths):g})",
            "Leave out what was cut short by mistake: it is learned from as if the "
            "demonstrator had stopped there.",
        )


def _constant(name: str, arrays: Episodes) -> Iterator[Finding]:
    rows = np.concatenate([np.reshape(x, (len(x), -1)) for x in arrays])
    never = np.flatnonzero(np.all(rows == rows[0], axis=0))
    if len(never) == 0:
        return
    if len(never) == rows.shape[1]:
        found = f"all {len(rows)} are {_shown(rows[0])}"
    else:
        found = f"dimensions {ranges(never)} of {rows.shape[1]} never change"
    yield warning(
        f"{name}s",
        "change along every dimension",
        found,
        "Other values there in the agent's episodes may come out as forbidden. Where "
        f"that is not meant, choose other dimensions with --{name}-dims.",
    )


def _resets(observations: Episodes) -> Iterator[Finding]:
    count, n = reset_rows(observations), len(observations)
    if count >= max(2, n / 2):
        yield warning(
            "last observations",
            "what was seen before the reset",
            f"{count} of {n} episodes seem to end on the first observation of the next",
            "Record what was seen before the reset, or leave the last step out. It is "
            "right where one recording was cut into episodes.",
        )


def _shifted(observations: Episodes, actions: Episodes) -> Iterator[Finding]:
    found = alignment(observations, actions)
    if found is None or found.shift == 0:
        return
    fits, stands, mend = {
        1: (
            "a_{t+1}",
            "the observation that it led to",
            "observations[:-1] with actions[1:]",
        ),
        -1: (
            "a_{t-1}",
            "the observation before the one that it answered",
            "observations[1:] with actions[:-1]",
        ),
    }[found.shift]
    left, now = found.unexplained[found.shift], found.unexplained[0]
    yield warning(
        "alignment",
        "each action beside the observation on which it was chosen",
        f"actions look shifted by one, each beside {stands}: from s_t and s_{{t+1}} a "
        f"linear fit leaves {100 * left:.1f} % of {fits} unexplained, and "
        f"{100 * now:.1f} % of a_t",
        f"Pair {mend}.",
    )


def _out_of_bounds(
    observations: Episodes, space: spaces.Space | None
) -> Iterator[Finding]:
    if isinstance(space, spaces.Box):
        for sentence in values_outside("observations", observations, space):
            remedy = "See whether the units differ; bounds that are rough do no harm."
            yield warning("bounds", f"observations in {space}", sentence, remedy)


def _violations(
    observations: Episodes, actions: Episodes, forbidden: Mapping[str, Forbidden]
) -> Iterator[Finding]:
    seen = np.concatenate([o[:-1] for o in observations])
    done = np.concatenate(list(actions))
    for name, rule in forbidden.items():
        yield from _broken(name, np.asarray(rule(seen, done)))


def _broken(name: str, steps: np.ndarray) -> Iterator[Finding]:
    count, n = int(np.sum(steps)), len(steps)
    if count:
        yield warning(
            "violations",
            f"no step that {name} forbids",
            f"{count} of {n} ({100 * count / n:.2g} %)",
            "Leave these episodes out: whatever is demonstrated is taken for allowed.",
        )


def _at_boundary(observations: Episodes, boundary: Boundary) -> Iterator[Finding]:
    """Steps beyond it; or how far from it all of them stay."""
    away = [boundary.distances(o) for o in observations]
    reached = np.concatenate([distances[1:] for distances in away])
    told = f"{boundary.side} {boundary.at:g} in entry {boundary.entry}"
    yield from _broken(f"the environment's rule ({told})", reached <= 0.0)
    stride = max(float(np.abs(np.diff(distances)).max()) for distances in away)
    nearest = float(reached.min())
    if nearest > stride:
        yield warning(
            "boundary",
            f"steps within a stride ({stride:.3g}) of what the environment forbids "
            f"({told})",
            f"the nearest is {nearest:.3g} away",
            "Nothing is demonstrated in between: where the rule comes out there, the "
            "agent's own episodes and the regulariser decide. Record demonstrations "
            "that come nearer, if that matters.",
        )


def ranges(numbers: np.ndarray) -> str:
    """Whole numbers in rising order, runs of them shortened: 0, 3-5."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(
        f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs
    )


def _shown(values: np.ndarray) -> str:
    text = ", ".join(f"{value:.4g}" for value in values[:6])
    return text + (", ..." if len(values) > 6 else "")
