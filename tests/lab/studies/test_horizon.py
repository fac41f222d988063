"""The study of the horizon, and what is known exactly at every horizon."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.estimators import past_ratios_loss, per_step_ratio_loss
from reins.experiments.lab.draw_horizon import draw_horizon
from reins.lab.problem import Options
from reins.lab.studies.cut import cut_problem, first_steps
from reins.lab.studies.horizon import (
    MEASURED,
    WEIGHTS,
    HorizonConfig,
    exact_answers,
    horizon_spec,
    horizon_study,
)
from reins.lab.studies.moments import masses, second_moments
from reins.lab.tables import tabular_problem
from reins.tabular import (
    enumerate_trajectories,
    policy_gradient,
    soft_return,
    trajectory_log_probs,
)
from reins.tabular.sampling import rewarded, sample_trajectories

CONFIG = HorizonConfig(horizons=(1, 2, 3), repeats=1000, samples=20, batches=20)


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.fixture(scope="module")
def study():
    return horizon_study(CONFIG)


@pytest.fixture
def spec():
    return horizon_spec(CONFIG)


def series(study, name, column):
    return np.array([row[column] for row in study.rows if row["name"] == name])


def logs(spec):
    return [jax.nn.log_softmax(x) for x in (spec.logits, spec.behaviours[0])]


def scores(every, logits):
    """∇ log p(τ): counts of (s, a), less what the policy would have chosen."""
    policy = np.asarray(jax.nn.softmax(logits))
    found = np.zeros((len(every.mask), *policy.shape))
    for n, (states, actions) in enumerate(
        zip(np.asarray(every.states), np.asarray(every.actions), strict=True)
    ):
        for state, action in zip(states[:-1], actions, strict=True):
            found[n, state] -= policy[state]
            found[n, state, action] += 1.0
    return found


def test_second_moments_are_those_of_all_trajectories(spec):
    every = enumerate_trajectories(spec.mdp)
    norms = np.sum(scores(every, spec.logits) ** 2, axis=(1, 2))
    returns = np.sum(every.rewards, axis=1)
    policy, behaviour = logs(spec)
    own = trajectory_log_probs(every, spec.logits)
    other = trajectory_log_probs(every, spec.behaviours[0])
    for log_mass, expected in (
        (policy, np.exp(own)),
        (2 * policy - behaviour, np.exp(2 * own - other)),
    ):
        table = jnp.broadcast_to(log_mass[:, :, None], spec.mdp.rewards.shape)
        found = second_moments(spec.mdp, table, spec.mdp.rewards, spec.logits)
        np.testing.assert_allclose(found[-1], expected @ (returns**2 * norms))
        equal(masses(spec.mdp, table)[-1], np.sum(expected))


def test_the_masses_of_a_policy_are_1(spec):
    table = jnp.broadcast_to(logs(spec)[0][:, :, None], spec.mdp.rewards.shape)
    equal(masses(spec.mdp, table), np.ones(3))


def test_exact_gradients_are_those_of_the_mdp_of_each_horizon(spec):
    truth = exact_answers(spec)
    for horizon in (1, 3):
        mdp = dataclasses.replace(spec.mdp, horizon=horizon)
        j, soft = (table[horizon - 1] for table in truth.gradients.values())
        equal(j, policy_gradient(mdp, spec.logits).reshape(-1))
        expected = jax.grad(soft_return, argnums=1)(
            mdp, spec.logits, spec.log_prior, temperature=spec.temperature
        )
        equal(soft, expected.reshape(-1))


def test_exact_means_are_those_of_all_trajectories_of_the_behaviour(spec):
    every = enumerate_trajectories(spec.mdp)
    p = jnp.exp(trajectory_log_probs(every, spec.behaviours[0]))
    before, behaviour = every.states[:, :-1], logs(spec)[1]

    @jax.jit
    def mean(logits):
        def summed(logits, loss):
            log_probs = jax.nn.log_softmax(logits)[before, every.actions]
            arrays = (log_probs, behaviour[before, every.actions])
            arrays = (*arrays, every.rewards, every.mask)
            each = jax.vmap(lambda *x: loss(*(y[None] for y in x))[0])(*arrays)
            return -p @ each

        losses = (past_ratios_loss, per_step_ratio_loss)
        return [jax.grad(summed)(logits, loss) for loss in losses]

    found = exact_answers(spec).means
    past, per_step = mean(spec.logits)
    equal(found["past_ratios"][-1], past.reshape(-1))
    equal(found["per_step_ratio"][-1], per_step.reshape(-1))


def test_exact_shares_are_those_of_all_trajectories(spec):
    every = enumerate_trajectories(spec.mdp)
    p = np.exp(trajectory_log_probs(every, spec.logits))
    prior = trajectory_log_probs(every, spec.log_prior)
    weights = np.exp(prior + every.rewards.sum(axis=1) / spec.temperature) / p
    found = exact_answers(spec).shares["trajectory posterior"][-1]
    equal(found, (p @ weights) ** 2 / (p @ weights**2))


def test_a_cut_problem_has_the_tables_of_the_short_one(spec):
    short_spec = spec._replace(mdp=dataclasses.replace(spec.mdp, horizon=2))
    short = tabular_problem("short", "Two steps.", short_spec)
    cut = cut_problem(spec, 2, {"J": np.zeros(12)})
    expected = short.design("states", Options()).tables
    found = cut.design("states", Options()).tables.tables
    equal(found.q_values[:2], expected.q_values)
    equal(found.log_messages[:3], expected.log_messages)
    expected, found = expected.trajectories, found.trajectories
    equal(found.advantages[:2], expected.advantages)
    equal(found.values[:3], expected.values)


def test_nothing_happens_after_the_cut(spec):
    whole = sample_trajectories(
        spec.mdp, spec.logits[None], jnp.zeros(1), jax.random.key(0), 50
    )
    cut = first_steps(whole, 2)
    assert np.all(np.asarray(cut.mask) == [True, True, False])
    short = dataclasses.replace(spec.mdp, horizon=2)
    expected = rewarded(short, whole.states[:, :3], whole.actions[:, :2])
    equal(cut.rewards[:, :2], expected.rewards)
    equal(cut.rewards[:, 2], 0.0)


def test_what_is_measured_is_near_what_is_exact(study):
    for name in ("score_total_return", "trajectory_ratio", "reverse_kl_trajectory"):
        low, high, exact = (
            series(study, name, column)
            for column in ("variance_low", "variance_high", "exact_variance")
        )
        assert np.all(np.abs((low + high) / 2 - exact) < 1.5 * (high - low)), name
    share, exact = (series(study, WEIGHTS[0], x) for x in ("share", "exact_share"))
    np.testing.assert_allclose(share, exact, rtol=0.2)


def test_at_one_step_off_policy_estimators_are_one(study):
    first = [
        series(study, name, "variance")[0]
        for name in ("trajectory_ratio", "per_decision", "past_ratios")
    ]
    np.testing.assert_allclose(first, first[0], rtol=1e-4)
    assert series(study, "past_ratios", "exact_bias")[0] < 1e-10
    assert series(study, "per_step_ratio", "exact_bias")[1] > 1e-3


def test_messages_keep_the_weights_of_states_alive(study):
    paths, states = (series(study, name, "share") for name in WEIGHTS[1:])
    assert np.all(states > 1.5 * paths)


def test_the_same_key_gives_the_same_study_and_another_does_not(study):
    assert horizon_study(CONFIG).rows == study.rows
    assert horizon_study(dataclasses.replace(CONFIG, key=1)).rows != study.rows


def test_work_is_told_as_it_is_done():
    told = []
    horizon_study(CONFIG, lambda share, doing: told.append(share))
    np.testing.assert_allclose(sum(told), 1.0)


def test_horizons_without_growth_are_refused():
    with pytest.raises(ConfigError, match=r"(?s)\(4, 2\).*0 trajectories.*1 repeats"):
        HorizonConfig(horizons=(4, 2), trajectories=0, repeats=1)


def test_the_picture_has_a_curve_for_each_estimator(study):
    on, off, bias, sizes = draw_horizon(study).axes
    labels = {text.get_text() for axes in (on, off) for text in axes.texts}
    assert len(labels) == len(MEASURED)
    assert len(bias.lines) == 2
    assert {text.get_text() for text in sizes.texts} >= {"trajectory ratio"}
