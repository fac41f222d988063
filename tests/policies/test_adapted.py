"""Distributions of another library as policies: NumPyro's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from reins.agents.agent import require
from reins.errors import CapabilityError, ConfigError
from reins.policies import Adapted, distribution_policy

KEY = jax.random.key(9)
SEEN = jax.random.normal(KEY, (6, 3))


@pytest.fixture(scope="module")
def dist():
    return pytest.importorskip("numpyro.distributions")


def heavy_tails(dist):
    def make(outputs):
        place, raw = jnp.split(outputs, 2, axis=-1)
        scale = 0.1 + jax.nn.softplus(raw)
        return dist.StudentT(5.0, place, scale).to_event(1)

    return make


def two_peaks(dist):
    def make(outputs):
        return dist.MixtureSameFamily(
            dist.Categorical(logits=outputs[..., :2]),
            dist.Normal(outputs[..., 2:], 0.3),
        )

    return make


def test_samples_and_log_probabilities_are_the_distribution_s(dist):
    policy = distribution_policy(3, 4, heavy_tails(dist), hidden=(5,))(KEY)
    found = policy(SEEN)
    place, raw = np.split(np.asarray(policy.network(SEEN), float), 2, axis=-1)
    theirs = scipy.stats.t(5.0, place, 0.1 + np.logaddexp(0, raw))
    actions, log_probs = jax.jit(lambda: found.draws(KEY, 2000))()
    assert actions.shape == (2000, 6, 2)
    expected = theirs.logpdf(np.asarray(actions)).sum(axis=-1)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-4, atol=1e-4)
    for i in range(2):
        drawn = np.asarray(actions, float)[:, 3, i]
        law = scipy.stats.t(5.0, place[3, i], 0.1 + np.logaddexp(0, raw[3, i]))
        assert scipy.stats.kstest(drawn, law.cdf).pvalue > 1e-4
    np.testing.assert_allclose(found.mode(), place, rtol=1e-5, atol=1e-7)


def test_it_gives_what_the_distribution_says(dist):
    carried = distribution_policy(3, 4, heavy_tails(dist), hidden=(5,))
    not_carried = distribution_policy(3, 4, two_peaks(dist), hidden=(5,))
    assert carried(KEY).gives == {"log_prob", "reparameterised"}
    assert not_carried(KEY).gives == {"log_prob"}
    require(carried, ["reverse_kl_pathwise", "forward_kl_marginal"])
    require(not_carried, ["forward_kl_marginal"])
    with pytest.raises(CapabilityError, match=r"reverse_kl_pathwise.*AdaptedPolicy"):
        require(not_carried, ["reverse_kl_pathwise"])


def test_a_sample_carries_all_of_its_gradient_or_none(dist):
    def drawn(outputs, make):
        return jnp.sum(Adapted(outputs, make).sample(KEY))

    outputs = jnp.arange(8.0).reshape(2, 4) / 8.0
    slopes = jax.grad(drawn)(outputs, heavy_tails(dist))
    assert np.all(slopes != 0)
    np.testing.assert_array_equal(jax.grad(drawn)(outputs, two_peaks(dist)), 0.0)


def test_what_it_cannot_tell_it_says(dist):
    found = distribution_policy(3, 4, heavy_tails(dist), hidden=(5,))(KEY)(SEEN)
    with pytest.raises(
        CapabilityError, match=r"KL divergence.*Independent.*sampled_kl"
    ):
        found.kl(found)
    two = distribution_policy(3, 4, two_peaks(dist), hidden=(5,))(KEY)(SEEN)
    with pytest.raises(CapabilityError, match=r"entropy.*MixtureSameFamily.*draws"):
        two.entropy()

    def normal(outputs):
        return dist.Normal(outputs, 2.0).to_event(1)

    found = distribution_policy(3, 2, normal, hidden=(5,))(KEY)(SEEN)
    expected = 2 * scipy.stats.norm(0.0, 2.0).entropy()
    np.testing.assert_allclose(found.entropy(), expected, rtol=1e-5)


def test_it_compiles_and_maps_over_seeds(dist):
    init = distribution_policy(3, 4, two_peaks(dist), hidden=(5,))

    @jax.jit
    @jax.vmap
    def several(key):
        return init(key)(SEEN).draws(key, 4)

    actions, log_probs = several(jax.random.split(KEY, 3))
    assert actions.shape == log_probs.shape == (3, 4, 6)
    assert np.all(np.isfinite(log_probs))


def test_what_is_no_distribution_of_actions_is_refused(dist):
    with pytest.raises(ConfigError, match=r"`.*Array.*` without sample and log_prob"):
        distribution_policy(3, 4, lambda outputs: outputs)
    with pytest.raises(ConfigError, match=r"shape \(2, 2\).*\(2,\).*to_event"):
        distribution_policy(3, 2, lambda outputs: dist.Normal(outputs, 1.0))
