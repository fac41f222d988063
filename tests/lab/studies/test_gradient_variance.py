"""The study of REINFORCE's variance: against enumeration, the agent, and a task."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from reins.agents import reinforce
from reins.data import run_episodes
from reins.errors import CapabilityError, ConfigError
from reins.experiments.lab.draw_gradient_variance import draw_gradient_variance
from reins.lab.studies.gradient_variance import (
    GradientVarianceConfig,
    critics,
    gradient_variance_study,
)
from reins.lab.studies.gradient_variance.estimates import (
    CREDITS,
    SCORE,
    batch_gradients,
    step_weights,
)
from reins.lab.studies.gradient_variance.study import (
    BASELINES,
    _check_reached,
    over_seeds,
)
from reins.lab.studies.gradient_variance.variance import (
    HINDSIGHT,
    resampling,
    squared_means,
    trace_covariances,
    variances,
)
from reins.policies.tabular import TabularPolicy
from reins.tabular import (
    enumerate_trajectories,
    policy_gradient,
    random_mdp,
    trajectory_log_probs,
)
from reins.tabular.sampling import sample_trajectories
from reins.types import Trajectory
from tests.agents.by_hand import moved, skewed_policy
from tests.toys import linear_critic, scripted_env

# Against the enumeration of everything that can happen.

OF = 3
"""Episodes of an estimate: the fewest for which all constants differ."""
LOGITS = np.array([[0.6, -0.9], [-0.3, 0.8], [0.0, 0.0]])
VALUES = np.array([0.7, -0.4, 0.0])


@pytest.fixture
def mdp():
    """Two states, and one that ends it: 52 trajectories of one step or two."""
    return random_mdp(jax.random.key(2), 3, 2, horizon=2, terminal_states=1)


def as_batch(states, actions, rewards, mask):
    """Episodes of a table: what is seen is the state's number."""
    before, after = states[:, :-1], states[:, 1:]
    nothing, times = jnp.zeros_like(mask), jnp.broadcast_to(jnp.arange(2), mask.shape)
    return Trajectory(
        *(before, actions, rewards, jnp.zeros_like(rewards)),
        *(nothing, nothing, after, mask, times),
    )


def measured_estimates(mdp, batches):
    policy = TabularPolicy(jnp.asarray(LOGITS))
    values = {"state": lambda batch: jnp.asarray(VALUES)[batch.observations]}
    drawn = sample_trajectories(
        mdp, policy.logits[None], jnp.zeros(1), jax.random.key(0), OF * batches
    )
    rows = as_batch(drawn.states, drawn.actions, drawn.rewards, drawn.mask)
    rows = jax.tree.map(lambda x: x.reshape(-1, OF, *x.shape[1:]), rows)

    def one(batch):
        weights = step_weights(policy, values, batch, discount=1.0)
        return batch_gradients(policy, weights, batch)

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(rows))


def exact_traces(mdp):
    """tr Cov ĝ over all triples of trajectories, with the formulas written out."""
    every = jax.tree.map(np.asarray, enumerate_trajectories(mdp))
    assert len(every.mask) == 52
    p = np.exp(np.asarray(trajectory_log_probs(every, jnp.asarray(LOGITS))))
    policy = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    scores = np.zeros((len(p), 2, 6))
    for i, t in itertools.product(range(len(p)), range(2)):
        s, a = every.states[i, t], every.actions[i, t]
        if every.mask[i, t]:
            scores[i, t].reshape(3, 2)[s] = np.eye(2)[a] - policy[s]
    to_go = np.cumsum(every.rewards[:, ::-1], axis=1)[:, ::-1]
    whole = np.repeat(to_go[:, :1], 2, axis=1)
    norms = np.sum(scores.sum(axis=1) ** 2, axis=1)
    triples = np.array(list(itertools.product(range(len(p)), repeat=OF)))
    chance = p[triples].prod(axis=1)

    def trace(estimates):
        mean = chance @ estimates
        return chance @ np.sum(estimates**2, axis=1) - mean @ mean

    def others(x):
        """By triple and member: the sum over the other two."""
        return np.sum(x[triples], axis=1, keepdims=True) - x[triples]

    def estimate(weights):
        return np.einsum("mntd,mnt->md", scores[triples], weights) / OF

    found = {}
    for credit, returns in zip(CREDITS, (whole, to_go), strict=True):
        best = others(norms * whole[:, 0]) / np.maximum(others(norms), 1e-300)
        baselines = {
            "none": 0.0,
            "constant": others(whole[:, 0])[..., None] / 2,
            "optimal constant": best[..., None],
            "time": others(returns * every.mask) / 2,
        }
        if credit == CREDITS[1]:
            baselines["state"] = VALUES[every.states[:, :-1]][triples]
        for name, b in baselines.items():
            found[credit, name] = trace(estimate(returns[triples] - b))
        # A parabola in b: three points of it tell its lowest.
        some = [-9.0, 0.0, 9.0]
        parabola = np.polyfit(
            some, [trace(estimate(returns[triples] - b)) for b in some], 2
        )
        lowest = -parabola[1] / (2 * parabola[0])
        found[credit, HINDSIGHT] = np.polyval(parabola, lowest)
    return found


