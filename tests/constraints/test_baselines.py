"""The classifier's cross-entropy, against a slow loop."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given

from reins.constraints import classifier_loss
from tests import strategies as some

ARRAY = some.arrays((some.N, some.T))


@given(expert=ARRAY, nominal=ARRAY, mask=some.masks(), others=some.masks())
def test_cross_entropy(expert, nominal, mask, others):
    terms = map(jnp.asarray, (expert, mask, nominal, others))
    zeta_expert = 1 / (1 + np.exp(-expert[mask].astype(float)))
    zeta_nominal = 1 / (1 + np.exp(-nominal[others].astype(float)))
    expected = -np.mean(np.log(zeta_expert)) - np.mean(np.log(1 - zeta_nominal))
    np.testing.assert_allclose(classifier_loss(*terms), expected, rtol=1e-4, atol=1e-5)


def test_undecided_it_is_two_log_2():
    mask = jnp.arange(4) < jnp.array([3, 1])[:, None]
    loss = classifier_loss(jnp.zeros((2, 4)), mask, jnp.zeros((2, 4)), mask)
    np.testing.assert_allclose(loss, 2 * np.log(2), rtol=1e-6)


def test_it_raises_zeta_of_the_expert_and_lowers_it_of_the_nominal():
    """Gradients: −(1 − ζ)/steps of the expert, ζ/steps of the nominal agent."""
    expert, nominal = jnp.array([[0.3, -1.0, 5.0]]), jnp.array([[2.0, 0.1, 5.0]])
    mask = jnp.array([[True, True, False]])

    def loss(expert, nominal):
        return classifier_loss(expert, mask, nominal, mask)

    found = jax.grad(loss, argnums=(0, 1))(expert, nominal)
    zeta = [1 / (1 + np.exp(-x[0, :2])) for x in (expert, nominal)]
    np.testing.assert_allclose(found[0], [[*(zeta[0] - 1) / 2, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [[*zeta[1] / 2, 0.0]], rtol=1e-6)


def test_the_best_classifier_is_the_density_ratio():
    """One pair seen by both: 3 of 4 expert steps, 1 of 5 nominal ones, ζ = 15/19."""
    expert = jnp.array([[True, True, True, False, False]])
    nominal = jnp.array([[True, False, False, False, False]])

    def loss(logit):
        return classifier_loss(
            jnp.where(expert, logit, 30.0),
            jnp.arange(5)[None] < 4,
            jnp.where(nominal, logit, -30.0),
            jnp.ones((1, 5), bool),
        )

    best = jnp.log((3 / 4) / (1 / 5))
    np.testing.assert_allclose(jax.nn.sigmoid(best), 15 / 19, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(loss)(best), 0.0, atol=1e-6)
