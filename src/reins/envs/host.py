"""Any Gymnasium environment by its id, as something that can be trained in."""

import difflib
import importlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, TimeLimit

from reins.envs.atari import (
    AtariGame,
    AtariVector,
    atari_env,
    atari_settings,
    import_ale,
    limited,
)
from reins.envs.autoreset import AutoresetVector, EnvPoolVector
from reins.envs.mujoco import mujoco_env
from reins.envs.pong import PONG, pong_env
from reins.envs.vector import HostEnv, VectorEnv
from reins.envs.walls import boundary_of
from reins.errors import CapabilityError, ConfigError

DEFAULT_HORIZON = 1000
"""Steps after which an episode is truncated where nobody says when."""

_NAMED = "observation", "action"
"""What an environment may name the entries of, in its `metadata`."""

Vectorisation = Literal["auto", "mujoco", "sync", "async", "own", "envpool"]


class HostOptions(NamedTuple):
    """How an environment outside JAX is made.

    Attributes:
      arguments: keyword arguments of its constructor.
      vectorisation: what steps the copies. `mujoco` steps MuJoCo's robots as one
        batch; `sync` and `async` are Gymnasium's, in this process and in one process
        per copy; `own` is the environment's own vector version; `envpool` is EnvPool.
        `auto` is `mujoco` where that serves, `own` for Atari's games, else `sync`.
      horizon: steps after which an episode is truncated; the environment's own limit
        when None, and `DEFAULT_HORIZON` where it has none.
    """

    arguments: Mapping[str, Any] = {}
    vectorisation: Vectorisation = "auto"
    horizon: int | None = None


def host_env(env_id: str, options: HostOptions = HostOptions()) -> HostEnv:  # noqa: B008
    """An environment outside JAX, tried out once: made, reset and stepped.

    Raises: ConfigError when there is none of that id, when it cannot be made, reset or
      stepped, or not in the way that was asked for; CapabilityError when nothing here
      can act on its observations.
    """
    spec = find_spec(env_id)
    way = options.vectorisation
    if way in ("auto", "mujoco"):
        batched = mujoco_env(env_id, options.horizon, **options.arguments)
        if batched is not None:
            return batched
    if way in ("auto", "own"):
        game = _game(spec, options)
        if game is not None:
            return game
    if way == "mujoco":
        raise ConfigError(
            f"{env_id} was asked to be stepped as one MuJoCo batch, which serves "
            "Gymnasium's robots (version 5) and those with a wall, with arguments that "
            "leave model and rendering as they are. Use --vectorisation auto."
        )
    if way == "own" and spec.vector_entry_point is None:
        raise ConfigError(
            f"the vector version of {env_id} was asked for, and it has none "
            "(no `vector_entry_point`). Use --vectorisation sync."
        )
    if way == "envpool":
        _check_envpool(env_id)
    tried = _try(env_id, options)
    makers: dict[str, Callable[[int, int], VectorEnv]] = {
        "auto": partial(_sync, env_id, options),
        "sync": partial(_sync, env_id, options),
        "async": partial(_async, env_id, options),
        "own": partial(_own, env_id, options),
        "envpool": partial(_envpool, env_id, options),
    }
    return tried._replace(make=makers[way])


def single_env(
    env_id: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    render_mode: str | None = None,
    horizon: int | None = None,
) -> gymnasium.Env:
    """One Gymnasium environment as the policy sees it: time limit set, flattened.

    Args:
      env_id: as `gymnasium.make` takes it, `module:Name-v0` included.
      arguments: keyword arguments of its constructor.
      render_mode: as Gymnasium's.
      horizon: steps after which an episode is truncated; see `HostOptions`.

    Raises: ConfigError when it cannot be made, CapabilityError when nothing here can
      act on its observations.
    """
    spec = find_spec(env_id)
    given = dict(arguments or {})
    settings = atari_settings(spec, given)
    if settings is not None:
        told = limited(settings, horizon)
        return AtariGame(AtariVector(told, 1, 1), told, render_mode=render_mode)
    if render_mode is not None:
        given["render_mode"] = render_mode
    try:
        env = gymnasium.make(
            env_id, max_episode_steps=horizon, disable_env_checker=True, **given
        )
    except Exception as error:
        raise ConfigError(
            f"{env_id} was asked for with {given or 'no arguments'}, and could not be "
            f"made: {type(error).__name__}: {error}"
        ) from error
    if horizon is None and spec.max_episode_steps is None:
        env = TimeLimit(env, DEFAULT_HORIZON)
    return flattened(env)


def flattened(env: gymnasium.Env) -> gymnasium.Env:
    """The same environment with vectors for observations; images stay as they are.

    Raises: CapabilityError for observations that have no length of their own, and for
      images among other things.
    """
    space = env.observation_space
    if isinstance(space, spaces.Box) and (len(space.shape) == 1 or is_image(space)):
        return env
    images = any(is_image(leaf) for leaf in _leaves(space))
    if images or not space.is_np_flattenable:
        what = "an image among other things" if images else "no fixed length"
        raise CapabilityError(
            f"observations in {space} have {what}; no network here takes them. Wrap "
            "the environment so that it shows one vector, or one image."
        )
    return FlattenObservation(env)


def is_image(space: spaces.Space) -> bool:
    """Whether observations are pictures: bytes, height x width x channels."""
    return (
        isinstance(space, spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) == 3
    )


