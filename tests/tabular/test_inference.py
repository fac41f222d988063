"""RL as inference against all trajectories of tiny problems."""

from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reins.tabular import (
    AllTrajectories,
    TabularMDP,
    action_values,
    backward_messages,
    boltzmann_policy,
    dynamics_kl,
    enumerate_trajectories,
    expected_return,
    filtered_states,
    forward_kl,
    forward_kl_gradient,
    log_evidence,
    log_partition,
    max_entropy_policy,
    message_values,
    occupancies,
    posterior,
    posterior_log_probs,
    posterior_policy,
    posterior_states,
    posterior_transitions,
    random_mdp,
    reverse_kl,
    soft_action_values,
    soft_return,
    soft_state_values,
    tabular_mdp,
    trajectory_log_probs,
)
from tests.exactness.problems import policy_problem

TEMPERATURE, LOG_Z0 = 0.7, 0.4
SOFT = {"temperature": TEMPERATURE}
MODEL = {"temperature": TEMPERATURE, "log_z0": LOG_Z0}


def equal(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


class Problem(NamedTuple):
    """An MDP, a prior, two policies (stationary, and per step), and all trajectories.

    `factors` are π0 exp(r/α − log z0) of each step, 1 in the padding; `prior` is the
    probability of each trajectory before anything is observed.
    """

    mdp: TabularMDP
    log_prior: jax.Array
    logits: jax.Array
    step_logits: jax.Array
    trajectories: AllTrajectories
    prior: np.ndarray
    optimality: np.ndarray

    @property
    def joint(self):
        """p(τ, O) of each trajectory."""
        return self.prior * np.prod(self.optimality, axis=1)

    @property
    def posterior(self):
        return self.joint / np.sum(self.joint)

    def log_ratios(self, logits):
        """log(π/π0)(a_t|s_t) of each step, 0 in the padding."""
        t, s, a, mask = self.steps
        table = np.broadcast_to(
            jax.nn.log_softmax(logits) - self.log_prior, (mask.shape[1], 4, 2)
        )
        return np.where(mask, table[t, s, a], 0.0)

    @property
    def steps(self):
        _, actions, _, _, _, mask = map(np.asarray, self.trajectories)
        states = np.asarray(self.trajectories.states)[:, :-1]
        return np.arange(mask.shape[1]), states, actions, mask

    @property
    def rewards(self):
        return np.where(self.steps[3], self.trajectories.rewards, 0.0)


@cache
def problem(dynamics: str, discount: float = 1.0) -> Problem:
    """Three states and one that ends the episode, two actions, three steps."""
    stochastic = policy_problem(discount=discount)
    mdp, trajectories = stochastic.mdp, stochastic.trajectories
    if dynamics == "deterministic":
        options = {"horizon": 3, "discount": discount, "terminal_states": 1}
        mdp = random_mdp(jax.random.key(1), 4, 2, deterministic=True, **options)
        trajectories = enumerate_trajectories(mdp)
    keys = jax.random.split(jax.random.key(5))
    log_prior = jax.nn.log_softmax(jax.random.normal(keys[0], (4, 2)))
    step_logits = jax.random.normal(keys[1], (3, 4, 2))
    mask = np.asarray(trajectories.mask)
    rewards = np.where(mask, trajectories.rewards, 0.0)
    assert len(set(mask.sum(axis=1))) > 1, "episodes of one length hide log z0"
    return Problem(
        *(mdp, log_prior, stochastic.logits, step_logits, trajectories),
        prior=np.exp(trajectory_log_probs(trajectories, log_prior)),
        optimality=np.where(mask, np.exp(rewards / TEMPERATURE - LOG_Z0), 1.0),
    )


@pytest.fixture(params=["stochastic", "deterministic"])
def case(request):
    return problem(request.param)


def visited(case, masses):
    """Σ of masses over trajectories with a valid (s_t, a_t), by t, s, a."""
    _, states, actions, mask = case.steps
    found = np.zeros((3, 4, 2))
    for i, t in zip(*np.nonzero(mask), strict=True):
        found[t, states[i, t], actions[i, t]] += masses[i, t]
    return found


def at_every_step(masses):
    return np.repeat(masses[:, None], 3, axis=1)


def ahead(rewards):
    """Σ_{k ≥ t} of each row."""
    return np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]


