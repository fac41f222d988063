"""Every estimator of the lab has, without sampling, the mean that it claims."""

import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import CapabilityError
from reins.lab import LAB, expected_estimate, problem_of
from reins.lab.problem import Design
from reins.tabular import tabular_mdp

ENUMERABLE = {
    name: entry
    for name, entry in LAB.items()
    if not name.startswith(("evolution", "reverse_kl_score", "reverse_kl_pathwise"))
    and name not in ("forward_kl_marginal", "forward_kl_path_states")
    and name != "forward_kl_two_filter"
}
UNBIASED = [name for name, entry in ENUMERABLE.items() if entry.unbiased != "no"]
BIASED = [name for name, entry in ENUMERABLE.items() if entry.unbiased == "no"]


def two_steps():
    """Two states and a terminal one, two actions, two steps: 30-odd trajectories."""
    transitions = np.array(
        [
            [[0.1, 0.6, 0.3], [0.5, 0.5, 0.0]],
            [[0.7, 0.2, 0.1], [0.0, 0.9, 0.1]],
            [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]],
        ]
    )
    rewards = [[1.0, -0.4], [0.2, 2.0], [0.0, 0.0]]
    mdp = tabular_mdp(
        transitions,
        rewards,
        initial=[0.8, 0.2, 0.0],
        terminal=[False, False, True],
        horizon=2,
        discount=0.8,
    )
    return problem_of("two steps", "For pairs.", mdp, seed=3)


PROBLEM = two_steps()


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.parametrize("problem", ["bandit", "random"])
def test_one_sample_is_unbiased_as_claimed(problem, name):
    found = expected_estimate(name, problem)
    assert np.linalg.norm(found.exact) > 0.05
    np.testing.assert_allclose(found.mean, found.exact, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", UNBIASED)
def test_pairs_are_unbiased_as_claimed(name):
    found = expected_estimate(name, PROBLEM, samples=2)
    np.testing.assert_allclose(found.bias, 0.0, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", BIASED)
def test_what_is_called_biased_is(name):
    found = expected_estimate(name, PROBLEM, samples=2)
    assert np.linalg.norm(found.bias) > 1e-3 * np.linalg.norm(found.exact)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_plain_batch_mean_shrinks_the_gradient_by_one_over_n(samples):
    found = expected_estimate("score_batch_mean_baseline", "bandit", samples=samples)
    np.testing.assert_allclose(found.mean, (1 - 1 / samples) * found.exact, atol=1e-12)


def test_a_wrong_sign_is_off_by_twice_the_gradient():
    def wrong(log_probs, rewards):
        return jnp.mean(jnp.sum(log_probs, axis=1) * jnp.sum(rewards, axis=1))

    found = expected_estimate(wrong, "bandit")
    np.testing.assert_allclose(found.bias, -2 * found.exact, atol=1e-12)


def test_what_cannot_be_enumerated_says_so():
    with pytest.raises(CapabilityError, match="cannot be enumerated"):
        expected_estimate("reverse_kl_score", "bandit")
    with pytest.raises(CapabilityError, match="more than 200,000"):
        expected_estimate("score_total_return", "random", samples=3)


def test_a_design_without_enumeration_has_none():
    assert PROBLEM.design("states", LAB["reverse_kl_score"].options).every is None
    assert Design._field_defaults == {"every": None}
