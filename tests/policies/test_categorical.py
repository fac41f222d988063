"""Actions that are left out: a logit of −inf has no probability, and breaks nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.policies import Categorical, categorical_policy

KEY = jax.random.key(10)
KEPT = np.array([True, False, True, True, False])
LOGITS = jnp.array([0.3, 9.0, -1.0, 2.0, 0.0])


def masked(logits, kept=KEPT):
    return Categorical(jnp.where(kept, logits, -jnp.inf))


def few(logits):
    """The same distribution without the actions that are left out."""
    return Categorical(logits[np.flatnonzero(KEPT)])


ASKED = {
    "entropy": lambda p, q: p.entropy(),
    "kl": lambda p, q: p.kl(q),
    "log_prob": lambda p, q: p.log_prob(jnp.asarray(p.mode())),
    "draws": lambda p, q: jnp.sum(p.draws(KEY, 20)[1]),
}


@pytest.mark.parametrize("asked", ["entropy", "kl", "log_prob"])
def test_masked_actions_count_as_if_there_were_none(asked):
    """Values and slopes are those of the smaller set."""
    other = LOGITS[::-1]

    def value(kind, logits):
        return ASKED[asked](kind(logits), kind(other))

    found, slope = jax.value_and_grad(lambda x: value(masked, x))(LOGITS)
    expected, few_slope = jax.value_and_grad(lambda x: value(few, x))(LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, few_slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(slope)[~KEPT], 0.0)


def test_masked_actions_are_never_drawn_and_cost_no_slope():
    actions, log_probs = masked(LOGITS).draws(KEY, 500)
    assert np.all(KEPT[np.asarray(actions)])
    assert np.all(np.isfinite(log_probs))
    slope = jax.grad(lambda x: ASKED["draws"](masked(x), None))(LOGITS)
    assert np.all(np.isfinite(slope))
    assert np.any(slope != 0)
    assert masked(LOGITS).log_prob(jnp.array(1)) == -np.inf


def test_a_kl_to_what_leaves_one_of_its_actions_out_is_infinite():
    wide, narrow = Categorical(LOGITS), masked(LOGITS)
    assert wide.kl(narrow) == np.inf
    assert 0 < narrow.kl(wide) < np.inf


def test_its_units_are_of_the_kind_that_was_asked_for():
    seen = jnp.linspace(-1, 1, 7)[:, None]
    for activation, curved in (("relu", False), ("tanh", True)):
        policy = categorical_policy(1, 3, hidden=(1,), activation=activation)(KEY)
        bends = np.diff(policy(seen).logits[:, 0], n=2)
        # A relu without bias bends at 0 alone, which is the middle of seven points.
        assert bool(np.any(np.abs(np.delete(bends, 2)) > 1e-6)) == curved
