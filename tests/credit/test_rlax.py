"""Credit against google-deepmind/rlax: tests/oracles/rlax_numbers.py asked it."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.credit import corrected_returns_to_go, gae_advantages, returns_to_go

STORED = json.loads(
    (Path(__file__).parents[1] / "oracles" / "rlax.json").read_text(encoding="utf-8")
)
NUMBERS = STORED["numbers"]
DISCOUNT, LAMBDA, STEPS = STORED["options"].values()
N, T = np.shape(STORED["rows"]["rewards"])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def row(name):
    return jnp.asarray(STORED["rows"][name])


def mask():
    """Up to and including the step that terminates; later steps are another's."""
    before = np.cumsum(STORED["rows"]["terminated"], axis=1) - np.asarray(
        STORED["rows"]["terminated"], int
    )
    return jnp.asarray(before == 0)


def next_values():
    return jnp.hstack([row("values")[:, 1:], row("last_values")[:, None]])


def advantages(gae_lambda, *, steps=None):
    """GAE of each whole row, or of each step's own window of so many steps."""
    terms = (row("rewards"), row("values"), next_values(), row("terminated"))
    options = {"discount": DISCOUNT, "gae_lambda": gae_lambda}
    if steps is None:
        return gae_advantages(*terms, terms[-1], **options)
    windows = [[x[:, t : t + steps] for x in terms] for t in range(T)]
    found = [gae_advantages(*window, window[-1], **options) for window in windows]
    return jnp.stack([window[:, 0] for window in found], axis=1)


def equal(found, name, where=True):
    found, expected = (
        jnp.where(where, x, 0) for x in (found, jnp.array(NUMBERS[name]))
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_the_numbers_say_what_made_them():
    assert STORED["versions"]["rlax"] == "0.1.9"
    assert STORED["command"].split()[1] == "tests/oracles/rlax_numbers.py"


def test_returns_to_go():
    found = returns_to_go(row("rewards"), mask(), discount=DISCOUNT)
    equal(found, "discounted_returns", mask())


def test_gae_advantages():
    equal(advantages(LAMBDA), "truncated_generalized_advantage_estimation")


def test_gae_and_the_value_are_the_lambda_return():
    equal(advantages(LAMBDA) + row("values"), "lambda_returns")


def test_gae_of_n_steps_and_the_value_are_the_n_step_return():
    found = advantages(1.0, steps=STEPS) + row("values")
    equal(found, "n_step_bootstrapped_returns")


@pytest.mark.parametrize(
    ("ratios", "name"),
    [
        ("ratios", "leaky_vtrace"),
        ("small_ratios", "vtrace"),
        ("small_ratios", "vtrace_pg_advantage"),
    ],
)
def test_corrected_returns_times_their_ratio_are_the_target_of_v_trace(ratios, name):
    """With V = 0 and nothing clipped, as no ratio above 1 is by `leaky_vtrace`."""
    found = corrected(ratios)
    equal(row(ratios) * found, name, mask())


def test_corrected_returns_to_go():
    equal(corrected("small_ratios"), "vtrace_q_estimate", mask())


def corrected(ratios):
    terms = (jnp.log(row(ratios)), row("rewards"), mask())
    return corrected_returns_to_go(*terms, discount=DISCOUNT)
