"""Every environment by its id: ours, which are compiled, and all of Gymnasium's."""

from collections.abc import Callable
from typing import NamedTuple

import gymnasium

from reins.envs.classic import (
    acrobot,
    cart_pole,
    mountain_car,
    mountain_car_continuous,
    pendulum,
)
from reins.envs.env import Env, Rule
from reins.envs.golf import golf
from reins.envs.gridworld import (
    lap_gridworld,
    lap_gridworld_constrained,
    lap_rule,
)
from reins.envs.gymnasium import CompiledEnv
from reins.envs.host import HostOptions, host_env
from reins.envs.point_circle import point_circle, point_circle_constrained
from reins.envs.pong import HORIZON, PONG
from reins.envs.robots_with_wall import WALLED
from reins.envs.two_doors import two_doors
from reins.envs.vector import HostEnv
from reins.errors import ConfigError


class EnvEntry(NamedTuple):
    """A registered environment and its twins.

    Attributes:
      build: makes the compiled environment.
      nominal, constrained: ids of the twins (its own id for the one that it is).
      summary: one line for `reins list`.
      rule: the true rule as a table, where there is one; it judges, and never selects.
    """

    build: Callable[[], Env]
    nominal: str
    constrained: str
    summary: str
    rule: Callable[[], Rule] | None = None


class HostEntry(NamedTuple):
    """A registered environment that is stepped outside JAX, and its twins.

    Attributes:
      nominal, constrained: ids of the twins (its own id for the one that it is).
      summary: one line for `reins list`.
    """

    nominal: str
    constrained: str
    summary: str


def _alone(env_id: str, build: Callable[[], Env], summary: str) -> dict[str, EnvEntry]:
    """The entry of an environment without twins, which is both."""
    return {env_id: EnvEntry(build, env_id, env_id, summary)}


_LAP, _LAP_CONSTRAINED = "reins/LapGridWorld-v0", "reins/LapGridWorldConstrained-v0"
_POINT = "reins/PointCircleWall-v0"
_POINT_CONSTRAINED = "reins/PointCircleWallConstrained-v0"

ENVS: dict[str, EnvEntry] = {
    _LAP: EnvEntry(
        lap_gridworld,
        nominal=_LAP,
        constrained=_LAP_CONSTRAINED,
        summary="A lap of 40 cells with coins; driving anti-clockwise is possible.",
        rule=lap_rule,
    ),
    _LAP_CONSTRAINED: EnvEntry(
        lap_gridworld_constrained,
        nominal=_LAP,
        constrained=_LAP_CONSTRAINED,
        summary="The same lap; driving anti-clockwise ends the episode.",
        rule=lap_rule,
    ),
    _POINT: EnvEntry(
        point_circle,
        nominal=_POINT,
        constrained=_POINT_CONSTRAINED,
        summary="A point, paid for walking in a circle; a wall across it.",
    ),
    _POINT_CONSTRAINED: EnvEntry(
        point_circle_constrained,
        nominal=_POINT,
        constrained=_POINT_CONSTRAINED,
        summary="The same point; the wall ends the episode.",
    ),
    **_alone(
        "reins/CartPole-v1",
        cart_pole,
        "Push a cart so that the pole on it stays up; Gymnasium's, compiled.",
    ),
    **_alone(
        "reins/Pendulum-v1",
        pendulum,
        "Swing a rod up with a weak motor and hold it there; Gymnasium's, compiled.",
    ),
    **_alone(
        "reins/Acrobot-v1",
        acrobot,
        "Swing the tip of two links above their pivot; Gymnasium's, compiled.",
    ),
    **_alone(
        "reins/MountainCar-v0",
        mountain_car,
        "Rock a weak car out of a valley; Gymnasium's, compiled.",
    ),
    **_alone(
        "reins/MountainCarContinuous-v0",
        mountain_car_continuous,
        "The car in its valley, with a throttle to pay for; Gymnasium's, compiled.",
    ),
    **_alone(
        "reins/Golf-v0",
        golf,
        "A ball on a line, by few strokes: which club, and how hard; hybrid actions.",
    ),
    **_alone(
        "reins/TwoDoors-v0",
        two_doors,
        "Two doors with a post between, and an unseen guard at the one used last.",
    ),
}

HOST_ENVS: dict[str, HostEntry] = {
    **{name: HostEntry(*x.twins, x.summary) for name, x in WALLED.items()},
    PONG: HostEntry(
        PONG, PONG, "Pong as 6400 numbers of what has moved; needs reins[atari]."
    ),
}
"""Ours that are stepped outside JAX."""


def env_entry(env_id: str) -> EnvEntry | None:
    """The registration of an environment of reins; None for anybody else's."""
    return ENVS.get(env_id)


def true_rule(env_id: str) -> Rule | None:
    """The true rule of an environment as a table, where there is one."""
    entry = env_entry(env_id)
    return None if entry is None or entry.rule is None else entry.rule()


def make_env(env_id: str, options: HostOptions = HostOptions()) -> Env | HostEnv:  # noqa: B008
    """An environment by its id: compiled where it is ours, else Gymnasium's.

    Raises: ConfigError or CapabilityError when there is none or it cannot be used, or
      when a compiled one is given options.
    """
    entry = env_entry(env_id)
    if entry is None:
        return host_env(env_id, options)
    if options != HostOptions():
        raise ConfigError(
            f"{env_id} was asked for with {_options(options)}; it is compiled into the "
            "training loop, and has no such options. Leave them out."
        )
    return entry.build()


def twin_ids(env_id: str) -> tuple[str, str]:
    """Ids of the nominal and the constrained twin; one without twins is both.

    In the constrained one breaking the true rule ends the episode; in the nominal one
    the rule can be broken, and is counted.
    """
    entry = env_entry(env_id) or HOST_ENVS.get(env_id)
    return (env_id, env_id) if entry is None else (entry.nominal, entry.constrained)


def constrained_twin(
    env_id: str,
    options: HostOptions = HostOptions(),  # noqa: B008
) -> Env | HostEnv:
    """The environment in which breaking the true rule ends the episode."""
    return make_env(twin_ids(env_id)[1], options)


def nominal_twin(
    env_id: str,
    options: HostOptions = HostOptions(),  # noqa: B008
) -> Env | HostEnv:
    """The environment in which the true rule can be broken, and is counted."""
    return make_env(twin_ids(env_id)[0], options)


def gymnasium_env(env_id: str, render_mode: str | None = None) -> CompiledEnv:
    """A compiled environment as a `gymnasium.Env`, without its time limit."""
    return CompiledEnv(ENVS[env_id].build(), render_mode)


def register() -> None:
    """Make every environment known to Gymnasium, as `gymnasium.make(id)`."""
    for env_id, entry in ENVS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="reins.envs:gymnasium_env",
                max_episode_steps=entry.build().horizon,
                kwargs={"env_id": env_id},
            )
    for env_id, walled in WALLED.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point="reins.envs.robots_with_wall:walled_robot",
                max_episode_steps=walled.robot.horizon,
                kwargs={"env_id": env_id},
            )
    if PONG not in gymnasium.registry:
        entry_point = "reins.envs.pong:pong_game"
        gymnasium.register(PONG, entry_point=entry_point, max_episode_steps=HORIZON)


def _options(options: HostOptions) -> str:
    default = HostOptions()._asdict()
    given = {k: v for k, v in options._asdict().items() if v != default[k]}
    return ", ".join(f"{name} {value}" for name, value in given.items())
