"""The loop around environments outside JAX: numpy steps, compiled updates.

The environments of all seeds of a group are stepped together. Each seed's policy acts
by one numpy pass per step (`reins.policies.host`), and the agents' `update` is one
compiled call per batch. An agent cannot tell this loop from the compiled one.

Where batches are small, several go by between two reports, and what they need of chance
is drawn at once.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from reins.data import (
    FaultyEnvError,
    Finished,
    HostAct,
    Standing,
    host_rollout,
    start_host_rollout,
)
from reins.envs import HostEnv, VectorEnv
from reins.experiments.build import Task
from reins.experiments.config import RunConfig
from reins.experiments.judge import actor, judge, reset_seeds
from reins.experiments.program import (
    EVALUATION,
    Program,
    SeedState,
    acting_key,
    explainer,
    keys_of,
    learn,
    lift,
    stream,
)
from reins.policies import action_noise, has_host_act, host_act
from reins.types import Info, Key, Trajectory

RESETTING = 2
"""Folded into a seed's key for the seeds that its environments are reset with."""

STEPS_AT_ONCE = 64
"""About so many environment steps of a seed go by between two reports, at least."""

SECONDS = "seconds/"
"""Begins the names of what an update's parts took; they are no measured quantities."""


class Place(NamedTuple):
    """Where a group's environments stand.

    Attributes:
      env: all that they need to go on exactly, where that can be saved; else None.
      standing: what their next actions answer, and totals so far.
    """

    env: dict[str, Any] | None
    standing: Standing


class HostParts(NamedTuple):
    """What is compiled of the loop, for groups of so many seeds.

    Attributes:
      chance: what the policy needs of it in the next so many updates, each by itself:
        noise where numpy acts, else keys.
      update: what it reports is one array (S, names), which costs one transfer.
      reported: names of what updates report, once one was traced.
      explain: as `Program.explain`.
    """

    begin: Callable[[Array], SeedState]
    chance: Callable[[SeedState, int], Array]
    judge_keys: Callable[[SeedState], Array]
    reset_seeds: Callable[[SeedState], Array]
    update: Callable[[SeedState, Trajectory], tuple[SeedState, Float[Array, "S n"]]]
    reported: list[str]
    explain: Callable[[SeedState, int], str]


def host_parts(task: Task, run: RunConfig, seeds: int) -> HostParts:
    """Compile what all groups of so many seeds share."""
    agent: Any = task.agent
    cost, bonus = (getattr(task.env, name, None) for name in ("cost", "bonus"))
    reported: list[str] = []

    def begin(key: Key) -> SeedState:
        agent_key, run_key = jax.random.split(key)
        return SeedState(agent.init(agent_key), None, run_key, jnp.zeros((), jnp.int32))

    def update(
        state: SeedState, batch: Trajectory
    ) -> tuple[SeedState, Float[Array, " n"]]:
        if cost is not None:
            batch = batch._replace(costs=cost(batch.observations, batch.actions))
        if bonus is not None:
            paid = batch.rewards + bonus(batch.observations, batch.actions)
            batch = batch._replace(rewards=jnp.where(batch.mask, paid, batch.rewards))
        state, info = learn(task, state, batch)
        reported[:] = info
        return state, jnp.stack([jnp.asarray(x, jnp.float32) for x in info.values()])

    def seeds_of(state: SeedState) -> Array:
        return reset_seeds(stream(state, RESETTING), run.environments)

    def chance(state: SeedState, updates: int) -> Array:
        def of_one(ahead: Array) -> Array:
            key = acting_key(state._replace(updates=state.updates + ahead))
            if not has_host_act(state.agent.policy):
                return key
            return action_noise(
                state.agent.policy,
                jax.random.fold_in(key, 0),  # as `actor` does for its first steps
                steps=run.rollout_steps,
                environments=run.environments,
            )

        return jax.vmap(of_one)(jnp.arange(updates))

    def chance_of_all(state: SeedState, updates: int) -> Array:
        return lift(lambda one: chance(one, updates), seeds)(state)

    return HostParts(
        begin=jax.jit(lift(begin, seeds)),
        chance=jax.jit(chance_of_all, static_argnums=1),
        judge_keys=jax.jit(lift(lambda state: stream(state, EVALUATION), seeds)),
        reset_seeds=jax.jit(lift(seeds_of, seeds)),
        update=jax.jit(lift(update, seeds), donate_argnums=0),
        reported=reported,
        explain=explainer(task),
    )


