"""Populations by plain loops: their parameters, their scores, and how they learn."""

import jax
import numpy as np

from reins.data import rollout, run_episodes, start_rollout
from tests.toys import random_batch, scripted_env, slow_whole_episodes

KEY = jax.random.key(0)


def parameters(policy) -> np.ndarray:
    """All of a policy's numbers in one vector."""
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(policy)])


def rows(population) -> np.ndarray:
    """The same of each policy in a population."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(population)]
    return np.concatenate([x.reshape(x.shape[0], -1) for x in leaves], axis=1)


def ragged_batch(missing: int):
    """Six rows that begin within an episode; one of them shows no beginning at all."""
    _, batch = random_batch(scripted_env(), n=6)
    batch = jax.tree.map(lambda x: x[:, 2:], batch)
    return batch._replace(times=batch.times.at[missing].add(1))


def slow_scores(batch, horizon: int) -> dict[int, float]:
    """Mean total return of the whole episodes with room, by row that has one."""
    rewards, room = np.asarray(batch.rewards, np.float64), batch.rewards.shape[1]
    found: dict[int, list[float]] = {}
    for row, first, stop in slow_whole_episodes(batch, horizon):
        if first <= room - horizon:
            found.setdefault(row, []).append(sum(rewards[row, first:stop]))
    return {row: sum(totals) / len(totals) for row, totals in found.items()}


def train(agent, env, *, environments: int, updates: int, steps: int):
    """State and infos after so many updates on one continued rollout."""

    @jax.jit
    def run(key):
        def one(carry, key):
            state, place = carry
            act_key, update_key = jax.random.split(key)
            place, batch = rollout(
                env,
                lambda observations, key: agent.act(state, observations, key),
                place,
                act_key,
                steps=steps,
            )
            state, info = agent.update(state, batch, update_key)
            return (state, place), info

        start = agent.init(key), start_rollout(env, key, environments)
        (state, _), infos = jax.lax.scan(one, start, jax.random.split(key, updates))
        return state, infos

    return run(KEY)


def mean_return(env, policy) -> float:
    """Of 500 episodes, as experiments judge it: by draws from the policy."""
    act = lambda observations, key: policy(observations).sample(key)  # noqa: E731
    return float(np.mean(run_episodes(env, act, KEY, 500).returns))
