"""A deterministic policy: the mode of another, and no density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import CapabilityError
from reins.policies import categorical_policy, gaussian_policy
from reins.policies.mode import mode_policy

KEY = jax.random.key(0)
SEEN = jax.random.normal(KEY, (5, 3))


@pytest.mark.parametrize("inner", [categorical_policy(3, 4), gaussian_policy(3, 2)])
def test_every_draw_is_the_mode(inner):
    certain, drawn = mode_policy(inner)(KEY)(SEEN), inner(KEY)(SEEN)
    for key in jax.random.split(KEY, 3):
        np.testing.assert_array_equal(certain.sample(key), drawn.mode())
        assert np.any(drawn.sample(key) != drawn.mode())
    np.testing.assert_array_equal(certain.mode(), drawn.mode())


def test_there_is_no_density():
    policy = mode_policy(gaussian_policy(3, 2))(KEY)
    assert policy.gives == frozenset()
    found = policy(SEEN)
    with pytest.raises(CapabilityError, match=r"log-probability.*no density"):
        found.log_prob(jnp.zeros((5, 2)))
    with pytest.raises(CapabilityError, match="entropy"):
        found.entropy()
    with pytest.raises(CapabilityError, match="KL"):
        found.kl(found)
