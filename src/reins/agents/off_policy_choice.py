"""Which of the remembered episodes a step uses, and when the passes over them end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reins.agents.episode_memory import Recalled
from reins.agents.off_policy_weights import (
    MOST,
    Form,
    entries,
    ess_fraction,
    log_weights,
    usable_fraction,
)
from reins.types import Info
from reins.weights import mixture_log_probs

Pass = Callable[[Any, Bool[Array, ""]], tuple[Any, Bool[Array, ""], Info]]
"""(what is trained, whether this is the first pass) -> (the same, taken?, info)."""


class Chosen(NamedTuple):
    """What a step uses.

    Attributes:
      logs: log of what stands before ∇ log π of each step.
      mask: the steps in use.
      members: which behaviour gathered which of the episodes in use.
      usable: what they are worth together, in [0, 1], by `usable_fraction`.
      ess_fraction: their effective sample size over their number.
    """

    logs: Float[Array, "N T"]
    mask: Bool[Array, "N T"]
    members: Bool[Array, "K N"]
    usable: Float[Array, ""]
    ess_fraction: Float[Array, ""]


def weigh(
    form: Form, log_probs: Float[Array, "N T"], data: Recalled, used: Bool[Array, " K"]
) -> Chosen:
    """The episodes of some behaviours, weighed by π over their own or their mixture."""
    members = data.members & used[:, None]
    mask = data.episodes.mask & jnp.any(members, axis=0)[:, None]
    behaviour = data.log_probs
    if data.by_all is not None:
        shares = jnp.sum(members, axis=1) / jnp.maximum(jnp.sum(members), 1)
        behaviour = mixture_log_probs(data.by_all, jnp.log(shares), mask)
    ratios = jnp.where(mask, log_probs - behaviour, 0.0)
    logs = log_weights(form, ratios, mask)
    weights = entries(form, logs, mask)
    return Chosen(
        logs, mask, members, usable_fraction(*weights), ess_fraction(*weights)
    )


def choose(
    form: Form, log_probs: Float[Array, "N T"], data: Recalled, *, least: float
) -> tuple[Chosen, Info]:
    """Leave out behaviours whose weights have collapsed, or all but the newest.

    1. All together; those whose own weights are worth less than `least` are left out,
       but for the newest, which is the first.
    2. If the rest together is worth less, all but the newest is left out.

    Args:
      log_probs: log π(a_t|s_t) in nats, of all rows under the present policy.
      least: of `usable_fraction`.
    Returns: the choice, and what there was before and after it.
    """
    present, newest = jnp.any(data.members, axis=1), jnp.arange(len(data.members)) == 0
    everything = weigh(form, log_probs, data, present)
    logs, counted = entries(form, everything.logs, everything.mask)

    def worth(mine: Bool[Array, " N"]) -> Float[Array, ""]:
        # Over a mixture the mean is what this behaviour shares with π, up to 1/c_k.
        own = data.by_all is None
        return usable_fraction(logs, counted & mine[:, None], bounded_above=own)

    sound = present & (jax.vmap(worth)(data.members) >= least)
    together = weigh(form, log_probs, data, sound | newest)
    used = jnp.where(together.usable >= least, sound | newest, newest)
    chosen = weigh(form, log_probs, data, used)
    logs, counted = entries(form, chosen.logs, chosen.mask)
    largest = jnp.max(jnp.where(counted, logs, -jnp.inf))
    return chosen, {
        "ess_fraction": everything.ess_fraction,
        "ess_fraction_last": chosen.ess_fraction,
        "max_weight": jnp.exp(jnp.minimum(largest, MOST)),
    }


def until_refused(
    one_pass: Pass, start: Any, going: Bool[Array, ""], *, passes: int
) -> tuple[Any, Info]:
    """Passes until one is not taken; the first one's info, and the last one's ESS."""
    shapes = jax.eval_shape(lambda: one_pass(start, jnp.asarray(True))[2])
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def body(carry, first):
        def skip(parts):
            return parts, jnp.asarray(False), nothing

        parts, going = carry
        parts, taken, info = jax.lax.cond(
            going, lambda parts: one_pass(parts, first), skip, parts
        )
        return (parts, taken), (taken, info)

    firsts = jnp.arange(passes) == 0
    (parts, _), (taken, infos) = jax.lax.scan(body, (start, going), firsts)
    count = jnp.sum(taken)
    last = infos["ess_fraction_last"][jnp.maximum(count - 1, 0)]
    info = jax.tree.map(lambda x: x[0], infos)
    return parts, info | {"ess_fraction_last": last, "passes": count}