def test_variances_are_those_of_all_triples_of_trajectories(mdp):
    estimates = measured_estimates(mdp, 1500)
    found = variances(estimates, resampling(1500))
    exact = exact_traces(mdp)
    assert set(found) == set(exact)
    for name, draws in found.items():
        low, high = np.percentile(draws[1:], (0.1, 99.9))
        assert low < exact[name] < high, name
        assert (high - low) / exact[name] < 0.6


def test_means_are_the_gradient_whatever_the_baseline(mdp):
    gradient = np.asarray(policy_gradient(mdp, jnp.asarray(LOGITS))).ravel()
    estimates = measured_estimates(mdp, 1500)
    assert set(estimates) == {
        SCORE,
        *(n for n in exact_traces(mdp) if n[1] != HINDSIGHT),
    }
    for name, found in estimates.items():
        found = np.asarray(found)
        expected = np.zeros_like(gradient) if name == SCORE else gradient
        errors = found.std(axis=0) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - expected) < 4 * errors + 1e-12), name


def test_intervals_cover_what_is_true():
    """Of 4 independent unit coordinates tr Cov = 4; the squared mean is 0.25."""
    generator, counts = np.random.default_rng(3), resampling(40, 400)
    truth, trials, covered = np.array([0.3, 0.0, -0.4, 0.0]), 200, np.zeros(2)
    for _ in range(trials):
        x = truth + generator.normal(size=(40, 4))
        draws = trace_covariances(x, x, counts), squared_means(x, counts)
        for i, (found, exact) in enumerate(zip(draws, (4.0, 0.25), strict=True)):
            low, high = np.percentile(found[1:], (2.5, 97.5))
            covered[i] += low < exact < high
    assert np.all(covered / trials > 0.85)
    assert np.all(covered / trials < 1.0)


def test_the_first_draw_is_what_was_measured():
    x = np.random.default_rng(0).normal(size=(12, 5)) + 1.0
    counts = resampling(12, 10)
    expected = np.trace(np.cov(x.T))
    np.testing.assert_allclose(trace_covariances(x, x, counts)[0], expected)
    pairs = [x[i] @ x[j] for i in range(12) for j in range(12) if i != j]
    np.testing.assert_allclose(squared_means(x, counts)[0], np.mean(pairs))


# Against the agent.


@pytest.mark.parametrize(
    ("credit", "baseline"),
    [
        (CREDITS[0], "optimal-constant"),
        (CREDITS[1], "constant"),
        (CREDITS[1], "time"),
        (CREDITS[1], "state"),
    ],
)
def test_an_estimate_is_the_step_of_the_agent(credit, baseline):
    policy, value = skewed_policy(jax.random.key(0)), linear_critic([2.0, -1.0], 0.25)
    by_state = {"critic": lambda _: value, "critic_optimizer": optax.sgd(0.1)}
    agent = reinforce(
        *(skewed_policy, optax.sgd(1.0)),
        horizon=5,
        baseline=baseline,
        credit=credit,
        discount=0.8,
        **(by_state if baseline == "state" else {}),
    )
    act = lambda seen, key: policy(seen).sample(key)  # noqa: E731
    batch = run_episodes(scripted_env(), act, jax.random.key(1), 6).trajectory
    state = agent.init(jax.random.key(0))
    after, _ = jax.jit(agent.update)(state, batch, jax.random.key(2))
    critics_ = {"state": lambda batch: value(batch.observations)}
    weights = step_weights(policy, critics_, batch, discount=0.8)
    found = batch_gradients(policy, weights, batch)
    expected = found[credit, baseline.replace("-", " ")]
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose(
        moved(state.policy, after.policy), expected, rtol=1e-4, atol=1e-6
    )


