"""The early stop: exact numbers, the printed form's numbers, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from reins.constraints import StopRule, stop_quantities
from reins.errors import ConfigError
from tests import strategies as some

# Two draws, ω = 1 and 3: old is (1/2, 1/2), new is (1/4, 3/4), E[ω] = 2, ESS = 16/10.
LOG_RATIOS = jnp.log(jnp.array([1.0, 3.0]))
LOG_MASSES = jnp.log(jnp.array([0.5, 0.5]))
OLD_NEW = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
NEW_OLD = 0.25 * np.log(0.5) + 0.75 * np.log(1.5)


def open_rule(**bounds) -> StopRule:
    """A rule that never stops, but for the bounds given."""
    free = {"kl_old_new": None, "kl_new_old": None, "min_ess_fraction": 0.0}
    return StopRule(**(free | bounds))


def test_exact_quantities():
    _, info = stop_quantities(LOG_RATIOS, LOG_MASSES, StopRule())
    np.testing.assert_allclose(info["kl_old_new"], OLD_NEW, rtol=1e-5)
    np.testing.assert_allclose(info["kl_new_old"], NEW_OLD, rtol=1e-5)
    np.testing.assert_allclose(info["ess_fraction"], 0.8, rtol=1e-6)


def test_printed_quantities():
    """2 log E[ω] = 2 log 2;  E[(ω − 2) log ω]/2 = (1/2) log 3 / 2, S2 (21)."""
    _, info = stop_quantities(LOG_RATIOS, LOG_MASSES, StopRule(form="printed"))
    np.testing.assert_allclose(info["kl_old_new"], 2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(info["kl_new_old"], 0.25 * np.log(3), rtol=1e-6)
    np.testing.assert_allclose(OLD_NEW + NEW_OLD, 0.25 * np.log(3), rtol=1e-6)


@pytest.mark.parametrize(
    ("bounds", "stops"),
    [
        ({"kl_old_new": OLD_NEW * 1.01}, False),
        ({"kl_old_new": OLD_NEW * 0.99}, True),
        ({"kl_new_old": NEW_OLD * 1.01}, False),
        ({"kl_new_old": NEW_OLD * 0.99}, True),
        ({"min_ess_fraction": 0.79}, False),
        ({"min_ess_fraction": 0.81}, True),
        ({"kl_old_new": OLD_NEW * 1.01, "kl_new_old": NEW_OLD * 0.99}, True),
        ({"form": "printed", "kl_old_new": 1.38}, True),
        ({"form": "printed", "kl_old_new": 1.39}, False),
        ({"form": "printed", "kl_new_old": 0.27}, True),
        ({"form": "printed", "kl_new_old": 0.28}, False),
    ],
)
def test_each_bound_stops_by_itself(bounds, stops):
    stop, _ = stop_quantities(LOG_RATIOS, LOG_MASSES, open_rule(**bounds))
    assert bool(stop) is stops


@pytest.mark.parametrize("form", ["exact", "printed"])
def test_an_unmoved_constraint_does_not_stop(form):
    rule = StopRule(form=form, kl_old_new=1e-4, kl_new_old=1e-4, min_ess_fraction=0.999)
    stop, info = stop_quantities(jnp.zeros(2), LOG_MASSES, rule)
    assert not stop
    assert {float(x) for x in info.values()} == {0.0, 1.0}


@pytest.mark.parametrize("form", ["exact", "printed"])
@given(log_ratios=some.arrays((4,)))
def test_rows_without_mass_count_for_nothing(form, log_ratios):
    log_masses = jnp.log(jnp.array([0.5, 0.0, 0.5, 0.0]))
    rule = StopRule(form=form)
    _, found = stop_quantities(jnp.asarray(log_ratios), log_masses, rule)
    kept = jnp.asarray(log_ratios[::2])
    _, expected = stop_quantities(kept, log_masses[::2], rule)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)


def test_a_bound_above_log_m_is_refused_with_both_numbers():
    """2021's bound of 2.5 with 10 episodes, log 10 = 2.30."""
    rule = StopRule(kl_new_old=2.5)
    with pytest.raises(ConfigError, match=r"2\.5.*10 nominal trajectories.*2\.30"):
        rule.check(10)
    rule.check(13)  # log 13 = 2.56
    StopRule(kl_new_old=None).check(10)
    StopRule(form="printed", kl_new_old=2.5).check(10)


@pytest.mark.parametrize(
    "bounds", [{"kl_old_new": 0.0}, {"kl_new_old": -1.0}, {"kl_new_old": 0.0}]
)
def test_bounds_that_are_not_positive_are_refused(bounds):
    [(name, bound)] = bounds.items()
    with pytest.raises(ConfigError, match=f"{name} > {bound} nats.*positive bound"):
        StopRule(**bounds)
