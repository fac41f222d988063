"""Our distributions and divergences against those of NumPyro."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.divergences import categorical_kl, gaussian_kl, gaussian_kl_full
from reins.policies import Categorical, Gaussian


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def theirs():
    """numpyro.distributions: imported here, since only these tests need it."""
    return pytest.importorskip("numpyro.distributions")


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def normals(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def covariances(seed, *batch):
    factors = normals(seed, *batch, 3, 3)
    return factors @ factors.mT + 0.2 * jnp.eye(3)


def test_categorical_kl(theirs):
    """NumPyro has no such KL in closed form: its log-probabilities, summed over."""
    logits_p, logits_q = normals(0, 2, 5, 4)
    p, q = theirs.Categorical(logits=logits_p), theirs.Categorical(logits=logits_q)
    support = p.enumerate_support()
    log_p, log_q = p.log_prob(support), q.log_prob(support)
    expected = jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=0)
    found = categorical_kl(*map(jax.nn.log_softmax, (logits_p, logits_q)))
    equal(found, expected)


def test_gaussian_kl(theirs):
    mean_p, log_std_p, mean_q, log_std_q = normals(1, 4, 5, 3)
    expected = theirs.kl_divergence(
        theirs.Normal(mean_p, jnp.exp(log_std_p)).to_event(1),
        theirs.Normal(mean_q, jnp.exp(log_std_q)).to_event(1),
    )
    equal(gaussian_kl(mean_p, log_std_p, mean_q, log_std_q), expected)


def test_gaussian_kl_full(theirs):
    mean_p, mean_q = normals(2, 2, 5, 3)
    covariance_p, covariance_q = covariances(3, 5), covariances(4, 5)
    expected = theirs.kl_divergence(
        theirs.MultivariateNormal(mean_p, covariance_p),
        theirs.MultivariateNormal(mean_q, covariance_q),
    )
    found = gaussian_kl_full(mean_p, covariance_p, mean_q, covariance_q)
    equal(found, expected)


def test_categorical(theirs):
    """Every action's log-probability, and the entropy."""
    logits = normals(5, 6, 4)
    mine, other = Categorical(logits), theirs.Categorical(logits=logits)
    for action in range(4):
        actions = jnp.full(6, action)
        equal(mine.log_prob(actions), other.log_prob(actions))
    equal(mine.entropy(), other.entropy())


def test_gaussian(theirs):
    mean, log_std, actions = normals(6, 3, 5, 2)
    mine = Gaussian(mean, log_std)
    other = theirs.Normal(mean, jnp.exp(log_std)).to_event(1)
    equal(mine.log_prob(actions), other.log_prob(actions))
    equal(mine.entropy(), other.entropy())
