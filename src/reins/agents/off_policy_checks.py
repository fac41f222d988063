"""What the off-policy policy gradient can be asked for, checked at the door."""

from typing import Literal, get_args

from reins.agents.off_policy_weights import Form
from reins.agents.policy_gradient import at_least_one, one_of
from reins.data import Demonstrations
from reins.errors import ConfigError

Denominator = Literal["own", "mixture"]
Weights = Literal["plain", "self-normalised"]
Baseline = Literal["none", "time"]
Behaviour = Literal["cloned"]


def check_names(form: str, denominator: str, weights: str, baseline: str) -> None:
    """Raises: ConfigError for a name that is not known."""
    one_of("form", form, get_args(Form))
    one_of("denominator", denominator, get_args(Denominator))
    one_of("kind of weights", weights, get_args(Weights))
    one_of("baseline", baseline, get_args(Baseline))


def check_numbers(
    memory: int, passes: int, least: float, horizon: int, rollout_steps: int
) -> None:
    """Raises: ConfigError for counts below 1, shares and lengths that cannot be."""
    at_least_one("memory", memory)
    at_least_one("passes", passes)
    if not 0.0 < least <= 1.0:
        raise ConfigError(
            f"`min_ess_fraction` is {least}; it must be in (0, 1], as 0.5: the share "
            "of the samples that must count for old data to be used."
        )
    if rollout_steps < horizon:
        raise ConfigError(
            f"whole episodes were asked for from rollouts of {rollout_steps} steps; "
            f"one may last {horizon} (`horizon`). Gather at least as many."
        )


def check_rows(found: int, rows: int, environments: int, rollout_steps: int) -> None:
    """Raises: ConfigError for a batch of another size than the memory was made for."""
    if found != rows:
        raise ConfigError(
            f"a batch has room for {found} rows of one episode each; the agent's "
            f"memory has {rows} for each batch, for {environments} environments x "
            f"{rollout_steps} steps. Build it with the sizes that it is trained with."
        )


def check_behaviour(
    demonstrations: Demonstrations | None, behaviour: str | None, clone_steps: int
) -> None:
    """How the policy behind demonstrations is to be known, and only then.

    Raises: ConfigError.
    """
    at_least_one("clone_steps", clone_steps)
    if behaviour is not None:
        one_of("behaviour", behaviour, get_args(Behaviour))
    if demonstrations is None and behaviour is not None:
        raise ConfigError(
            f"the behaviour `{behaviour}` was asked for without `demonstrations`, "
            "whose policy it says how to find. Give them, or leave it out."
        )
    if demonstrations is not None and behaviour is None:
        raise ConfigError(
            "demonstrations were given without `behaviour`; the policy that acted in "
            "them is not known, and without it they have no ratios. Choose "
            "`behaviour='cloned'`, which fits one to them, or leave them out."
        )
