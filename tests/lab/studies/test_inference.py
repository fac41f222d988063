"""The study of what inference believes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.errors import ConfigError
from reins.experiments.lab.draw_inference import draw_inference
from reins.lab.studies.inference import (
    InferenceConfig,
    compare,
    inference_study,
    lottery,
    with_mean_rewards,
)
from reins.tabular import expected_return, random_mdp

CONFIG = {"mdps": 20, "points": 5, "temperatures": (0.5, 2.0)}
TEMPERATURE = 0.5


@pytest.fixture(scope="module")
def study():
    return inference_study(InferenceConfig(**CONFIG))


def rows(study, **wanted):
    found = [row for row in study.rows if all(row[k] == x for k, x in wanted.items())]
    assert found
    return found


def column(study, name, **wanted):
    return np.array([row[name] for row in rows(study, **wanted)])


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_the_lottery_of_the_max_entropy_policy_by_hand():
    """Backwards from the last day: a ticket on day t is worth p (4 + days left)."""
    luck, value, q = 0.3, 0.0, np.zeros(2)
    for left in range(4):
        q = np.array([1.0 + value, luck * (4.0 + left)]) / TEMPERATURE
        value = TEMPERATURE * np.log(np.mean(np.exp(q)))
    log_prior = jnp.full((3, 2), -jnp.log(2.0))
    found = jax.jit(compare)(lottery(luck), log_prior, TEMPERATURE)
    equal(found.soft_return[1], value)
    equal(found.first[1], np.exp(q[1]) / np.sum(np.exp(q)))


def test_the_posterior_of_the_lottery_by_hand():
    """Both kinds of reward: luck is weighed by exp of what it brings."""
    luck, log_prior = 0.3, jnp.full((3, 2), -jnp.log(2.0))
    of_next = lottery(luck)
    for mdp, won, paid in (
        (of_next, 4.0, 0.0),
        (with_mean_rewards(of_next), 0.0, 4.0 * luck),
    ):
        messages = np.ones(2)
        for left in range(4):
            work = np.exp(1.0 / TEMPERATURE) * np.mean(messages)
            lucky = luck * np.exp((won + left) / TEMPERATURE)
            ticket = np.exp(paid / TEMPERATURE) * (lucky + (1.0 - luck))
            messages = np.array([work, ticket])
        found = jax.jit(compare)(mdp, log_prior, TEMPERATURE)
        equal(found.first[0], messages[1] / np.sum(messages))


def test_mean_rewards_are_the_same_to_every_policy():
    mdp = random_mdp(jax.random.key(3), 4, 2, horizon=3)
    twin = with_mean_rewards(mdp)
    assert jnp.max(jnp.abs(twin.rewards - mdp.rewards)) > 0.1
    equal(jnp.ptp(twin.rewards, axis=-1), np.zeros((4, 2)))
    logits = jax.random.normal(jax.random.key(4), (4, 2))
    equal(expected_return(twin, logits), expected_return(mdp, logits))


def test_nothing_is_lost_where_nothing_is_left_to_chance(study):
    """The posterior is the max-entropy policy, and so is its trajectories' law."""
    of_posterior = {"dynamics": "deterministic", "policy": "posterior"}
    for name in ("soft_return_lost", "forward_kl", "reverse_kl", "total_variation"):
        equal(column(study, name, **of_posterior), 0.0)
    one_step = {"dynamics": "deterministic", "policy": "one-step"}
    assert np.median(column(study, "soft_return_lost", **one_step)) > 0.01


def test_optimism_costs_where_there_is_chance_and_more_with_rewards_of_luck(study):
    """Correction 11."""
    for problem in ("lottery", "random"):
        where = {"problem": problem, "dynamics": "stochastic", "policy": "posterior"}
        mild, strong = (
            column(study, "soft_return_lost", rewards=rewards, **where)
            for rewards in ("r(s,a)", "r(s,a,s')")
        )
        assert np.all(mild > 0)
        assert np.mean(strong > mild) > 0.9
    assert np.median(strong) > 20 * np.median(mild)


def test_each_policy_is_the_best_at_what_it_is_made_for(study):
    """Posterior: forward KL. Max-entropy: reverse KL and soft return."""
    for name, best in (
        ("forward_kl", "posterior"),
        ("reverse_kl", "max-entropy"),
        ("soft_return_lost", "max-entropy"),
    ):
        least = column(study, name, policy=best)
        for policy in ("posterior", "max-entropy", "one-step"):
            assert np.all(column(study, name, policy=policy) >= least - 1e-10)


def test_only_the_posterior_sees_the_kind_of_rewards(study):
    for policy in ("max-entropy", "one-step"):
        for name in ("soft_return", "return"):
            of_action, of_next = (
                column(study, name, policy=policy, rewards=rewards)
                for rewards in ("r(s,a)", "r(s,a,s')")
            )
            equal(of_action, of_next)


def test_the_same_key_gives_the_same_study_and_another_does_not(study):
    assert inference_study(InferenceConfig(**CONFIG)).rows == study.rows
    other = inference_study(InferenceConfig(**CONFIG, key=1))
    assert rows(other, problem="lottery") == rows(study, problem="lottery")
    assert rows(other, problem="random") != rows(study, problem="random")


def test_tables_and_findings_are_plain(study):
    assert len({tuple(row) for row in study.rows}) == 1
    for sheet in study.sheets:
        assert {len(row) for row in sheet.rows} == {len(sheet.columns)}
    for value in study.findings.values():
        cells = value if isinstance(value, list) else [value]
        assert all(type(cell) is float for cell in cells)


def test_work_is_told_as_it_is_done():
    told = []
    inference_study(InferenceConfig(**CONFIG), lambda share, doing: told.append(share))
    assert sum(told) == pytest.approx(1.0)


def test_a_study_without_chance_is_refused():
    with pytest.raises(ConfigError, match=r"(?s)-1\.0.*1 random MDPs.*2 probabilities"):
        InferenceConfig(temperature=-1.0, mdps=1, points=2)


def test_the_picture_draws_what_was_found(study):
    ticket, earned, cases, warm = draw_inference(study).axes
    np.testing.assert_array_equal(
        ticket.lines[0].get_ydata(), study.fields["lottery_first"][1, :, 0]
    )
    labels = [line.get_label() for line in earned.lines]
    assert labels[:3] == ["posterior, r(s,a,s')", "posterior, r(s,a)", "max-entropy"]
    assert len(cases.lines) == 16
    strong, mild = (warm.lines[i].get_ydata() for i in (0, 1))
    assert np.all(np.asarray(strong) > np.asarray(mild))
