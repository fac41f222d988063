"""One row of logits per state: the policy of exact answers."""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reins.policies.categorical import Categorical
from reins.policies.policy import Policy, PolicyInit
from reins.types import Key


class TabularPolicy(Policy):
    """π(a|s) = softmax(logits[s])_a; observations are state numbers."""

    gives: ClassVar[frozenset[str]] = frozenset({"log_prob", "entropy", "enumerable"})
    logits: Float[Array, "S A"]

    def __call__(self, observations: Int[Array, "*batch"]) -> Categorical:
        return Categorical(self.logits[observations])


def tabular_policy(states: int, actions: int) -> PolicyInit:
    """A uniform table."""

    def init(key: Key) -> TabularPolicy:
        del key
        return TabularPolicy(jnp.zeros((states, actions)))

    return init