def test_evidence_is_the_sum_over_trajectories(case):
    found = log_evidence(case.mdp, case.log_prior, **MODEL)
    equal(found, np.log(np.sum(case.joint)))
    without = log_evidence(case.mdp, case.log_prior, **SOFT)
    equal(without, log_partition(case.mdp, case.log_prior, **SOFT))


def test_messages_are_means_of_the_optimality_ahead(case):
    likely = np.cumprod(case.optimality[:, ::-1], axis=1)[:, ::-1]
    here = visited(case, at_every_step(case.prior))
    lucky = visited(case, case.prior[:, None] * likely)
    seen = here > 0
    found = backward_messages(case.mdp, case.log_prior, **MODEL)
    equal(np.exp(found.log_action)[seen], (lucky / np.where(seen, here, 1))[seen])
    assert np.sum(seen) > 8
    seen = here.sum(axis=2) > 0
    state = lucky.sum(axis=2)[seen] / here.sum(axis=2)[seen]
    equal(np.exp(found.log_state[:-1])[seen], state)
    equal(found.log_state[:, 3], np.zeros(4))
    equal(found.log_state[-1], np.zeros(4))
    of_values = message_values(case.mdp, case.log_prior, **MODEL)
    equal(of_values, TEMPERATURE * found.log_action)


def test_the_posterior_of_trajectories(case):
    found = posterior_log_probs(case.trajectories, case.log_prior, **MODEL)
    equal(np.exp(found), case.posterior)


def test_the_posterior_policy_is_the_share_of_the_actions(case):
    masses = visited(case, at_every_step(case.posterior))
    total = masses.sum(axis=2, keepdims=True)
    seen = (total > 0)[:, :, 0]
    found = np.exp(posterior_policy(case.mdp, case.log_prior, **MODEL))
    equal(found[seen], (masses / np.where(total > 0, total, 1))[seen])
    equal(found.sum(axis=2), np.ones((3, 4)))
    equal(found[:, 3], np.broadcast_to(np.exp(case.log_prior[3]), (3, 2)))


def test_the_posterior_of_states(case):
    expected = visited(case, at_every_step(case.posterior)).sum(axis=2)
    found = posterior_states(case.mdp, case.log_prior, **MODEL)
    equal(found, expected)
    equal(jnp.sum(found, axis=1), case.posterior @ case.steps[3])
    equal(posterior(case.mdp, case.log_prior, **MODEL).states, expected)
    assert np.abs(found - occupancies(case.mdp, case.log_prior)).max() > 0.01


def test_filtered_states_know_only_the_past(case):
    past = np.cumprod(case.optimality, axis=1) / case.optimality
    masses = case.prior[:, None] * past
    expected = visited(case, masses / masses.sum(axis=0)).sum(axis=2)
    found = filtered_states(case.mdp, case.log_prior, **MODEL)
    equal(found, expected)
    assert np.all(found[1:].sum(axis=1) < 0.99), "some episodes have ended"


def test_filtering_and_smoothing_agree(case):
    """p(s_t|O) is in proportion to p(s_t|O_{0:t−1}) p(O_{t:T}|s_t)."""
    filtered = filtered_states(case.mdp, case.log_prior, **MODEL)
    log_state = backward_messages(case.mdp, case.log_prior, **MODEL).log_state[:-1]
    smoothed = filtered * np.exp(log_state)
    found = posterior_states(case.mdp, case.log_prior, **MODEL)
    seen = smoothed > 0
    ratios = np.where(seen, found / np.where(seen, smoothed, 1), np.nan)
    equal(np.nanmax(ratios, axis=1), np.nanmin(ratios, axis=1))


def test_posterior_transitions_are_those_of_the_masses(case):
    _, states, actions, mask = case.steps
    following = np.asarray(case.trajectories.states)[:, 1:]
    masses = np.zeros((3, 4, 2, 4))
    for i, t in zip(*np.nonzero(mask), strict=True):
        place = (t, states[i, t], actions[i, t], following[i, t])
        masses[place] += case.posterior[i]
    total = masses.sum(axis=3, keepdims=True)
    seen = (total > 0)[..., 0]
    found = posterior_transitions(case.mdp, case.log_prior, **MODEL)
    equal(found[seen], (masses / np.where(total > 0, total, 1))[seen])
    equal(jnp.sum(found, axis=3), np.ones((3, 4, 2)))


