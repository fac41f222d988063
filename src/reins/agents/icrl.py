"""Learning a constraint from demonstrations: ICRL and its baselines, composed.

    repeat:  forward step   any agent, on cost 1 − ζ (or on reward r + α log ζ)
             backward step  ζ, from demonstrations and the agent's own episodes

The methods differ in two independent parts, how ζ is improved and how the agent
is told of it:

                        objective of ζ     the agent sees
    icrl                likelihood         cost 1 − ζ      (S2 Algorithm 1)
    icrl, relative-cost likelihood         cost 1 − ζ, less the demonstrators' mean
    icrl, log-reward    likelihood         r + α log ζ     (the matching forward step)
    binary_classifier   cross-entropy      cost 1 − ζ
    gail_constraint     cross-entropy      r + α log ζ
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from reins.agents.agent import Agent, AgentState, act_by_policy, descend
from reins.agents.replaying import repriced
from reins.constraints import (
    Constraint,
    InputSpec,
    StopRule,
    chosen_inputs,
    classifier_loss,
    constraint_likelihood_loss,
    regulariser_loss,
    sampled_likelihood_loss,
    stop_quantities,
)
from reins.constraints.likelihood import Weighting
from reins.data import whole_episodes
from reins.errors import CapabilityError, ConfigError
from reins.policies import Policy
from reins.types import Info, Key, Pairs, Trajectory

ConstraintInit = Callable[[Key], Constraint]
Forward = Literal["cost", "relative-cost", "log-reward"]
"""What the agent gets of ζ.

cost           1 − ζ, as printed. With budget 0 nobody is feasible while ζ < 1, the
               demonstrators least of all, and a multiplier only grows.
relative-cost  1 − ζ, less its mean over the demonstrations: budget 0 then asks for the
               care that they took. A step is no longer a cost merely for being lived.
log-reward     r + α log ζ.
"""
LOG_ZETA_FLOOR = -11.5
"""ζ = 1e-5, as in 2021, is forbidden enough.

