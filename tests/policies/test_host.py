"""The numpy pass of a policy is the policy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from gymnasium import spaces

from reins.policies import (
    NormalisedPolicy,
    action_noise,
    beta_policy,
    categorical_policy,
    gaussian_policy,
    has_host_act,
    host_act,
    mixture_policy,
    policy_for,
    squashed_gaussian_policy,
    tabular_policy,
)

N, T, SIZE = 5, 3, 4
KEY = jax.random.key(3)
GAUSSIAN = functools.partial(
    gaussian_policy,
    SIZE,
    2,
    hidden=(7, 6),
    log_std=-0.3,
    centre=(1.0, -2.0),
    half_width=(3.0, 0.5),
)
SQUASHED = squashed_gaussian_policy(
    SIZE, 2, hidden=(7, 6), centre=(1.0, -2.0), half_width=(3.0, 0.5)
)
INSIDE = {
    "gaussian": GAUSSIAN(),
    "gaussian-fixed": GAUSSIAN(scale="fixed"),
    "gaussian-state": GAUSSIAN(scale="state"),
    "gaussian-relu": GAUSSIAN(scale="state", activation="relu"),
    "squashed": SQUASHED,
    "categorical": categorical_policy(SIZE, 3, hidden=(7, 6)),
    "linear": categorical_policy(SIZE, 3, hidden=()),
}


def made(name: str):
    """A policy whose every parameter matters: none is at its first value."""
    kind, _, normalised = name.partition(", ")
    policy = INSIDE[kind](KEY)
    leaves, shape = jax.tree.flatten(policy)
    keys = jax.random.split(KEY, len(leaves))
    moved = [
        x + 0.5 * jax.random.normal(k, x.shape)
        for x, k in zip(leaves, keys, strict=True)
    ]
    policy = jax.tree.unflatten(shape, moved)
    if not normalised:
        return policy
    mean, scale = jnp.asarray([1.0, -3.0, 0.2, 4.0]), jnp.asarray([2.0, 0.3, 9.0, 1.0])
    return NormalisedPolicy(policy, mean, scale, 1.5)


@pytest.mark.parametrize("wrapped", ["", ", normalised"])
@pytest.mark.parametrize("name", INSIDE)
def test_the_numpy_pass_gives_the_actions_of_the_policy(name, wrapped):
    policy = made(name + wrapped)
    assert has_host_act(policy)
    observations = np.asarray(jax.random.normal(KEY, (N, SIZE)) * 3, np.float64)
    noise = action_noise(policy, KEY, steps=T, environments=N)
    found = host_act(policy)(observations, np.asarray(noise[1]))
    distribution = policy(jnp.asarray(observations, jnp.float32))
    if name.startswith(("gaussian", "squashed")):
        assert found.dtype == np.float32
        expected = distribution.mean + jnp.exp(distribution.log_std) * noise[1]
        if name == "squashed":
            expected = distribution.units.actions(expected)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)
    else:
        expected = jnp.argmax(distribution.logits + noise[1], axis=-1)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", INSIDE)
def test_actions_are_drawn_with_the_policy_s_probabilities(name):
    policy = made(name)
    n = 20_000
    one = np.asarray(0.3 * jax.random.normal(KEY, (1, SIZE)), np.float32)
    observations = np.repeat(one, n, axis=0)
    noise = action_noise(policy, KEY, steps=1, environments=n)
    found = host_act(policy)(observations, np.asarray(noise[0]))
    distribution = policy(jnp.asarray(one))
    if name == "squashed":
        for sigmas in (-1.0, 0.0, 1.0):
            u = distribution.mean[0] + sigmas * jnp.exp(distribution.log_std[0])
            shares = np.mean(found < np.asarray(distribution.units.actions(u)), axis=0)
            expected = scipy.stats.norm.cdf(sigmas)
            assert np.all(np.abs(shares - expected) < 5 * np.sqrt(0.25 / n))
    elif name.startswith("gaussian"):
        deviation = np.exp(np.asarray(distribution.log_std[0]))
        error = np.abs(found.mean(axis=0) - np.asarray(distribution.mean[0]))
        assert np.all(error < 5 * deviation / np.sqrt(n))
        np.testing.assert_allclose(found.std(axis=0), deviation, rtol=0.03)
    else:
        shares = np.bincount(found, minlength=3) / n
        expected = np.exp(np.asarray(distribution.log_probs[0]))
        assert np.all(np.abs(shares - expected) < 5 * np.sqrt(0.25 / n))


@pytest.mark.parametrize("name", ["gaussian", "gaussian-state", "squashed"])
def test_noise_differs_between_steps_environments_and_keys(name):
    policy = made(name)
    noise = np.asarray(action_noise(policy, KEY, steps=T, environments=N))
    assert noise.shape == (T, N, 2)
    assert len(np.unique(noise)) == noise.size
    other = action_noise(policy, jax.random.key(4), steps=T, environments=N)
    assert not np.intersect1d(noise, np.asarray(other)).size


def test_what_numpy_cannot_do_is_left_to_jax():
    pictures = spaces.Box(0, 255, (9, 9, 3), np.uint8)
    assert not has_host_act(policy_for(pictures, spaces.Discrete(2))(KEY))
    assert not has_host_act(tabular_policy(3, 2)(KEY))
    for init in (beta_policy(3, 2), mixture_policy(3, 2)):
        assert not has_host_act(jax.eval_shape(init, KEY))


def test_sample_with_the_same_noise_is_the_numpy_pass():
    """`sample` draws as many normals as a step of `action_noise`, in the same order."""
    policy = made("squashed")
    seen = np.asarray(jax.random.normal(KEY, (N, SIZE)), np.float32)
    noise = jax.random.normal(KEY, (N, 2))
    found = host_act(policy)(seen, np.asarray(noise))
    expected = policy(jnp.asarray(seen)).sample(KEY)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_bytes_that_are_mostly_zero_give_the_same_actions(hidden):
    policy = categorical_policy(40, 3, hidden=hidden)(KEY)
    rng = np.random.default_rng(0)
    moved = rng.integers(-1, 2, size=(N, 40), dtype=np.int8)
    moved[:, 5:] = 0
    moved[2] = 0
    noise = np.asarray(action_noise(policy, KEY, steps=200, environments=N))
    act = host_act(policy)
    for of_step in noise:
        expected = act(moved.astype(np.float32), of_step)
        np.testing.assert_array_equal(act(moved, of_step), expected)