def find_spec(env_id: str) -> EnvSpec:
    """Gymnasium's registration of an id; `module:Name-v0` imports the module first.

    Raises: ConfigError with the nearest name when there is none.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"{env_id} was asked for; the module {module!r} cannot be imported "
                f"({error}). Install it beside reins."
            ) from error
    if name.startswith("ALE/") or name == PONG:
        import_ale(name)
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.4)
        raise ConfigError(
            f"there is no environment `{env_id}`. "
            + (f"Near to it: {', '.join(near)}. " if near else "")
            + "An environment of another package is named `module:Name-v0`, so that "
            "the module registers it; `reins list` names those of reins."
        ) from error


def providers(env_id: str) -> list[str]:
    """The installed packages that an environment comes from, if they can be told.

    Raises: ConfigError when there is no such environment.
    """
    entry_point = find_spec(env_id).entry_point
    module = entry_point if isinstance(entry_point, str) else entry_point.__module__  # pyright: ignore
    roots = {module.partition(":")[0].partition(".")[0]}
    if env_id == PONG:
        roots.add("ale_py")
    known = importlib.metadata.packages_distributions()
    return sorted({name for root in roots for name in known.get(root, [])})


def _game(spec: EnvSpec, options: HostOptions) -> HostEnv | None:
    """A game of Atari's as one batch, where that is what was asked for."""
    if spec.id == PONG and not options.arguments:
        return pong_env(options.horizon)
    settings = atari_settings(spec, options.arguments)
    if settings is None:
        return None
    return atari_env(spec.id, limited(settings, options.horizon))


def _try(env_id: str, options: HostOptions) -> HostEnv:
    """Make one copy, reset it and take a step: what it is, before anything is begun."""
    env = single_env(env_id, options.arguments, horizon=options.horizon)
    try:
        env.reset(seed=0)
        env.action_space.seed(0)
        info = env.step(env.action_space.sample())[4]
        boundary = boundary_of(env)
        names = [tuple(env.metadata.get(f"{x}_names", ())) for x in _NAMED]
    except Exception as error:
        raise ConfigError(
            f"{env_id} cannot be used: a first reset and step raised "
            f"{type(error).__name__}: {error}. `reins check-env {env_id}` tells more."
        ) from error
    finally:
        env.close()
    horizon = options.horizon or find_spec(env_id).max_episode_steps or DEFAULT_HORIZON
    return HostEnv(
        name=env_id,
        observation_space=_float32(env.observation_space),
        action_space=env.action_space,
        horizon=horizon,
        make=partial(_sync, env_id, options),
        costs="cost" in info,
        boundary=boundary,
        observation_names=names[0],
        action_names=names[1],
    )


def _copies(env_id: str, options: HostOptions, n: int) -> list[Callable[[], Any]]:
    make = partial(single_env, env_id, options.arguments, horizon=options.horizon)
    return [make] * n


def _sync(env_id: str, options: HostOptions, n: int, threads: int) -> VectorEnv:
    del threads
    copies = _copies(env_id, options, n)
    inner = SyncVectorEnv(copies, copy=False, autoreset_mode=AutoresetMode.DISABLED)
    return AutoresetVector(inner)


def _async(env_id: str, options: HostOptions, n: int, threads: int) -> VectorEnv:
    del threads
    # Spawned, not forked: a fork of a process that runs JAX's threads can hang.
    inner = AsyncVectorEnv(
        _copies(env_id, options, n),
        context="spawn",
        autoreset_mode=AutoresetMode.DISABLED,
    )
    return AutoresetVector(inner)


def _own(env_id: str, options: HostOptions, n: int, threads: int) -> VectorEnv:
    del threads
    inner = gymnasium.make_vec(
        env_id,
        num_envs=n,
        vectorization_mode="vector_entry_point",
        **_with_limit(options),
    )
    return AutoresetVector(inner)


def _envpool(env_id: str, options: HostOptions, n: int, threads: int) -> VectorEnv:
    def make(seeds: Sequence[int]) -> Any:
        import envpool  # pyright: ignore[reportMissingImports]

        return envpool.make(
            env_id,
            env_type="gymnasium",
            num_envs=n,
            seed=[int(seed) for seed in seeds],
            num_threads=threads,
            **_with_limit(options),
        )

    return EnvPoolVector(make, n)


def _check_envpool(env_id: str) -> None:
    try:
        import envpool  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            f"EnvPool was asked for {env_id}, and is not installed. Install it beside "
            "reins (pip install envpool), or use --vectorisation sync."
        ) from error
    if env_id not in envpool.list_all_envs():
        raise ConfigError(
            f"EnvPool was asked for {env_id}, which it does not have. Use "
            "--vectorisation sync."
        )


def _with_limit(options: HostOptions) -> dict[str, Any]:
    limit = {} if options.horizon is None else {"max_episode_steps": options.horizon}
    return {**options.arguments, **limit}


def _leaves(space: spaces.Space) -> list[spaces.Space]:
    if isinstance(space, spaces.Dict):
        return [leaf for part in space.values() for leaf in _leaves(part)]
    if isinstance(space, spaces.Tuple):
        return [leaf for part in space for leaf in _leaves(part)]
    return [space]


def _float32(space: spaces.Space) -> spaces.Space:
    """The space of the same observations as training keeps them."""
    if not isinstance(space, spaces.Box) or is_image(space):
        return space
    limit = np.finfo(np.float32).max
    low, high = (
        np.where(np.isfinite(b), np.clip(b, -limit, limit), b).astype(np.float32)
        for b in (space.low, space.high)
    )
    return spaces.Box(low, high, dtype=np.float32)
