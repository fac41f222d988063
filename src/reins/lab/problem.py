"""What the lab asks of a problem: draws, the arrays they make, and exact gradients.

An estimator is a function of arrays, and the names of its arguments say which:
`rewards`, `log_probs`, `behaviour_log_probs`. A design is one way to draw samples and
to lay them out under such names. Everything that a design needs is in `tables`, so that
its functions are pure, and compile once for all problems of one shape.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import jax
import numpy as np
from jaxtyping import Array, Float

from reins.errors import ConfigError, unknown_name
from reins.types import Key

Critic = Literal["soft", "classic", "message"]
States = Literal["visited", "path", "two-filter"]
Quantities = Mapping[str, Callable[[], Any]]
"""Arrays by the name under which an estimator asks for them, each made when asked."""


class Options(NamedTuple):
    """How the marginal estimators are fed.

    Attributes:
      actions: K, fresh actions drawn in each state.
      critic: which exact Q: soft, classic, or α log p(O_{t:T}|s, a).
      states: how states are weighed: as visited, or as p(s_t|O) by either form of
        `reins.weights.smoothing_log_weights`.
      antithetic: whether a population is drawn in opposite pairs.
    """

    actions: int = 4
    critic: Critic = "soft"
    states: States = "visited"
    antithetic: bool = False

    def check(self) -> None:
        """Refuse what cannot be.

        Raises: ConfigError.
        """
        if self.actions < 1:
            raise ConfigError(
                f"{self.actions} actions per state were asked for; a marginal "
                "estimator needs at least one."
            )
        for name, kind in (("critic", Critic), ("states", States)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(
                    unknown_name(name, getattr(self, name), get_args(kind))
                )


class Design(NamedTuple):
    """One way to draw samples and to lay them out.

    Attributes:
      params: where the gradient is taken, a vector.
      tables: arrays that the functions use.
      draw: (tables, key, n) -> n samples, a pytree.
      quantities: (params, tables, draw) -> arrays by name.
      every: tables -> (everything that can be drawn, one to a row, and the log of how
        likely each is); None where there is too much of it.
    """

    params: Float[Array, " D"]
    tables: Any
    draw: Callable[[Any, Key, int], Any]
    quantities: Callable[[Array, Any, Any], Quantities]
    every: Callable[[Any], tuple[Any, Float[Array, " E"]]] | None = None


class Problem(NamedTuple):
    """Something whose gradients are known exactly.

    Attributes:
      name: short, for tables.
      summary: one sentence.
      design: (name, options) -> Design; CapabilityError for a name it lacks.
      designs: their names.
      gradient: (target, options) -> the exact gradient, at the design's `params`.
      targets: which objectives that knows.
    """

    name: str
    summary: str
    design: Callable[[str, Options], Design]
    designs: tuple[str, ...]
    gradient: Callable[[str, Options], Float[np.ndarray, " D"]]
    targets: tuple[str, ...]


def single_precision(tree: Any) -> Any:
    """The same arrays as float32 and int32, outside JAX."""

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        array = np.asarray(leaf)
        narrow = {"f": np.float32, "i": np.int32}.get(array.dtype.kind, array.dtype)
        return array.astype(narrow)

    return jax.tree.map(convert, tree)
