"""Which policy soft actor-critic takes for which spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from reins.errors import CapabilityError, ConfigError
from reins.policies import soft_policy_for
from reins.policies.beta import Beta
from reins.policies.categorical import Categorical
from reins.policies.gaussian import Gaussian
from reins.policies.mixture import Mixture
from reins.policies.soft import check_kind
from reins.policies.squashed import SquashedGaussian

KEY = jax.random.key(11)
SEEN = spaces.Box(-1.0, 1.0, (3,), np.float32)
BOX = spaces.Box(np.float32([-2.0, 0.0]), np.float32([4.0, 1.0]))
OPEN = spaces.Box(-np.inf, np.inf, (2,), np.float32)
HALF_OPEN = spaces.Box(np.float32([-2.0, 0.0]), np.float32([4.0, np.inf]))
FIVE = spaces.Discrete(5)

JOINED = [
    ("auto", BOX, SquashedGaussian),
    ("squashed", BOX, SquashedGaussian),
    ("gaussian", BOX, Gaussian),
    ("beta", BOX, Beta),
    ("mixture", BOX, Mixture),
    ("auto", OPEN, Gaussian),
    ("auto", HALF_OPEN, Gaussian),
    ("gaussian", OPEN, Gaussian),
    ("mixture", OPEN, Mixture),
    ("auto", FIVE, Categorical),
]


@pytest.mark.parametrize(("kind", "space", "expected"), JOINED)
def test_kind_and_space_make_a_policy_of_the_state(kind, space, expected):
    init = soft_policy_for(SEEN, space, kind=kind, hidden=(8,), branches=3)
    policy = init(KEY)
    assert policy.network.activation == "relu"
    found = policy(jnp.asarray(np.random.default_rng(0).normal(size=(20, 3))))
    assert type(found) is expected
    actions, log_probs = found.draws(KEY, 50)
    assert log_probs.shape == (50, 20)
    if expected is Categorical:
        assert set(np.ravel(actions).tolist()) == set(range(5))
    else:
        assert actions.shape == (50, 20, 2)
    if expected is Mixture:
        assert found.branches.k == 3
        assert found.branches.units.squash == (space is BOX)
    if space is BOX and expected is not Gaussian:
        drawn = np.asarray(actions)
        assert np.all((drawn >= BOX.low) & (drawn <= BOX.high))
        size = BOX.high - BOX.low
        assert np.all(np.ptp(drawn, axis=(0, 1)) > 0.9 * size)
    for leaf in jax.tree.leaves(found):
        assert np.all(np.ptp(leaf, axis=0) > 0)  # no parameter without the state


def test_its_units_and_layers_are_those_that_were_asked_for():
    policy = soft_policy_for(SEEN, BOX, hidden=(8, 7), activation="tanh")(KEY)
    assert [w.shape for w in policy.network.weights] == [(3, 8), (8, 7), (7, 4)]
    assert policy.network.activation == "tanh"
    pictures = spaces.Box(0, 255, (9, 9, 3), np.uint8)
    policy = soft_policy_for(pictures, FIVE, hidden=(8,))(KEY)
    assert policy.network.head.activation == "relu"


@pytest.mark.parametrize("kind", ["squashed", "beta"])
@pytest.mark.parametrize("space", [OPEN, HALF_OPEN])
def test_a_box_without_bounds_cannot_be_filled(kind, space):
    with pytest.raises(CapabilityError) as caught:
        soft_policy_for(SEEN, space, kind=kind)
    message = str(caught.value)
    assert f"`{kind}`" in message
    assert str(space) in message
    assert "open. Use kind `auto`" in message


@pytest.mark.parametrize("kind", ["squashed", "gaussian", "beta", "mixture"])
def test_discrete_actions_have_one_kind(kind):
    with pytest.raises(CapabilityError, match=rf"`{kind}`.*Discrete.*Use kind `auto`"):
        soft_policy_for(SEEN, FIVE, kind=kind)


def test_other_kinds_and_spaces_are_refused():
    with pytest.raises(ConfigError, match=r"no kind of policy `squash`.*`squashed`"):
        check_kind("squash")
    with pytest.raises(CapabilityError, match="MultiBinary"):
        soft_policy_for(SEEN, spaces.MultiBinary(3))
    with pytest.raises(ConfigError, match="0 branches"):
        soft_policy_for(SEEN, BOX, kind="mixture", branches=0)