@pytest.mark.parametrize("dynamics", ["stochastic", "deterministic"])
def test_only_stochastic_dynamics_are_changed(dynamics):
    """Correction 11: what is certain stays so, everything else becomes lucky."""
    case = problem(dynamics)
    found = posterior_transitions(case.mdp, case.log_prior, **MODEL)
    changed = jnp.max(jnp.abs(found - case.mdp.transitions))
    start = np.asarray(dynamics_kl(case.mdp, case.log_prior, **MODEL))
    if dynamics == "stochastic":
        assert changed > 0.1
        return
    equal(changed, 0.0)
    states = posterior_states(case.mdp, case.log_prior, **MODEL)[0, :3]
    equal(start, np.sum(states * np.log(states / case.mdp.initial[:3])))


@jax.jit
def enumerated_kls(trajectories, log_posterior, logits):
    """Reverse and forward KL over trajectories, with their gradients."""

    def reverse(logits):
        log_q = trajectory_log_probs(trajectories, logits)
        return jnp.sum(jnp.exp(log_q) * (log_q - log_posterior))

    def forward(logits):
        log_q = trajectory_log_probs(trajectories, logits)
        return jnp.sum(jnp.exp(log_posterior) * (log_posterior - log_q))

    return tuple(jax.value_and_grad(kl)(logits) for kl in (reverse, forward))


KLS = [jax.jit(jax.value_and_grad(kl, argnums=1)) for kl in (reverse_kl, forward_kl)]


# The model ignores the discount.
@pytest.mark.parametrize(
    ("policy", "discount"), [("logits", 1.0), ("step_logits", 0.6)]
)
def test_both_kls_and_their_gradients(policy, discount):
    case = problem("stochastic", discount)
    logits = getattr(case, policy)
    log_posterior = jnp.log(case.posterior)
    truths = enumerated_kls(case.trajectories, log_posterior, logits)
    for kl, (value, gradient) in zip(KLS, truths, strict=True):
        found, slope = kl(case.mdp, logits, case.log_prior, **MODEL)
        equal(found, value)
        equal(slope, gradient)
        assert jnp.linalg.norm(gradient) > 0.05
    formula = forward_kl_gradient(case.mdp, logits, case.log_prior, **MODEL)
    equal(formula, truths[1][1])


def test_kls_with_deterministic_dynamics():
    case = problem("deterministic")
    log_posterior = jnp.log(case.posterior)
    truths = enumerated_kls(case.trajectories, log_posterior, case.logits)
    for kl, (value, gradient) in zip(KLS, truths, strict=True):
        found, slope = kl(case.mdp, case.logits, case.log_prior, **MODEL)
        equal(found, value)
        equal(slope, gradient)


def test_the_posterior_policy_is_the_least_forward_kl(case):
    """What is left is the optimism of the dynamics, which no policy has."""
    believed = posterior_policy(case.mdp, case.log_prior, **MODEL)
    found, slope = KLS[1](case.mdp, believed, case.log_prior, **MODEL)
    equal(slope, np.zeros((3, 4, 2)))
    equal(found, dynamics_kl(case.mdp, case.log_prior, **MODEL))
    formula = forward_kl_gradient(case.mdp, believed, case.log_prior, **MODEL)
    equal(formula, np.zeros((3, 4, 2)))


def test_the_printed_sign_of_the_forward_gradient_climbs():
    """Correction 8: down along +Σ w ∇log q, as printed, the KL grows."""
    case = problem("stochastic")
    gradient = forward_kl_gradient(case.mdp, case.logits, case.log_prior, **MODEL)
    before, down, printed = (
        KLS[1](case.mdp, case.logits + move * gradient, case.log_prior, **MODEL)[0]
        for move in (0.0, -0.1, 0.1)
    )
    assert down < before < printed


