"""A policy as one of its last hidden layer's features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import CapabilityError
from reins.policies import (
    NormalisedPolicy,
    at_trunk,
    beta_policy,
    categorical_policy,
    gaussian_policy,
    mixture_policy,
    squashed_gaussian_policy,
    tabular_policy,
    trunk_width,
)

KEY = jax.random.key(4)
PICTURES = (9, 9, 1)
POLICIES = {
    "categorical": categorical_policy(4, 3, hidden=(6, 5)),
    "free": gaussian_policy(4, 2, hidden=(6, 5), centre=(1.0, 2.0)),
    "fixed": gaussian_policy(4, 2, hidden=(6, 5), half_width=(3.0, 0.1), scale="fixed"),
    "state": gaussian_policy(4, 2, hidden=(6, 5), scale="state"),
    "squashed": squashed_gaussian_policy(4, 2, hidden=(6, 5), half_width=(3.0, 0.1)),
    "beta": beta_policy(4, 2, hidden=(6, 5)),
    "mixture": mixture_policy(4, 2, hidden=(6, 5)),
    "pictures": categorical_policy(PICTURES, 3, hidden=(5,)),
}


@pytest.mark.parametrize("name", POLICIES)
def test_on_its_features_it_is_the_same_policy(name):
    policy = POLICIES[name](KEY)
    rng = np.random.default_rng(0)
    policy = jax.tree.map(
        lambda x: x + jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), policy
    )
    if name == "pictures":
        seen = jnp.asarray(rng.integers(0, 256, (2, 3, *PICTURES)), jnp.uint8)
    else:
        seen = jnp.asarray(rng.normal(size=(2, 3, 4)), jnp.float32)
    rest, features = at_trunk(policy, seen)
    assert features.shape == (2, 3, trunk_width(POLICIES[name]))
    assert features.shape[-1] == 5
    found, expected = (jax.tree.leaves(x) for x in (rest(features), policy(seen)))
    assert np.ptp(expected[0]) > 0.01
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)


def behind_statistics(key):
    ones = jnp.ones(4)
    return NormalisedPolicy(POLICIES["free"](key), ones, ones, 10.0)


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (tabular_policy(3, 2), "`TabularPolicy` has no hidden layers"),
        (categorical_policy(4, 2, hidden=()), "in one layer"),
        (categorical_policy((4, 4, 1), 2, hidden=()), "in one layer"),
        (behind_statistics, "`NormalisedPolicy` has no hidden layers"),
    ],
)
def test_a_policy_without_a_trunk_is_refused(policy, found):
    with pytest.raises(CapabilityError, match=found) as caught:
        trunk_width(policy)
    assert "leave `shared_trunk` out" in str(caught.value)


def test_convolutions_are_a_trunk():
    width = trunk_width(categorical_policy(PICTURES, 2, hidden=()))
    assert width == 3 * 3 * 32  # 9 -> 5 -> 3 pixels
