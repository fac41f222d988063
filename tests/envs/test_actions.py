"""Hybrid actions: tuples outside, vectors inside, and who takes them."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from gymnasium import spaces

from reins.agents import sac, uniform_prior
from reins.critics import state_action_critic
from reins.data import init_replay
from reins.duals import log_dual
from reins.envs import hybrid_space, hybrid_tuple, hybrid_vector, kept_actions
from reins.envs.autoreset import action_clip
from reins.envs.check.spaces import acted_as, action_space_findings
from reins.errors import CapabilityError
from reins.policies import HybridPolicy, policy_for, soft_policy_for

SEEN = spaces.Box(-1.0, 1.0, (2,), np.float32)
BOX = spaces.Box(np.float32([-1, 0]), np.float32([1, 4]))
SPACE = spaces.Tuple((spaces.Discrete(3), BOX))
KEY = jax.random.key(0)


def test_a_tuple_of_a_choice_and_a_vector_is_one():
    found = hybrid_space(SPACE)
    assert (found.choices, found.box) == (3, BOX)
    np.testing.assert_array_equal(found.vectors.low, [0, -1, 0])
    np.testing.assert_array_equal(found.vectors.high, [2, 1, 4])
    assert kept_actions(SPACE) == found.vectors
    assert kept_actions(BOX) == BOX


@pytest.mark.parametrize(
    "other",
    [
        BOX,
        spaces.Discrete(3),
        spaces.Tuple((BOX, spaces.Discrete(3))),
        spaces.Tuple((spaces.Discrete(3, start=1), BOX)),
        spaces.Tuple((spaces.Discrete(3), BOX, BOX)),
        spaces.Tuple((spaces.Discrete(3), spaces.Box(-np.inf, np.inf, (2,)))),
        spaces.Tuple((spaces.Discrete(3), spaces.Box(0.0, 1.0, (2, 2)))),
    ],
)
def test_nothing_else_is(other):
    assert hybrid_space(other) is None


def test_there_and_back():
    SPACE.seed(0)
    sampled = gymnasium.vector.utils.batch_space(SPACE, 5).sample()
    vectors = hybrid_vector(sampled)
    assert vectors.shape == (5, 3)
    for one, other in zip(
        hybrid_tuple(hybrid_space(SPACE), vectors), sampled, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)
        assert one.dtype == other.dtype
    single = hybrid_tuple(hybrid_space(SPACE), np.float32([2.0, -7.0, 5.0]))
    assert SPACE.contains(single)
    np.testing.assert_array_equal(single[1], [-1.0, 4.0])


def test_vector_environments_take_them():
    env = gymnasium.make_vec("reins/Golf-v0", num_envs=2, vectorization_mode="sync")
    env.reset(seed=0)
    clip = action_clip(env.single_action_space)
    shown, rewards, *_ = env.step(clip(np.float32([[0, 0.3], [2, 9.0]])))
    assert shown.shape == (2, 2)
    np.testing.assert_array_equal(rewards, [-1.0, -1.0])


def test_a_uniform_prior_of_both_parts():
    prior = uniform_prior(SPACE)
    found = prior.log_prob((), jnp.zeros((4, 2)), jnp.zeros((5, 4, 3)))
    np.testing.assert_allclose(found, np.full((5, 4), -np.log(3 * 2 * 4)), rtol=1e-6)


def test_a_critic_sees_the_choice_as_a_code_and_not_as_a_size():
    critic = state_action_critic(2, 3, choices=3, hidden=(8,))(KEY)
    assert critic.network.weights[0].shape == (2 + 3 + 2, 8)
    seen = jax.random.normal(KEY, (4, 2))
    x = jax.random.normal(jax.random.key(1), (5, 4, 2))
    which = jax.random.randint(KEY, (5, 4), 0, 3)
    actions = hybrid_vector((which, x))
    plain = jnp.concatenate(
        [jnp.broadcast_to(seen, (5, 4, 2)), jax.nn.one_hot(which, 3), x], -1
    )
    expected = critic.network(plain)[..., 0]
    np.testing.assert_allclose(critic(seen, actions), expected, rtol=1e-5, atol=1e-6)


def test_the_usual_policy_is_hybrid_and_fits_the_space_and_the_replay():
    policy = soft_policy_for(SEEN, SPACE, hidden=(8,))(KEY)
    assert isinstance(policy, HybridPolicy)
    actions = policy(jnp.zeros((200, 2))).sample(KEY)
    assert set(np.asarray(actions[:, 0]).tolist()) == {0.0, 1.0, 2.0}
    for action in actions[:20]:
        assert SPACE.contains(hybrid_tuple(hybrid_space(SPACE), action))
    rows = init_replay(7, SEEN, SPACE).rows
    assert (rows.actions.shape, rows.actions.dtype) == ((7, 3), np.float32)


@pytest.mark.parametrize("kind", ["squashed", "gaussian", "beta", "mixture"])
def test_other_kinds_of_policy_are_refused(kind):
    with pytest.raises(CapabilityError, match=rf"`{kind}`.*no discrete part.*`auto`"):
        soft_policy_for(SEEN, SPACE, kind=kind)


def test_agents_with_other_policies_say_who_takes_them():
    with pytest.raises(CapabilityError, match="For both at once, use `sac`"):
        policy_for(SEEN, SPACE)


@pytest.mark.parametrize("policy_loss", ["reverse-kl", "exact-forward"])
def test_losses_that_ask_for_more_than_it_gives_are_refused(policy_loss):
    needed = "enumerable" if "exact" in policy_loss else "reparameterised"
    with pytest.raises(CapabilityError, match=rf"{needed}; `HybridPolicy` gives"):
        sac(
            soft_policy_for(SEEN, SPACE, hidden=(8,)),
            state_action_critic(2, 3, choices=3, hidden=(8,)),
            optax.adam(1e-3),
            log_dual(),
            observation_space=SEEN,
            action_space=SPACE,
            policy_loss=policy_loss,
        )


def test_the_checker_of_environments_knows_them():
    env = gymnasium.make("reins/Golf-v0")
    assert list(action_space_findings(env)) == []
    assert acted_as(env).startswith("one of 3, and a vector of 1")