def test_the_max_entropy_policy_is_the_least_reverse_kl(case):
    """Of the rewards r − α log z0, which make the length of an episode count."""
    shift = TEMPERATURE * LOG_Z0
    shifted = case.mdp.__class__(
        **(vars(case.mdp) | {"rewards": case.mdp.rewards - shift})
    )
    best = max_entropy_policy(shifted, case.log_prior, **SOFT)
    value, slope = KLS[0](case.mdp, best, case.log_prior, **MODEL)
    equal(slope, np.zeros((3, 4, 2)))
    unshifted = max_entropy_policy(case.mdp, case.log_prior, **SOFT)
    other, slope = KLS[0](case.mdp, unshifted, case.log_prior, **MODEL)
    assert other > value + 1e-6
    assert jnp.linalg.norm(slope) > 1e-3


def test_reverse_kl_signs():
    """Correction 7: Σ r − log(π/π0), and + log p(O)."""
    case = problem("stochastic")
    q = np.exp(trajectory_log_probs(case.trajectories, case.logits))
    log_ratios = case.log_ratios(case.logits).sum(axis=1)
    scores = np.log(case.optimality).sum(axis=1)
    truth = q @ np.log(q / case.posterior)
    evidence = np.log(np.sum(case.joint))
    equal(reverse_kl(case.mdp, case.logits, case.log_prior, **MODEL), truth)
    equal(-q @ (scores - log_ratios) + evidence, truth)
    assert abs(-q @ (scores - log_ratios) - evidence - truth) > 0.1
    assert abs(-q @ (scores + log_ratios) + evidence - truth) > 0.1


def test_log_z0_matters_where_lengths_differ(case):
    """It favours long or short episodes; with one length it cancels."""
    with_z0, without = (
        posterior_policy(case.mdp, case.log_prior, **options)
        for options in (MODEL, SOFT)
    )
    assert jnp.max(jnp.abs(with_z0 - without)) > 0.01
    going_on = case.mdp.__class__(**(vars(case.mdp) | {"terminal": jnp.zeros(4, bool)}))
    for function in (posterior_policy, posterior_states, posterior_transitions):
        with_z0, without = (
            function(going_on, case.log_prior, **options) for options in (MODEL, SOFT)
        )
        equal(with_z0, without)
    evidence = [
        log_evidence(going_on, case.log_prior, **options) for options in (MODEL, SOFT)
    ]
    equal(evidence[0], evidence[1] - 3 * LOG_Z0)


def test_with_deterministic_dynamics_the_posterior_is_the_max_entropy_policy():
    """And the message Q is its soft Q; less the log-ratio it is one number a state."""
    mdp, log_prior = problem("deterministic")[:2]
    believed = posterior_policy(mdp, log_prior, **SOFT)
    equal(believed, max_entropy_policy(mdp, log_prior, **SOFT))
    q_hat = message_values(mdp, log_prior, **SOFT)
    equal(q_hat, soft_action_values(mdp, believed, log_prior, **SOFT))
    log_state = backward_messages(mdp, log_prior, **SOFT).log_state
    same = jnp.broadcast_to(TEMPERATURE * log_state[:-1, :, None], (3, 4, 2))
    equal(q_hat - TEMPERATURE * (believed - log_prior), same)
    values = soft_state_values(mdp, believed, log_prior, **SOFT)
    equal(values, TEMPERATURE * log_state)


def test_with_stochastic_dynamics_the_posterior_is_too_optimistic():
    """Correction 11: it differs from the max-entropy policy, and earns less."""
    mdp, log_prior = problem("stochastic")[:2]
    believed = posterior_policy(mdp, log_prior, **SOFT)
    best = max_entropy_policy(mdp, log_prior, **SOFT)
    assert jnp.max(jnp.abs(believed - best)) > 0.1
    of_best, of_believed = (
        soft_return(mdp, policy, log_prior, **SOFT) for policy in (best, believed)
    )
    assert of_best > of_believed + 1e-3
    q_hat = message_values(mdp, log_prior, **SOFT)
    q_soft = soft_action_values(mdp, best, log_prior, **SOFT)
    assert jnp.all(q_hat >= q_soft - 1e-12)
    assert jnp.max(q_hat - q_soft) > 0.1