# On a task.

CONFIG = GradientVarianceConfig(
    episodes=(2,),
    batches=10,
    seeds=2,
    stages=(5.0, 12.0, 400.0),
    updates=3,
    hidden=(4,),
    fit_episodes=4,
)


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patched, jax.enable_x64(False):
        patched.setattr(critics, "STEPS", 20)
        told = []
        made = gradient_variance_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)
    return made


def test_every_policy_that_reached_a_stage_has_every_baseline(study):
    assert study.findings["seeds_that_reached"][0] == 2
    assert study.findings["seeds_that_reached"][2] == 0
    found = {
        (row["stage"], row["seed"], row["episodes"], row["credit"], row["baseline"])
        for row in study.rows
    }
    for credit, names in BASELINES.items():
        for seed, name in itertools.product((0, 1, "all"), names):
            assert (5.0, seed, 2, credit, name) in found
    assert not any(row["stage"] == 400.0 for row in study.rows)


def test_numbers_lie_in_their_intervals_and_ratios_are_of_variances(study):
    by_name = {}
    for row in study.rows:
        assert row["variance_low"] <= row["variance"] <= row["variance_high"]
        if row["seed"] != "all":
            key = row["seed"], row["stage"], row["episodes"]
            by_name[*key, row["credit"], row["baseline"]] = row
    for (*key, credit, _), row in by_name.items():
        for column, against in (("ratio", credit), ("of_total_return", CREDITS[0])):
            none = by_name[*key, against, "none"]["variance"]
            np.testing.assert_allclose(row[column], row["variance"] / none)


def test_over_seeds_ratios_are_geometric_means(study):
    name = CREDITS[1], "time"
    every = over_seeds(study.rows, 2, name)[0]
    mine = [
        row["ratio"]
        for row in study.rows
        if (row["stage"], row["episodes"], row["credit"], row["baseline"])
        == (5.0, 2, *name)
        and row["seed"] != "all"
    ]
    assert len(mine) == 2
    np.testing.assert_allclose(every["ratio"], np.sqrt(np.prod(mine)))


def test_the_best_constant_is_the_best_of_constants_fixed_beforehand(study):
    for row in study.rows:
        if row["baseline"] == HINDSIGHT:
            assert 0.0 < row["ratio"] < 1.0


def test_what_there_is_to_follow_is_a_return_that_falls(study):
    """CartPole pays 1 a step, so G_0 is the length and the last G_t is 1."""
    running, returns = study.fields["running"][0], study.fields["returns"][0]
    assert running[0] == 1.0
    np.testing.assert_allclose(returns[0], np.sum(running), rtol=1e-4)
    last = np.flatnonzero(running)[-1]
    np.testing.assert_allclose(returns[last], 1.0, rtol=1e-5)


def test_the_picture_has_every_baseline(study):
    axes = draw_gradient_variance(study).axes
    for panel, names in zip(axes[:2], BASELINES.values(), strict=True):
        _, labels = panel.get_legend_handles_labels()
        assert labels == list(names)


def test_a_refitted_critic_tells_time_where_time_is_all_there_is():
    """The same observation at every step, 1 paid for each of 5: G_t = 5 − t."""
    n, steps = 8, 5
    times = jnp.broadcast_to(jnp.arange(steps), (n, steps))
    seen, flat = jnp.ones((n, steps, 2)), jnp.zeros((n, steps), bool)
    ones = jnp.ones((n, steps), jnp.float32)
    batch = Trajectory(
        *(seen, times, ones, 0 * ones, flat, flat, seen, ~flat, times),
    )
    for clock, expected in ((False, 3.0 * ones), (True, 5.0 - times)):
        values = critics.fit_values(
            batch, jax.random.key(0), clock=clock, hidden=(8,), discount=1.0
        )
        found = values(critics.features_of(batch, clock=clock))
        np.testing.assert_allclose(found, expected, atol=0.1)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ConfigError, match=r"(?s)\(1, 8\).*2 batches.*0 seeds.*1\.5"):
        GradientVarianceConfig(episodes=(1, 8), batches=2, seeds=0, discount=1.5)
    with pytest.raises(CapabilityError, match="outside JAX"):
        gradient_variance_study(GradientVarianceConfig(env="CartPole-v1"))
    with pytest.raises(ConfigError, match=r"in 60 updates those .* between 9 and 21"):
        _check_reached(GradientVarianceConfig(), {}, np.array([[9.0, 21.0]]))