log ζ in a reward is cut here, so that it stays finite; and weights by return push what
the agent does no further down, though always what the demonstrators do back up.
"""


class ConstraintState(NamedTuple):
    """The agent, ζ, and where in the alternation of the two steps it is."""

    agent: AgentState
    constraint: Constraint
    sampled: Constraint
    """The ζ that the agent was trained for: the denominator of the weights."""
    optimizer: optax.OptState
    batches: Int[Array, ""]
    stopped: Bool[Array, ""]
    """Whether this backward phase has come to its early stop."""
    report: Info
    """Quantities of the latest backward phase."""
    seen: Float[Array, "2 n"]
    """Least and largest value of each input of ζ in all that it was learned from."""

    @property
    def policy(self) -> Policy:
        return self.agent.policy


@dataclasses.dataclass(frozen=True)
class BackwardStep:
    """How ζ is improved between forward steps.

    Attributes:
      forward_updates: agent updates from one backward phase to the next.
      steps: B, gradient steps of ζ in a backward phase.
      nominal: nominal episodes sampled `once` for the phase (the batch that the agent
        is about to learn from), or `afresh` for every gradient step, as S2 Algorithm
        1 prints (each step then costs a batch, and the agent does not learn from it).
      weighting: see `step_weights`; `none` switches importance sampling off.
      stop: early stop before a step; None switches it off.
      cooling: phases over which the temperature of weights by return falls to its
        own, as cooling/k in the k-th. An agent that still learns earns little whatever
        it does, and what it breaks would be forbidden only once it has become good at
        breaking it.
      regulariser: δ of S2 (8), nats per unit of ζ.
      regulariser_form: see `regulariser_loss`.
    """

    forward_updates: int = 10
    steps: int = 10
    nominal: Literal["once", "afresh"] = "once"
    weighting: Weighting = "trajectory"
    cooling: int = 0
    stop: StopRule | None = dataclasses.field(default_factory=StopRule)
    regulariser: float = 0.0
    regulariser_form: Literal["step-mean", "trajectory-sum"] = "step-mean"

    def __post_init__(self) -> None:
        if self.forward_updates < 1 or self.steps < 1:
            raise ConfigError(
                "constraint learning needs at least one forward update and one "
                f"backward step; found {self.forward_updates} and {self.steps}."
            )
        if self.cooling < 0:
            raise ConfigError(
                f"cooling over {self.cooling} phases was asked for; choose 0 for none, "
                "or how many phases it should take."
            )
        if self.regulariser < 0:
            raise ConfigError(
                f"the regulariser must not be negative; found {self.regulariser}: it "
                "would reward forbidding everything."
            )


def constraint_learner(
    agent: Agent,
    constraint: ConstraintInit,
    optimizer: optax.GradientTransformation,
    expert: Pairs,
    *,
    horizon: int,
    backward: BackwardStep,
    objective: Literal["likelihood", "cross-entropy"] = "likelihood",
    forward: Forward = "cost",
    temperature: float = 1.0,
) -> Agent:
    """Alternate an agent's updates with updates of the constraint that it obeys.

    Source: S2 Algorithm 1, (7)-(12).

    Args:
      agent: the forward step, any agent that reads `rewards` (and `costs`). What it
        remembers is priced anew by the present ζ, before each of its updates.
      constraint: how to make ζ from a key.
      optimizer: of ζ.
      expert: the demonstrations, aligned pairs (s_t, a_t).
      horizon: steps that trajectories are cut to; rollouts must be at least as long.
      backward: how ζ is improved.
      objective: of ζ.
      forward: what the agent gets of ζ; see `Forward`.
      temperature: α, units of reward per nat, for `log-reward` and the weights by
        return.
    """
    _check_memory(agent, forward)
    afresh = backward.nominal == "afresh"
    period = backward.forward_updates + (backward.steps if afresh else 0)
    inputs = jax.eval_shape(constraint, jax.random.key(0)).inputs
    ranges = _ranges(inputs, expert)  # here, since XLA is slow to fold a constant

    def loss(
        zeta: Constraint,
        sampled: Constraint,
        nominal: Pairs,
        log_masses: Array,
        phase: Array,
    ) -> tuple[Array, Array]:
        pairs = (expert.observations, expert.actions)
        nominal_pairs = (nominal.observations, nominal.actions)
        if objective == "cross-entropy":
            expert_logits = zeta.logits(*pairs)
            nominal_logits = zeta.logits(*nominal_pairs)
            value = classifier_loss(
                expert_logits, expert.mask, nominal_logits, nominal.mask
            )
            return value, jnp.ones(())
        expert_terms = (zeta.log_zeta(*pairs), expert.mask)
        nominal_terms = (zeta.log_zeta(*nominal_pairs), nominal.mask)
        weight = jnp.ones(())
        if backward.weighting == "return":
            before = sampled.log_zeta(*nominal_pairs)
            value, info = sampled_likelihood_loss(
                *expert_terms,
                _returns(expert),
                jnp.maximum(nominal_terms[0], LOG_ZETA_FLOOR),
                nominal.mask,
                _returns(nominal),
                horizon=horizon,
                temperature=temperature * jnp.maximum(1.0, backward.cooling / phase),
                # Cut alike, or ω would be huge where ζ was below the floor.
                sampled_log_zeta=jnp.maximum(before, LOG_ZETA_FLOOR),
                log_masses=log_masses,
            )
            weight = info["nominal_weight"]
        else:
            value, _ = constraint_likelihood_loss(
                *expert_terms,
                *nominal_terms,
                sampled.log_zeta(*nominal_pairs),
                horizon=horizon,
                weighting=backward.weighting,
                log_masses=log_masses,
            )
        reluctance = regulariser_loss(
            *expert_terms, *nominal_terms, form=backward.regulariser_form
        )
        return value + backward.regulariser * reluctance, weight

    def improve(state: ConstraintState, nominal: Pairs) -> ConstraintState:
        """One gradient step of ζ, unless the stop rule says it has gone too far."""
        there = jnp.any(nominal.mask, axis=1)
        # Without a whole episode no step is taken; equal masses keep the report finite.
        counted = there | ~jnp.any(there)
        log_masses = jnp.where(counted, -jnp.log(jnp.sum(counted)), -jnp.inf)
        (value, weight), gradients = jax.value_and_grad(loss, has_aux=True)(
            state.constraint,
            state.sampled,
            nominal,
            log_masses,
            1.0 + state.batches // period,
        )
        pairs = (nominal.observations, nominal.actions)
        moved = state.constraint.log_zeta(*pairs) - state.sampled.log_zeta(*pairs)
        log_ratios = jnp.sum(jnp.where(nominal.mask, moved, 0.0), axis=1)
        stop, report = stop_quantities(
            log_ratios, log_masses, backward.stop or StopRule()
        )
        # Weights by return vanish by themselves where ζ has moved far.
        unstopped = objective == "cross-entropy" or backward.weighting == "return"
        if backward.stop is None or unstopped:
            stop = jnp.asarray(False)
        stopped = state.stopped | stop
        improved, optimizer_state = descend(
            optimizer, state.constraint, gradients, state.optimizer
        )
        taken = ~stopped & jnp.any(there)
        return state._replace(
            constraint=_choose(taken, improved, state.constraint),
            optimizer=_choose(taken, optimizer_state, state.optimizer),
            stopped=stopped,
            report={
                **report,
                "constraint_loss": value,
                "nominal_weight": weight,
                "constraint_steps": state.report["constraint_steps"] + taken,
            },
        )

    def backward_phase(state: ConstraintState, nominal: Pairs) -> ConstraintState:
        def body(state: ConstraintState, _):
            return improve(state, nominal), None

        state = begin(look(state, nominal))
        return jax.lax.scan(body, state, None, length=backward.steps)[0]

    def look(state: ConstraintState, pairs: Pairs) -> ConstraintState:
        """Widen the ranges of the inputs by those of these pairs."""
        (low, high), (least, most) = state.seen, _ranges(inputs, pairs)
        seen = jnp.stack([jnp.minimum(low, least), jnp.maximum(high, most)])
        return state._replace(seen=seen)

    def begin(state: ConstraintState) -> ConstraintState:
        report = {**state.report, "constraint_steps": jnp.zeros(())}
        return state._replace(
            sampled=state.constraint, stopped=jnp.asarray(False), report=report
        )

    def forward_step(state: ConstraintState, batch: Trajectory, key: Key):
        # gather: the batch as the agent sees it, priced by the present constraint
        pairs = (batch.observations, batch.actions)
        costs = state.constraint.cost(*pairs)
        shown = state.constraint.cost(expert.observations, expert.actions)
        shown = jnp.mean(shown, where=expert.mask)
        origin = shown if forward == "relative-cost" else 0.0
        seen = batch._replace(costs=costs - origin)
        inner = repriced(
            state.agent, lambda *pair: state.constraint.cost(*pair) - origin
        )
        if forward == "log-reward":
            log_zeta = jnp.maximum(state.constraint.log_zeta(*pairs), LOG_ZETA_FLOOR)
            seen = seen._replace(rewards=batch.rewards + temperature * log_zeta)
        # credit, weigh, ascend, constrain: the agent's own
        trained, info = agent.update(inner, seen, key)
        info |= {"learned_cost": jnp.mean(costs), "demonstrated_cost": shown}
        return state._replace(agent=trained), info

    def init(key: Key) -> ConstraintState:
        agent_key, constraint_key = jax.random.split(key)
        zeta: Any = constraint(constraint_key)
        names = ["kl_old_new", "kl_new_old", "ess_fraction"]
        names += ["constraint_loss", "nominal_weight"]
        return ConstraintState(
            agent=agent.init(agent_key),
            constraint=zeta,
            sampled=zeta,
            optimizer=optimizer.init(zeta),
            batches=jnp.zeros((), jnp.int32),
            stopped=jnp.asarray(False),
            report={name: jnp.zeros(()) for name in [*names, "constraint_steps"]},
            seen=ranges,
        )

    def update(
        state: ConstraintState, batch: Trajectory, key: Key
    ) -> tuple[ConstraintState, Info]:
        # gather
        nominal = whole_episodes(batch, horizon=horizon)
        # constrain: improve ζ on demonstrations against the agent's own episodes
        # ascend: the agent under the constraint
        if afresh:
            place = state.batches % period
            learning = place >= backward.forward_updates
            state = _when(place == backward.forward_updates, begin, state)
            state = _when(learning, lambda s: improve(look(s, nominal), nominal), state)
            trained, info = forward_step(state, batch, key)
            trained = _choose(learning, state, trained)
        else:
            due = state.batches % period == backward.forward_updates - 1
            state = _when(due, lambda s: backward_phase(s, nominal), state)
            trained, info = forward_step(state, batch, key)
        info |= {f"constraint/{name}": value for name, value in state.report.items()}
        return trained._replace(batches=state.batches + 1), info

    def act(state: ConstraintState, observations: Array, key: Key) -> Array:
        return agent.act(state.agent, observations, key)

    # The policy is the agent's, so acting by one is acting by the other.
    return Agent(init, act_by_policy if agent.act is act_by_policy else act, update)


def icrl(
    agent: Agent,
    constraint: ConstraintInit,
    optimizer: optax.GradientTransformation,
    expert: Pairs,
    *,
    horizon: int,
    backward: BackwardStep,
    forward: Forward = "cost",
    temperature: float = 1.0,
) -> Agent:
    """Inverse constrained RL: ζ by maximum likelihood, under importance weights.

    Source: S2 Algorithm 1.   Args: as `constraint_learner`.
    """
    return constraint_learner(
        agent,
        constraint,
        optimizer,
        expert,
        horizon=horizon,
        backward=backward,
        forward=forward,
        temperature=temperature,
    )


def binary_classifier(
    agent: Agent,
    constraint: ConstraintInit,
    optimizer: optax.GradientTransformation,
    expert: Pairs,
    *,
    horizon: int,
    backward: BackwardStep,
) -> Agent:
    """Baseline: ζ tells expert from nominal by cross-entropy; cost 1 − ζ as in ICRL.

    Source: S2, baselines (BC).   Args: as `constraint_learner`.
    """
    return constraint_learner(
        agent,
        constraint,
        optimizer,
        expert,
        horizon=horizon,
        backward=backward,
        objective="cross-entropy",
    )


def gail_constraint(
    agent: Agent,
    constraint: ConstraintInit,
    optimizer: optax.GradientTransformation,
    expert: Pairs,
    *,
    horizon: int,
    backward: BackwardStep,
    temperature: float = 1.0,
) -> Agent:
    """Baseline: an unconstrained agent on r + α log ζ, with ζ GAIL's discriminator.

    ζ is improved after every batch, as GAIL's discriminator is.

    Source: S2, baselines (GC).   Args: as `constraint_learner`.
    """
    return constraint_learner(
        agent,
        constraint,
        optimizer,
        expert,
        horizon=horizon,
        backward=dataclasses.replace(backward, forward_updates=1, nominal="once"),
        objective="cross-entropy",
        forward="log-reward",
        temperature=temperature,
    )


def _ranges(inputs: InputSpec, pairs: Pairs) -> Float[Array, "2 n"]:
    """Least and largest value of each input in pairs."""
    found = chosen_inputs(inputs, pairs.observations, pairs.actions)
    there = pairs.mask[..., None]
    least = jnp.min(found, axis=(0, 1), where=there, initial=jnp.inf)
    most = jnp.max(found, axis=(0, 1), where=there, initial=-jnp.inf)
    return jnp.stack([least, most])


def _returns(pairs: Pairs) -> Array:
    if pairs.returns is None:
        raise ConfigError(
            "weights by return were asked for, and trajectories came without their "
            "returns, by which they are weighed. Give `Pairs` their `returns`, or "
            "choose another weighting."
        )
    return pairs.returns


def _check_memory(agent: Agent, forward: Forward) -> None:
    inner = jax.eval_shape(agent.init, jax.random.key(0))
    if forward == "log-reward" and hasattr(inner, "replay"):
        raise CapabilityError(
            "a constraint was to be told to an agent with a replay buffer as reward; "
            "it would remember rewards of constraints long gone, and only costs are "
            "priced anew. Use forward='cost' with `sac_lagrangian`, or an agent that "
            "learns from its latest batch alone."
        )


def _when(
    condition: Bool[Array, ""],
    change: Callable[[ConstraintState], ConstraintState],
    state: ConstraintState,
) -> ConstraintState:
    return jax.lax.cond(condition, change, lambda unchanged: unchanged, state)


def _choose(condition: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