def lottery(rewards):
    """A safe action pays 1; a risky one wins (state 1) with probability 0.1."""
    moves = [[[1.0, 0.0], [0.9, 0.1]], [[0.0, 1.0], [0.0, 1.0]]]
    return tabular_mdp(moves, rewards, initial=[1.0, 0.0], horizon=1)


def test_a_lottery_by_hand():
    """Rewards of s' tempt the posterior; their mean r(s, a) does not, in one step."""
    log_prior = jnp.log(jnp.array([[0.6, 0.4], [0.5, 0.5]]))
    of_next = lottery([[[1.0, 1.0], [0.0, 5.0]], [[0.0, 0.0], [0.0, 0.0]]])
    of_action = lottery([[1.0, 0.5], [0.0, 0.0]])
    tempted, sober = 0.4 * (0.9 + 0.1 * np.exp(5.0)), 0.4 * np.exp(0.5)
    safe = 0.6 * np.exp(1.0)
    found = [np.exp(posterior_policy(mdp, log_prior)) for mdp in (of_next, of_action)]
    equal(found[0][0, 0], [safe / (safe + tempted), tempted / (safe + tempted)])
    equal(found[1][0, 0], [safe / (safe + sober), sober / (safe + sober)])
    for mdp in (of_next, of_action):
        equal(np.exp(max_entropy_policy(mdp, log_prior)), found[1])
    moved = posterior_transitions(of_next, log_prior)[0, 0, 1]
    lucky = 0.1 * np.exp(5.0)
    equal(moved, [0.9 / (0.9 + lucky), lucky / (0.9 + lucky)])


@pytest.mark.parametrize("policy", ["logits", "step_logits"])
def test_soft_values_are_means_over_trajectories(policy):
    """Q counts the rewards from now on, and the log-ratios from the next step on."""
    case = problem("stochastic", 0.6)
    logits = getattr(case, policy)
    times = case.steps[0]
    rewards = 0.6**times * case.rewards
    costs = 0.6**times * TEMPERATURE * case.log_ratios(logits)
    q = np.exp(trajectory_log_probs(case.trajectories, logits))
    here = visited(case, at_every_step(q))
    seen = here > 0
    per_state = here.sum(axis=2)
    later = ahead(rewards) - (ahead(costs) - costs)
    values = ahead(rewards) - ahead(costs)
    of_actions, of_states = (
        visited(case, q[:, None] * total / 0.6**times) for total in (later, values)
    )
    found = soft_action_values(case.mdp, logits, case.log_prior, **SOFT)
    equal(found[seen], of_actions[seen] / here[seen])
    of_states = of_states.sum(axis=2)[per_state > 0] / per_state[per_state > 0]
    found = soft_state_values(case.mdp, logits, case.log_prior, **SOFT)
    assert found.shape == (4, 4)
    equal(found[:-1][per_state > 0], of_states)
    equal(found[:, 3], np.zeros(4))
    found = soft_return(case.mdp, logits, case.log_prior, **SOFT)
    equal(found, q @ (rewards - costs).sum(axis=1))


def test_soft_values_at_the_prior_and_without_temperature_are_classic():
    case = problem("stochastic", 0.6)
    at_prior = soft_action_values(case.mdp, case.log_prior, case.log_prior, **SOFT)
    equal(at_prior, action_values(case.mdp, case.log_prior))
    found = soft_return(case.mdp, case.log_prior, case.log_prior, **SOFT)
    equal(found, expected_return(case.mdp, case.log_prior))
    cold = soft_action_values(case.mdp, case.logits, case.log_prior, temperature=0.0)
    equal(cold, action_values(case.mdp, case.logits))


