"""What inference believes and what control does: optimism, measured (correction 11).

Three policies of one prior and one temperature are compared on finite MDPs, exactly:

    posterior      p(a_t|s_t, O): believes in dynamics that help it
    max-entropy    greatest soft return under the dynamics as they are
    one-step       π0 exp(Q/α) / Z, with Q the classic Q of the prior

Every episode has the same length and γ = 1, so that neither log z0 nor a discount
tells them apart. Each MDP with rewards r(s, a, s') has a twin whose rewards are their
means r(s, a): to every policy of actions the two are the same, to the posterior not.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike

from reins.divergences import total_variation
from reins.errors import ConfigError, sentence_of_faults
from reins.lab.study import Advance, Sheet, Study, ignore, in_float64
from reins.tabular import (
    TabularMDP,
    action_values,
    boltzmann_policy,
    expected_return,
    forward_kl,
    max_entropy_policy,
    occupancies,
    posterior_policy,
    random_mdp,
    reverse_kl,
    soft_return,
    tabular_mdp,
)

POLICIES = ("posterior", "max-entropy", "one-step")
REWARDS = ("r(s,a)", "r(s,a,s')")
DYNAMICS = ("deterministic", "stochastic")
STATES, ACTIONS, HORIZON = 5, 3, 5  # of the random MDPs


@dataclasses.dataclass(frozen=True)
class InferenceConfig:
    """The posterior policy against the max-entropy policy, when dynamics are chancy."""

    temperature: float = 0.5
    """Of the lottery and the random MDPs, in units of reward per nat."""
    temperatures: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    """To compare the random MDPs at."""
    mdps: int = 200
    """Random MDPs of each kind of dynamics."""
    points: int = 41
    """Probabilities of luck in the lottery, from 0 to 1."""
    key: int = 0
    """The seed of the random MDPs."""

    def __post_init__(self) -> None:
        faults = []
        given = (self.temperature, *self.temperatures)
        if not all(0 < x < np.inf for x in given):
            faults.append(f"the temperatures are {given}; each must be > 0 and finite")
        if self.mdps < 2:
            faults.append(f"{self.mdps} random MDPs; a spread needs at least 2")
        if self.points < 3:
            faults.append(
                f"{self.points} probabilities of luck; there is something between two "
                "certainties from 3 on"
            )
        if faults:
            raise ConfigError(sentence_of_faults("no study of inference", faults))


class Comparison(NamedTuple):
    """The three policies, in the order of `POLICIES`, in one MDP or in many.

    Attributes:
      soft_return, return_: under the MDP's own dynamics, in units of reward.
      lost: of the greatest soft return there is, in units of reward.
      forward_kl, reverse_kl: posterior trajectories against the policy's, in nats.
      distance: total variation from the max-entropy policy, mean over its own states.
      first: the probability of the last action at the first step.
    """

    soft_return: Float[Array, "*batch P"]
    return_: Float[Array, "*batch P"]
    lost: Float[Array, "*batch P"]
    forward_kl: Float[Array, "*batch P"]
    reverse_kl: Float[Array, "*batch P"]
    distance: Float[Array, "*batch P"]
    first: Float[Array, "*batch P"]


def compare(
    mdp: TabularMDP, log_prior: Float[Array, "S A"], temperature: ScalarLike
) -> Comparison:
    """The three policies of this prior and temperature, under the MDP's own dynamics.

    Source: S1 Fig. 1.   Identities: nobody loses less than max-entropy, which loses
    nothing; with deterministic dynamics the posterior is it.
    Args: an MDP of γ = 1; `log_prior` in nats; `temperature` α > 0, reward per nat.
    """
    best = max_entropy_policy(mdp, log_prior, temperature=temperature)
    posterior = posterior_policy(mdp, log_prior, temperature=temperature)
    q = action_values(mdp, log_prior)
    one_step = boltzmann_policy(q, log_prior, temperature=temperature)
    greatest = soft_return(mdp, best, log_prior, temperature=temperature)
    visits = occupancies(mdp, best)

    def judge(policy):
        given = (mdp, policy, log_prior)
        earned = soft_return(*given, temperature=temperature)
        apart = total_variation(jnp.exp(policy), jnp.exp(best))
        return Comparison(
            soft_return=earned,
            return_=expected_return(mdp, policy),
            lost=greatest - earned,
            forward_kl=forward_kl(*given, temperature=temperature),
            reverse_kl=reverse_kl(*given, temperature=temperature),
            distance=jnp.sum(visits * apart) / jnp.sum(visits),
            first=mdp.initial @ jnp.exp(policy[0, :, -1]),
        )

    return jax.vmap(judge)(jnp.stack([posterior, best, one_step]))


_compare_all = jax.jit(jax.vmap(compare, in_axes=(0, 0, None)))


def lottery(luck: float) -> TabularMDP:
    """Four days: work, or buy a ticket that wins with the probability `luck`.

    At home (0), work pays 1 and a ticket nothing. Winning pays 4 on the spot, and 1 on
    each day that is left (1); who loses earns nothing any more (2).
    """
    stay = np.eye(3)
    transitions = [[stay[0], [0.0, luck, 1.0 - luck]], [stay[1]] * 2, [stay[2]] * 2]
    rewards = np.zeros((3, 2, 3))
    rewards[0, 0] = rewards[1] = 1.0
    rewards[0, 1, 1] = 4.0
    return tabular_mdp(transitions, rewards, initial=stay[0], horizon=4)


def with_mean_rewards(mdp: TabularMDP) -> TabularMDP:
    """The same MDP, paid r(s, a) = E_s'[r(s, a, s')] whatever happens."""
    means = jnp.sum(mdp.transitions * mdp.rewards, axis=-1, keepdims=True)
    rewards = jnp.broadcast_to(means, mdp.rewards.shape)
    return dataclasses.replace(mdp, rewards=rewards)


@in_float64
def inference_study(config: InferenceConfig, advance: Advance = ignore) -> Study:
    """Compare the three policies in the lottery and in random MDPs, exactly.

    Source: S1 Fig. 1; correction 11.
    """
    luck = np.linspace(0.0, 1.0, config.points)
    advance(0.0, "the lottery")
    played = _lotteries(luck, config.temperature)
    temperatures = np.unique([config.temperature, *config.temperatures])
    found = {}
    for dynamics in DYNAMICS:
        advance(1 / 3, f"random MDPs, {dynamics}")
        for rewards, case in _random(config, dynamics, temperatures).items():
            found[dynamics, rewards] = case
    advance(1 / 3, "the tables")
    chosen = int(np.flatnonzero(temperatures == config.temperature)[0])
    at_chosen = jax.tree.map(lambda x: x[chosen], found)
    rows = [*_lottery_rows(luck, played), *_random_rows(at_chosen)]
    sheets = [
        _lottery_sheet(luck, played),
        _random_sheet(at_chosen),
        _temperature_sheet(found, temperatures),
    ]
    fields = {
        "luck": luck,
        "temperature": np.asarray(config.temperature),
        "temperatures": temperatures,
        "lottery_first": np.stack([played[r].first for r in REWARDS]),
        "lottery_soft_return": np.stack([played[r].soft_return for r in REWARDS]),
        "lost": np.stack([[found[d, r].lost for r in REWARDS] for d in DYNAMICS]),
    }
    findings = _findings(luck, played, found, temperatures)
    return Study("inference", rows, sheets, findings, fields)


def _lotteries(luck: np.ndarray, temperature: float) -> dict[str, Comparison]:
    mdps = jax.tree.map(lambda *x: jnp.stack(x), *map(lottery, luck))
    log_priors = jnp.full((len(luck), 3, 2), -jnp.log(2.0))
    found = {
        rewards: _compare_all(twin, log_priors, temperature)
        for rewards, twin in _twins(mdps).items()
    }
    return jax.tree.map(np.asarray, found)


def _random(
    config: InferenceConfig, dynamics: str, temperatures: np.ndarray
) -> dict[str, Comparison]:
    """By kind of rewards, over temperatures and MDPs; priors of normal logits."""

    def draw(key):
        mdp_key, prior_key = jax.random.split(key)
        options = {"horizon": HORIZON, "deterministic": dynamics == "deterministic"}
        mdp = random_mdp(mdp_key, STATES, ACTIONS, **options)
        # One start: p(s_0|O) would differ from p(s_0) even where nothing else is left
        # to chance.
        mdp = dataclasses.replace(mdp, initial=jax.nn.one_hot(0, STATES))
        logits = jax.random.normal(prior_key, (STATES, ACTIONS))
        return mdp, jax.nn.log_softmax(logits)

    keys = jax.random.split(jax.random.key(config.key), config.mdps)
    mdps, log_priors = jax.vmap(draw)(keys)
    found = {}
    for rewards, twin in _twins(mdps).items():
        each = [_compare_all(twin, log_priors, float(x)) for x in temperatures]
        found[rewards] = jax.tree.map(lambda *x: np.stack(x), *each)
    return found


def _twins(mdps: TabularMDP) -> dict[str, TabularMDP]:
    return dict(zip(REWARDS, (jax.vmap(with_mean_rewards)(mdps), mdps), strict=True))


def _lottery_rows(luck, played) -> Iterator[dict[str, Any]]:
    for rewards, comparison in played.items():
        for i, p in enumerate(luck):
            dynamics = DYNAMICS[int(0 < p < 1)]
            yield from _lines(("lottery", dynamics, rewards, float(p)), comparison, i)


def _random_rows(found) -> Iterator[dict[str, Any]]:
    for (dynamics, rewards), comparison in found.items():
        for i in range(len(comparison.lost)):
            yield from _lines(("random", dynamics, rewards, float(i)), comparison, i)


def _lines(place: tuple, comparison: Comparison, i: int) -> Iterator[dict[str, Any]]:
    """One line to a policy; the instance is the luck, or the number of the MDP."""
    names = ("problem", "dynamics", "rewards", "instance")
    for p, policy in enumerate(POLICIES):
        yield dict(zip(names, place, strict=True)) | {
            "policy": policy,
            "soft_return": float(comparison.soft_return[i, p]),
            "soft_return_lost": float(comparison.lost[i, p]),
            "return": float(comparison.return_[i, p]),
            "forward_kl": float(comparison.forward_kl[i, p]),
            "reverse_kl": float(comparison.reverse_kl[i, p]),
            "total_variation": float(comparison.distance[i, p]),
        }


def _lottery_sheet(luck, played) -> Sheet:
    """Eleven places; max-entropy and one-step do not see the kind of the rewards."""
    of_action, of_next = (played[rewards].soft_return for rewards in REWARDS)
    places = np.unique(np.linspace(0, len(luck) - 1, 11).round().astype(int))
    return Sheet(
        title="lottery: soft return in units of reward",
        columns=["luck", *(f"posterior, {r}" for r in REWARDS), *POLICIES[1:]],
        rows=[
            [float(x) for x in (luck[i], of_action[i, 0], *of_next[i])] for i in places
        ],
    )


def _random_sheet(found) -> Sheet:
    rows = []
    for (dynamics, rewards), comparison in found.items():
        for p, policy in enumerate(POLICIES):
            lost = np.quantile(comparison.lost[:, p], [0.5, 0.9])
            kinds = (comparison.forward_kl, comparison.reverse_kl, comparison.distance)
            medians = [np.median(kind[:, p]) for kind in kinds]
            cells = [float(x) for x in (*lost, *medians)]
            rows.append([dynamics, rewards, policy, *cells])
    return Sheet(
        title="random MDPs: soft return lost (median, 90 %), KLs in nats, and total "
        "variation from max-entropy",
        columns=[
            *("dynamics", "rewards", "policy", "lost", "90 %"),
            *("forward", "reverse", "distance"),
        ],
        rows=rows,
    )


def _temperature_sheet(found, temperatures) -> Sheet:
    of_action, of_next = (
        np.median(found["stochastic", rewards].lost, axis=1) for rewards in REWARDS
    )
    cells = zip(
        temperatures, of_action[:, 0], of_next[:, 0], of_next[:, 2], strict=True
    )
    return Sheet(
        title="random MDPs, stochastic: median of the soft return lost",
        columns=["temperature", *(f"posterior, {r}" for r in REWARDS), "one-step"],
        rows=[[float(x) for x in row] for row in cells],
    )


def _findings(luck, played, found, temperatures) -> dict[str, Any]:
    findings: dict[str, Any] = {"temperatures": temperatures.tolist()}
    for rewards in REWARDS:
        lost = played[rewards].lost[:, 0]
        findings[f"lottery: most lost by the posterior, {rewards}"] = float(lost.max())
        findings[f"lottery: at luck, {rewards}"] = float(luck[lost.argmax()])
    for (dynamics, rewards), comparison in found.items():
        for p in (0, 2):
            name = f"random, {dynamics}, {rewards}: median lost by {POLICIES[p]}"
            medians = np.median(comparison.lost[..., p], axis=1)
            findings[name] = medians.tolist()
    of_action, of_next = (found["stochastic", r].lost for r in REWARDS)
    worse = np.mean(of_next[..., 0] > of_action[..., 0], axis=1)
    findings["share where r(s,a,s') costs the posterior more"] = worse.tolist()
    beaten = np.mean(of_next[..., 0] > of_next[..., 2], axis=1)
    findings["share where one-step beats the posterior, r(s,a,s')"] = beaten.tolist()
    return findings
