"""The usual policies of soft actor-critic, by the spaces they join."""

from typing import Literal, get_args

import numpy as np
from gymnasium import spaces

from reins.envs.actions import hybrid_space
from reins.errors import CapabilityError, ConfigError, unknown_name
from reins.policies.beta import beta_policy
from reins.policies.categorical import categorical_policy
from reins.policies.gaussian import gaussian_policy
from reins.policies.hybrid import hybrid_policy
from reins.policies.mixture import mixture_policy
from reins.policies.policy import (
    PolicyInit,
    action_range,
    no_policy_for,
    observation_shape,
)
from reins.policies.squashed import squashed_gaussian_policy

SoftKind = Literal["auto", "squashed", "gaussian", "beta", "mixture"]
"""What draws the actions of a Box; "auto" chooses by the space."""


def soft_policy_for(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    kind: SoftKind = "auto",
    hidden: tuple[int, ...] = (256, 256),
    activation: str = "relu",
    branches: int = 4,
) -> PolicyInit:
    """A policy whose every parameter depends on the state, for these spaces.

    Args:
      kind: "auto" is a softmax for Discrete actions, a squashed Gaussian for a Box with
        bounds, a plain Gaussian for one without, and a softmax with a Gaussian for each
        choice for a Tuple of Discrete and Box. "gaussian" has its actions clipped
        where they enter the environment; "mixture" has `branches` Gaussians.
      hidden: units of the hidden layers.
      activation: of those units, "relu" or "tanh".
      branches: of a mixture.

    Raises: ConfigError for a kind that there is not, CapabilityError for spaces that no
    policy of this kind can serve.
    """
    check_kind(kind)
    seen = observation_shape(observation_space)
    net = {"hidden": hidden, "activation": activation}
    if isinstance(action_space, spaces.Discrete) and action_space.start == 0:
        if kind != "auto":
            raise _wrong_kind(kind, action_space, "Discrete actions have no density")
        return categorical_policy(seen, int(action_space.n), **net)
    hybrid = hybrid_space(action_space)
    if hybrid is not None:
        if kind != "auto":
            raise _wrong_kind(kind, action_space, "it has no discrete part")
        centre, half_width = action_range(hybrid.box)
        where = {"centre": centre, "half_width": half_width, **net}
        size = hybrid.box.shape[0]
        return hybrid_policy(seen, size, branches=hybrid.choices, **where)
    if not (isinstance(action_space, spaces.Box) and len(action_space.shape) == 1):
        raise no_policy_for(action_space)
    bounded = bool(np.all(np.isfinite([action_space.low, action_space.high])))
    if kind in ("squashed", "beta") and not bounded:
        raise _wrong_kind(kind, action_space, "it fills a box, and this one is open")
    size = action_space.shape[0]
    centre, half_width = action_range(action_space)
    where = {"centre": centre, "half_width": half_width, **net}
    if kind == "beta":
        return beta_policy(seen, size, **where)
    if kind == "mixture":
        return mixture_policy(seen, size, branches=branches, squash=bounded, **where)
    if kind == "gaussian" or not bounded:
        return gaussian_policy(seen, size, scale="state", **where)
    return squashed_gaussian_policy(seen, size, **where)


def check_kind(kind: str) -> None:
    """Check the name of a kind of policy.

    Raises: ConfigError that names the known ones.
    """
    if kind not in get_args(SoftKind):
        raise ConfigError(unknown_name("kind of policy", kind, get_args(SoftKind)))


def _wrong_kind(kind: str, space: spaces.Space, why: str) -> CapabilityError:
    return CapabilityError(
        f"a policy of kind `{kind}` was asked for, for the action space {space}; "
        f"{why}. Use kind `auto`."
    )