def test_the_gradient_of_the_soft_return_needs_the_log_ratio():
    """S1 3.0.2: with Q_soft − α log(π/π0) it is exact, with Q_soft alone it is not."""
    case = problem("stochastic", 0.6)
    mdp, logits, log_prior = case.mdp, case.step_logits, case.log_prior
    truth = jax.grad(soft_return, argnums=1)(mdp, logits, log_prior, **SOFT)
    policy = jax.nn.softmax(logits)
    q = soft_action_values(mdp, logits, log_prior, **SOFT)
    discounts = 0.6 ** jnp.arange(3)
    taken = (discounts[:, None] * occupancies(mdp, logits))[:, :, None] * policy
    log_ratio = jax.nn.log_softmax(logits) - log_prior
    for weights, right in ((q - TEMPERATURE * log_ratio, True), (q, False)):
        centred = weights - jnp.sum(policy * weights, axis=-1, keepdims=True)
        if right:
            equal(taken * centred, truth)
        else:
            assert jnp.max(jnp.abs(taken * centred - truth)) > 0.01


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_entropy_of_the_current_state_gives_another_q(sign):
    """Correction 9: Q = E[r ± α H(s) + γ Q(s')], as S1 (4) has it, is not the soft Q.

    With plus it is off by the state's own α H; with minus, by entropies ahead as well.
    The prior is uniform, which takes the constant log A from every H.
    """
    case = problem("stochastic", 0.6)
    mdp, logits = case.mdp, case.logits
    uniform = jnp.full((4, 2), -jnp.log(2.0))
    policy = jax.nn.softmax(logits)
    entropies = -jnp.sum(policy * jax.nn.log_softmax(logits), axis=-1)
    bonus = sign * TEMPERATURE * (entropies - jnp.log(2.0))[:, None, None]
    printed = mdp.__class__(**(vars(mdp) | {"rewards": mdp.rewards + bonus}))
    found = action_values(printed, logits)
    soft = soft_action_values(mdp, logits, uniform, **SOFT)
    running = ~np.asarray(mdp.terminal)
    off = np.asarray(found - soft)[:, running]
    assert np.abs(off).max() > 0.05
    if sign > 0:
        equal(off, np.broadcast_to(bonus[running, 0], off.shape))
    else:
        assert np.abs(off[0, :, 0] - off[0, :, 1]).max() > 1e-3


@pytest.mark.parametrize("discount", [1.0, 0.6])
def test_the_max_entropy_policy_is_its_own_boltzmann_policy(discount):
    """And no change of it raises the soft return."""
    case = problem("stochastic", discount)
    best = max_entropy_policy(case.mdp, case.log_prior, **SOFT)
    q = soft_action_values(case.mdp, best, case.log_prior, **SOFT)
    equal(boltzmann_policy(q, case.log_prior, **SOFT), best)
    slope = jax.grad(soft_return, argnums=1)(case.mdp, best, case.log_prior, **SOFT)
    equal(slope, np.zeros((3, 4, 2)))
    of_best, of_other = (
        soft_return(case.mdp, policy, case.log_prior, **SOFT)
        for policy in (best, case.step_logits)
    )
    assert of_best > of_other + 0.05


def test_boltzmann_policy_by_hand():
    log_prior = jnp.log(jnp.array([[0.2, 0.3, 0.5]]))
    q = jnp.array([[1.0, 0.0, -2.0]])
    weights = np.array([0.2 * np.exp(0.5), 0.3, 0.5 * np.exp(-1.0)])
    found = boltzmann_policy(q + 7.0, log_prior, temperature=2.0)
    equal(np.exp(found), [weights / weights.sum()])


def test_gradients_pass_through_everything():
    """With states out of reach and rows without chance, where logarithms end."""
    mdp, log_prior = problem("deterministic")[:2]

    def total(log_prior, temperature, log_z0):
        options = {"temperature": temperature, "log_z0": log_z0}
        return (
            jnp.sum(filtered_states(mdp, log_prior, **options) ** 2)
            + jnp.sum(posterior_states(mdp, log_prior, **options) ** 2)
            + forward_kl(mdp, jnp.sin(log_prior), log_prior, **options)
        )

    slopes = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(log_prior, 0.7, 0.4)
    total = jax.jit(total)
    step = 1e-5
    up, down = (total(log_prior, 0.7 + move, 0.4) for move in (step, -step))
    assert abs(slopes[1] - (up - down) / (2 * step)) < 1e-7
    up, down = (total(log_prior, 0.7, 0.4 + move) for move in (step, -step))
    assert abs(slopes[2] - (up - down) / (2 * step)) < 1e-7
    assert jnp.all(jnp.isfinite(slopes[0]))