def host_program(
    task: Task, run: RunConfig, parts: HostParts, *, seeds: int, threads: int
) -> Program:
    """The loop outside JAX, for one group of so many seeds.

    It holds the group's environments; every group needs a program of its own.

    Args:
      parts: what is compiled, for as many seeds.
      threads: that simulators may use.
    """
    env: Any = task.env
    copies = Copies(threads)

    def training() -> VectorEnv:
        return copies("training", env, seeds * run.environments)

    def place(standing: Standing) -> Place:
        saved = training().save()
        return jax.tree.map(lambda x: split(x, seeds), Place(saved, standing))

    def begin_episodes(state: SeedState) -> Standing:
        resets = np.asarray(parts.reset_seeds(state)).ravel()
        return start_host_rollout(env, training(), resets)

    def init(keys: Array) -> SeedState:
        state = parts.begin(keys)
        return state._replace(rollout=place(begin_episodes(state)))

    def standing_of(state: SeedState) -> Standing:
        """Where the environments stand; after a resume they are brought there."""
        if copies.begun("training"):
            return join(state.rollout.standing)
        saved = state.rollout.env
        if saved is None:
            return begin_episodes(state)
        training().restore(join(saved))
        return join(state.rollout.standing)

    at_once = max(1, STEPS_AT_ONCE // run.batch_steps)
    late: list[FaultyEnvError] = []

    def gather(state: SeedState) -> tuple[SeedState, Trajectory, Info]:
        clock = Clock()
        state, batch, seen = gather_by(state, _chance(parts, state, 1), 0, clock)
        return state, batch, seen | clock.seconds

    def gather_by(
        state: SeedState, chance: Any, i: int, clock: Clock
    ) -> tuple[SeedState, Trajectory, Info]:
        standing = standing_of(state)
        act = clock.timed("act", _acting(state, chance, i, run))
        standing, batch, finished = host_rollout(
            env, training(), act, standing, steps=run.rollout_steps
        )
        batch = jax.tree.map(lambda x: split(x, seeds), batch)
        seen = _episodes(finished, run.environments, seeds)
        state = state._replace(rollout=place(standing))
        clock.lap("simulate")
        return state, batch, seen

    def advance(state: SeedState, most: int) -> tuple[SeedState, Info, int]:
        if late:
            raise late.pop()
        clock, reports = Clock(), Reports()
        chance = _chance(parts, state, at_once)
        for i in range(min(most, at_once)):
            try:
                state, batch, seen = gather_by(state, chance, i, clock)
            except FaultyEnvError as fault:
                if i == 0:
                    raise
                late.append(fault)  # once that is kept which was learned before it
                break
            moved = state.rollout
            state, found = parts.update(state._replace(rollout=None), batch)
            state = state._replace(rollout=moved)
            info = zip(parts.reported, np.asarray(found).T, strict=True)
            reports.add(dict(info) | seen)
            clock.lap("update")
        return state, reports.means() | clock.seconds, reports.count

    def judged(policy: Any, key: Key) -> Info:
        def opened(env: HostEnv, n: int) -> VectorEnv:
            # Two environments may have one name: the same id, other arguments.
            used = "return" if env is task.return_env else "violations"
            return copies(f"evaluation of {used}", env, n)

        try:
            return judge(task, policy, key, task.evaluation_episodes, opened)
        except FaultyEnvError as fault:
            what = f"in an evaluation after it, {fault.what}"
            raise FaultyEnvError(0, None, what) from fault

    def evaluate(state: SeedState) -> Info:
        keys = parts.judge_keys(state)
        found = [judged(*of) for of in zip(_policies(state), keys, strict=True)]
        return {name: np.asarray([f[name] for f in found]) for name in found[0]}

    def template() -> SeedState:
        state = jax.eval_shape(parts.begin, keys_of(range(seeds)))
        n, space = seeds * run.environments, env.observation_space
        observations = np.zeros((n, *space.shape), space.dtype)
        zeros = np.zeros(n, np.int32), np.zeros(n, np.float32)
        vector = env.make(n, 1)
        saved = vector.save()
        vector.close()
        stands = Place(saved, Standing(observations, *zeros))
        return state._replace(rollout=jax.tree.map(lambda x: split(x, seeds), stands))

    def put(state: SeedState, device: Any) -> SeedState:
        # What numpy steps stays with numpy, which also keeps 64 bits as they are.
        on_device = jax.device_put(state._replace(rollout=None), device)
        return on_device._replace(rollout=state.rollout)

    return Program(
        init,
        gather,
        advance,
        evaluate,
        template,
        exact=env.saves,
        put=put,
        explain=parts.explain,
        close=copies.close,
    )


class Copies:
    """The copies of environments that one group has open, by what they are for."""

    def __init__(self, threads: int):
        self.threads = threads
        self.vectors: dict[str, VectorEnv] = {}

    def __call__(self, purpose: str, env: HostEnv, n: int) -> VectorEnv:
        if purpose not in self.vectors:
            self.vectors[purpose] = env.make(n, self.threads)
        return self.vectors[purpose]

    def begun(self, purpose: str) -> bool:
        """Whether there are copies for this already."""
        return purpose in self.vectors

    def close(self) -> None:
        for vector in self.vectors.values():
            vector.close()
        self.vectors.clear()


class Clock:
    """What the parts of updates took, in seconds, under the names that start so."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.since = time.perf_counter()

    def timed(self, part: str, act: HostAct) -> HostAct:
        """The same function; its time is this part's, and not that of the lap."""
        name = SECONDS + part
        self.seconds.setdefault(name, 0.0)

        def counted(observations: np.ndarray, t: int) -> np.ndarray:
            began = time.perf_counter()
            actions = act(observations, t)
            taken = time.perf_counter() - began
            self.seconds[name] += taken
            self.since += taken
            return actions

        return counted

    def lap(self, part: str) -> None:
        """Count the time since the last lap as this part's."""
        now, name = time.perf_counter(), SECONDS + part
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.since
        self.since = now


class Reports:
    """Means over updates; of what is named `..._max`, the largest."""

    def __init__(self) -> None:
        self.count = 0
        self.found: dict[str, list[np.ndarray]] = {}

    def add(self, info: Info) -> None:
        """What one more update reported."""
        self.count += 1
        for name, value in info.items():
            self.found.setdefault(name, []).append(np.asarray(value, np.float64))

    def means(self) -> Info:
        """Of each quantity, over the updates that reported it."""
        return {
            name: (np.max if name.endswith("_max") else np.mean)(values, axis=0)
            for name, values in self.found.items()
        }


def split(x: Any, seeds: int) -> Any:
    """(seeds · N, ...) -> (seeds, N, ...)."""
    return np.reshape(x, (seeds, -1, *np.shape(x)[1:]))


def join(tree: Any) -> Any:
    """(seeds, N, ...) -> (seeds · N, ...), as numpy arrays."""
    return jax.tree.map(lambda x: np.reshape(x, (-1, *np.shape(x)[2:])), tree)


def _policies(state: SeedState) -> list[Any]:
    """Each seed's policy, as numpy arrays."""
    leaves, structure = jax.tree.flatten(state.agent.policy)
    for leaf in leaves:
        if not _at_hand(leaf):
            leaf.copy_to_host_async()  # all of them at once
    leaves = [np.asarray(leaf) for leaf in leaves]
    return [structure.unflatten(of_one) for of_one in zip(*leaves, strict=True)]


def _at_hand(x: Any) -> bool:
    """Whether numpy reads an array where it lies."""
    if isinstance(x, np.ndarray):
        return True
    return all(device.platform == "cpu" for device in x.devices())


def _chance(parts: HostParts, state: SeedState, updates: int) -> Any:
    """What the next updates need of it, ready for numpy where numpy acts."""
    drawn = parts.chance(state._replace(rollout=None), updates)
    is_key = jnp.issubdtype(drawn.dtype, jax.dtypes.prng_key)
    return drawn if is_key else np.asarray(drawn)


def _acting(state: SeedState, chance: Any, i: int, run: RunConfig) -> HostAct:
    """All seeds' policies as one: each acts in its own N environments.

    Args:
      chance: as `HostParts.chance` gives it, of which this is the i-th update.
    """
    n, steps = run.environments, run.rollout_steps
    actors: list[HostAct] = []
    for policy, drawn in zip(_policies(state), chance, strict=True):
        if isinstance(chance, np.ndarray):
            actors.append(_by_noise(host_act(policy), drawn[i]))
        else:
            actors.append(actor(policy, n, drawn[i], steps=steps))
    if len(actors) == 1:
        return actors[0]

    def act(observations: np.ndarray, t: int) -> np.ndarray:
        parts = split(observations, len(actors))
        acted = [a(part, t) for a, part in zip(actors, parts, strict=True)]
        return np.concatenate(acted)

    return act


def _by_noise(act: Callable[..., np.ndarray], noise: np.ndarray) -> HostAct:
    return lambda observations, t: act(observations, noise[t])


def _episodes(finished: Finished, environments: int, seeds: int) -> Info:
    """Mean return and length of the episodes that ended, when every seed has some."""
    owner = finished.places // environments
    counts = np.bincount(owner, minlength=seeds)
    if not counts.all():
        return {}
    totals = {"return": finished.returns, "length": finished.lengths}
    return {
        f"train/episode_{name}": np.bincount(owner, values, minlength=seeds) / counts
        for name, values in totals.items()
    }
